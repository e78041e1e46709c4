//! Sections: a run of rows of one column, or a run of bytes of a stream, whole in one chunk.
//!
//! ```text
//! section = [kind, part, column, first_row, rows, pad, data]            kinds 0, 1, 2, 3, 6
//!         | [kind, part, column, first_row, rows, pad, data, which]     kinds 4, 5, 7, 8
//!
//! kind 0  plain rows        data: rows × stride bytes
//!      1  documents         data: u32 LE offsets[rows + 1], then the documents back to back
//!      2  entities          data: rows × u64 LE
//!      3  changed rows      data: a bitmap of the rows; first_row is a multiple of 64
//!      4  packed plain      data: the rows of the bitmap, back to back
//!      5  packed documents  data: u32 LE offsets[n + 1], then the n documents of the bitmap
//!      6  stream            data: bytes; part is the stream, first_row the offset, rows the bytes
//!      7  sparse plain      as 4, of the rows of a list of gaps
//!      8  sparse documents  as 5, of the rows of a list of gaps
//! ```
//!
//! A list of gaps says for each row how many were left out before it: a byte, or 255 and four bytes (`u32` LE)
//! where that many are more than 254. It is shorter than a bitmap where fewer than one row in eight is there.
//!
//! `pad` is a `bin` of 0 to 7 zeros so that `data` starts at a multiple of 8 in the payload. A bitmap has
//! 64-bit words, little endian, row 0 the lowest bit of the first word, and no bits past the rows.

use engine_component::BitRows;

use super::SectionError;

/// Kinds of sections, as numbers on the wire.
pub(crate) mod kind {
    pub(crate) const PLAIN: u8 = 0;
    pub(crate) const DOCUMENTS: u8 = 1;
    pub(crate) const ENTITIES: u8 = 2;
    pub(crate) const CHANGED: u8 = 3;
    pub(crate) const PACKED_PLAIN: u8 = 4;
    pub(crate) const PACKED_DOCUMENTS: u8 = 5;
    pub(crate) const STREAM: u8 = 6;
    pub(crate) const SPARSE_PLAIN: u8 = 7;
    pub(crate) const SPARSE_DOCUMENTS: u8 = 8;

    /// Whether the section says which of its rows are there.
    pub(crate) fn chooses(kind: u8) -> bool {
        matches!(kind, PACKED_PLAIN | PACKED_DOCUMENTS | SPARSE_PLAIN | SPARSE_DOCUMENTS)
    }
}

/// The column that stands for the entities of the rows, where only some of them are there.
pub const ENTITIES: u16 = u16::MAX;

/// The byte of a list of gaps that says that four more tell the gap.
pub(crate) const LONG_GAP: u8 = 255;

/// A section, checked by itself: its data has the bytes that its rows need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// The part, or the stream.
    pub part: u16,
    /// The column; of changed rows, the number of the bitmap.
    pub column: u16,
    /// The first row, counted in the part; of a stream, the offset.
    pub first_row: u32,
    /// The number of rows; of a stream, of bytes.
    pub rows: u32,
    /// The values.
    pub body: Body<'a>,
}

/// The values of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Plain rows, back to back.
    Plain(&'a [u8]),
    /// Documents.
    Documents(Documents<'a>),
    /// Entities, 8 bytes each, little endian.
    Entities(&'a [u8]),
    /// Which rows changed.
    Changed(Bits<'a>),
    /// Some Plain rows, back to back.
    PackedPlain(Bits<'a>, &'a [u8]),
    /// Some documents.
    PackedDocuments(Bits<'a>, Documents<'a>),
    /// Bytes of a stream.
    Stream(&'a [u8]),
}

/// Which of the rows of a section are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits<'a> {
    rows: u32,
    form: Form<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form<'a> {
    /// A bit for each row.
    Words(&'a [[u8; 8]]),
    /// A gap before each row, and how many rows there are.
    Gaps(&'a [u8], u32),
}

impl<'a> Bits<'a> {
    /// A bitmap of so many rows; `None` when the bytes are of another length or hold bits past the rows.
    #[must_use]
    pub fn new(bytes: &'a [u8], rows: u32) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || words.len() != (rows as usize).div_ceil(64) {
            return None;
        }
        let spare = (64 - rows % 64) % 64;
        let clean = words.last().is_none_or(|last| spare == 0 || u64::from_le_bytes(*last) >> (64 - spare) == 0);
        clean.then_some(Self { rows, form: Form::Words(words) })
    }

    /// A list of gaps over so many rows; `None` when it ends in the middle of one, or past the rows.
    #[must_use]
    pub fn gaps(bytes: &'a [u8], rows: u32) -> Option<Self> {
        let (mut list, mut end, mut count) = (Gaps { bytes }, 0_u64, 0);
        while !list.bytes.is_empty() {
            end += u64::from(list.next()?) + 1;
            count += 1;
        }
        (end <= u64::from(rows)).then_some(Self { rows, form: Form::Gaps(bytes, count) })
    }

    /// The number of rows of which some are meant.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The number of rows that are meant.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.form {
            Form::Words(words) => words.iter().map(|word| u64::from_le_bytes(*word).count_ones() as usize).sum(),
            Form::Gaps(_, count) => count as usize,
        }
    }

    /// The rows that are meant, in order, counted from the section's first.
    pub fn ones(&self) -> impl Iterator<Item = usize> + 'a {
        let (words, gaps) = match self.form {
            Form::Words(words) => (words, &[][..]),
            Form::Gaps(gaps, _) => (&[][..], gaps),
        };
        let of_words = words.iter().enumerate().flat_map(|(index, word)| {
            let mut word = u64::from_le_bytes(*word);
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    index * 64 + bit
                })
            })
        });
        let of_gaps = Gaps { bytes: gaps }.scan(0, |next, gap| {
            let row = *next + gap as usize;
            *next = row + 1;
            Some(row)
        });
        of_words.chain(of_gaps)
    }

    /// As a set of rows.
    #[must_use]
    pub fn to_rows(&self) -> BitRows {
        let rows = self.rows as usize;
        if let Form::Words(words) = self.form
            && let Some(set) = BitRows::from_bytes(words.as_flattened(), rows)
        {
            return set;
        }
        let mut set = BitRows::new(rows);
        self.ones().for_each(|row| set.set(row));
        set
    }
}

