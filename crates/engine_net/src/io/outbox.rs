//! How much of what was published still waits to be written.
//!
//! The client library bounds that by messages only, and a message may hold a megabyte. It counts the
//! messages that it has taken off its queue; with the sizes of the others in order, the bytes follow.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Sizes of those that wait, oldest first.
    waiting: VecDeque<usize>,
    bytes: usize,
    /// How many have left `waiting` so far.
    gone: u64,
}

impl Outbox {
    /// Forgets those that have been taken, `taken` of all so far.
    pub(super) fn settle(&mut self, taken: u64) {
        while self.gone < taken {
            let Some(size) = self.waiting.pop_front() else { return };
            self.bytes -= size;
            self.gone += 1;
        }
    }

    pub(super) fn push(&mut self, size: usize) {
        self.waiting.push_back(size);
        self.bytes += size;
    }

    pub(super) fn messages(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more may wait; an empty outbox takes anything.
    pub(super) fn has_room(&self, size: usize, max_bytes: usize) -> bool {
        self.waiting.is_empty() || self.bytes + size <= max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::default();
        outbox.push(10);
        outbox.push(20);
        outbox.settle(1);
        assert_eq!((outbox.messages(), outbox.bytes()), (1, 20));
        assert!(outbox.has_room(80, 100) && !outbox.has_room(81, 100));
        // Taken by the library before it was entered here.
        outbox.settle(3);
        outbox.push(30);
        outbox.settle(3);
        assert_eq!((outbox.messages(), outbox.bytes()), (0, 0));
        assert!(outbox.has_room(1000, 100));
    }
}
