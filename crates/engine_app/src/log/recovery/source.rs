//! Where a world is stored.

use bytes::Bytes;

use super::PARALLEL;
use crate::log::jet::{self, JetError, KeyframeId, Mark, Streams, Tail};

/// Where a world is stored: the [streams](Streams), or what stands for them in a simulator.
pub trait Source {
    /// Where the log ends, and its last epoch record.
    ///
    /// # Errors
    /// When it can't be read, as of all of these.
    fn tail(&self) -> Result<Tail, JetError>;

    /// The high-water mark.
    ///
    /// # Errors
    /// When it can't be read.
    fn mark(&self) -> Result<Option<Mark>, JetError>;

    /// The keyframes that are complete, the newest first.
    ///
    /// # Errors
    /// When they can't be read.
    fn keyframes(&self) -> Result<Vec<KeyframeId>, JetError>;

    /// The records of a range, both ends included. A sequence that is missing is an error.
    fn records(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>>;

    /// As [`Self::records`], where some may be missing.
    fn present(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>>;

    /// A keyframe's manifest, and its parts in order.
    ///
    /// # Errors
    /// When they can't be read.
    fn keyframe(&self, id: KeyframeId) -> Result<(Bytes, impl Iterator<Item = Result<Bytes, JetError>>), JetError>;
}

impl Source for Streams {
    fn tail(&self) -> Result<Tail, JetError> {
        self.tail()
    }

    fn mark(&self) -> Result<Option<Mark>, JetError> {
        self.read_mark()
    }

    fn keyframes(&self) -> Result<Vec<KeyframeId>, JetError> {
        self.list_keyframes()
    }

    fn records(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>> {
        self.read_range(from, to, PARALLEL)
    }

    fn present(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>> {
        self.read_present(from, to, PARALLEL)
    }

    fn keyframe(&self, id: KeyframeId) -> Result<(Bytes, impl Iterator<Item = Result<Bytes, JetError>>), JetError> {
        let reader = self.read_keyframe(id, PARALLEL)?;
        Ok((reader.manifest, reader.parts))
    }
}
