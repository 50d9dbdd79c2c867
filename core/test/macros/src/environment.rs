//! `environment!`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use encamp_core::{PortSpec, Protocol};
use encamp_file::{Load, load, spec};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, Visibility, bracketed};

use crate::{kinds, names};

/// The folder that paths start from.
#[expect(
    clippy::disallowed_methods,
    reason = "this is how Cargo tells a macro whose crate it is in"
)]
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default().into()
}

pub(crate) fn expand(input: TokenStream, folder: &Path) -> Result<TokenStream> {
    let declared: Declared = syn::parse2(input)?;
    let span = declared.path.span();
    let kinds = kinds::known(&declared.kinds).map_err(|error| Error::new(span, error))?;
    let path = folder.join(declared.path.value());
    let loaded = load(&Load::new(&path, &kinds))
        .map_err(|failure| Error::new(span, format!("this file is wrong\n{}", failure.render(false))))?;
    let absolute = path
        .to_str()
        .ok_or_else(|| Error::new(span, "its path is no valid Unicode"))?;
    types(&declared, absolute, &loaded.environment)
}

/// What stands between the parentheses.
struct Declared {
    vis: Visibility,
    name: Ident,
    path: LitStr,
    kinds: Vec<String>,
}

impl Parse for Declared {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (vis, name) = (input.parse()?, input.parse()?);
        input.parse::<Token![,]>()?;
        let path = input.parse()?;
        let mut kinds = Vec::new();
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.parse()?;
            if key != "kinds" {
                return Err(Error::new(key.span(), "unknown; there is `kinds = [\"acme\"]`"));
            }
            input.parse::<Token![=]>()?;
            let list;
            bracketed!(list in input);
            let names: Punctuated<LitStr, Token![,]> = Punctuated::parse_terminated(&list)?;
            kinds = names.iter().map(LitStr::value).collect();
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(Self { vis, name, path, kinds })
    }
}

/// A machine, or a group of alike ones.
struct Group<'a> {
    name: &'a str,
    /// Their names; none where it is one machine.
    members: Option<Vec<&'a str>>,
    ports: &'a [PortSpec],
}

fn groups(environment: &spec::Environment) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    for machine in &environment.machines {
        let Some((group, index)) = &machine.group else {
            groups.push(Group {
                name: machine.name.as_str(),
                members: None,
                ports: &machine.ports,
            });
            continue;
        };
        if *index == 0 {
            let members = environment.members(group.as_str());
            groups.push(Group {
                name: group.as_str(),
                members: Some(members.iter().map(|member| member.name.as_str()).collect()),
                ports: &machine.ports,
            });
        }
    }
    groups
}

/// Names that can stand for one thing alone.
struct Taken {
    names: BTreeSet<String>,
    span: Span,
    file: String,
}

impl Taken {
    fn new(declared: &Declared, names: &[&str]) -> Self {
        Self {
            names: names.iter().map(ToString::to_string).collect(),
            span: declared.path.span(),
            file: declared.path.value(),
        }
    }

    fn take(&mut self, ident: &Ident, what: &str, name: &str) -> Result<()> {
        if self.names.insert(ident.to_string()) {
            return Ok(());
        }
        let file = &self.file;
        let message = format!(
            "{file}: {what} `{name}` would be called `{ident}`, as something else is; call it otherwise, or use the \
             file without types: `camp.up(Path::new(\"{file}\"))`"
        );
        Err(Error::new(self.span, message))
    }
}

/// What a file makes of the type that is declared, piece by piece.
#[derive(Default)]
struct Pieces {
    fields: Vec<TokenStream>,
    values: Vec<TokenStream>,
    methods: Vec<TokenStream>,
    types: Vec<TokenStream>,
}

