//! The control messages: MessagePack maps, one type for each subject of the table in `docs/protocol.md`.
//!
//! Each message has a version. A field may be added to a message without a new one: receivers skip fields
//! that they don't know, and an optional field that is missing is `nil`. A changed meaning is a new
//! version. Type and version travel in the header [`MESSAGE_TYPE`], epoch, tick and instance in headers
//! of their own, so that a receiver can drop a message without decoding it.
//!
//! Entities are plain numbers in control messages, or 8 bytes each, little endian, where they are many.

pub mod command;
pub mod commit;
pub mod entities;
pub mod event;
pub mod heartbeat;
pub mod hello;
pub mod query;
pub mod register;
pub mod rejected;
pub mod reply;
pub mod schemas;
pub mod snapshot;
pub mod status;
pub mod tick;
pub mod trace;
pub mod value;
pub mod watch;

pub use reply::{Problem, Reply};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::strict::{self, DecodeError};

/// Header: type and version of the message, for instance `register.1`.
pub const MESSAGE_TYPE: &str = "msg-type";
/// Header: the epoch, decimal.
pub const EPOCH: &str = "epoch";
/// Header: the tick, decimal.
pub const TICK_ID: &str = "tick-id";
/// Header: the instance that the message is from, or for.
pub const INSTANCE_ID: &str = "instance-id";

/// A control message.
pub trait Message: Serialize + DeserializeOwned {
    /// The type, as it stands in the header.
    const TYPE: &'static str;
    /// The version.
    const VERSION: u16 = 1;
    /// Bytes of a message, at the most.
    const LIMIT: usize = 64 * 1024;

    /// The payload.
    #[must_use]
    fn encode(&self) -> Vec<u8> {
        strict::encode(self)
    }

    /// The message of a payload.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        strict::decode(payload, Self::LIMIT)
    }

    /// The value of the header [`MESSAGE_TYPE`].
    #[must_use]
    fn message_type() -> String {
        format!("{}.{}", Self::TYPE, Self::VERSION)
    }

    /// Whether a header names this message in this version. No header is as good as the right one.
    #[must_use]
    fn is_named_by(header: Option<&str>) -> bool {
        header.is_none_or(|header| {
            header.strip_prefix(Self::TYPE).and_then(|rest| rest.strip_prefix('.')).and_then(|v| v.parse().ok())
                == Some(Self::VERSION)
        })
    }
}

macro_rules! message {
    ($type:ty, $name:literal, $version:literal, $limit:expr) => {
        impl $crate::messages::Message for $type {
            const TYPE: &'static str = $name;
            const VERSION: u16 = $version;
            const LIMIT: usize = $limit;
        }
    };
}
pub(crate) use message;

/// Kibibytes of a limit.
pub(crate) const fn kib(number: usize) -> usize {
    number * 1024
}

/// Every message: type, version and limit in bytes, in the order of the table in the documentation.
#[must_use]
pub fn table() -> Vec<(&'static str, u16, usize)> {
    fn row<M: Message>() -> (&'static str, u16, usize) {
        (M::TYPE, M::VERSION, M::LIMIT)
    }
    vec![
        row::<hello::Hello>(),
        row::<tick::Tick>(),
        row::<commit::Commit>(),
        row::<register::Register>(),
        row::<register::RegisterReply>(),
        row::<register::Leave>(),
        row::<register::LeaveReply>(),
        row::<heartbeat::Heartbeat>(),
        row::<rejected::Rejected>(),
        row::<entities::Created>(),
        row::<entities::Destroyed>(),
        row::<query::QueryRequest>(),
        row::<query::QueryReply>(),
        row::<schemas::SchemasRequest>(),
        row::<schemas::SchemasReply>(),
        row::<watch::WatchRequest>(),
        row::<watch::WatchReply>(),
        row::<watch::WatchFrame>(),
        row::<watch::WatchAck>(),
        row::<command::Command>(),
        row::<command::CommandReply>(),
        row::<snapshot::SnapshotRequest>(),
        row::<snapshot::SnapshotReply>(),
        row::<trace::TraceRequest>(),
        row::<trace::TraceReply>(),
        row::<event::Events>(),
        row::<status::StatusReply>(),
    ]
}
