//! What an instance computes into, and the coordinator reads from.
//!
//! The coordinator makes it, of a size that it chooses, and only reads it: each byte once, into memory of its own,
//! before it looks at it. So whatever the instance writes meanwhile, what is looked at is what is used.
//!
//! An instance can take pages away from under it; they read as zeros. Where the system counts every page before it
//! exists (strict overcommit), there may be none left for those zeros, and whoever reads them through a map gets a
//! signal that ends the process. There the coordinator reads by a system call, which takes twice the time.

#![expect(unsafe_code, reason = "memory that another process writes to")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
#[cfg(any(test, not(target_arch = "x86_64")))]
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::map::Map;
use super::memfd::{self, Others};
use super::{ShmError, check_size};

#[cfg(any(test, not(target_arch = "x86_64")))]
const WORD: usize = size_of::<u64>();

/// An output, as the coordinator sees it: bytes that may change at any time.
#[derive(Debug)]
pub struct Segment {
    memory: File,
    map: Option<Map>,
    bytes: u64,
}

impl Segment {
    /// A memory of so many bytes, none of which is taken before the instance writes there.
    ///
    /// # Errors
    /// When the system has no such memory, or its size is out of the bounds.
    pub fn new(bytes: u64) -> Result<Self, ShmError> {
        let overcommit = std::fs::read_to_string("/proc/sys/vm/overcommit_memory");
        let is_strict = overcommit.is_ok_and(|mode| mode.trim() == "2");
        if is_strict { Self::without_map(bytes) } else { Self::with_map(bytes) }
    }

    fn with_map(bytes: u64) -> Result<Self, ShmError> {
        let mut segment = Self::without_map(bytes)?;
        segment.map = Some(Map::to_read(&segment.memory, bytes)?);
        Ok(segment)
    }

    fn without_map(bytes: u64) -> Result<Self, ShmError> {
        let bytes = check_size(bytes)?;
        let memory = memfd::create("engine-output", bytes)?;
        memfd::seal(&memory, Others::Write)?;
        Ok(Self { memory, map: None, bytes })
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is read through a map: then nothing can fail.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.map.is_some()
    }

    /// Copies bytes out of it. Those that were never written are zero.
    ///
    /// # Errors
    /// When not all of them are in it.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ShmError> {
        let bytes = into.len();
        let end = offset.checked_add(bytes as u64);
        let outside = ShmError::OutOfBounds { offset, bytes, of: self.bytes };
        if end.is_none_or(|end| end > self.bytes) {
            return Err(outside);
        }
        let Some(map) = &self.map else {
            let what = "reading what an instance wrote";
            return self.memory.read_exact_at(into, offset).map_err(|error| ShmError::Unavailable { what, error });
        };
        let start = map.pointer(offset, bytes).ok_or(outside)?;
        // SAFETY: so many bytes are mapped there while the map is borrowed.
        unsafe { copy_while_written(start, into) };
        Ok(())
    }

    /// What the instance gets.
    pub(super) fn descriptor(&self) -> &File {
        &self.memory
    }
}

/// Copies bytes that somebody else may be writing to. Each is loaded once, by an instruction that the compiler may not
/// repeat, nor leave out because it has the bytes elsewhere.
///
/// # Safety
/// So many bytes as `into` has can be read at `from`, and nothing in this process writes to them.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_while_written(from: NonNull<u8>, into: &mut [u8]) {
    // SAFETY: the caller's promise; all of `into` is written, and the registers that change are said to.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rsi") from.as_ptr() => _,
            inout("rdi") into.as_mut_ptr() => _,
            inout("rcx") into.len() => _,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
use copy_atomically as copy_while_written;

/// The same, by atomic loads, where there is no such instruction.
///
/// # Safety
/// So many bytes as `into` has can be read at `from`, and nothing in this process writes to them.
#[cfg(any(test, not(target_arch = "x86_64")))]
unsafe fn copy_atomically(from: NonNull<u8>, into: &mut [u8]) {
    let from = from.as_ptr();
    // SAFETY: the caller's promise. An atomic load of a byte or of an aligned word is one instruction that only reads.
    let byte = |at: usize| unsafe { AtomicU8::from_ptr(from.add(at)) }.load(Ordering::Relaxed);
    // SAFETY: as above; `at` is where a word is aligned, and all of it is in bounds.
    let word = |at: usize| unsafe { AtomicU64::from_ptr(from.add(at).cast()) }.load(Ordering::Relaxed);

    let head = from.align_offset(WORD).min(into.len());
    let (first, rest) = into.split_at_mut(head);
    for (at, into) in first.iter_mut().enumerate() {
        *into = byte(at);
    }
    let (words, last) = rest.as_chunks_mut::<WORD>();
    let tail = head + words.len() * WORD;
    for (number, into) in words.iter_mut().enumerate() {
        *into = word(head + number * WORD).to_ne_bytes();
    }
    for (number, into) in last.iter_mut().enumerate() {
        *into = byte(tail + number);
    }
}

