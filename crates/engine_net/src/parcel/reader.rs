//! From chunks to a parcel: an assembler that takes chunks in any order, and the parcel that it ends in.
//!
//! Chunks are kept as they came from the socket; nothing is copied. What is kept is bounded by what
//! arrived, never by what a prefix claims.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::Xxh3;

use super::section::{Body, Section};
use super::{MAX_MANIFEST_BYTES, Refusal};
use crate::prefix::{ChunkPrefix, PREFIX_BYTES, ParcelId};
use crate::strict::{self, DecodeError};

/// What a parcel may have, at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Chunks.
    pub chunks: u16,
    /// Bytes of all chunks.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { chunks: u16::MAX, bytes: 1 << 30 }
    }
}

/// What a chunk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was the last one that was missing.
    Complete,
    /// So many are still missing.
    Need(u16),
    /// It was there already, with the same bytes.
    Duplicate,
}

/// Collects the chunks of one parcel.
#[derive(Clone, Debug)]
pub struct Assembler {
    id: ParcelId,
    chunks: u16,
    limits: Limits,
    /// The first chunks, without a gap.
    ordered: Vec<Bytes>,
    /// Chunks behind a gap.
    early: BTreeMap<u16, Bytes>,
    bytes: usize,
    duplicates: u64,
}

impl Assembler {
    /// For the parcel that a chunk belongs to. The chunk itself is still to be pushed.
    pub fn new(first: &ChunkPrefix, limits: Limits) -> Result<Self, Refusal> {
        if first.chunks > limits.chunks {
            return Err(too_large("chunks", first.chunks.into(), limits.chunks.into()));
        }
        Ok(Self {
            id: first.parcel(),
            chunks: first.chunks,
            limits,
            ordered: Vec::new(),
            early: BTreeMap::new(),
            bytes: 0,
            duplicates: 0,
        })
    }

    /// The parcel that is assembled.
    #[must_use]
    pub fn id(&self) -> ParcelId {
        self.id
    }

    /// Adds a chunk: a whole payload, with its prefix. A refused chunk changes nothing.
    pub fn push(&mut self, chunk: Bytes) -> Result<Progress, Refusal> {
        let (prefix, _) = ChunkPrefix::decode(&chunk)?;
        self.check(&prefix)?;
        if let Some(known) = self.known(prefix.chunk) {
            if *known != chunk {
                return Err(Refusal::Contradiction(prefix.chunk));
            }
            self.duplicates += 1;
            return Ok(Progress::Duplicate);
        }
        let bytes = self.bytes.saturating_add(chunk.len());
        if bytes > self.limits.bytes {
            return Err(too_large("bytes", bytes, self.limits.bytes));
        }
        self.bytes = bytes;
        self.store(prefix.chunk, chunk);
        Ok(match self.need() {
            0 => Progress::Complete,
            need => Progress::Need(need),
        })
    }

    /// Whether all chunks are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.need() == 0
    }

    /// Numbers of chunks that are missing, in order.
    pub fn missing(&self) -> impl Iterator<Item = u16> + '_ {
        (self.ordered.len() as u16..self.chunks).filter(|chunk| !self.early.contains_key(chunk))
    }

    /// Whether a chunk is missing that others have overtaken: the moment to ask for it.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }

    /// Bytes that are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Chunks that came again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The parcel; `None` while chunks are missing.
    #[must_use]
    pub fn finish(self) -> Option<Parcel> {
        self.is_complete().then(|| Parcel { id: self.id, chunks: self.ordered, bytes: self.bytes })
    }

    fn check(&self, prefix: &ChunkPrefix) -> Result<(), Refusal> {
        let got = prefix.parcel();
        if got != self.id {
            return Err(Refusal::Foreign { expected: self.id, got });
        }
        if prefix.chunks != self.chunks {
            return Err(Refusal::Count { expected: self.chunks, got: prefix.chunks });
        }
        Ok(())
    }

    fn known(&self, chunk: u16) -> Option<&Bytes> {
        self.ordered.get(usize::from(chunk)).or_else(|| self.early.get(&chunk))
    }

    fn store(&mut self, number: u16, chunk: Bytes) {
        if usize::from(number) != self.ordered.len() {
            self.early.insert(number, chunk);
            return;
        }
        self.ordered.push(chunk);
        while let Some(next) = self.early.remove(&(self.ordered.len() as u16)) {
            self.ordered.push(next);
        }
    }

    fn need(&self) -> u16 {
        self.chunks - self.ordered.len() as u16 - self.early.len() as u16
    }
}

