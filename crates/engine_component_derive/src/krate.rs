//! The path that generated code finds `engine_component` under: users depend on it, or on the facade.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

pub(crate) fn path() -> syn::Result<TokenStream> {
    if let Some(name) = find("engine_component") {
        return Ok(quote!(::#name));
    }
    if let Some(name) = find("engine") {
        return Ok(quote!(::#name::component));
    }
    Err(syn::Error::new(Span::call_site(), "add `engine` or `engine_component` to the dependencies of this crate"))
}

fn find(package: &str) -> Option<Ident> {
    let name = match crate_name(package).ok()? {
        // Each of the two knows itself under its own name, also in its examples and tests.
        FoundCrate::Itself => package.to_owned(),
        FoundCrate::Name(name) => name,
    };
    Some(Ident::new(&name, Span::call_site()))
}
