//! Reads values that were stored by another build's schema, and writes them back.
//!
//! ```text
//!                 read: fields moved, renamed, widened, defaults for what is not stored
//!   stored  ───────────────────────────────────────────────────────────────────────────▶  reader's
//!           ◀───────────────────────────────────────────────────────────────────────────
//!      write back: over the stored value, which keeps what the reader does not know;
//!      make: a value that was not stored before, with the stored schema's defaults for that
//! ```
//!
//! What the reader alone has is not kept. A number that the reader holds wider goes back when the stored
//! type has it, else that is an error: nothing is cut off in silence. Only floats are rounded.

mod documents;
mod numbers;
mod plain;

use documents::DocumentAdapter;
use plain::PlainAdapter;

use super::{Field, FieldType, Schema};
use crate::data::StorageKind;
use crate::msgpack::MsgError;

/// The way from stored values to a reader's values, and back.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter(Way);

#[derive(Clone, Debug, PartialEq)]
enum Way {
    Plain(PlainAdapter),
    Document(DocumentAdapter),
}

/// A reader's value that the stored schema has no place for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdaptError {
    /// A number beyond the stored type, or with a fraction where it has none.
    #[error("field `{field}`: {value} is no {stored}, and that is what is stored")]
    Number {
        /// The field.
        field: String,
        /// The reader's number.
        value: String,
        /// The stored type.
        stored: String,
    },
    /// A new value would lack these.
    #[error("a new value lacks {}: this build does not know what is stored there, and it has no default", names(.0))]
    Lacks(Vec<String>),
    /// A field that has to be there, left out of a document, or nil.
    #[error("field `{0}` is left out, and what is stored there is not optional")]
    LeftOut(String),
    /// Bytes that are no document.
    #[error(transparent)]
    Malformed(#[from] MsgError),
}

fn names(fields: &[String]) -> String {
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}

impl Adapter {
    /// Converts Plain rows. `stored` holds `rows` rows of the stored schema, `out` as many of the reader's.
    ///
    /// # Panics
    /// When the lengths don't say the same as `rows`, or values are documents.
    pub fn read(&self, stored: &[u8], out: &mut [u8], rows: usize) {
        self.plain().read(stored, out, rows);
    }

    /// Writes the reader's Plain rows over the stored ones. Stored fields that the reader doesn't know keep
    /// their values, fields that only the reader has are not kept; a wider number that was not changed leaves
    /// the stored bytes as they are.
    ///
    /// # Errors
    /// When a number does not go back; rows before it are written by then.
    ///
    /// # Panics
    /// When the lengths don't say the same as `rows`, or values are documents.
    pub fn write_back(&self, mine: &[u8], stored: &mut [u8], rows: usize) -> Result<(), AdaptError> {
        self.plain().write_back(mine, stored, rows)
    }

    /// Converts a document.
    ///
    /// # Errors
    /// When the stored bytes are not a well-formed map.
    ///
    /// # Panics
    /// When values are Plain.
    pub fn read_document(&self, stored: &[u8]) -> Result<Vec<u8>, MsgError> {
        self.documents().read(stored)
    }

    /// The stored document with the fields of the reader's document put in.
    ///
    /// # Errors
    /// When a value does not go back, or one of the documents is not a well-formed map.
    ///
    /// # Panics
    /// When values are Plain.
    pub fn write_document(&self, mine: &[u8], stored: &[u8]) -> Result<Vec<u8>, AdaptError> {
        self.documents().write_back(mine, stored)
    }

    /// Converts one stored value, however it is stored.
    ///
    /// # Errors
    /// When it is a document that is not a well-formed map.
    ///
    /// # Panics
    /// When a Plain value is of another length.
    pub fn read_value(&self, stored: &[u8]) -> Result<Vec<u8>, MsgError> {
        match &self.0 {
            Way::Document(documents) => documents.read(stored),
            Way::Plain(plain) => {
                let mut out = plain.blank();
                plain.read(stored, &mut out, 1);
                Ok(out)
            }
        }
    }

    /// A value to be stored that was not stored before: what the reader does not know gets its default.
    ///
    /// # Errors
    /// When there is no default for something ([`Self::check_make`]), or a value does not go back.
    ///
    /// # Panics
    /// When a Plain value is of another length.
    pub fn make(&self, mine: &[u8]) -> Result<Vec<u8>, AdaptError> {
        self.check_make()?;
        match &self.0 {
            Way::Plain(plain) => plain.make(mine),
            Way::Document(documents) => documents.make(mine),
        }
    }

    /// Whether the reader can make new values: whether what it does not know has defaults.
    ///
    /// # Errors
    /// [`AdaptError::Lacks`], which names what has none.
    pub fn check_make(&self) -> Result<(), AdaptError> {
        let lacks = match &self.0 {
            Way::Plain(plain) => plain.lacks(),
            Way::Document(documents) => documents.lacks(),
        };
        if lacks.is_empty() { Ok(()) } else { Err(AdaptError::Lacks(lacks.to_vec())) }
    }

    fn plain(&self) -> &PlainAdapter {
        let Way::Plain(plain) = &self.0 else { panic!("documents are converted one by one") };
        plain
    }

    fn documents(&self) -> &DocumentAdapter {
        let Way::Document(documents) = &self.0 else { panic!("plain values are converted as rows") };
        documents
    }
}

/// An adapter in the making.
pub(super) struct Build(Way);

impl Build {
    pub(super) fn new(stored: &Schema, reader: &Schema) -> Self {
        Self(match stored.kind {
            StorageKind::Document => Way::Document(DocumentAdapter::new(stored)),
            StorageKind::Plain | StorageKind::Tag => Way::Plain(PlainAdapter::new(stored, reader)),
        })
    }

    pub(super) fn default_at(&mut self, offset: usize, bytes: &[u8]) {
        if let Way::Plain(plain) = &mut self.0 {
            plain.default_at(offset, bytes);
        }
    }

    pub(super) fn copy(&mut self, from: usize, to: usize, length: usize) {
        if let Way::Plain(plain) = &mut self.0 {
            plain.copy(from, to, length);
        }
    }

    pub(super) fn widen(&mut self, field: &str, from: (&FieldType, usize), to: (&FieldType, usize)) {
        if let Way::Plain(plain) = &mut self.0 {
            plain.widen(field, from, to);
        }
    }

    pub(super) fn field(&mut self, field: &Field, stored: Option<&Field>) {
        if let Way::Document(documents) = &mut self.0 {
            documents.field(field, stored);
        }
    }

    pub(super) fn finish(self, stored: &Schema) -> Adapter {
        Adapter(match self.0 {
            Way::Plain(plain) => Way::Plain(plain.finish(stored)),
            Way::Document(documents) => Way::Document(documents.finish()),
        })
    }
}
