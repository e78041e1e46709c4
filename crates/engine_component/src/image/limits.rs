//! What a reader allows, and what is left of it.

use super::error::{ImageError, Place, Problem};

/// What a reader allows.
///
/// ```
/// use engine_component::image::Limits;
/// assert_eq!(Limits::default().bytes, 16 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that the restored world may take, at the most. An image that would need more is refused
    /// before that memory is asked for.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 30 }
    }
}

/// Counts what is asked for.
#[derive(Debug)]
pub(super) struct Budget {
    spent: u64,
    limit: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self { spent: 0, limit: limits.bytes.min(isize::MAX as u64) }
    }

    /// # Errors
    /// When it is more than what is left.
    pub(super) fn spend(&mut self, bytes: u64, what: &'static str, place: Place) -> Result<(), ImageError> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent <= self.limit {
            return Ok(());
        }
        Err(place.refuse(Problem::TooMuch { what, found: self.spent, limit: self.limit }))
    }
}
