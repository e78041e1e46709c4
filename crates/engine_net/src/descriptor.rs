//! How a system declares itself: what it reads and writes, and how it wants to be run.
//!
//! Derived from the parameters of the system's function, never written twice. The coordinator builds the
//! graph of a tick from descriptors alone; it has no code of the systems.

use engine_component::ComponentId;
use engine_component::query::{QueryDescriptor, QueryError};
use serde::{Deserialize, Serialize};

use crate::name::{self, NameError};

/// What a system is called, what it touches, and how it wants to be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemDescriptor {
    /// The name: one token, unique in the world.
    pub name: String,
    /// Queries, in the order of the parameters. The first one is sharded; more than one only in systems
    /// that run whole.
    pub queries: Vec<QueryDescriptor>,
    /// Views: read-only rows of all matching tables, in the order of the parameters.
    pub views: Vec<QueryDescriptor>,
    /// Resources, in the order of the parameters.
    pub resources: Vec<ResourceAccess>,
    /// Event types that the system reads, in the order of the parameters.
    pub reads_events: Vec<ComponentId>,
    /// Event types that the system writes, in the order of the parameters.
    pub writes_events: Vec<ComponentId>,
    /// Commands of programs outside that the system answers, by their types. Each is also among the events that it
    /// reads, with its heads behind it, and its answers are among those that it writes ([`crate::handled`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handles: Vec<ComponentId>,
    /// Whether the system may spawn, despawn, insert and remove.
    pub commands: bool,
    /// How it wants to be run.
    pub options: SystemOptions,
}

/// Access to one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAccess {
    /// The component that is the resource.
    pub component: ComponentId,
    /// Whether it is written.
    pub write: bool,
}

/// How a system wants to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemOptions {
    /// Systems that must have run before this one.
    pub after: Vec<String>,
    /// Systems that must run after this one.
    pub before: Vec<String>,
    /// Run in every n-th tick only; 1 is every tick.
    pub every: u32,
    /// One job sees all rows.
    pub whole: bool,
    /// What happens when a result doesn't come in time.
    pub deadline: DeadlinePolicy,
    /// What "in time" is, in milliseconds; without it, the coordinator's setting.
    pub deadline_ms: Option<u32>,
    /// What it does depends on more than what it is given: a world that keeps a log records what it did, since
    /// to run it again would come to something else.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nondeterministic: bool,
}

impl Default for SystemOptions {
    fn default() -> Self {
        Self {
            after: Vec::new(),
            before: Vec::new(),
            every: 1,
            whole: false,
            deadline: DeadlinePolicy::Wait,
            deadline_ms: None,
            nondeterministic: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What happens when the result of a job doesn't come in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlinePolicy {
    /// The tick waits.
    #[default]
    Wait,
    /// The job is given to another instance, so many times; then the tick waits.
    Retry {
        /// How many times.
        n: u32,
    },
    /// The system does nothing in this tick. The decision is part of the world's record.
    Skip,
    /// The system's last results stand. The decision is part of the world's record.
    Hold,
}

/// Queries, views, resources, events of one kind in one system, at the most.
pub const MAX_PARAMETERS: usize = 64;
/// Names in `after` and `before` each, at the most.
pub const MAX_ORDERS: usize = 256;

/// Names that mean something else in `health.<system>` and `discovery.<system>`.
pub const RESERVED: [&str; 2] = ["coordinator", "announce"];

/// Why a descriptor from outside was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// A name that can't be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A name that means something else.
    #[error("a system can't be called `{0}`: its subjects would be those of somebody else")]
    Reserved(String),
    /// Too many of something.
    #[error("system `{system}` has {count} {what}, where at most {limit} are accepted")]
    TooMany {
        /// The system.
        system: String,
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// A query or view that can't be.
    #[error("system `{system}`: {error}")]
    Query {
        /// The system.
        system: String,
        /// What is wrong.
        error: QueryError,
    },
    /// `every` is 0.
    #[error("system `{0}` runs every 0th tick; use 1 for every tick")]
    EveryZero(String),
    /// Several queries in a system that is not whole.
    #[error(
        "system `{0}` has several queries and is not `whole`: only one query can be cut into shards; make the others views, or the system whole"
    )]
    NotWhole(String),
}

