//! A block of bytes that is aligned for every Plain type, and grows without being filled with zeros first.
//!
//! It is on the heap, or, when it is large and was given a [`ColumnMemory`], in that. Where it is matters only
//! when it grows, moves or is dropped: to read and to write it is the same pointer.

#![expect(unsafe_code, reason = "bytes past the end are not initialised; blocks of two kinds are freed by hand")]

use std::alloc::{self, Layout};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::memory::{Block, ColumnMemory};

/// Every block is aligned to it, and is a multiple of it on the heap: it fits every Plain type.
const LANE: usize = align_of::<Lane>();

#[repr(align(16))]
struct Lane;

/// Up to this size a block doubles when it is full; above, it grows by a quarter, so that a large world
/// does not pay for room that it does not use.
const DOUBLING_BYTES: usize = 1 << 20;

/// An aligned block of bytes that grows.
pub struct AlignedBytes {
    /// Valid for reads and writes of `room` bytes, aligned to [`LANE`]. From the heap's allocator with
    /// [`layout`] of `room`, unless `shared` holds the block; dangling when `room` is 0.
    start: NonNull<u8>,
    room: usize,
    /// So many bytes, the first ones, are initialised.
    len: usize,
    shared: Option<Box<Shared>>,
}

/// The memory that large blocks are to be in, and the block when it is.
struct Shared {
    memory: Arc<dyn ColumnMemory>,
    block: Option<Block>,
}

