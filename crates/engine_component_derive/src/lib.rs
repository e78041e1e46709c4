//! Derive macros for Engine's components, events and commands.
//!
//! They read a struct, decide how it is stored, and check at compile time what the world relies on: a
//! legal name, a layout without padding, fields that are plain bytes. What cannot be checked on tokens is
//! left to constants and trait bounds in the generated code, each with a message of its own.

mod attributes;
mod document;
mod input;
mod krate;
mod plain;
mod tag;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use crate::input::{Input, Role, Shape};

/// Makes a struct a component: `#[component(name = "physics.Velocity")]`.
///
/// A struct without fields is a **tag**. With `document` it is a **document**: any struct with named fields
/// that serde can write and read. Everything else is **Plain**: `#[repr(C)]`, `Clone`, `Copy`, fields of
/// fixed size, no padding.
///
/// Options of the type: `name = "…"` (always), `document`, `version = 2`, `finite` (NaN and infinities
/// from outside are refused). Options of a field: `default = …` (the value where none is given), and
/// `was = "…"` (the name that the field had before).
#[proc_macro_derive(Component, attributes(component))]
pub fn component(input: TokenStream) -> TokenStream {
    derive(&parse_macro_input!(input), Role::Component)
}

/// Makes a struct an event: `#[event(name = "arena.Damage")]`. Options are those of `Component`, and
/// `validate = path` (a function `fn(&Self) -> Result<(), Invalid>` that looks at values from outside).
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    derive(&parse_macro_input!(input), Role::Event)
}

/// Makes a struct a command: `#[command(name = "shop.player.purchase")]`, which is domain, aggregate and action.
///
/// Options are those of `Event`, and `answer = Type` (what whoever gave it is told; `()` if it is left out). Of a field:
/// `key`, on the one that says which aggregate the command is for.
#[proc_macro_derive(Command, attributes(command))]
pub fn command(input: TokenStream) -> TokenStream {
    derive(&parse_macro_input!(input), Role::Command)
}

/// Makes a struct usable as a field of Plain components and events: `#[repr(C)]`, `Clone`, `Copy`, fields of
/// fixed size, no padding. It has no name and no options.
#[proc_macro_derive(Plain)]
pub fn plain(input: TokenStream) -> TokenStream {
    derive(&parse_macro_input!(input), Role::Part)
}

fn derive(input: &DeriveInput, role: Role) -> TokenStream {
    let code = Input::read(input, role).map(|input| match input.shape {
        Shape::Plain => plain::code(&input),
        Shape::Document => document::code(&input),
        Shape::Tag => tag::code(&input),
    });
    code.unwrap_or_else(|error| error.to_compile_error()).into()
}
