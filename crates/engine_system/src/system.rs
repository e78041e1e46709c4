//! What a system is to everybody but its author, and what can be wrong with one.

use std::fmt;

use engine_component::commands::CommandBuffer;
use engine_component::query::QueryError;
use engine_component::schema::Schema;
use engine_net::descriptor::{DescriptorError, SystemDescriptor};
use engine_net::name::NameError;

use crate::events::SentEvents;
use crate::job_input::JobInput;

/// A system: it declares what it touches, and runs jobs. Shards of one system run in parallel, so it has
/// no state of its own.
pub trait System: Send + Sync {
    /// What it is called, what it touches, how it wants to be run.
    fn descriptor(&self) -> &SystemDescriptor;

    /// The schemas of every component, event and resource that it touches.
    fn schemas(&self) -> &[Schema];

    /// Runs one job. What it writes goes into the rows in place; the rest is returned.
    ///
    /// # Errors
    /// When the job does not bring what the system declares, or the system panics. The rows may have been
    /// written by then: they have to be thrown away.
    fn run(&self, job: &JobInput<'_>) -> Result<JobOutput, JobError>;
}

impl fmt::Debug for dyn System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({})", self.descriptor().name)
    }
}

/// What a job brings back beside the rows that it wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobOutput {
    /// Structural changes.
    pub commands: CommandBuffer,
    /// A batch for each of the descriptor's `writes_events`, in that order; they may be empty.
    pub events: SentEvents,
}

/// A job that brought no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The system panicked.
    #[error("system `{system}` panicked: {message}")]
    Panicked {
        /// The system.
        system: String,
        /// What it said.
        message: String,
    },
    /// There is no such resource in the world.
    #[error("system `{system}` needs the resource `{resource}`, and the world has none: insert it at start-up")]
    NoResource {
        /// The system.
        system: String,
        /// The declared name of the resource.
        resource: &'static str,
    },
    /// The job does not bring what the system declares.
    #[error("a job of system `{system}` brings no {what}: it was made for another declaration")]
    Incomplete {
        /// The system.
        system: String,
        /// What is missing.
        what: &'static str,
    },
}

/// A parameter of a system, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Counted from 1.
    pub position: usize,
    /// The type, without paths.
    pub text: String,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter {} `{}`", self.position, self.text)
    }
}

/// A system that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two systems with one name.
    #[error("there are two systems named `{0}`: rename one of them")]
    DuplicateName(String),
    /// Two parameters would be the same memory, one of them written.
    #[error(
        "system `{system}`: {first} and {second} both touch `{component}`, and one of them writes it: merge them into one query, or keep them apart by `With` and `Without`"
    )]
    Alias {
        /// The system.
        system: String,
        /// The first parameter.
        first: Parameter,
        /// The second parameter.
        second: Parameter,
        /// The component that both touch.
        component: String,
    },
    /// A query that contradicts itself.
    #[error("system `{system}`: {parameter}: {reason}")]
    Query {
        /// The system.
        system: String,
        /// The parameter.
        parameter: Parameter,
        /// Why.
        reason: QueryError,
    },
    /// A parameter that may be there only once.
    #[error(
        "system `{system}`: {second} is {first} again: take one of them out, since what both record would have no order"
    )]
    Twice {
        /// The system.
        system: String,
        /// The first parameter.
        first: Parameter,
        /// The second parameter.
        second: Parameter,
    },
    /// Two queries where only one can be cut into shards.
    #[error(
        "system `{system}`: {first} is cut into shards, so {second} would lack rows: make it a `View` if it only reads, or run the system `.whole()`"
    )]
    SecondQuery {
        /// The system.
        system: String,
        /// The query that is cut into shards.
        first: Parameter,
        /// The other one.
        second: Parameter,
    },
    /// A resource that all shards would write.
    #[error(
        "system `{system}`: {query} is cut into shards, and each of them would write {resource}: send an event to a system without a query, or run the system `.whole()`"
    )]
    SharedWrite {
        /// The system.
        system: String,
        /// The query that is cut into shards.
        query: Parameter,
        /// The resource.
        resource: Parameter,
    },
    /// Two types under one name, or two names with one id.
    #[error("system `{system}`: `{first}` and `{second}` are two types with one identity: rename one of them")]
    TwoTypes {
        /// The system.
        system: String,
        /// The first name.
        first: String,
        /// The second name.
        second: String,
    },
    /// An option out of its range.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}
