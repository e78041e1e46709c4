//! A block of bytes that is aligned for every Plain type, and grows without being filled with zeros first.

#![expect(unsafe_code, reason = "bytes past the end are not initialised")]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

/// Sixteen bytes, so that a vector of them aligns every Plain type.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Lane([u8; LANE]);

const LANE: usize = 16;

/// Up to this size a block doubles when it is full; above, it grows by a quarter, so that a large world
/// does not pay for room that it does not use.
const DOUBLING_BYTES: usize = 1 << 20;

/// An aligned block of bytes that grows.
#[derive(Default)]
pub struct AlignedBytes {
    /// Room for at least `len` bytes, of which the first `len` are initialised.
    lanes: Vec<MaybeUninit<Lane>>,
    len: usize,
}

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
        unsafe { std::slice::from_raw_parts(self.lanes.as_ptr().cast(), self.len) }
    }

    /// The bytes, to be written.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the block is exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }

    /// The first byte. Valid for reads and writes of all bytes until the block grows or is dropped.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lanes.as_mut_ptr().cast()
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
        let len = self.len + bytes.len();
        if len > self.room() {
            self.grow(len);
        }
        // SAFETY: there is room for the bytes behind the last one; the block is exclusively borrowed, so they
        // are not in it.
        unsafe { copy(bytes.as_ptr(), self.as_mut_ptr().add(self.len), bytes.len()) };
        self.len = len;
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
        let len = end.len + bytes;
        if len > end.room() {
            end.grow(len);
        }
        let first = self.as_mut_ptr();
        // SAFETY: both ranges of this block are initialised; there is room for as many bytes behind the last one of
        // the other block, which is exclusively borrowed too.
        unsafe { shift(first.add(at), first.add(last), end.as_mut_ptr().add(end.len), bytes) };
        end.len = len;
        self.len = last;
    }

    /// As [`Self::move_to`] for values of `BYTES` bytes one after the other, each by its number when its turn comes.
    ///
    /// # Panics
    /// When there are not that many.
    pub(crate) fn move_all_to<const BYTES: usize>(&mut self, values: &[u32], end: &mut Self) {
        let len = end.len + values.len() * BYTES;
        if len > end.room() {
            end.grow(len);
        }
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

    /// Makes room for so many bytes in a block that has none, and touches it, so that the operating system
    /// has it ready.
    pub(crate) fn make_room_ready(&mut self, bytes: usize) {
        *self = Self::zeroed(bytes);
        self.as_mut_slice().fill(1);
        self.truncate(0);
    }

    /// Forgets all bytes from `len` on.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for so many more bytes, and not for more than that.
    pub(crate) fn reserve(&mut self, more: usize) {
        let len = self.len + more;
        if len > self.room() {
            self.make_room(len);
        }
    }

    /// Bytes on the heap.
    pub(crate) fn capacity(&self) -> usize {
        self.lanes.capacity() * LANE
    }

    #[inline]
    fn room(&self) -> usize {
        self.lanes.len() * LANE
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let room = self.room();
        let wanted = if room < DOUBLING_BYTES { room * 2 } else { room + room / 4 };
        self.make_room(len.max(wanted).max(4 * LANE));
    }

    fn make_room(&mut self, bytes: usize) {
        let lanes = bytes.div_ceil(LANE);
        self.lanes.reserve_exact(lanes - self.lanes.len());
        // SAFETY: there is capacity for so many, and any bytes are a `MaybeUninit`.
        unsafe { self.lanes.set_len(lanes) };
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

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        let mut bytes = Self::default();
        bytes.reserve(self.len);
        bytes.push(self.as_slice());
        bytes
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

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        SwapRemove(usize),
        MoveTo(usize),
        Truncate(usize),
        Reserve(usize),
        Overwrite(usize, usize, Vec<u8>),
        Clone,
    }

    const VALUE: usize = 6;

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
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_vector_of_bytes(zeros in 0..50_usize, steps in proptest::collection::vec(step(), 0..60)) {
            let (mut bytes, mut model) = (AlignedBytes::zeroed(zeros), vec![0_u8; zeros]);
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
                    Step::Clone => bytes = bytes.clone(),
                }
                prop_assert_eq!(bytes.as_slice(), &model[..]);
                prop_assert_eq!(bytes.as_slice().as_ptr().addr() % LANE, 0);
                prop_assert!(bytes.capacity() >= bytes.len());
            }
        }
    }

    #[test]
    #[should_panic(expected = "a whole value is removed")]
    fn part_of_a_value_is_not_removed() {
        let mut bytes = AlignedBytes::zeroed(10);
        bytes.swap_remove(2, 6);
    }
}
