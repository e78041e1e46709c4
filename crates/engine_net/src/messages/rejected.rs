//! `system.rejected.<instance>`: why a result, or another message of an instance, was refused.

use serde::{Deserialize, Serialize};

use super::{kib, message};

/// A message was refused, whole. The world is untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The epoch of the coordinator.
    pub epoch: u64,
    /// The tick that the message was about.
    pub tick: u64,
    /// The job.
    pub job: u32,
    /// The attempt.
    pub attempt: u16,
    /// Why, for programs and counters.
    pub reason: RejectReason,
    /// Why, for people.
    pub message: String,
}
message!(Rejected, "rejected", 1, kib(64));

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Not decodable.
    Garbage,
    /// Of another epoch.
    ForeignEpoch,
    /// Of a tick that is over, or not begun.
    OldTick,
    /// Of a job that the node doesn't have.
    UnknownJob,
    /// Of an attempt that was never made, or of another instance's.
    OldAttempt,
    /// The job has its result already.
    Claimed,
    /// The subject or the slot is another instance's.
    WrongInstance,
    /// Chunks that contradict each other.
    ChunkMismatch,
    /// Over a bound.
    TooLarge,
    /// A column, part or stream that the job may not write.
    UndeclaredColumn,
    /// Another number of rows or bytes than the job has.
    WrongLength,
    /// An entity that doesn't exist.
    UnknownEntity,
    /// NaN or infinity where the schema refuses it.
    NotFinite,
    /// A document that is no document.
    BadDocument,
    /// A command that can't be read, or that the system may not give.
    BadCommand,
    /// An event that can't be read, or that the system may not write.
    BadEvent,
    /// Two attempts gave different results.
    Nondeterminism,
    /// Something that this build has no word for.
    #[serde(other)]
    Other,
}

impl RejectReason {
    /// All reasons.
    pub const ALL: [Self; 18] = [
        Self::Garbage,
        Self::ForeignEpoch,
        Self::OldTick,
        Self::UnknownJob,
        Self::OldAttempt,
        Self::Claimed,
        Self::WrongInstance,
        Self::ChunkMismatch,
        Self::TooLarge,
        Self::UndeclaredColumn,
        Self::WrongLength,
        Self::UnknownEntity,
        Self::NotFinite,
        Self::BadDocument,
        Self::BadCommand,
        Self::BadEvent,
        Self::Nondeterminism,
        Self::Other,
    ];

    /// The word on the wire and of the counter.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::ForeignEpoch => "foreign_epoch",
            Self::OldTick => "old_tick",
            Self::UnknownJob => "unknown_job",
            Self::OldAttempt => "old_attempt",
            Self::Claimed => "claimed",
            Self::WrongInstance => "wrong_instance",
            Self::ChunkMismatch => "chunk_mismatch",
            Self::TooLarge => "too_large",
            Self::UndeclaredColumn => "undeclared_column",
            Self::WrongLength => "wrong_length",
            Self::UnknownEntity => "unknown_entity",
            Self::NotFinite => "not_finite",
            Self::BadDocument => "bad_document",
            Self::BadCommand => "bad_command",
            Self::BadEvent => "bad_event",
            Self::Nondeterminism => "nondeterminism",
            Self::Other => "other",
        }
    }
}

impl std::fmt::Display for RejectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
