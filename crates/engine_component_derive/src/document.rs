//! Code for documents: the schema lists the fields under the names that serde writes.

use proc_macro2::{TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::{Error, LitStr, Result};

use crate::input::{Input, InputField};
use crate::tag::{data, marker};

pub(crate) fn code(input: &Input<'_>) -> TokenStream {
    let fields: Result<Vec<_>> =
        input.fields.iter().filter_map(|field| schema_field(input, field).transpose()).collect();
    match fields {
        Ok(fields) => {
            let data = data(input, &format_ident!("Document"), &quote!(::std::vec![#(#fields),*]));
            let marker = marker(input);
            quote!(#data #marker)
        }
        Err(error) => error.to_compile_error(),
    }
}

/// `None` for a field that serde leaves out.
fn schema_field(input: &Input<'_>, field: &InputField<'_>) -> Result<Option<TokenStream>> {
    let serde = Serde::read(field)?;
    if serde.skip {
        return Ok(None);
    }
    let (krate, ty) = (&input.krate, field.ty);
    let name = serde.rename.unwrap_or_else(|| field.name.clone());
    let declared = declared(field.ty_tokens());
    let default = match (&field.options.default, serde.default) {
        (Some(default), _) => quote!(.or_document::<#ty>(&(#default))),
        (None, true) => quote!(.or_document::<#ty>(&<#ty as ::core::default::Default>::default())),
        (None, false) => TokenStream::new(),
    };
    let was = field.formerly();
    Ok(Some(quote!(#krate::schema::Field::document(#name, #declared)#default #was)))
}

/// What `#[serde(…)]` on a field says about names and defaults.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    skip: bool,
    default: bool,
}

impl Serde {
    fn read(field: &InputField<'_>) -> Result<Self> {
        let mut serde = Self::default();
        for attribute in field.attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                let option = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                let value = if meta.input.peek(syn::Token![=]) { Some(meta.value()?.parse::<LitStr>()?) } else { None };
                match (option.as_str(), value) {
                    ("rename", Some(name)) => serde.rename = Some(name.value()),
                    ("skip", _) => serde.skip = true,
                    ("default", None) => serde.default = true,
                    ("flatten", _) => {
                        return Err(Error::new_spanned(
                            &meta.path,
                            "a flattened field has no name in the schema: give it one",
                        ));
                    }
                    ("rename", None) => {
                        return Err(meta.error("one name for both directions is needed: `rename = \"…\"`"));
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(serde)
    }
}

/// A type as text: paths by their last name, one space after commas and semicolons.
fn declared(tokens: TokenStream) -> String {
    let mut out = String::new();
    put(tokens, &mut out);
    out
}

fn put(tokens: TokenStream, out: &mut String) {
    for tree in tokens {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                let inner = declared(group.stream());
                // `(u8, u16,)` is `(u8, u16)`, but `(u8,)` is no `(u8)`.
                let list = inner.strip_suffix(", ").filter(|list| list.contains(", "));
                let inner = list.unwrap_or(inner.trim_end());
                out.push_str(&format!("{open}{inner}{close}"));
            }
            TokenTree::Punct(punct) => put_punct(punct.as_char(), out),
            TokenTree::Ident(ident) => put_word(&ident.to_string(), out),
            TokenTree::Literal(literal) => put_word(&literal.to_string().replace('"', "'"), out),
        }
    }
}

fn put_punct(punct: char, out: &mut String) {
    match punct {
        ',' | ';' => {
            out.push(punct);
            out.push(' ');
        }
        // Of `std::string::String` only `String` stays: how a type is imported changes nothing.
        ':' => {
            let end = out.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
            out.truncate(end);
        }
        '>' => {
            let end = out.trim_end_matches([',', ' ']).len();
            out.truncate(end);
            out.push('>');
        }
        punct => out.push(punct),
    }
}

fn put_word(word: &str, out: &mut String) {
    if out.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        out.push(' ');
    }
    out.push_str(word);
}