// SAFETY: the block is owned as a vector owns its own: reached through `&self` for reading and `&mut self` for
// writing only. A `ColumnMemory` may be used from any thread.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut bytes = Self::default();
        bytes.reserve(len);
        // SAFETY: there is room for so many bytes.
        unsafe { bytes.as_mut_ptr().write_bytes(0, len) };
        bytes.len = len;
        bytes
    }

    /// The bytes; the first one is aligned to 16.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The whole values among the bytes.
    #[inline]
    pub(crate) fn as_slice_of<T: bytemuck::Pod>(&self) -> &[T] {
        const { assert!(align_of::<T>() <= LANE && size_of::<T>() > 0) }
        // SAFETY: the first `len` bytes are initialised, any bytes are a value, and the first one is aligned to more
        // than a value needs. The checks of a cast would cost as much as a small table's rows.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / size_of::<T>()) }
    }

    /// The bytes, to be written.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the block is exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// The first byte. Valid for reads and writes of all bytes until the block grows or is dropped.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The number of bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: there is room for the bytes behind the last one; the block is exclusively borrowed, so they
        // are not in it.
        unsafe { copy(bytes.as_ptr(), self.as_mut_ptr().add(self.len), bytes.len()) };
        self.len += bytes.len();
    }

    /// Puts the last `bytes` bytes in the place of those at `at`, where not already they are.
    ///
    /// # Panics
    /// When there are not that many.
    #[inline]
    pub(crate) fn swap_remove(&mut self, at: usize, bytes: usize) {
        assert!(bytes <= self.len && at <= self.len, "a whole value is removed");
        let last = self.len - bytes;
        if at + bytes <= last {
            let first = self.as_mut_ptr();
            // SAFETY: both ranges are initialised, and the first ends before the second begins.
            unsafe { copy(first.add(last), first.add(at), bytes) };
        } else {
            assert!(at == last, "a whole value is removed");
        }
        self.len = last;
    }

    /// Appends the `bytes` bytes at `at` to another block; the last ones take their place.
    ///
    /// # Panics
    /// When there are not that many.
    #[inline]
    pub(crate) fn move_to(&mut self, at: usize, bytes: usize, end: &mut Self) {
        assert!(at <= self.len && bytes <= self.len - at, "a whole value is moved");
        let last = self.len - bytes;
        end.reserve(bytes);
        let first = self.as_mut_ptr();
        // SAFETY: both ranges of this block are initialised; there is room for as many bytes behind the last one of
        // the other block, which is exclusively borrowed too.
        unsafe { shift(first.add(at), first.add(last), end.as_mut_ptr().add(end.len), bytes) };
        end.len += bytes;
        self.len = last;
    }

    /// As [`Self::move_to`] for values of `BYTES` bytes one after the other, each by its number when its turn comes.
    ///
    /// # Panics
    /// When there are not that many.
    pub(crate) fn move_all_to<const BYTES: usize>(&mut self, values: &[u32], end: &mut Self) {
        let len = end.len + values.len() * BYTES;
        end.reserve(values.len() * BYTES);
        let (mut left, first) = (self.len / BYTES, self.as_mut_ptr());
        let mut to = end.as_mut_ptr().wrapping_add(end.len);
        for value in values {
            let value = *value as usize;
            assert!(value < left, "a whole value is moved");
            left -= 1;
            // SAFETY: both values are initialised; there is room for as many as are moved behind the last byte of
            // the other block, which is exclusively borrowed too.
            unsafe { shift_known::<BYTES>(first.add(value * BYTES), first.add(left * BYTES), to) };
            to = to.wrapping_add(BYTES);
        }
        end.len = len;
        self.len = left * BYTES;
    }

    /// Takes `bytes` bytes at `at`, or as many as there are, from the same place of a source; those past the
    /// end are appended.
    ///
    /// # Panics
    /// When `at` is past the end of either.
    pub(crate) fn overwrite(&mut self, at: usize, bytes: usize, source: &[u8]) {
        let end = source.len().min(at + bytes);
        let middle = end.min(self.len).max(at);
        self.as_mut_slice()[at..middle].copy_from_slice(&source[at..middle]);
        self.push(&source[middle..end]);
    }

    /// Makes room for so many bytes, forgets those that there are, and touches it all, so that the operating
    /// system has it ready.
    pub(crate) fn make_room_ready(&mut self, bytes: usize) {
        self.truncate(0);
        self.reserve(bytes);
        // SAFETY: there is room for so many bytes.
        unsafe { self.as_mut_ptr().write_bytes(1, bytes) };
    }

    /// Forgets all bytes from `len` on.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for so many more bytes; for more than that where there were some, since others may follow.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) {
        let len = self.len + more;
        if len > self.room {
            self.grow(len);
        }
    }

    /// Bytes that are taken, on the heap or in the memory.
    pub(crate) fn capacity(&self) -> usize {
        self.room
    }

    /// Where the block is in the memory that it was given; `None` when it is on the heap.
    #[must_use]
    pub(crate) fn shared_offset(&self) -> Option<u64> {
        Some(self.shared.as_ref()?.block.as_ref()?.offset)
    }

    /// From now on the bytes are in this memory whenever they are many and it has room, or on the heap for
    /// `None`. Those that are there move.
    pub(crate) fn set_memory(&mut self, memory: Option<&Arc<dyn ColumnMemory>>) {
        let known = self.shared.as_ref().map(|shared| &shared.memory);
        if known.is_none() && memory.is_none() || known.zip(memory).is_some_and(|(a, b)| Arc::ptr_eq(a, b)) {
            return;
        }
        let shared = memory.map(|memory| Box::new(Shared { memory: Arc::clone(memory), block: None }));
        let least = shared.as_ref().map_or(usize::MAX, |shared| shared.memory.least_bytes());
        if self.shared_offset().is_none() && self.room < least {
            self.shared = shared;
            return;
        }
        let mut moved = Self { shared, ..Self::default() };
        moved.reserve(self.len.max(least.min(self.room)));
        moved.push(self.as_slice());
        *self = moved;
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let room = self.room;
        if self.shared_offset().is_some() {
            // The memory gives more than it is asked for.
            return self.make_room(len);
        }
        let wanted = if room < DOUBLING_BYTES { room * 2 } else { room + room / 4 };
        self.make_room(len.max(wanted).max(4 * LANE));
    }

    /// Makes room for so many bytes, which there isn't.
    fn make_room(&mut self, bytes: usize) {
        debug_assert!(bytes > self.room);
        if !self.make_shared_room(bytes) {
            self.make_heap_room(bytes);
        }
    }

    /// Grows in the memory that it was given, or moves into it. `false` when there is none, it has no room, or
    /// the bytes are too few.
    fn make_shared_room(&mut self, bytes: usize) -> bool {
        let Some(shared) = &mut self.shared else { return false };
        if let Some(block) = &mut shared.block
            // SAFETY: the block is of this memory; it is freed only where it is taken out.
            && unsafe { shared.memory.grow(block, bytes) }
        {
            self.room = block.bytes;
            return true;
        }
        if bytes < shared.memory.least_bytes() {
            return false;
        }
        let Some(block) = shared.memory.allocate(bytes) else { return false };
        // SAFETY: the new block has room for at least `bytes`, which is more than `len`; nobody else has it.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr(), block.start.as_ptr(), self.len) };
        let before = (self.start, self.room);
        (self.start, self.room) = (block.start, block.bytes);
        let block = shared.block.replace(block);
        // SAFETY: nothing points to what was there before.
        unsafe { self.release(before, block) };
        true
    }

    /// Grows on the heap, or moves there.
    fn make_heap_room(&mut self, bytes: usize) {
        let new = layout(bytes);
        let before = (self.start, self.room);
        let block = self.shared.as_mut().and_then(|shared| shared.block.take());
        let start = if block.is_none() && self.room > 0 {
            // SAFETY: the block was allocated with the layout of its room; the new size is that of a layout,
            // and not 0.
            unsafe { alloc::realloc(self.start.as_ptr(), layout(self.room), new.size()) }
        } else {
            // SAFETY: the size is not 0: it is more than the room.
            unsafe { alloc::alloc(new) }
        };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(new) };
        (self.start, self.room) = (start, new.size());
        if block.is_some() {
            // SAFETY: the new block has room for more than `len` bytes, and nobody else has it; then nothing
            // points to the old one.
            unsafe {
                ptr::copy_nonoverlapping(before.0.as_ptr(), start.as_ptr(), self.len);
                self.release(before, block);
            }
        }
    }

    /// Frees a block: this one of the memory, or, when there is none, so much room at an address of the heap.
    ///
    /// # Safety
    /// It was this one's, and is no more.
    unsafe fn release(&self, (start, room): (NonNull<u8>, usize), block: Option<Block>) {
        match (block, &self.shared) {
            // SAFETY: the block came from this memory, and nothing points to it.
            (Some(block), Some(shared)) => unsafe { shared.memory.free(block) },
            // SAFETY: allocated with this layout.
            _ if room > 0 => unsafe { alloc::dealloc(start.as_ptr(), layout(room)) },
            _ => {}
        }
    }
}