/// An output, as the instance sees it: bytes that only it writes.
#[derive(Debug)]
pub struct Output {
    memory: File,
    map: Map,
    bytes: u64,
    /// Which pieces of it exist: a bit for each.
    pieces: Mutex<Vec<u64>>,
}

/// What exists of an output is counted by pieces of so many bytes.
const PIECE: u64 = 64 << 10;

impl Output {
    pub(super) fn new(memory: File, bytes: u64) -> Result<Self, ShmError> {
        let bytes = check_size(bytes)?;
        let map = Map::to_write(&memory, bytes)?;
        Ok(Self { memory, map, bytes, pieces: Mutex::default() })
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first bytes of it, to be written; they hold what was last written there.
    ///
    /// # Errors
    /// When it has not so many, or the system has no memory for them.
    pub fn first(&mut self, bytes: usize) -> Result<&mut [u8], ShmError> {
        let start = self.place(0, bytes)?;
        // SAFETY: so many bytes are mapped there to be written, and exist. The coordinator only reads them, and nobody
        // else has them; in this process they are reached through this borrow only.
        Ok(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), bytes) })
    }

    /// Where so many bytes of it are: valid for reads and writes while this is kept. They hold what was last written
    /// there.
    ///
    /// # Errors
    /// When not all of them are in it, or the system has no memory for them.
    pub fn place(&self, offset: u64, bytes: usize) -> Result<NonNull<u8>, ShmError> {
        let outside = ShmError::OutOfBounds { offset, bytes, of: self.bytes };
        let start = self.map.pointer(offset, bytes).ok_or(outside)?;
        let end = offset + bytes as u64;
        // A panic between two of its changes is not possible, so it is right whoever held it.
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = None;
        for piece in offset / PIECE..end.div_ceil(PIECE) {
            let (word, bit) = ((piece / 64) as usize, 1 << (piece % 64));
            if word >= pieces.len() {
                pieces.resize(word + 1, 0);
            }
            if pieces[word] & bit == 0 {
                missing = Some((missing.map_or(piece, |(first, _)| first), piece + 1));
            }
        }
        if let Some((first, last)) = missing {
            let (from, to) = (first * PIECE, (last * PIECE).min(self.bytes));
            self.map.commit(&self.memory, from, (to - from) as usize)?;
            for piece in first..last {
                pieces[(piece / 64) as usize] |= 1 << (piece % 64);
            }
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_alike_by_one_instruction_and_by_many() {
        let from: Vec<u8> = (0..300).map(|at| (at * 31) as u8).collect();
        for (first, bytes) in (0..17).flat_map(|first| (0..70).map(move |bytes| (first, bytes))) {
            let start = NonNull::from(&from[first]).cast();
            let (mut one, mut other) = (vec![0; bytes], vec![0; bytes]);
            // SAFETY: there are more bytes than that, and nobody writes to them.
            unsafe { copy_while_written(start, &mut one) };
            // SAFETY: as above.
            unsafe { copy_atomically(start, &mut other) };
            assert!(one == other && one == from[first..first + bytes]);
        }
    }

    #[test]
    fn it_is_read_alike_with_and_without_a_map() {
        const BYTES: usize = 64 << 10;
        let (mapped, other) = (Segment::with_map(BYTES as u64).unwrap(), Segment::without_map(BYTES as u64).unwrap());
        let written: Vec<u8> = (0..BYTES).map(|at| ((at * 31) >> 3) as u8).collect();
        for segment in [&mapped, &other] {
            segment.memory.write_all_at(&written[..BYTES - 100], 0).unwrap();
        }
        let places = (0..20).chain(4090..4100).chain(BYTES - 120..BYTES);
        for (offset, bytes) in places.flat_map(|offset| (0..40).map(move |bytes| (offset, bytes))) {
            for segment in [&mapped, &other] {
                let mut read = vec![0xaa; bytes];
                let result = segment.read(offset as u64, &mut read);
                assert_eq!(result.is_ok(), offset + bytes <= BYTES);
                let zeros = std::iter::repeat(&0);
                let expected = written[..BYTES - 100].iter().chain(zeros).skip(offset);
                assert!(result.is_err() || read.iter().eq(expected.take(bytes)), "{bytes} at {offset}");
            }
        }
    }
}
