//! The world of Engine: entities, columns, tables, queries, schemas and the world hash.
//!
//! Nothing in here does I/O, knows a clock or starts a thread; it builds for `wasm32-unknown-unknown`.

mod aligned;
mod batch;
mod bit_rows;
mod bundle;
mod changes;
mod column;
pub mod commands;
pub mod compare;
mod data;
mod documents;
mod edges;
mod entities;
mod entity;
mod entity_rows;
mod error;
mod hash;
pub mod hooks;
mod id;
pub mod image;
mod journal;
pub mod memory;
pub mod msgpack;
pub mod name;
mod outside;
pub mod query;
mod registry;
pub mod schema;
mod structure;
mod table;
mod table_mut;
mod world;

pub use aligned::AlignedBytes;
pub use bit_rows::BitRows;
pub use bundle::Bundle;
pub use changes::BLOCK_ROWS;
pub use column::Column;
pub use data::{
    Component, Data, DecodeError, DocumentStorage, Event, Plain, PlainStorage, Ref, Storage, StorageKind, Tag,
    TagStorage,
};
pub use documents::DocumentRows;
pub use engine_component_derive::{Command, Component, Event, Plain};
pub use entities::{Location, TableId};
pub use entity::Entity;
pub use error::WorldError;
pub use hash::WorldHash;
pub use hooks::{Hook, On};
pub use id::{ArchetypeId, ComponentId};
pub use memory::ColumnMemory;
pub use outside::{Command, Invalid};
pub use registry::{ComponentInfo, Registry};
pub use schema::{PlainField, Schema};
pub use structure::RawComponent;
pub use table::Table;
pub use table_mut::{ColumnMut, TableMut};
pub use world::{World, WorldSettings};

pub use bytemuck;

// The derives name this crate by its own name, also inside of it.
#[allow(unused_extern_crates, reason = "used by what the derives write")]
extern crate self as engine_component;