/// A parcel with all its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    id: ParcelId,
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Parcel {
    /// The parcel of chunks that are all there and in order, as a [`ParcelWriter`](super::ParcelWriter)
    /// gives them.
    pub fn of_chunks(chunks: impl IntoIterator<Item = Bytes>, limits: Limits) -> Result<Self, Refusal> {
        let mut chunks = chunks.into_iter().peekable();
        let (first, _) = ChunkPrefix::decode(chunks.peek().map_or(&[][..], |chunk| chunk))?;
        let mut assembler = Assembler::new(&first, limits)?;
        for chunk in chunks {
            assembler.push(chunk)?;
        }
        let (expected, got) = (assembler.chunks, assembler.ordered.len() as u16);
        assembler.finish().ok_or(Refusal::Count { expected, got })
    }

    /// Which parcel it is.
    #[must_use]
    pub fn id(&self) -> ParcelId {
        self.id
    }

    /// The prefix of its first chunk.
    #[must_use]
    pub fn prefix(&self) -> ChunkPrefix {
        let ParcelId { epoch, tick, kind, job, attempt, instance } = self.id;
        ChunkPrefix { kind, attempt, job, epoch, tick, chunk: 0, chunks: self.chunks.len() as u16, instance }
    }

    /// The chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Bytes of all chunks.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The manifest.
    pub fn manifest<M: DeserializeOwned>(&self) -> Result<M, Refusal> {
        let body = self.chunks[0].get(PREFIX_BYTES..).unwrap_or_default();
        let length = strict::measure(body).map_err(Refusal::Manifest)?;
        strict::decode(&body[..length], MAX_MANIFEST_BYTES).map_err(Refusal::Manifest)
    }

    /// The sections, in the order in which they were written. Ends after the first refusal.
    #[must_use]
    pub fn sections(&self) -> Sections<'_> {
        Sections { chunks: &self.chunks, chunk: 0, at: None, index: 0 }
    }

    /// A digest of all values; of two results of one job it is equal exactly when they change the world in
    /// the same way. It doesn't depend on how the values are cut into chunks, nor on the manifest.
    pub fn digest(&self) -> Result<u128, Refusal> {
        let mut columns: BTreeMap<(bool, u16, u16), Xxh3> = BTreeMap::new();
        for section in self.sections() {
            let section = section?;
            let stream = matches!(section.body, Body::Stream(_));
            feed(columns.entry((stream, section.part, section.column)).or_default(), &section);
        }
        let mut all = Xxh3::new();
        for ((stream, part, column), hash) in columns {
            all.update(&[u8::from(stream)]);
            all.update(&part.to_le_bytes());
            all.update(&column.to_le_bytes());
            all.update(&hash.digest128().to_le_bytes());
        }
        Ok(all.digest128())
    }
}

/// Feeds rows as (row, value), so that all ways to write them are the same.
fn feed(hash: &mut Xxh3, section: &Section<'_>) {
    let mut row = |offset: usize, value: &[u8]| {
        let number = section.first_row as usize + offset;
        hash.update(&(number as u64).to_le_bytes());
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value);
    };
    let rows = section.rows as usize;
    match section.body {
        Body::Plain(data) => data.chunks_exact(data.len() / rows).enumerate().for_each(|(at, value)| row(at, value)),
        Body::Entities(data) => data.chunks_exact(8).enumerate().for_each(|(at, value)| row(at, value)),
        Body::Documents(documents) => documents.iter().enumerate().for_each(|(at, value)| row(at, value)),
        Body::Changed(bits) => bits.ones().for_each(|at| row(at, &[])),
        Body::PackedPlain(bits, data) => {
            bits.ones().zip(data.chunks_exact(data.len() / bits.count())).for_each(|(at, value)| row(at, value));
        }
        Body::PackedDocuments(bits, documents) => {
            bits.ones().zip(documents.iter()).for_each(|(at, value)| row(at, value));
        }
        Body::Stream(data) => hash.update(data),
    }
}

/// The sections of a parcel. See [`Parcel::sections`].
#[derive(Clone, Debug)]
pub struct Sections<'a> {
    chunks: &'a [Bytes],
    chunk: u16,
    /// Where in the chunk; `None` before its first section.
    at: Option<usize>,
    index: u32,
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (payload, rest) = self.chunks.split_first()?;
            let at = match self.at.map_or_else(|| first_section(self.chunk, payload), Ok) {
                Ok(at) => at,
                Err(error) => return self.end(Refusal::Manifest(error)),
            };
            if at < payload.len() {
                return match Section::read(payload, at) {
                    Ok((section, end)) => {
                        self.at = Some(end);
                        self.index += 1;
                        Some(Ok(section))
                    }
                    Err(reason) => self.end(Refusal::Section { chunk: self.chunk, index: self.index, reason }),
                };
            }
            self.chunks = rest;
            self.chunk = self.chunk.saturating_add(1);
            self.at = None;
            self.index = 0;
        }
    }
}

impl<'a> Sections<'a> {
    fn end(&mut self, refusal: Refusal) -> Option<Result<Section<'a>, Refusal>> {
        self.chunks = &[];
        Some(Err(refusal))
    }
}

/// Sections start behind the prefix, in the first chunk behind the manifest.
fn first_section(chunk: u16, payload: &[u8]) -> Result<usize, DecodeError> {
    if chunk > 0 {
        return Ok(PREFIX_BYTES);
    }
    Ok(PREFIX_BYTES + strict::measure(payload.get(PREFIX_BYTES..).unwrap_or_default())?)
}

fn too_large(what: &'static str, got: usize, limit: usize) -> Refusal {
    Refusal::TooLarge { what, got, limit }
}
