//! Events: what systems tell each other beside components, in batches of one type.
//!
//! A batch is bytes, the same in memory and on the wire: whoever carries it does not know the type.
//!
//! ```text
//! plain      the values back to back, the first one aligned to 16
//! document   for each event: length u32 little endian, then a MessagePack map
//! tag        nothing; the number of events is all
//! ```

use engine_component::schema::{RowError, Schema};
use engine_component::{AlignedBytes, ComponentId, Data, Entity, Event, Storage, StorageKind, msgpack};
use engine_net::parcel::EventManifest;
use xxhash_rust::xxh3::Xxh3;

/// Bytes before each document.
const LENGTH: usize = 4;

/// Events that are tags in a batch from outside, at the most: no bytes bear witness to them, and whoever reads
/// them takes one after another.
pub(crate) const MAX_TAGS: usize = 32 << 20;

/// Events of one type, in the order in which they were sent.
///
/// A batch that is made by default has no type: it takes that of what is put into it first.
#[derive(Clone, Debug)]
pub struct EventBatch {
    kind: StorageKind,
    stride: usize,
    count: usize,
    /// Longer than `used`: it grows by doubling.
    bytes: AlignedBytes,
    used: usize,
}

impl Default for EventBatch {
    fn default() -> Self {
        Self { kind: StorageKind::Tag, stride: 0, count: 0, bytes: AlignedBytes::default(), used: 0 }
    }
}

impl PartialEq for EventBatch {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl EventBatch {
    /// What a parcel says of the batch, if its events are of that type.
    #[must_use]
    pub fn manifest(&self, event: ComponentId) -> EventManifest {
        EventManifest { event, count: self.len() as u32, bytes: self.byte_len() as u64 }
    }

    /// A batch of one type, empty.
    #[must_use]
    pub fn of<E: Event>() -> Self {
        Self { kind: E::KIND, stride: plain_size::<E>(), ..Self::default() }
    }

    /// A batch from bytes that came from outside, each event checked against the schema.
    ///
    /// # Errors
    /// The first event that is refused, and why.
    pub fn from_bytes(schema: &Schema, count: usize, bytes: &[u8]) -> Result<Self, EventError> {
        let slice = EventSlice::from_bytes(schema, count, bytes)?;
        let mut batch = Self::default();
        batch.append_slice(slice);
        Ok(batch)
    }

    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.used
    }

    /// The bytes, as they go on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes.as_slice()[..self.used]
    }

    /// The events, to be read.
    #[must_use]
    pub fn as_slice(&self) -> EventSlice<'_> {
        EventSlice { kind: self.kind, stride: self.stride, count: self.count, bytes: self.bytes() }
    }

    /// Appends an event.
    ///
    /// # Panics
    /// When the batch holds events that are stored in another way.
    pub fn push<E: Event>(&mut self, event: &E) {
        self.take_type(E::KIND, plain_size::<E>());
        E::Storage::with_bytes(event, |bytes| {
            if E::KIND == StorageKind::Document {
                self.put(&(bytes.len() as u32).to_le_bytes());
            }
            self.put(bytes);
        });
        self.count += 1;
    }

    /// Appends an event from the bytes of its value, which the schema's check has accepted.
    ///
    /// # Panics
    /// When the batch holds events that are stored in another way.
    pub fn push_raw(&mut self, schema: &Schema, value: &[u8]) {
        self.take_type(schema.kind, schema.stride());
        if schema.kind == StorageKind::Document {
            self.put(&(value.len() as u32).to_le_bytes());
        }
        self.put(value);
        self.count += 1;
    }

    /// Appends the events of another batch of the same type.
    ///
    /// # Panics
    /// When the other batch holds events that are stored in another way.
    pub fn append(&mut self, other: &Self) {
        self.append_slice(other.as_slice());
    }

    /// As [`Self::append`], from borrowed events.
    ///
    /// # Panics
    /// When the events are stored in another way.
    pub fn append_slice(&mut self, other: EventSlice<'_>) {
        if other.is_empty() {
            return;
        }
        self.take_type(other.kind, other.stride);
        self.put(other.bytes);
        self.count += other.count;
    }

    /// Replaces every entity in the events, e.g. those that had no final number yet. `offsets` is where a
    /// Plain event has them ([`Schema::entity_offsets`]); documents tell by themselves.
    pub fn replace_entities(&mut self, offsets: &[u32], real: impl Fn(Entity) -> Entity) {
        let (kind, stride, used) = (self.kind, self.stride, self.used);
        let bytes = &mut self.bytes.as_mut_slice()[..used];
        match kind {
            StorageKind::Plain => replace_in_rows(bytes, stride, offsets, &real),
            StorageKind::Document => {
                let mut at = 0;
                while let Some(length) = document_length(bytes, at) {
                    let start = at + LENGTH;
                    msgpack::for_each_entity(&mut bytes[start..start + length], &real);
                    at = start + length;
                }
            }
            StorageKind::Tag => {}
        }
    }

    /// Feeds the events to a hash.
    pub fn hash_into(&self, hash: &mut Xxh3) {
        hash.update(&(self.count as u64).to_le_bytes());
        hash.update(self.bytes());
    }

    fn take_type(&mut self, kind: StorageKind, stride: usize) {
        if self.count == 0 {
            (self.kind, self.stride) = (kind, stride);
        }
        assert!((self.kind, self.stride) == (kind, stride), "a batch holds events of one type");
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if end > self.bytes.len() {
            let mut larger = AlignedBytes::zeroed(end.next_power_of_two().max(64));
            larger.as_mut_slice()[..self.used].copy_from_slice(self.bytes());
            self.bytes = larger;
        }
        self.bytes.as_mut_slice()[self.used..end].copy_from_slice(bytes);
        self.used = end;
    }
}