impl SystemDescriptor {
    /// A descriptor of a system that touches nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            queries: Vec::new(),
            views: Vec::new(),
            resources: Vec::new(),
            reads_events: Vec::new(),
            writes_events: Vec::new(),
            handles: Vec::new(),
            commands: false,
            options: SystemOptions::default(),
        }
    }

    /// Whether it reads, writes or filters by a component, a resource or an event.
    #[must_use]
    pub fn names(&self, id: ComponentId) -> bool {
        let queries = self.queries.iter().chain(&self.views);
        let columns = queries.flat_map(|query| query.columns.iter().map(|column| column.component));
        let resources = self.resources.iter().map(|resource| resource.component);
        let events = self.reads_events.iter().chain(&self.writes_events).copied();
        columns.chain(resources).chain(events).any(|named| named == id)
    }

    /// Checks what can be checked without knowing the world; for descriptors from outside.
    pub fn check(&self) -> Result<(), DescriptorError> {
        name::token("system", &self.name)?;
        if RESERVED.contains(&self.name.as_str()) {
            return Err(DescriptorError::Reserved(self.name.clone()));
        }
        for (what, count, limit) in [
            ("queries", self.queries.len(), MAX_PARAMETERS),
            ("views", self.views.len(), MAX_PARAMETERS),
            ("resources", self.resources.len(), MAX_PARAMETERS),
            ("event readers", self.reads_events.len(), MAX_PARAMETERS),
            ("event writers", self.writes_events.len(), MAX_PARAMETERS),
            ("command handlers", self.handles.len(), MAX_PARAMETERS),
            ("systems to run after", self.options.after.len(), MAX_ORDERS),
            ("systems to run before", self.options.before.len(), MAX_ORDERS),
        ] {
            if count > limit {
                return Err(DescriptorError::TooMany { system: self.name.clone(), what, count, limit });
            }
        }
        for other in self.options.after.iter().chain(&self.options.before) {
            name::token("system", other)?;
        }
        for query in self.queries.iter().chain(&self.views) {
            query.check().map_err(|error| DescriptorError::Query { system: self.name.clone(), error })?;
        }
        if self.options.every == 0 {
            return Err(DescriptorError::EveryZero(self.name.clone()));
        }
        if self.queries.len() > 1 && !self.options.whole {
            return Err(DescriptorError::NotWhole(self.name.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict;

    #[test]
    fn descriptors_travel() {
        let mut descriptor = SystemDescriptor::new("steer");
        descriptor.views.push(QueryDescriptor::default());
        descriptor.resources.push(ResourceAccess { component: ComponentId::of_name("a.B"), write: true });
        descriptor.options.deadline = DeadlinePolicy::Retry { n: 3 };
        let bytes = strict::encode(&descriptor);
        assert_eq!(strict::decode::<SystemDescriptor>(&bytes, 10_000), Ok(descriptor));
    }

    #[test]
    fn bad_descriptors_are_refused() {
        assert!(SystemDescriptor::new("a*").check().is_err());
        let mut descriptor = SystemDescriptor::new("a");
        descriptor.options.every = 0;
        assert_eq!(descriptor.check(), Err(DescriptorError::EveryZero("a".to_owned())));
        descriptor.options.every = 1;
        descriptor.options.after = vec!["x.>".to_owned()];
        assert!(matches!(descriptor.check(), Err(DescriptorError::Name(_))));
        descriptor.options.after = Vec::new();
        descriptor.queries = vec![QueryDescriptor::default(); 2];
        assert!(matches!(descriptor.check(), Err(DescriptorError::NotWhole(_))));
        descriptor.queries = vec![QueryDescriptor::default(); 65];
        assert!(matches!(descriptor.check(), Err(DescriptorError::TooMany { count: 65, .. })));
    }
}