impl Pieces {
    fn add_machine(&mut self, name: &str, method: &Ident, ty: &Ident) {
        let (field, about) = (field(method), format!("The machine `{name}`."));
        self.fields.push(quote!(#field: #ty));
        self.values
            .push(quote!(#field: #ty(::encamp_test::__private::member(&environment, #name)?)));
        self.methods.push(quote! {
            #[doc = #about]
            pub fn #method(&self) -> &#ty {
                &self.#field
            }
        });
    }

    fn add_group(&mut self, name: &str, members: &[&str], method: &Ident, len: &Ident, ty: &Ident) {
        let (field, count) = (field(method), members.len());
        let about = format!("The machine of that index of the group `{name}`.");
        let about_len = format!("How many machines the group `{name}` has.");
        let none = format!("the group `{name}` has {count} machines, and none of index {{index}}");
        self.fields.push(quote!(#field: ::std::vec::Vec<#ty>));
        self.values
            .push(quote!(#field: ::std::vec![#(#ty(::encamp_test::__private::member(&environment, #members)?)),*]));
        self.methods.push(quote! {
            #[doc = #about]
            ///
            /// # Panics
            /// Where there is none of that index.
            #[track_caller]
            pub fn #method(&self, index: usize) -> &#ty {
                ::core::assert!(index < #count, #none);
                &self.#field[index]
            }

            #[doc = #about_len]
            pub fn #len(&self) -> usize {
                #count
            }
        });
    }
}

fn field(method: &Ident) -> Ident {
    format_ident!("machine_{}", method.to_string().trim_start_matches("r#"))
}

fn types(declared: &Declared, absolute: &str, environment: &spec::Environment) -> Result<TokenStream> {
    let Declared { vis, name, path, .. } = declared;
    let span = name.span();
    let outputs_type = names::type_of(name, "outputs");
    let mut methods_taken = Taken::new(declared, &["up", "shared", "outputs", "of"]);
    let mut types_taken = Taken::new(declared, &[&name.to_string(), &outputs_type.to_string()]);
    let mut pieces = Pieces::default();
    for Group {
        name: group,
        members,
        ports,
    } in groups(environment)
    {
        let (method, ty) = (names::method(group, span), names::type_of(name, group));
        methods_taken.take(&method, "the machine", group)?;
        types_taken.take(&ty, "the machine", group)?;
        pieces.types.push(machine(declared, &ty, group, ports)?);
        if let Some(members) = members {
            let len = names::method(&format!("{group}_len"), span);
            methods_taken.take(&len, "the number of", group)?;
            pieces.add_group(group, &members, &method, &len, &ty);
        } else {
            pieces.add_machine(group, &method, &ty);
        }
    }
    let outputs = outputs(declared, &outputs_type, environment)?;
    let about = format!("The environment of `{}`.", path.value());
    let allow = allow();
    let Pieces {
        fields,
        values,
        methods,
        types,
    } = pieces;
    Ok(quote! {
        #[doc = #about]
        #[derive(Debug)]
        #allow
        #vis struct #name {
            environment: ::encamp_test::Environment,
            #(#fields,)*
        }

        #allow
        impl #name {
            /// Makes a fresh one, which goes when the test ends.
            pub async fn up(camp: &::encamp_test::Camp) -> ::encamp_test::encamp::Result<Self> {
                Self::of(camp.up(::encamp_test::__private::described(#absolute)).await?)
            }

            /// The one that is shared so, which goes with the last of its users.
            pub async fn shared(
                camp: &::encamp_test::Camp,
                share: ::encamp_test::Share,
            ) -> ::encamp_test::encamp::Result<Self> {
                Self::of(camp.shared(::encamp_test::__private::described(#absolute), share).await?)
            }

            fn of(environment: ::encamp_test::Environment) -> ::encamp_test::encamp::Result<Self> {
                ::core::result::Result::Ok(Self {
                    #(#values,)*
                    environment,
                })
            }

            /// What it tells the outside.
            pub fn outputs(&self) -> #outputs_type<'_> {
                #outputs_type(&self.environment)
            }

            #(#methods)*
        }

        impl ::core::ops::Deref for #name {
            type Target = ::encamp_test::Environment;

            fn deref(&self) -> &::encamp_test::Environment {
                &self.environment
            }
        }

        #(#types)*
        #outputs

        // An edit of the file compiles this again.
        const _: &str = ::core::include_str!(#absolute);
    })
}

/// The type of a machine, with a method for each port.
fn machine(declared: &Declared, ty: &Ident, name: &str, ports: &[PortSpec]) -> Result<TokenStream> {
    let (vis, allow) = (&declared.vis, allow());
    let mut taken = Taken::new(declared, &[]);
    let mut methods = Vec::new();
    for port in ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
        let port = port.name.as_str();
        let method = names::method(port, declared.name.span());
        taken.take(&method, "the port", port)?;
        let about = format!("Where the port `{port}` is dialled from this process.");
        methods.push(quote! {
            #[doc = #about]
            pub async fn #method(&self) -> ::encamp_test::encamp::Result<::encamp_test::Endpoint> {
                self.0.endpoint(#port).await
            }
        });
    }
    let about = format!("A machine `{name}`.");
    Ok(quote! {
        #[doc = #about]
        #[derive(Debug)]
        #allow
        #vis struct #ty(::encamp_test::__private::Member);

        #allow
        impl #ty {
            #(#methods)*
        }

        impl ::core::ops::Deref for #ty {
            type Target = ::encamp_test::Machine;

            fn deref(&self) -> &::encamp_test::Machine {
                &self.0
            }
        }
    })
}

/// The type of the outputs, with a method for each.
fn outputs(declared: &Declared, ty: &Ident, environment: &spec::Environment) -> Result<TokenStream> {
    let (vis, allow) = (&declared.vis, allow());
    let mut taken = Taken::new(declared, &[]);
    let mut methods = Vec::new();
    for output in environment.outputs.keys() {
        let method = names::method(output, declared.name.span());
        taken.take(&method, "the output", output)?;
        let about = format!("The output `{output}`.");
        methods.push(quote! {
            #[doc = #about]
            pub fn #method(&self) -> &'a str {
                ::encamp_test::__private::declared(self.0, #output)
            }
        });
    }
    let about = format!("What `{}` tells the outside.", declared.path.value());
    Ok(quote! {
        #[doc = #about]
        #[derive(Debug, Clone, Copy)]
        #allow
        #vis struct #ty<'a>(&'a ::encamp_test::Environment);

        #allow
        impl<'a> #ty<'a> {
            #(#methods)*
        }
    })
}

/// Not every test uses everything that a file has.
fn allow() -> TokenStream {
    quote!(#[allow(dead_code, unreachable_pub, clippy::unused_self, reason = "made of a file")])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "shop"
[machines.db]
provider = "local"
ports = { pg = 5432, syslog = { port = 514, protocol = "udp" } }
[machines.web-proxy]
provider = "local"
count = 3
[outputs]
base-url = "http://x"
"#;

    fn expanded(file: &str, input: TokenStream) -> Result<String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("shop.toml"), file).expect("a file");
        expand(input, folder.path()).map(|tokens| tokens.to_string())
    }

    fn refused(file: &str, input: TokenStream) -> String {
        expanded(file, input).expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_file_has_a_method_for_each_machine_port_and_output() {
        let text = expanded(GOOD, quote!(pub Shop, "shop.toml")).expect("types");
        for wanted in [
            "pub struct Shop {",
            "fn db (& self) -> & ShopDb",
            "fn web_proxy (& self , index : usize) -> & ShopWebProxy",
            "fn web_proxy_len (& self) -> usize { 3usize }",
            "async fn pg (& self)",
            "fn base_url (& self)",
            "include_str !",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(!text.contains("syslog"), "a datagram has no endpoint: {text}");
        syn::parse_str::<syn::File>(&text).expect("it is Rust");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_line_and_column() {
        let wrong = GOOD.replace("count = 3", "conut = 3");
        let text = refused(&wrong, quote!(Shop, "shop.toml"));
        assert!(
            text.contains("shop.toml:8:1") && text.contains("a key with a similar name: `count`"),
            "{text}"
        );
        let table = GOOD.replace("count = 3", "local = { memory = \"plenty\" }");
        let text = refused(&table, quote!(Shop, "shop.toml"));
        assert!(text.contains("shop.toml:8:20"), "{text}");
        let text = refused(GOOD, quote!(Shop, "shup.toml"));
        assert!(text.contains("shup.toml cannot be read"), "{text}");
    }

    #[test]
    fn other_kinds_have_to_be_named() {
        let other = GOOD.replace(
            "provider = \"local\"",
            "provider = \"acme\"\nacme = { size = \"{{ 1 + 1 }}\" }",
        );
        let text = refused(&other, quote!(Shop, "shop.toml"));
        assert!(text.contains("acme"), "{text}");
        expanded(&other, quote!(Shop, "shop.toml", kinds = ["acme"])).expect("types");
        let text = refused(GOOD, quote!(Shop, "shop.toml", kind = ["acme"]));
        assert!(text.contains("kinds = [\"acme\"]"), "{text}");
    }

    #[test]
    fn two_things_of_one_name_are_refused() {
        let taken = GOOD.replace("machines.db", "machines.outputs");
        let text = refused(&taken, quote!(Shop, "shop.toml"));
        assert!(text.contains("`outputs`") && text.contains("camp.up"), "{text}");
        let twice = GOOD.replace("pg = 5432", "pg-1 = 1, pg_1 = 2");
        assert!(expanded(&twice, quote!(Shop, "shop.toml")).is_err());
    }
}
