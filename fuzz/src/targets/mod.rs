//! The targets.

mod chunks;
mod commands;
mod coordinator;
mod documents;
mod envelopes;
mod events;
mod handover;
mod image;
mod instance;
mod log;
mod messages;
mod scenes;
mod schemas;
mod state;
mod subjects;
mod tool_text;

use crate::Target;

macro_rules! targets {
    ($($name:ident)*) => {
        &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),*]
    };
}

/// All targets, in the order of their names.
pub const TARGETS: &[Target] = targets! {
    chunks commands coordinator documents envelopes events handover image instance log messages scenes schemas state subjects tool_text
};
