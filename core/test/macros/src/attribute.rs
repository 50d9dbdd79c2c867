//! `#[encamp_test::test]`.

use encamp_core::table::Span;
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::{Error, FnArg, Ident, ItemFn, LitStr, Result};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let timeout = timeout(arguments)?;
    let function: ItemFn = syn::parse2(item)?;
    check(&function)?;
    let ItemFn {
        attrs, vis, sig, block, ..
    } = &function;
    let (name, output, inputs) = (&sig.ident, &sig.output, &sig.inputs);
    let test = quote! {
        ::encamp_test::__private::Test {
            module: ::core::module_path!(),
            name: ::core::stringify!(#name),
            timeout: #timeout,
        }
    };
    // The nearer glob wins: what `helper!()` has put at the root, or else what is not `Here`, and says so at the test's name.
    let here = Ident::new("__EncampTestHelper", name.span());
    Ok(quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            async fn __encamp_test_body(#inputs) #output #block
            #[allow(unused_imports, reason = "one of the two is needed")]
            use ::encamp_test::__private::missing::*;
            {
                #[allow(unused_imports, reason = "one of the two is needed")]
                use crate::*;
                ::encamp_test::__private::run::<#here, _>(#test, __encamp_test_body)
            }
        }
    })
}

fn check(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, "a test of encamp is an `async fn`"));
    }
    let takes = "a test of encamp takes one argument: `camp: &encamp_test::Camp`";
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(&sig.generics, takes));
    }
    let mut inputs = sig.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(_)), None) => Ok(()),
        (_, Some(second)) => Err(Error::new_spanned(second, takes)),
        (first, None) => Err(first.map_or_else(
            || Error::new(sig.paren_token.span.join(), takes),
            |first| Error::new_spanned(first, takes),
        )),
    }
}

/// What stands in the attribute.
fn timeout(arguments: TokenStream) -> Result<TokenStream> {
    let mut timeout = None;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("timeout") {
            return Err(meta.error("unknown; there is `timeout = \"2m\"`"));
        }
        let text: LitStr = meta.value()?.parse()?;
        let Some(Span(span)) = Span::parse(&text.value()) else {
            let message = "not a length of time; write it as \"500ms\", \"90s\", \"2m\" or \"1h30m\"";
            return Err(Error::new(text.span(), message));
        };
        timeout = Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(match timeout {
        Some(millis) => quote!(::core::option::Option::Some(::core::time::Duration::from_millis(#millis))),
        None => quote!(::core::option::Option::None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: TokenStream, item: TokenStream) -> String {
        expand(arguments, item).expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_is_no_test_is_refused_with_what_to_write() {
        let good = quote!(
            async fn a(camp: &Camp) {}
        );
        let of = |item| refused(TokenStream::new(), item);
        assert!(expand(TokenStream::new(), good.clone()).is_ok());
        assert!(
            of(quote!(
                fn a(camp: &Camp) {}
            ))
            .contains("`async fn`")
        );
        assert!(
            of(quote!(
                async fn a() {}
            ))
            .contains("`camp: &encamp_test::Camp`")
        );
        assert!(
            of(quote!(
                async fn a(one: &Camp, two: u8) {}
            ))
            .contains("one argument")
        );
        assert!(
            of(quote!(
                async fn a<T>(one: &T) {}
            ))
            .contains("one argument")
        );
        assert!(refused(quote!(timeout = "soon"), good.clone()).contains("\"2m\""));
        assert!(refused(quote!(retries = 2), good).contains("timeout"));
    }

    #[test]
    fn a_timeout_is_a_duration_and_other_attributes_stay() {
        let item = quote!(
            #[ignore]
            async fn a(camp: &Camp) -> Result<()> {
                Ok(())
            }
        );
        let text = expand(quote!(timeout = "1m30s"), item).expect("a test").to_string();
        assert!(text.contains("90000u64") && text.contains("# [ignore]"), "{text}");
    }
}