/// The gaps of a list; ends at one that is cut off.
struct Gaps<'a> {
    bytes: &'a [u8],
}

impl Iterator for Gaps<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, rest) = self.bytes.split_first()?;
        if *first < LONG_GAP {
            self.bytes = rest;
            return Some((*first).into());
        }
        let (long, rest) = rest.split_first_chunk::<4>()?;
        self.bytes = rest;
        Some(u32::from_le_bytes(*long))
    }
}

/// Documents behind their offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documents<'a> {
    offsets: &'a [[u8; 4]],
    bytes: &'a [u8],
}

impl<'a> Documents<'a> {
    fn new(data: &'a [u8], count: usize) -> Result<Self, SectionError> {
        let head = count.checked_add(1).and_then(|n| n.checked_mul(4)).ok_or(SectionError::Length)?;
        let (offsets, bytes) = data.split_at_checked(head).ok_or(SectionError::Length)?;
        let documents = Self { offsets: offsets.as_chunks().0, bytes };
        let mut last = 0;
        for (index, offset) in documents.offsets.iter().enumerate() {
            let offset = u32::from_le_bytes(*offset);
            if offset < last || (index == 0 && offset != 0) {
                return Err(SectionError::Offsets);
            }
            last = offset;
        }
        if last as usize == bytes.len() { Ok(documents) } else { Err(SectionError::Offsets) }
    }

    /// The number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A document; `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let start = u32::from_le_bytes(*self.offsets.get(index)?) as usize;
        let end = u32::from_le_bytes(*self.offsets.get(index + 1)?) as usize;
        self.bytes.get(start..end)
    }

    /// All documents, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let documents = *self;
        (0..self.len()).filter_map(move |index| documents.get(index))
    }
}

impl<'a> Section<'a> {
    /// The row behind the last one. Sections whose rows end past 2^32 are refused when they are read.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first_row + self.rows
    }

    /// Reads the section that starts at `at` in a chunk's payload; also tells where it ends.
    pub(crate) fn read(payload: &'a [u8], at: usize) -> Result<(Self, usize), SectionError> {
        let mut cursor = Cursor { payload, at };
        let fields = cursor.list()?;
        let kind = cursor.number()?;
        let part = cursor.number()?.try_into().map_err(|_| SectionError::Range)?;
        let column = cursor.number()?.try_into().map_err(|_| SectionError::Range)?;
        let first_row: u32 = cursor.number()?.try_into().map_err(|_| SectionError::Range)?;
        let rows: u32 = cursor.number()?.try_into().map_err(|_| SectionError::Range)?;
        if rows == 0 || first_row.checked_add(rows).is_none() {
            return Err(SectionError::Rows);
        }
        let pad = cursor.bin()?;
        if pad.len() > 7 || pad.iter().any(|byte| *byte != 0) {
            return Err(SectionError::Alignment);
        }
        let data = cursor.bin()?;
        if !(cursor.at - data.len()).is_multiple_of(8) {
            return Err(SectionError::Alignment);
        }
        let kind = u8::try_from(kind).map_err(|_| SectionError::Kind(kind))?;
        let packed = kind::chooses(kind);
        let which = match (packed, fields) {
            (false, 7) => None,
            (true, 8) => Some(cursor.bin()?),
            _ => return Err(SectionError::Shape),
        };
        let body = Body::read(kind, first_row, rows, data, which.unwrap_or_default())?;
        Ok((Self { part, column, first_row, rows, body }, cursor.at))
    }
}

