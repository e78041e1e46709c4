//! Schemas: what is known of a component without the Rust type.
//!
//! A schema names the fields of a component with their types and offsets. The coordinator, an editor and
//! other languages read and write values by it that they were never compiled with; its canonical text,
//! hashed, tells whether two builds mean the same. Schemas come from outside too, so [`Schema::check`]
//! runs before anything else believes one.

mod access;
mod adapter;
mod check;
mod declared;
mod diff;
mod document;
mod field_type;
mod fit;
mod json;
mod plain;
mod references;
mod row;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

pub use access::Access;
pub use adapter::{AdaptError, Adapter};
pub use check::{MAX_ALIGN, MAX_DEPTH, MAX_FIELDS, MAX_SIZE, SchemaError};
pub use diff::SchemaDiff;
pub use field_type::{FieldType, TypeError};
pub use fit::{Fit, fit};
pub use json::{ValueError, nearest};
pub use plain::PlainField;
pub use row::RowError;
pub(crate) use text::put_value;

use crate::data::{Data, StorageKind};
use crate::msgpack::MsgError;
use crate::{ComponentId, msgpack};

/// Name, storage and fields of a component or an event.
///
/// ```
/// use engine_component::{Component, Data};
///
/// #[derive(Clone, Copy, Component)]
/// #[component(name = "physics.Body", finite)]
/// #[repr(C)]
/// struct Body {
///     #[component(default = 1.0)]
///     mass: f32,
///     #[component(was = "team")]
///     side: u32,
/// }
///
/// let schema = Body::schema();
/// let row = schema.value_to_row(&serde_json::json!({"side": 2})).unwrap();
/// assert_eq!(row, [0, 0, 128, 63, 2, 0, 0, 0]);
/// let error = schema.value_to_row(&serde_json::json!({"syde": 2})).unwrap_err();
/// assert_eq!(error.to_string(), "`physics.Body` has no field `syde`: is `side` meant?");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The declared name.
    pub name: String,
    /// A number for people: whoever changes the meaning of a field counts it up.
    pub version: u32,
    /// How values are stored.
    pub kind: StorageKind,
    /// Bytes of a Plain value; 0 for documents and tags.
    pub size: u32,
    /// Alignment of a Plain value; 1 for documents and tags.
    pub align: u32,
    /// Whether NaN and infinities from outside are refused.
    pub finite: bool,
    /// What programs outside of the world may do with values.
    #[serde(default, skip_serializing_if = "Access::is_open")]
    pub access: Access,
    /// The fields, in the order of their declaration, which is the order of their offsets.
    pub fields: Vec<Field>,
}

/// A field of a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: FieldType,
    /// Where it starts in the bytes of a Plain value; 0 in documents.
    pub offset: u32,
    /// The value where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The name that the field had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// The JSON of one MessagePack value that has no schema. What JSON has not becomes an object with one key that starts with
/// `$`, as in documents: an entity is `{"$entity": 7}`.
///
/// # Errors
/// When the bytes are not one well-formed value.
pub fn json_of(bytes: &[u8]) -> Result<Value, MsgError> {
    msgpack::check_whole(bytes, msgpack::MAX_DEPTH)?;
    document::to_value(bytes)
}

/// The hash of a schema's canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SchemaHash(pub u128);

impl fmt::Display for SchemaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SchemaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaHash({self})")
    }
}

impl Schema {
    /// The id that follows from the name.
    #[must_use]
    pub fn id(&self) -> ComponentId {
        ComponentId::of_name(&self.name)
    }

    /// Bytes of a row of a Plain column; 0 for documents and tags.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.size as usize
    }

    /// The schema as text: the same text means the same schema, in every language.
    ///
    /// A line with the name, the version, the storage and, when NaN and infinities are refused, `finite`, and
    /// `read_only` or `private` where outside programs may not do all.
    /// Then a line per field: name, type, in Plain schemas `@` with the offset, and where there are any
    /// the default (` = ` and JSON without spaces, keys sorted) and the former name (` was `).
    #[must_use]
    pub fn canonical_text(&self) -> String {
        text::canonical(self)
    }

    /// XXH3-128 of the canonical text, seed 0.
    #[must_use]
    pub fn hash(&self) -> SchemaHash {
        SchemaHash(xxh3_128(self.canonical_text().as_bytes()))
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Where the floats of a Plain value are: offset and width (4 or 8) of each.
    #[must_use]
    pub fn float_lanes(&self) -> Vec<(u32, u8)> {
        let mut lanes = Vec::new();
        self.for_each_scalar(|ty, offset| match ty {
            FieldType::F32 => lanes.push((offset, 4)),
            FieldType::F64 => lanes.push((offset, 8)),
            _ => {}
        });
        lanes
    }

    /// Where the entities of a Plain value are.
    #[must_use]
    pub fn entity_offsets(&self) -> Vec<u32> {
        let mut offsets = Vec::new();
        self.for_each_scalar(|ty, offset| {
            if *ty == FieldType::Entity {
                offsets.push(offset);
            }
        });
        offsets
    }

    fn for_each_scalar(&self, mut visit: impl FnMut(&FieldType, u32)) {
        if self.kind == StorageKind::Plain {
            for field in &self.fields {
                field.ty.for_each_scalar(field.offset, &mut visit);
            }
        }
    }
}

/// What the derive macros build schemas with.
impl Schema {
    #[doc(hidden)]
    #[must_use]
    pub fn of<T: Data>(version: u32, finite: bool, fields: Vec<Field>) -> Self {
        let (size, align) = match T::KIND {
            StorageKind::Plain => (size_of::<T>() as u32, align_of::<T>() as u32),
            StorageKind::Document | StorageKind::Tag => (0, 1),
        };
        Self { name: T::NAME.to_owned(), version, kind: T::KIND, size, align, finite, access: Access::Open, fields }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }
}

impl Field {
    #[doc(hidden)]
    #[must_use]
    pub fn plain<T: PlainField>(index: usize) -> Self {
        match T::field_type() {
            FieldType::Struct(mut fields) => fields.swap_remove(index),
            ty => Self { name: "0".to_owned(), ty, offset: 0, default: None, was: None },
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn document(name: &str, ty: &str) -> Self {
        Self { name: name.to_owned(), ty: FieldType::Text(ty.to_owned()), offset: 0, default: None, was: None }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn or_plain<T: bytemuck::Pod>(mut self, default: T) -> Self {
        self.default = Some(json::from_bytes(&self.ty, bytemuck::bytes_of(&default)));
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn or_document<T: Serialize>(mut self, default: &T) -> Self {
        // By way of MessagePack, so that entities and bytes stay what they are.
        let bytes = rmp_serde::to_vec_named(default).expect("a default that does not serialise is no default");
        let value = document::to_value(&bytes).expect("the encoder writes well-formed MessagePack");
        self.default = Some(value).filter(|value| !value.is_null());
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn formerly(mut self, was: &str) -> Self {
        self.was = Some(was.to_owned());
        self
    }
}
