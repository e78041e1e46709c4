//! Code for tags, and what all three storages share.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::Fields;

use crate::input::{Input, Role};

pub(crate) fn code(input: &Input<'_>) -> TokenStream {
    let (krate, ident) = (&input.krate, input.ident);
    let data = data(input, &format_ident!("Tag"), &quote!(::std::vec::Vec::new()));
    let marker = marker(input);
    let value = match input.style {
        Fields::Named(_) => quote!(Self {}),
        Fields::Unnamed(_) => quote!(Self()),
        Fields::Unit => quote!(Self),
    };
    quote! {
        impl #krate::Tag for #ident {
            const VALUE: Self = #value;
        }
        #data
        #marker
    }
}

/// `impl Data`: the name, the storage and the schema with these fields.
pub(crate) fn data(input: &Input<'_>, kind: &Ident, fields: &TokenStream) -> TokenStream {
    let (krate, ident, name, version, finite) = (&input.krate, input.ident, &input.name, input.version, input.finite);
    let storage = format_ident!("{kind}Storage");
    let access = input.access.as_ref().map(|access| quote!(.with_access(#krate::schema::Access::#access)));
    quote! {
        impl #krate::Data for #ident {
            const NAME: &'static str = #name;
            const ID: #krate::ComponentId = #krate::ComponentId::of_name(#name);
            const KIND: #krate::StorageKind = #krate::StorageKind::#kind;
            type Storage = #krate::#storage;

            fn schema() -> #krate::schema::Schema {
                #krate::schema::Schema::of::<Self>(#version, #finite, #fields)#access
            }
        }
    }
}

/// `impl Component` or `impl Event`.
pub(crate) fn marker(input: &Input<'_>) -> TokenStream {
    let (krate, ident) = (&input.krate, input.ident);
    match input.role {
        Role::Component => quote!(impl #krate::Component for #ident {}),
        Role::Event => quote!(impl #krate::Event for #ident {}),
        Role::Part => TokenStream::new(),
    }
}
