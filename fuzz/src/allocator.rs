//! An allocator that ends the process when an input asks for much memory: nothing is to be allocated because
//! a message says so. Memory that is asked for and never touched counts as well, which a limit of resident
//! memory would not see.

#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes in one piece, at the most. Inputs have a few KiB.
const MOST_AT_ONCE: usize = 64 << 20;
/// Bytes in all, at the most.
const MOST: usize = 512 << 20;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static REPORTED: AtomicBool = AtomicBool::new(false);

fn count(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
    // What the report itself allocates is let through.
    if (size > MOST_AT_ONCE || held > MOST) && !REPORTED.swap(true, Ordering::Relaxed) {
        eprintln!("{size} bytes are asked for, {held} are held then\n{}", std::backtrace::Backtrace::force_capture());
        std::process::abort();
    }
}

// SAFETY: the system's allocator, and two counters beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: what the caller promises is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: what the caller promises is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: what the caller promises is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: what the caller promises is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
