//! The macros of [`encamp-test`](https://docs.rs/encamp-test), which re-exports them.
#![forbid(unsafe_code)]

mod attribute;
mod environment;
mod kinds;
mod names;

use proc_macro::TokenStream;

/// A test with environments of its own.
///
/// ```rs
/// #[encamp_test::test]
/// async fn orders_survive(camp: &encamp_test::Camp) -> encamp::Result<()> {
///     let shop = camp.up(shop()).await?;
///     // …
///     Ok(())
/// }
/// ```
///
/// The function is `async` and takes a `&Camp`; it gives `()` or a `Result`. It runs on a runtime of its own, of one thread.
/// When it has ended, well or not, what it has brought up is disposed of; where it failed, by a panic or by an `Err`, how
/// each machine stands and its last lines are printed before that. Other attributes, as `#[ignore]`, stay what they are.
///
/// `#[encamp_test::test(timeout = "2m")]` ends a test that takes longer, with what was observed. A test that blocks its
/// thread is not ended.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = attribute::expand(arguments.into(), item.into());
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Types for the environment of a file: a method for each machine, port and output.
///
/// ```rs
/// encamp_test::environment!(Shop, "tests/shop.toml");
///
/// #[encamp_test::test]
/// async fn orders(camp: &encamp_test::Camp) -> encamp::Result<()> {
///     let shop = Shop::up(camp).await?;
///     let pg = shop.db().pg().await?;          // where its port `pg` is dialled from here
///     shop.web(0).exec(["true"]).output().await?;
///     println!("{pg} {}", shop.outputs().url());
///     Ok(())
/// }
/// ```
///
/// The path starts at the folder of the crate's `Cargo.toml`. The file is read and checked when the test is compiled: what
/// is wrong with it is an error there, with line and column, and what it does not have has no method. An edit of it
/// compiles the test again. A name is written in Rust's way: the machine `web-proxy` is `web_proxy()`. A group `web` of
/// several machines is `web(index)`, and `web_len()` says how many there are.
///
/// `Shop` may have a visibility, `pub(crate) Shop`. Tables of the built-in kinds are checked; other kinds that the file
/// speaks of are named behind it, `kinds = ["acme"]`, and theirs are checked when the environment is brought up.
#[proc_macro]
pub fn environment(input: TokenStream) -> TokenStream {
    let expanded = environment::expand(input.into(), &environment::folder());
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
