//! Inputs with structure: numbers and blocks of bytes one after another, read by a target and written by its
//! seeds. Past its end an input goes on with zeros, so every input is a script.

use bytes::Bytes;

/// Reads a script.
#[derive(Clone, Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    /// From the beginning.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Whether there is no more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// So many bytes, or those that are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    fn number<const N: usize>(&mut self) -> u64 {
        self.take(N).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.number::<1>() as u8
    }

    /// Two bytes.
    pub fn short(&mut self) -> u16 {
        self.number::<2>() as u16
    }

    /// Eight bytes.
    pub fn long(&mut self) -> u64 {
        self.number::<8>()
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let number = if limit <= 256 { usize::from(self.byte()) } else { usize::from(self.short()) };
        number % limit
    }

    /// One of several.
    pub fn choose<'c, T>(&mut self, from: &'c [T]) -> &'c T {
        &from[self.below(from.len())]
    }

    /// A block: two bytes of length, and so many bytes.
    pub fn block(&mut self) -> &'a [u8] {
        let length = usize::from(self.short());
        self.take(length)
    }

    /// A block as text; what is not UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.block()).into_owned()
    }

    /// Bytes with a few of them changed, cut off, or added.
    pub fn damaged(&mut self, bytes: &[u8]) -> Bytes {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.byte() % 8 {
            let (kind, at, value) = (self.byte(), usize::from(self.short()), self.byte());
            let at = if bytes.is_empty() { 0 } else { at % (bytes.len() + 1) };
            match kind % 4 {
                0 if at < bytes.len() => bytes[at] ^= value,
                1 if at < bytes.len() => bytes[at] = value,
                2 => bytes.insert(at, value),
                _ => bytes.truncate(at),
            }
        }
        bytes.into()
    }
}

/// Writes a script.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Several bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Two bytes.
    #[must_use]
    pub fn short(self, number: u16) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Eight bytes.
    #[must_use]
    pub fn long(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// A block.
    #[must_use]
    pub fn block(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let length = u16::try_from(bytes.len()).expect("seeds are small");
        self.short(length).bytes(bytes)
    }

    /// The script.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        self.0
    }
}
