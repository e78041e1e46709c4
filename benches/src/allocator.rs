//! The allocator of the benches: mimalloc, as in the programs that are measured, with counts of live bytes and
//! of allocations that can be switched on.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only passes on and counts")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use mimalloc::MiMalloc;

pub(crate) struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
/// Who counts, counts alone: else it would count the work of others.
static TURN: Mutex<()> = Mutex::new(());

/// What was asked of the allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allocations {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
}

/// From now on everything counts, until [`counted`].
pub(crate) fn count_from_now() {
    LIVE.store(0, Relaxed);
    CALLS.store(0, Relaxed);
    BYTES.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
}

/// Ends the count, and says what it was.
pub(crate) fn counted() -> Allocations {
    COUNTS.store(false, Relaxed);
    Allocations { calls: CALLS.load(Relaxed), bytes: BYTES.load(Relaxed) }
}

/// What all threads of this process allocate while the work is done.
pub(crate) fn allocations_of<R>(work: impl FnOnce() -> R) -> (R, Allocations) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    count_from_now();
    let result = std::hint::black_box(work());
    (result, counted())
}

/// Bytes that are allocated after the work and were not before it, while `work`'s result is alive.
pub(crate) fn live_bytes_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    count_from_now();
    let result = std::hint::black_box(work());
    counted();
    (result, usize::try_from(LIVE.load(Relaxed)).unwrap_or(0))
}

/// `asked` is what somebody wants to have, 0 when it is given back; `more` is by how much the live bytes grow.
fn count(asked: usize, more: isize) {
    // Off, this is one load that never misses: it does not blur what is timed.
    if COUNTS.load(Relaxed) {
        LIVE.fetch_add(more, Relaxed);
        CALLS.fetch_add(u64::from(asked > 0), Relaxed);
        BYTES.fetch_add(asked as u64, Relaxed);
    }
}

// SAFETY: every call goes to mimalloc with the same arguments, and its answer is given back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_counted_and_what_goes_is_not() {
        // Large beside what other tests allocate and free at the same time: all threads are counted.
        let (kept, bytes) = live_bytes_of(|| {
            drop(vec![0_u8; 32 << 20]);
            vec![1_u8; 32 << 20]
        });
        assert!((kept.len() / 2..kept.len() * 3 / 2).contains(&bytes), "{bytes}");
    }

    #[test]
    fn each_allocation_is_counted_once() {
        let ((), allocations) = allocations_of(|| {
            let mut kept: Vec<Box<[u8; 64]>> = Vec::with_capacity(100);
            (0..100).for_each(|_| kept.push(Box::new([0; 64])));
            drop(std::hint::black_box(kept));
        });
        assert!(allocations.calls >= 101 && allocations.bytes >= 100 * 72);
    }
}
