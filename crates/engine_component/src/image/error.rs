//! What can be wrong with an image, and in which part of it.

use std::fmt;

use crate::msgpack::MsgError;
use crate::{Entity, WorldError, WorldHash};

/// An image that is refused: where, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place} of the image is refused: {problem}")]
pub struct ImageError {
    /// Where.
    pub place: Place,
    /// Why.
    pub problem: Problem,
}

/// A place in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The manifest.
    Manifest,
    /// A part, by its number.
    Part(u32),
    /// What all parts make together.
    Whole,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("the manifest"),
            Self::Part(number) => write!(f, "part {number}"),
            Self::Whole => f.write_str("the whole"),
        }
    }
}

impl Place {
    pub(super) fn refuse(self, problem: impl Into<Problem>) -> ImageError {
        ImageError { place: self, problem: problem.into() }
    }
}

/// Why an image is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Bytes that are too few, too many, or no part of an image at all.
    #[error("it is cut short or not what it should be: {0}")]
    Shape(String),
    /// Another format than this build reads.
    #[error("its format is {0}, this build reads 1: use the build that wrote it, or a newer one")]
    Format(u16),
    /// The bytes are not those that were written.
    #[error("its bytes are damaged: their hash is {found:032x}, not {expected:032x}")]
    Damaged {
        /// What was written down.
        expected: u128,
        /// What the bytes have.
        found: u128,
    },
    /// A part of another image, or in another place.
    #[error("it is not the one that the manifest names: it belongs to the world {found}, as part {number}")]
    Foreign {
        /// The world hash in it.
        found: WorldHash,
        /// Its number.
        number: u32,
    },
    /// Beyond a limit of whoever reads it.
    #[error("{what}: {found}, and {limit} at the most are allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much of it.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Another piece than the one that follows from what came before.
    #[error("a piece is {found}, where {expected} has to be")]
    Piece {
        /// What follows from what came before.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A number that is no entity of this world, or there twice.
    #[error("row {row} of table {table} is {entity}: {why}")]
    Entity {
        /// The table, in the order of creation.
        table: u32,
        /// The row.
        row: u32,
        /// The entity.
        entity: Entity,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A document that is not well-formed.
    #[error("the document `{component}` in row {row} of table {table}: {reason}")]
    Document {
        /// The component.
        component: String,
        /// The table, in the order of creation.
        table: u32,
        /// The row.
        row: u32,
        /// Why.
        reason: MsgError,
    },
    /// A schema, a set of components or a setting that a world refuses.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The world has another hash.
    #[error("the world has the hash {found} and should have {expected}")]
    Hash {
        /// What was written down.
        expected: WorldHash,
        /// What it has.
        found: WorldHash,
    },
}

impl Problem {
    pub(super) fn shape(text: impl Into<String>) -> Self {
        Self::Shape(text.into())
    }
}
