//! The struct that a derive was put on, read and judged: what it becomes, and the mistakes that can be
//! seen in its tokens.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Index, LitStr, Member, Path, Result, Type};

use crate::attributes::{FieldOptions, TypeOptions, is_token};
use crate::krate;

/// What the derive is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Component,
    Event,
    Command,
    /// A field of one of them.
    Part,
}

impl Role {
    /// The word of its attribute.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Event => "event",
            Self::Command => "command",
            Self::Part => "plain",
        }
    }
}

/// How values are stored.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Plain,
    Document,
    Tag,
}

pub(crate) struct Input<'a> {
    pub(crate) role: Role,
    pub(crate) shape: Shape,
    pub(crate) krate: TokenStream,
    pub(crate) ident: &'a Ident,
    /// The declared name; empty for parts.
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) finite: bool,
    pub(crate) access: Option<Ident>,
    pub(crate) validate: Option<Path>,
    pub(crate) answer: Option<Type>,
    pub(crate) fields: Vec<InputField<'a>>,
    /// With braces or not: how a tag is written as a value.
    pub(crate) style: &'a Fields,
}

pub(crate) struct InputField<'a> {
    /// As schemas call it.
    pub(crate) name: String,
    pub(crate) member: Member,
    pub(crate) ty: &'a Type,
    pub(crate) options: FieldOptions,
    pub(crate) attributes: &'a [Attribute],
}

impl<'a> Input<'a> {
    pub(crate) fn read(input: &'a DeriveInput, role: Role) -> Result<Self> {
        refuse_two_roles(input, role)?;
        refuse_generics(input)?;
        let Data::Struct(data) = &input.data else { return Err(not_a_struct(input, role)) };
        let options = TypeOptions::read(&input.attrs, role.word())?;
        let shape = shape(input, role, &options, &data.fields)?;
        Ok(Self {
            role,
            shape,
            krate: krate::path()?,
            ident: &input.ident,
            name: declared_name(input, role, &options)?,
            version: options.version,
            finite: options.finite,
            access: options.access,
            validate: options.validate,
            answer: options.answer,
            fields: read_fields(&data.fields, role)?,
            style: &data.fields,
        })
    }
}

fn refuse_two_roles(input: &DeriveInput, role: Role) -> Result<()> {
    let others = [Role::Component, Role::Event, Role::Command].into_iter().filter(|other| *other != role);
    for other in others.map(Role::word) {
        let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident(other)) else { continue };
        let message = match role {
            Role::Part => "components and events are Plain by themselves: remove `Plain` from the derives".to_owned(),
            // Each of the two derives says it: so in one order, whichever speaks.
            _ => {
                let mut words = [role.word(), other];
                words.sort_by_key(|word| ["component", "event", "command"].iter().position(|known| known == word));
                let [first, second] = words.map(with_article);
                format!(
                    "`{}` cannot be both {first} and {second}: make two types, or keep one of the derives",
                    input.ident
                )
            }
        };
        return Err(Error::new_spanned(attribute, message));
    }
    Ok(())
}

fn with_article(word: &str) -> String {
    if word == "event" { format!("an {word}") } else { format!("a {word}") }
}

fn refuse_generics(input: &DeriveInput) -> Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    let message = "a generic type has no single name and layout: declare one type for each use of it";
    Err(Error::new_spanned(&input.generics, message))
}

fn not_a_struct(input: &DeriveInput, role: Role) -> Error {
    let message = match role {
        Role::Part => "only structs are plain fields: store an enum as an integer".to_owned(),
        _ => format!("a {} is a struct: put the enum or union into a field of a document", role.word()),
    };
    Error::new_spanned(&input.ident, message)
}

fn declared_name(input: &DeriveInput, role: Role, options: &TypeOptions) -> Result<String> {
    let word = role.word();
    match &options.name {
        Some(name) if role == Role::Command => command_name(name),
        Some(name) => Ok(name.value()),
        None if role == Role::Part => Ok(String::new()),
        None => Err(Error::new_spanned(
            &input.ident,
            format!(
                "`{}` has no name: add #[{word}(name = \"game.{}\")], which other builds and languages know it by",
                input.ident, input.ident
            ),
        )),
    }
}

