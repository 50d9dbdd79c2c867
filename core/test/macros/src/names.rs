//! Names of a file in Rust's way.

use proc_macro2::Span;
use syn::Ident;

/// `web-proxy` as `web_proxy`. What Rust has a word for is raw, and what begins with a digit follows an underscore.
pub(crate) fn method(name: &str, span: Span) -> Ident {
    let mut text: String = name
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect();
    if !text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        text.insert(0, '_');
    }
    if text == "_" {
        text.push('_');
    }
    match syn::parse_str::<Ident>(&text) {
        Ok(_) => Ident::new(&text, span),
        // These cannot even be raw.
        Err(_) if ["self", "Self", "super", "crate"].contains(&text.as_str()) => Ident::new(&format!("{text}_"), span),
        Err(_) => Ident::new_raw(&text, span),
    }
}

/// `web-proxy` of `Shop` as `ShopWebProxy`.
pub(crate) fn type_of(outer: &Ident, name: &str) -> Ident {
    let words = name.split(|c: char| !c.is_alphanumeric()).map(|word| {
        let mut chars = word.chars();
        let first = chars.next().into_iter().flat_map(char::to_uppercase);
        first.chain(chars).collect::<String>()
    });
    let text: String = std::iter::once(outer.to_string()).chain(words).collect();
    Ident::new(&text, outer.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_that_rust_takes() {
        for (name, expected) in [
            ("db", "db"),
            ("web-proxy", "web_proxy"),
            ("type", "r#type"),
            ("self", "self_"),
            ("2nd", "_2nd"),
            ("-", "__"),
            ("base.url", "base_url"),
        ] {
            assert_eq!(method(name, Span::call_site()).to_string(), expected);
        }
        let shop = Ident::new("Shop", Span::call_site());
        assert_eq!(type_of(&shop, "web-2nd").to_string(), "ShopWeb2nd");
    }
}
