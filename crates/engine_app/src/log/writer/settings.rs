//! How much a writer holds, and how long it waits.

/// Bounds of a [`Writer`](super::Writer). Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, what the transport adds not counted; at least
    /// [`MIN_MESSAGE_BYTES`](crate::log::record::MIN_MESSAGE_BYTES).
    pub message_bytes: usize,
    /// Messages that wait for an acknowledgement at once; at least 1 is sent.
    pub in_flight: usize,
    /// Bytes that wait for one; a single message may be larger.
    pub in_flight_bytes: usize,
    /// Records that aren't durable yet: at this many, no more are taken.
    pub queued: usize,
    /// Their bytes: at this many, no more are taken, so that one record more than this may be held.
    pub queued_bytes: usize,
    /// An answer that takes longer counts as lost.
    pub patience: u64,
    /// The first wait after something went wrong; each further one is twice as long.
    pub backoff_first: u64,
    /// The longest wait.
    pub backoff_most: u64,
}

impl Limits {
    /// The wait after so many rounds without success; the first has number 1.
    pub(super) fn backoff(&self, round: u32) -> u64 {
        let doubled = self.backoff_first.saturating_mul(1 << round.saturating_sub(1).min(32));
        doubled.min(self.backoff_most)
    }
}

impl Default for Limits {
    /// 960 KiB a message; 8 messages or 4 MiB in flight; 64 records or 32 MiB queued; 2 s of patience; waits from
    /// 20 ms to 1 s.
    fn default() -> Self {
        Self {
            message_bytes: 960 << 10,
            in_flight: 8,
            in_flight_bytes: 4 << 20,
            queued: 64,
            queued_bytes: 32 << 20,
            patience: 2_000_000_000,
            backoff_first: 20_000_000,
            backoff_most: 1_000_000_000,
        }
    }
}
