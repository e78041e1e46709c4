//! `system.register` and `system.leave`: an instance joins and goes.
//!
//! Registering is a request, repeated until it is answered: whoever is started first waits for the other.
//! Membership changes between two ticks only.

use engine_component::ComponentId;
use engine_component::schema::Schema;
use serde::{Deserialize, Serialize};

use super::{Problem, Reply, kib, message};
use crate::descriptor::{DescriptorError, SystemDescriptor};
use crate::name::{self, NameError};
use crate::subject::Sender;

/// An instance wants to join, with all of its systems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// The name of the instance, one token, unique in the world. The same name again is the same
    /// instance: what it had before is forgotten.
    pub instance: String,
    /// Tells registrations apart. The upper 48 bits are drawn when the process starts: of two processes with
    /// one name, the second is refused while the first is alive. The lower 16 bits count its registrations;
    /// a request that is repeated, since no answer came, has the same.
    pub nonce: u64,
    /// The version of the protocol that the instance speaks.
    pub protocol: u32,
    /// The version of the engine that the instance was built with, for people.
    pub engine: String,
    /// The host, for people.
    pub host: String,
    /// The process, for people.
    pub pid: u32,
    /// Systems that the instance runs.
    pub systems: Vec<SystemDescriptor>,
    /// Schemas of all components, events and resources that the descriptors name.
    pub schemas: Vec<Schema>,
    /// The largest payload that the instance's server announced; results stay below it.
    pub max_payload: u64,
    /// Bytes of columns that the instance keeps from tick to tick, at the most; 0 when it keeps none.
    pub keep_bytes: u64,
}
message!(Register, "register", 1, kib(960));

/// Systems of one instance, at the most.
pub const MAX_SYSTEMS: usize = 256;
/// Schemas of one instance, at the most.
pub const MAX_SCHEMAS: usize = 1024;

impl Register {
    /// Checks names and descriptors, without knowing the world or the sender.
    pub fn check(&self) -> Result<(), Problem> {
        name::token("instance", &self.instance).map_err(|error| Problem::new("bad_name", error))?;
        for (what, count, limit) in
            [("systems", self.systems.len(), MAX_SYSTEMS), ("schemas", self.schemas.len(), MAX_SCHEMAS)]
        {
            if count > limit {
                return Err(Problem::new(
                    "too_many",
                    format_args!("{count} {what}, where at most {limit} are accepted"),
                ));
            }
        }
        if self.protocol != crate::PROTOCOL {
            let text = format!(
                "instance `{}` speaks protocol {}, the coordinator {}; build both with the same engine",
                self.instance,
                self.protocol,
                crate::PROTOCOL
            );
            return Err(Problem::new("protocol", text));
        }
        self.systems.iter().try_for_each(SystemDescriptor::check).map_err(|error| Problem::new(code_of(&error), error))
    }
}

impl Register {
    /// Whether one of its systems names a type.
    #[must_use]
    pub fn names(&self, id: ComponentId) -> bool {
        self.systems.iter().any(|system| system.names(id))
    }

    /// Its systems as they stand in the subjects of the instance.
    pub fn systems_token(&self) -> Result<String, NameError> {
        name::systems(self.systems.iter().map(|system| system.name.as_str()))
    }

    /// Checks that it is of whom its subject names: who may register a system is said with permissions of subjects.
    pub fn check_sender(&self, from: Sender<'_>) -> Result<(), Problem> {
        let systems = self.systems_token().map_err(|error| Problem::new("bad_name", error))?;
        let own = Sender { systems: &systems, instance: &self.instance };
        if own == from {
            return Ok(());
        }
        Err(Problem::new("bad_subject", format_args!("the registration is of `{own}`, its subject says `{from}`")))
    }
}

fn code_of(error: &DescriptorError) -> &'static str {
    match error {
        DescriptorError::Name(_) | DescriptorError::Reserved(_) => "bad_name",
        DescriptorError::TooMany { .. } => "too_many",
        DescriptorError::Query { .. } | DescriptorError::EveryZero(_) | DescriptorError::NotWhole(_) => "bad_system",
    }
}

/// The answer to [`Register`]. Codes of refusals: `bad_name`, `bad_subject`, `too_many`, `protocol`, `bad_system`,
/// `bad_schema`, `schema` (the message is a diff), `collision`, `taken`, `system` (another descriptor of a
/// system is registered), `aliasing`.
pub type RegisterReply = Reply<Accepted>;
message!(RegisterReply, "register-reply", 1, kib(960));

/// An instance is accepted, from the next tick on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The epoch. It stands in every prefix and in the subject of results.
    pub epoch: u64,
    /// The slot of the instance: its number in prefixes.
    pub slot: u32,
    /// The last tick that is committed.
    pub tick: u64,
    /// The seed of the world.
    pub seed: u64,
    /// Seconds of a tick.
    pub dt: f32,
    /// Rows of a shard, at the most.
    pub rows_per_shard: u32,
    /// The size of chunks that is aimed at.
    pub chunk_bytes: u32,
    /// For how many ticks an instance keeps results, to send them again.
    pub keep_ticks: u32,
    /// How often a heartbeat is expected, in milliseconds.
    pub heartbeat_ms: u32,
    /// Bytes that may be on their way to an instance, at the most.
    pub in_flight_bytes: u64,
    /// The world's schemas of the components that were registered. Where one is compatible and not equal,
    /// the instance adapts: rows travel in the world's layout.
    pub components: Vec<KnownComponent>,
    /// How the instance gets at the coordinator's columns, when both are on one host: 96 hexadecimal digits, which
    /// nobody else is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// A component as the world knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownComponent {
    /// The id: the hash of the name.
    pub id: ComponentId,
    /// The schema; its `name` is the declared name.
    pub schema: Schema,
}

/// An instance wants to go: it gets no jobs from the next tick on. Repeated until `open_jobs` is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The instance.
    pub instance: String,
    /// Its slot.
    pub slot: u32,
    /// The epoch that it is registered in.
    pub epoch: u64,
}
message!(Leave, "leave", 1, kib(4));

/// The answer to [`Leave`].
pub type LeaveReply = Reply<Leaving>;
message!(LeaveReply, "leave-reply", 1, kib(4));

/// An instance is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Jobs that the instance has still to do; when there are none it may end.
    pub open_jobs: u32,
}
