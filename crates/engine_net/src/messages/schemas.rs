//! `query.schemas`: what the components of a world look like, so that values can be written and read by the
//! names of their fields.

use engine_component::schema::Schema;
use serde::{Deserialize, Serialize};

use super::{Reply, kib, message};

/// Asks for the schemas of all components, events and resources that the world knows, a page at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemasRequest {
    /// Only those whose names come after this one: the `next` of the page before.
    pub after: Option<String>,
}
message!(SchemasRequest, "schemas", 1, kib(4));

/// The answer to [`SchemasRequest`]. Code of refusals: `bad_request`.
pub type SchemasReply = Reply<SchemaPage>;
message!(SchemasReply, "schemas-reply", 1, kib(1008));

/// Some schemas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaPage {
    /// The schemas, in the order of their names.
    pub schemas: Vec<Schema>,
    /// The `after` of the next page; none when this was the last.
    pub next: Option<String>,
}