fn plain_size<E: Data>() -> usize {
    if E::KIND == StorageKind::Plain { size_of::<E>() } else { 0 }
}

fn replace_in_rows(bytes: &mut [u8], stride: usize, offsets: &[u32], real: &impl Fn(Entity) -> Entity) {
    for row in bytes.chunks_exact_mut(stride) {
        for offset in offsets {
            let at = *offset as usize;
            let Some((field, _)) = row.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<8>) else { continue };
            *field = real(Entity::from_bits(u64::from_le_bytes(*field))).to_bits().to_le_bytes();
        }
    }
}

/// The length of the document that begins at `at`, when it is there as a whole.
fn document_length(bytes: &[u8], at: usize) -> Option<usize> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<LENGTH>()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length <= rest.len()).then_some(length)
}

/// Events of one type, borrowed from a batch or from a received message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventSlice<'a> {
    kind: StorageKind,
    stride: usize,
    count: usize,
    bytes: &'a [u8],
}

impl Default for EventSlice<'_> {
    fn default() -> Self {
        Self { kind: StorageKind::Tag, stride: 0, count: 0, bytes: &[] }
    }
}

impl<'a> EventSlice<'a> {
    /// Events from bytes that came from outside, each checked against the schema.
    ///
    /// # Errors
    /// The first event that is refused, and why.
    pub fn from_bytes(schema: &Schema, count: usize, bytes: &'a [u8]) -> Result<Self, EventError> {
        let slice = Self { kind: schema.kind, stride: schema.stride(), count, bytes };
        let refuse =
            |index, reason: RowError| EventError { event: schema.name.clone(), index, reason: reason.to_string() };
        let mut end = 0;
        let mut rows = slice.rows();
        for index in 0..count {
            // Tags need no bytes, so a count alone must not keep us busy.
            if slice.kind == StorageKind::Tag && count > MAX_TAGS {
                let reason = format!("{count} events without a byte, where at most {MAX_TAGS} are accepted");
                return Err(EventError { event: schema.name.clone(), index: MAX_TAGS, reason });
            }
            if slice.kind == StorageKind::Tag {
                break;
            }
            let Some(row) = rows.next() else {
                return Err(slice.wrong_count(schema, index));
            };
            schema.check_row(row).map_err(|reason| refuse(index, reason))?;
            end += row.len() + if slice.kind == StorageKind::Document { LENGTH } else { 0 };
        }
        if end == bytes.len() { Ok(slice) } else { Err(slice.wrong_count(schema, count)) }
    }

    fn wrong_count(&self, schema: &Schema, index: usize) -> EventError {
        let reason = format!("{} bytes are not {} events", self.bytes.len(), self.count);
        EventError { event: schema.name.clone(), index, reason }
    }

    /// Whether they are stored as events of this type are.
    #[must_use]
    pub fn holds<E: Data>(&self) -> bool {
        (self.kind, self.stride) == (E::KIND, plain_size::<E>())
    }

    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes, as they go on the wire.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of each event: a Plain value, a document, or nothing.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { kind, stride, count, bytes } = *self;
        let mut at = 0;
        (0..count).map_while(move |_| {
            let (start, length) = match kind {
                StorageKind::Plain => (at, stride),
                StorageKind::Document => (at + LENGTH, document_length(bytes, at)?),
                StorageKind::Tag => (0, 0),
            };
            at = start + length;
            bytes.get(start..at)
        })
    }
}

/// Events from outside that are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {index} of `{event}` is refused: {reason}")]
pub struct EventError {
    /// The event type.
    pub event: String,
    /// Which of the events.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// The events that a job sent: one entry for each event type that the system declares to write.
pub type SentEvents = Vec<(ComponentId, EventBatch)>;
