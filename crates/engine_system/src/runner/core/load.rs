//! What an instance holds in memory, for whoever checks that it is bounded.

use std::sync::{MutexGuard, PoisonError};

use super::super::copies::Copies;
use super::InstanceCore;

/// How much there is of everything that could grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Parcels that are not complete.
    pub incoming: usize,
    /// Jobs that wait for their shared input, or are computed.
    pub jobs: usize,
    /// Shared inputs, and those that are lacking.
    pub shared: usize,
    /// Results that are kept to be sent again.
    pub results: usize,
    /// Bytes of parcels.
    pub bytes: usize,
    /// Copies of columns.
    pub copies: usize,
    /// Bytes of them.
    pub copied_bytes: usize,
}

impl InstanceCore {
    /// What it holds.
    #[must_use]
    pub fn load(&self) -> Load {
        let copies = self.copies();
        Load {
            incoming: self.incoming.len(),
            jobs: self.waiting.len() + self.running.len(),
            shared: self.shared.len() + self.lacking.len(),
            results: self.results.len(),
            bytes: self.held(),
            copies: copies.len(),
            copied_bytes: copies.bytes(),
        }
    }

    /// Drops what it has kept. It may do so at any time.
    pub fn drop_copies(&mut self) {
        self.copies().clear();
    }

    /// Changes a byte of what it has kept, if there is any: for whoever tests that it is found.
    pub fn spoil_copies(&mut self) -> bool {
        self.copies().spoil()
    }

    /// Makes what it has kept that of another time: for whoever tests that it is not used.
    pub fn age_copies(&mut self) {
        self.copies().age();
    }

    /// # Panics
    /// When what it has kept contradicts itself.
    pub fn check_copies(&self) {
        self.copies().check_invariants();
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
