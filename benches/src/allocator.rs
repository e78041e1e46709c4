//! The allocator of the benches: mimalloc, as in the programs that are measured, with a count of live
//! bytes that can be switched on.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only passes on and counts")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};

use mimalloc::MiMalloc;

pub(crate) struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// Bytes that are allocated after the work and were not before it, while `work`'s result is alive.
pub(crate) fn live_bytes_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    LIVE.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let result = std::hint::black_box(work());
    COUNTS.store(false, Relaxed);
    (result, usize::try_from(LIVE.load(Relaxed)).unwrap_or(0))
}

fn count(bytes: isize) {
    // Off, this is one load that never misses: it does not blur what is timed.
    if COUNTS.load(Relaxed) {
        LIVE.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call goes to mimalloc with the same arguments, and its answer is given back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_counted_and_what_goes_is_not() {
        let (kept, bytes) = live_bytes_of(|| {
            drop(vec![0_u8; 5000]);
            vec![1_u8; 10_000]
        });
        assert!(bytes >= kept.len());
    }
}
