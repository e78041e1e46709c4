//! `query.request`: an ad-hoc query, by names, answered in pages.

use std::collections::BTreeMap;

use engine_component::Entity;
use serde::{Deserialize, Serialize};

use super::value::{Blob, Components, Value};
use super::{Reply, kib, message};

/// What to look for, and what to show of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// Components that an entity must have.
    pub with: Vec<String>,
    /// Components that it must not have.
    pub without: Vec<String>,
    /// What to show: components (`physics.Velocity`), or fields of them (`physics.Velocity.x`). Nothing
    /// means all components.
    pub fields: Vec<String>,
    /// Conditions on fields, all of which must hold.
    pub filters: Vec<FieldFilter>,
    /// Only these entities; nothing means all.
    #[serde(with = "super::value::entity_numbers")]
    pub entities: Vec<Entity>,
    /// Rows of a page, at the most; 0 leaves it to the coordinator. A page may hold fewer and still not be
    /// the last.
    pub page_rows: u32,
    /// Whether to say of each value which version of it this is, for commands that expect it to be still there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub versions: bool,
    /// Where the page before this one ended: its `next`, untouched.
    pub cursor: Option<Blob>,
}
message!(QueryRequest, "query", 1, kib(256));

/// Names in one list of a query, at the most.
pub const MAX_NAMES: usize = 256;
/// Entities in a query, at the most.
pub const MAX_ENTITIES: usize = 16 * 1024;

/// A condition on a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldFilter {
    /// The field, with its component: `physics.Position.x`.
    pub field: String,
    /// How to compare.
    pub op: Comparison,
    /// With what.
    pub value: Value,
}

/// How to compare a field with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// Smaller.
    #[serde(rename = "<")]
    Less,
    /// Smaller or equal.
    #[serde(rename = "<=")]
    AtMost,
    /// Larger.
    #[serde(rename = ">")]
    Greater,
    /// Larger or equal.
    #[serde(rename = ">=")]
    AtLeast,
}

/// The answer to [`QueryRequest`]. Codes of refusals: `bad_request`, `unknown_component`, `unknown_field`,
/// `bad_value`, `private`, `stale_cursor` (start again), `unavailable`.
pub type QueryReply = Reply<QueryPage>;
message!(QueryReply, "query-reply", 1, kib(1008));

/// A page of rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryPage {
    /// The tick that the rows are of. Pages of one query may be of different ticks.
    pub tick: u64,
    /// The rows.
    pub rows: Vec<QueryRow>,
    /// The `cursor` of the next page; none when this was the last.
    pub next: Option<Blob>,
}

/// An entity and what was asked for of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryRow {
    /// The entity.
    #[serde(with = "super::value::entity_number")]
    pub entity: Entity,
    /// Component name → value; with only the fields that were asked for.
    pub components: Components,
    /// Component name → [version](super::value::version_of), where they were asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
}
