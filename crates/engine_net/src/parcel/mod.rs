//! Parcels: jobs, shared inputs and results, that travel as numbered chunks.
//!
//! A parcel is cut into chunks of about 24 KiB, because that is what moves the most bytes through a NATS
//! server. Each chunk starts with the 32-byte [prefix](crate::prefix); the first one continues with a
//! manifest; then, in all of them, come [sections](section): runs of rows of one column, each whole in
//! one chunk, so that a chunk can be read without its neighbours. All columns of a range of rows are
//! packed together.
//!
//! Invariant: nobody looks into a parcel before all of its chunks are there ([`Assembler`]), and nobody
//! copies out of it before [`verify`](verify::Expect::verify) has compared every section with what was
//! declared. Memory for rows is allocated after that, when the bytes for them have arrived.

mod batch;
pub mod control;
mod keep;
pub mod manifest;
mod reader;
pub mod section;
pub mod verify;
mod writer;

use thiserror::Error;

pub use batch::{JobList, MAX_JOBS, MAX_PARTS, PartRows};
pub use control::{Failed, Missing};
pub use keep::{Check, CopyKey, CopyOf, KEPT_TICKS, Keep, Named, Space, bases, named};
pub use manifest::{
    ColumnManifest, EventManifest, JobEffects, JobManifest, Jobs, MappedRows, PartManifest, PartSource, Place,
    ResultManifest, SharedManifest, WireTime,
};
pub use reader::{Assembler, Limits, Parcel, Progress, Sections};
pub use section::{Bits, Body, Documents, ENTITIES, Section};
pub use verify::{Expect, ExpectColumn, ExpectPart};
pub use writer::{ChunkSizes, ColumnData, DocumentRows, OutColumn, ParcelWriter, TableDocuments};

use crate::prefix::{ParcelId, PrefixError};
use crate::strict::DecodeError;

/// The size of a chunk that is aimed at when nothing else is set.
pub const DEFAULT_CHUNK_BYTES: usize = 24 * 1024;
/// Bytes of a manifest, at the most.
pub const MAX_MANIFEST_BYTES: usize = 512 * 1024;

/// Why a parcel could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// One row of one column is larger than the largest chunk.
    #[error(
        "row {row} of part {part} needs {bytes} bytes in one chunk, where {limit} are possible; make the document smaller, or raise the server's max_payload"
    )]
    RowTooLarge {
        /// The part.
        part: u16,
        /// The row in the part.
        row: u32,
        /// What the row needs.
        bytes: usize,
        /// What a chunk may hold.
        limit: usize,
    },
    /// The manifest doesn't fit into a chunk.
    #[error("a manifest of {bytes} bytes, where {limit} are possible; use fewer parts")]
    ManifestTooLarge {
        /// What the manifest needs.
        bytes: usize,
        /// What is possible.
        limit: usize,
    },
    /// More than 65,535 chunks.
    #[error("{0} chunks, where 65535 are possible; use smaller shards or larger chunks")]
    TooManyChunks(usize),
}

/// Why chunks, or a whole parcel, were refused. Each has a [code](Refusal::code) for counters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The first 32 bytes.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// A chunk of another parcel.
    #[error("a chunk of {got:?} where {expected:?} is assembled")]
    Foreign {
        /// What is assembled.
        expected: ParcelId,
        /// What came.
        got: ParcelId,
    },
    /// Chunks disagree about how many they are.
    #[error("a chunk says that there are {got} chunks, an earlier one said {expected}")]
    Count {
        /// What the first chunk said.
        expected: u16,
        /// What this one says.
        got: u16,
    },
    /// A chunk came twice, with different bytes.
    #[error("chunk {0} came twice, with different bytes")]
    Contradiction(u16),
    /// More of something than a parcel may have.
    #[error("{what}: {got}, where at most {limit} are accepted")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much.
        got: usize,
        /// How much is accepted.
        limit: usize,
    },
    /// The manifest.
    #[error("manifest: {0}")]
    Manifest(DecodeError),
    /// A section that is not well formed.
    #[error("section {index} of chunk {chunk}: {reason}")]
    Section {
        /// The chunk.
        chunk: u16,
        /// The section in the chunk.
        index: u32,
        /// What is wrong.
        reason: SectionError,
    },
    /// A section that was not declared.
    #[error("part {part}, column {column}: {reason}")]
    Undeclared {
        /// The part.
        part: u16,
        /// The column.
        column: u16,
        /// What is wrong.
        reason: &'static str,
    },
    /// Another number of rows or bytes than declared.
    #[error("part {part}, column {column}: {what} is {got} instead of {expected}")]
    Length {
        /// The part.
        part: u16,
        /// The column.
        column: u16,
        /// Of what.
        what: &'static str,
        /// What was declared.
        expected: u64,
        /// What came.
        got: u64,
    },
}

impl Refusal {
    /// A short word for counters and `system.rejected`.
    #[must_use]
    pub fn code(&self) -> crate::messages::rejected::RejectReason {
        use crate::messages::rejected::RejectReason as R;
        match self {
            Self::Prefix(_) | Self::Section { .. } | Self::Manifest(_) => R::Garbage,
            Self::Foreign { .. } | Self::Count { .. } | Self::Contradiction(_) => R::ChunkMismatch,
            Self::TooLarge { .. } => R::TooLarge,
            Self::Undeclared { .. } => R::UndeclaredColumn,
            Self::Length { .. } => R::WrongLength,
        }
    }
}

/// What is wrong with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SectionError {
    /// The chunk ends inside of it.
    #[error("ends in the middle")]
    Truncated,
    /// Something else than the list of seven or eight values.
    #[error("is no section")]
    Shape,
    /// A kind that doesn't exist.
    #[error("kind {0} doesn't exist")]
    Kind(u64),
    /// A number that doesn't fit its field.
    #[error("a number that is too large")]
    Range,
    /// No rows, or rows past 2^32.
    #[error("a range of rows that is empty or ends past 2^32")]
    Rows,
    /// The data doesn't start at a multiple of 8, or the padding isn't zero.
    #[error("data that is not aligned to 8 bytes by zeros")]
    Alignment,
    /// The data has not the bytes of its rows.
    #[error("data of another length than its rows need")]
    Length,
    /// Document offsets that don't start at 0, shrink, or end elsewhere than the data.
    #[error("offsets that don't fit the data")]
    Offsets,
    /// A bitmap of another length than its rows need, with stray bits, or empty; gaps that lead past the rows.
    #[error("a bitmap or a list of gaps that doesn't fit the rows")]
    Bitmap,
}