/// A command's name is the end of its subject: domain, aggregate, action.
fn command_name(name: &LitStr) -> Result<String> {
    let text = name.value();
    let tokens: Vec<_> = text.split('.').collect();
    let refuse = |why: &str| Err(Error::new(name.span(), format!("`{text}` is no name of a command: {why}")));
    match tokens[..] {
        ["world", _, _] => refuse("the domain `world` is the engine's own"),
        [_, _, _] if tokens.iter().all(|token| token.len() <= 64) => Ok(text),
        _ => refuse("use domain.aggregate.action, each of 64 bytes at the most, as in \"shop.player.purchase\""),
    }
}

fn shape(input: &DeriveInput, role: Role, options: &TypeOptions, fields: &Fields) -> Result<Shape> {
    let at_name = |message: String| Err(Error::new_spanned(&input.ident, message));
    if options.document {
        return match fields {
            Fields::Named(fields) if !fields.named.is_empty() => Ok(Shape::Document),
            Fields::Named(_) | Fields::Unit => {
                at_name("a document has fields: without any, leave out `document` and it is a tag".into())
            }
            Fields::Unnamed(_) => {
                at_name("the fields of a document have names: other languages read it by them".into())
            }
        };
    }
    if fields.is_empty() {
        return match role {
            Role::Part => at_name("a plain field has data: this struct has none".into()),
            _ => Ok(Shape::Tag),
        };
    }
    let repr = Repr::read(&input.attrs)?;
    if repr.packed {
        return at_name("fields of `repr(packed)` cannot be borrowed: use #[repr(C)] and order the fields so that there is no padding".into());
    }
    if !repr.c {
        let hint = match role {
            Role::Part => String::new(),
            _ => format!(", or make it a document with #[{}(…, document)]", role.word()),
        };
        return at_name(format!(
            "`{}` is stored as its bytes: add #[repr(C)], so that their order is the declared one{hint}",
            input.ident
        ));
    }
    Ok(Shape::Plain)
}

#[derive(Default)]
struct Repr {
    c: bool,
    packed: bool,
}

impl Repr {
    fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut repr = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("repr")) {
            attribute.parse_nested_meta(|meta| {
                repr.c |= meta.path.is_ident("C") || meta.path.is_ident("transparent");
                repr.packed |= meta.path.is_ident("packed");
                if meta.input.peek(syn::token::Paren) {
                    let argument;
                    syn::parenthesized!(argument in meta.input);
                    argument.parse::<TokenStream>()?;
                }
                Ok(())
            })?;
        }
        Ok(repr)
    }
}

fn read_fields(fields: &Fields, role: Role) -> Result<Vec<InputField<'_>>> {
    fields.iter().enumerate().map(|(index, field)| read_field(index, field, role)).collect()
}

fn read_field(index: usize, field: &syn::Field, role: Role) -> Result<InputField<'_>> {
    let (name, member) = match &field.ident {
        Some(ident) => (ident.unraw().to_string(), Member::Named(ident.clone())),
        None => (index.to_string(), Member::Unnamed(Index { index: index as u32, span: Span::call_site() })),
    };
    if !is_token(&name) {
        return Err(Error::new_spanned(
            &field.ident,
            "fields are named with A-Z a-z 0-9 _, so that every language can write them",
        ));
    }
    let options = FieldOptions::read(&field.attrs, role.word())?;
    Ok(InputField { name, member, ty: &field.ty, options, attributes: &field.attrs })
}

impl InputField<'_> {
    /// The calls that add the former name to a `Field`.
    pub(crate) fn formerly(&self) -> TokenStream {
        match &self.options.was {
            Some(was) => {
                let was = LitStr::new(&was.value(), was.span());
                quote::quote!(.formerly(#was))
            }
            None => TokenStream::new(),
        }
    }

    pub(crate) fn ty_tokens(&self) -> TokenStream {
        self.ty.to_token_stream()
    }
}
