//! What an instance holds in memory, for whoever checks that it is bounded.

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
}

impl InstanceCore {
    /// What it holds.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            incoming: self.incoming.len(),
            jobs: self.waiting.len() + self.running.len(),
            shared: self.shared.len() + self.lacking.len(),
            results: self.results.len(),
            bytes: self.held(),
        }
    }
}
