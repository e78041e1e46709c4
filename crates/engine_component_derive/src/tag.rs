//! Code for tags, and what all three storages share.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, Fields};

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

/// `impl Component`, `impl Event` or `impl Command`.
pub(crate) fn marker(input: &Input<'_>) -> TokenStream {
    let (krate, ident) = (&input.krate, input.ident);
    match input.role {
        Role::Component => quote!(impl #krate::Component for #ident {}),
        Role::Event => {
            let validate = validate(input);
            quote!(impl #krate::Event for #ident { #validate })
        }
        Role::Command => command(input),
        Role::Part => TokenStream::new(),
    }
}

/// The answer, the parts of the name, and the aggregate that a value is for.
fn command(input: &Input<'_>) -> TokenStream {
    let (krate, ident) = (&input.krate, input.ident);
    let mut parts = input.name.split('.');
    let [domain, aggregate, action] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let answer = input.answer.as_ref().map_or_else(|| quote!(()), |answer| quote!(#answer));
    let mut keys = input.fields.iter().filter(|field| field.options.key);
    let key = match keys.next() {
        Some(field) => {
            let member = &field.member;
            quote!(::std::string::ToString::to_string(&self.#member))
        }
        None => quote!(::std::string::String::from("all")),
    };
    if let Some(second) = keys.next() {
        let message = "a command is for one aggregate: only one field is its `key`";
        return Error::new_spanned(second.ty, message).to_compile_error();
    }
    let validate = validate(input);
    quote! {
        impl #krate::Command for #ident {
            type Answer = #answer;
            const DOMAIN: &'static str = #domain;
            const AGGREGATE: &'static str = #aggregate;
            const ACTION: &'static str = #action;

            fn key(&self) -> ::std::string::String {
                #key
            }
            #validate
        }
    }
}

fn validate(input: &Input<'_>) -> TokenStream {
    let krate = &input.krate;
    match &input.validate {
        Some(path) => quote! {
            fn validate(&self) -> ::core::result::Result<(), #krate::Invalid> {
                #path(self)
            }
        },
        None => TokenStream::new(),
    }
}