/// The layout of a block on the heap.
fn layout(bytes: usize) -> Layout {
    let whole = bytes.checked_next_multiple_of(LANE);
    whole.and_then(|bytes| Layout::from_size_align(bytes, LANE).ok()).expect("fewer bytes than there are addresses")
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self { start: NonNull::<Lane>::dangling().cast(), room: 0, len: 0, shared: None }
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        let block = self.shared.as_mut().and_then(|shared| shared.block.take());
        // SAFETY: this is the end of it.
        unsafe { self.release((self.start, self.room), block) };
    }
}

/// Copies bytes that do not overlap. Values are small: a few moves instead of a call.
///
/// # Safety
/// As for [`ptr::copy_nonoverlapping`].
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            4 => ptr::copy_nonoverlapping(from, to, 4),
            8 => ptr::copy_nonoverlapping(from, to, 8),
            12 => ptr::copy_nonoverlapping(from, to, 12),
            16 => ptr::copy_nonoverlapping(from, to, 16),
            _ => ptr::copy_nonoverlapping(from, to, bytes),
        }
    }
}

/// Copies a value to `end`, and the last one into its place. As in [`copy`], small values are a few moves.
///
/// # Safety
/// `value` and `last` are `bytes` initialised bytes; `end` has room for as many, apart from both.
#[inline]
unsafe fn shift(value: *mut u8, last: *const u8, end: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match bytes {
            4 => shift_known::<4>(value, last, end),
            8 => shift_known::<8>(value, last, end),
            12 => shift_known::<12>(value, last, end),
            16 => shift_known::<16>(value, last, end),
            _ => {
                ptr::copy_nonoverlapping(value, end, bytes);
                ptr::copy(last, value, bytes);
            }
        }
    }
}