impl<'a> Body<'a> {
    fn read(kind: u8, first_row: u32, rows: u32, data: &'a [u8], which: &'a [u8]) -> Result<Self, SectionError> {
        let count = rows as usize;
        Ok(match kind {
            kind::PLAIN => Self::Plain(rows_of(data, count)?),
            kind::DOCUMENTS => Self::Documents(Documents::new(data, count)?),
            kind::ENTITIES if count.checked_mul(8) == Some(data.len()) => Self::Entities(data),
            kind::CHANGED if !first_row.is_multiple_of(64) => return Err(SectionError::Bitmap),
            kind::CHANGED => Self::Changed(Bits::new(data, rows).ok_or(SectionError::Bitmap)?),
            kind::PACKED_PLAIN | kind::SPARSE_PLAIN => {
                let bits = some_of(kind, which, rows)?;
                Self::PackedPlain(bits, rows_of(data, bits.count())?)
            }
            kind::PACKED_DOCUMENTS | kind::SPARSE_DOCUMENTS => {
                let bits = some_of(kind, which, rows)?;
                Self::PackedDocuments(bits, Documents::new(data, bits.count())?)
            }
            kind::STREAM if data.len() == count => Self::Stream(data),
            kind::ENTITIES | kind::STREAM => return Err(SectionError::Length),
            _ => return Err(SectionError::Kind(u64::from(kind))),
        })
    }
}

/// At least one row.
fn some_of(kind: u8, which: &[u8], rows: u32) -> Result<Bits<'_>, SectionError> {
    let sparse = matches!(kind, kind::SPARSE_PLAIN | kind::SPARSE_DOCUMENTS);
    let bits = if sparse { Bits::gaps(which, rows) } else { Bits::new(which, rows) };
    bits.filter(|bits| bits.count() > 0).ok_or(SectionError::Bitmap)
}

/// Data that is a whole and positive number of bytes for each row.
fn rows_of(data: &[u8], rows: usize) -> Result<&[u8], SectionError> {
    if data.is_empty() || !data.len().is_multiple_of(rows) { Err(SectionError::Length) } else { Ok(data) }
}

/// Reads the few MessagePack types that a section consists of.
struct Cursor<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], SectionError> {
        let end = self.at.checked_add(length).ok_or(SectionError::Truncated)?;
        let bytes = self.payload.get(self.at..end).ok_or(SectionError::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn marker(&mut self) -> Result<u8, SectionError> {
        Ok(self.take(1)?[0])
    }

    fn be(&mut self, width: usize) -> Result<u64, SectionError> {
        Ok(self.take(width)?.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
    }

    fn list(&mut self) -> Result<u64, SectionError> {
        match self.marker()? {
            marker @ 0x90..=0x9f => Ok(u64::from(marker & 0x0f)),
            0xdc => self.be(2),
            0xdd => self.be(4),
            _ => Err(SectionError::Shape),
        }
    }

    fn number(&mut self) -> Result<u64, SectionError> {
        match self.marker()? {
            marker @ 0x00..=0x7f => Ok(u64::from(marker)),
            0xcc => self.be(1),
            0xcd => self.be(2),
            0xce => self.be(4),
            0xcf => self.be(8),
            _ => Err(SectionError::Shape),
        }
    }

    fn bin(&mut self) -> Result<&'a [u8], SectionError> {
        let length = match self.marker()? {
            0xc4 => self.be(1)?,
            0xc5 => self.be(2)?,
            0xc6 => self.be(4)?,
            _ => return Err(SectionError::Shape),
        };
        self.take(usize::try_from(length).map_err(|_| SectionError::Truncated)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_name_rows_short_and_long() {
        let bytes = [&[0, 2, 254, LONG_GAP][..], &300_u32.to_le_bytes()].concat();
        let bits = Bits::gaps(&bytes, 560).unwrap();
        assert_eq!(bits.ones().collect::<Vec<_>>(), [0, 3, 258, 559]);
        assert_eq!((bits.count(), bits.to_rows().count()), (4, 4));
        assert_eq!(Bits::gaps(&bytes, 559), None, "past the rows");
    }

    #[test]
    fn gaps_that_lead_nowhere_are_refused() {
        assert_eq!(Bits::gaps(&[0, LONG_GAP, 1, 0], 1 << 20), None, "cut off");
        let far = [&[LONG_GAP][..], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(Bits::gaps(&far, u32::MAX), None, "the row behind the last");
        // No number of them wraps around.
        assert_eq!(Bits::gaps(&far.repeat(1000), u32::MAX), None);
        let none = some_of(kind::SPARSE_PLAIN, &[], 10);
        assert_eq!(none, Err(SectionError::Bitmap), "no row");
        assert_eq!(Bits::gaps(&[], 10).map(|bits| bits.ones().count()), Some(0));
    }
}
