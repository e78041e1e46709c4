//! Code for Plain structs: the checks of the layout, the traits of plain bytes, the schema.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::input::{Input, InputField, Role};
use crate::tag::{data, marker};

pub(crate) fn code(input: &Input<'_>) -> TokenStream {
    let checks = checks(input);
    let bytes = bytes(input);
    if input.role == Role::Part {
        return quote!(#checks #bytes);
    }
    let fields = input.fields.iter().enumerate().map(|(index, field)| schema_field(input, index, field));
    let data = data(input, &format_ident!("Plain"), &quote!(::std::vec![#(#fields),*]));
    let marker = marker(input);
    quote!(#checks #bytes #data #marker)
}

/// Bytes without padding, in the declared order, aligned to 16 at the most.
fn checks(input: &Input<'_>) -> TokenStream {
    let ident = input.ident;
    let fields = input.fields.iter().map(|field| {
        let (ty, member, name) = (field.ty, &field.member, &field.name);
        let gap = format!("there is padding before field `{name}` of `{ident}`: put fields with larger alignment first, or fill the gap with a field such as `_pad: [u8; 4]`");
        let empty = format!("field `{name}` of `{ident}` has no size: remove it");
        quote_spanned! {ty.span()=>
            ::core::assert!(::core::mem::offset_of!(#ident, #member) == end, #gap);
            ::core::assert!(::core::mem::size_of::<#ty>() > 0, #empty);
            end += ::core::mem::size_of::<#ty>();
        }
    });
    let tail = format!(
        "there is padding at the end of `{ident}`: fill it with a field such as `_pad: [u8; 4]`, or make a field smaller"
    );
    let align = format!("`{ident}` is aligned to more than 16 bytes: columns are aligned to 16");
    quote! {
        const _: () = {
            let mut end = 0;
            #(#fields)*
            ::core::assert!(::core::mem::size_of::<#ident>() == end, #tail);
            ::core::assert!(::core::mem::align_of::<#ident>() <= 16, #align);
        };
    }
}

/// `Pod`, and what follows from it. Sound since each field is a `PlainField` and so `Pod`, which the body of
/// `field_type` doesn't compile without, and nothing is between them, which the checks assert.
fn bytes(input: &Input<'_>) -> TokenStream {
    let (krate, ident) = (&input.krate, input.ident);
    let fields = input.fields.iter().map(|field| {
        let (ty, name) = (field.ty, &field.name);
        // The one place that asks for the trait, so that a field that is none is reported once.
        quote_spanned!(ty.span()=> (#name, <#ty as #krate::schema::PlainField>::field_type()))
    });
    quote! {
        // SAFETY: `repr(C)`, the fields are plain bytes, and there is no padding.
        unsafe impl #krate::bytemuck::Zeroable for #ident {}
        // SAFETY: as above.
        unsafe impl #krate::bytemuck::Pod for #ident {}
        impl #krate::Plain for #ident {}
        #[diagnostic::do_not_recommend]
        impl #krate::schema::PlainField for #ident {
            fn field_type() -> #krate::schema::FieldType {
                #krate::schema::FieldType::structure(::std::vec![#(#fields),*])
            }
        }
    }
}

fn schema_field(input: &Input<'_>, index: usize, field: &InputField<'_>) -> TokenStream {
    let (krate, ty) = (&input.krate, field.ty);
    let default = field.options.default.as_ref().map(|default| quote!(.or_plain::<#ty>(#default)));
    let was = field.formerly();
    quote!(#krate::schema::Field::plain::<Self>(#index)#default #was)
}