/// As [`shift`], of a length that the compiler knows.
///
/// # Safety
/// As for [`shift`].
#[inline]
unsafe fn shift_known<const BYTES: usize>(value: *mut u8, last: *const u8, end: *mut u8) {
    let (value, last, end) = (value.cast::<[u8; BYTES]>(), last.cast::<[u8; BYTES]>(), end.cast::<[u8; BYTES]>());
    // SAFETY: the caller's promise; arrays of bytes lie anywhere.
    unsafe { end.write(value.read()) };
    // SAFETY: as above; the last one is read before it is written, should it be the same.
    unsafe { value.write(last.read()) };
}

/// A copy is on the heap: a world's columns are what others map, and not what is made of them.
impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        let mut bytes = Self::default();
        bytes.reserve(self.len);
        bytes.push(self.as_slice());
        bytes
    }

    /// Stays in the memory that it was given.
    fn clone_from(&mut self, source: &Self) {
        self.truncate(0);
        self.reserve(source.len);
        self.push(source.as_slice());
    }
}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::tests::Fake;

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        SwapRemove(usize),
        MoveTo(usize),
        Truncate(usize),
        Reserve(usize),
        Overwrite(usize, usize, Vec<u8>),
        Clone,
        CloneFrom(Vec<u8>),
        Memory(Option<usize>),
        Take,
        MakeReady(usize),
    }

    const VALUE: usize = 6;

    /// Under Miri a step takes a second.
    const STEPS: usize = if cfg!(miri) { 20 } else { 60 };

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Push),
            1 => (0..30_usize).prop_map(Step::SwapRemove),
            1 => (0..30_usize).prop_map(Step::MoveTo),
            1 => (0..300_usize).prop_map(Step::Truncate),
            1 => (0..300_usize).prop_map(Step::Reserve),
            1 => (0..300_usize, 0..300_usize, proptest::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(at, count, source)| Step::Overwrite(at, count, source)),
            1 => Just(Step::Clone),
            1 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Step::CloneFrom),
            2 => proptest::option::of(0..2_usize).prop_map(Step::Memory),
            1 => Just(Step::Take),
            1 => (0..300_usize).prop_map(Step::MakeReady),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_vector_of_bytes(zeros in 0..50_usize, steps in proptest::collection::vec(step(), 0..STEPS)) {
            let (mut bytes, mut model) = (AlignedBytes::zeroed(zeros), vec![0_u8; zeros]);
            // One that is often full, and one that never is.
            let memories = [Fake::new(400), Fake::new(1 << 20)];
            let mut taken = AlignedBytes::default();
            for step in steps {
                match step {
                    Step::Push(more) => {
                        bytes.push(&more);
                        model.extend(more);
                    }
                    Step::SwapRemove(value) if (value + 1) * VALUE <= model.len() => {
                        // Whole values only, as in a column.
                        let len = model.len() / VALUE * VALUE;
                        bytes.truncate(len);
                        model.truncate(len);
                        bytes.swap_remove(value * VALUE, VALUE);
                        model.copy_within(len - VALUE.., value * VALUE);
                        model.truncate(len - VALUE);
                    }
                    Step::MoveTo(value) if (value + 1) * VALUE <= model.len() => {
                        let len = model.len() / VALUE * VALUE;
                        bytes.truncate(len);
                        model.truncate(len);
                        let mut end = AlignedBytes::zeroed(zeros);
                        bytes.move_to(value * VALUE, VALUE, &mut end);
                        prop_assert_eq!(&end.as_slice()[zeros..], &model[value * VALUE..(value + 1) * VALUE]);
                        model.copy_within(len - VALUE.., value * VALUE);
                        model.truncate(len - VALUE);
                        // The same again, and again.
                        let values: Vec<u32> = (0..model.len() / VALUE / 2).map(|value| value as u32).collect();
                        let (mut one, mut all) = (bytes.clone(), AlignedBytes::zeroed(zeros));
                        one.move_all_to::<VALUE>(&values, &mut all);
                        end.truncate(zeros);
                        values.iter().for_each(|value| bytes.move_to(*value as usize * VALUE, VALUE, &mut end));
                        prop_assert_eq!((one.as_slice(), all.as_slice()), (bytes.as_slice(), end.as_slice()));
                        model.truncate(bytes.len());
                        model.copy_from_slice(bytes.as_slice());
                    }
                    Step::SwapRemove(_) | Step::MoveTo(_) => {}
                    Step::Truncate(len) => {
                        bytes.truncate(len);
                        model.truncate(len);
                    }
                    Step::Reserve(more) => bytes.reserve(more),
                    Step::Overwrite(at, count, source) if at <= model.len() && at <= source.len() => {
                        bytes.overwrite(at, count, &source);
                        let end = source.len().min(at + count);
                        model.resize(model.len().max(end), 0);
                        model[at..end].copy_from_slice(&source[at..end]);
                    }
                    Step::Overwrite(..) => {}
                    Step::Clone => {
                        let copy = bytes.clone();
                        prop_assert_eq!(copy.shared_offset(), None);
                        prop_assert_eq!(copy.as_slice(), &model[..]);
                    }
                    Step::CloneFrom(source) => {
                        let mut other = AlignedBytes::default();
                        other.push(&source);
                        bytes.clone_from(&other);
                        model = source;
                    }
                    Step::Memory(memory) => {
                        bytes.set_memory(memory.map(|at| memories[at].clone() as Arc<dyn ColumnMemory>).as_ref());
                        prop_assert!(memory.is_some() || bytes.shared_offset().is_none());
                        let many = memory == Some(1) && model.len() >= memories[1].least_bytes();
                        prop_assert!(!many || bytes.shared_offset().is_some());
                    }
                    Step::Take => {
                        taken = std::mem::take(&mut bytes);
                        prop_assert_eq!(taken.as_slice(), &model[..]);
                        model.clear();
                    }
                    Step::MakeReady(room) => {
                        bytes.make_room_ready(room);
                        model.clear();
                    }
                }
                prop_assert_eq!(bytes.as_slice(), &model[..]);
                prop_assert_eq!(bytes.as_slice().as_ptr().addr() % LANE, 0);
                prop_assert!(bytes.capacity() >= bytes.len());
                if let Some(offset) = bytes.shared_offset() {
                    let holder = bytes.shared.as_ref().map(|shared| Arc::as_ptr(&shared.memory).addr());
                    let memory = memories.iter().find(|memory| Some(Arc::as_ptr(memory).addr()) == holder);
                    memory.unwrap().assert_holds(offset, bytes.as_slice().as_ptr());
                }
            }
            drop((bytes, taken));
            prop_assert_eq!((memories[0].used(), memories[1].used()), (0, 0));
        }
    }

    #[test]
    #[should_panic(expected = "a whole value is removed")]
    fn part_of_a_value_is_not_removed() {
        let mut bytes = AlignedBytes::zeroed(10);
        bytes.swap_remove(2, 6);
    }
}
