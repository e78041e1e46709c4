//! Payloads: values of declared types as MessagePack or JSON, by the schema that the derive made.
//!
//! A document is its own MessagePack. Everything else goes by way of a map of its fields, so that other languages can
//! read it: a Plain value's bytes are the world's business.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use engine_component::schema::{RowError, Schema, ValueError};
use engine_component::{Data, DecodeError, Storage, StorageKind};
use engine_net::strict;
use serde_json::Value;

pub use crate::envelope::MAX_PAYLOAD;
use crate::envelope::{Content, SchemaRef};
use crate::upcast::{UpcastError, Upcasters};

/// Why a payload is no value of its type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Too many bytes.
    #[error("`{name}` has {length} bytes, where {MAX_PAYLOAD} are the most")]
    TooLong {
        /// The type.
        name: String,
        /// The bytes that it has.
        length: usize,
    },
    /// Something else was asked for.
    #[error("`{found}` is no `{wanted}`")]
    Other {
        /// What was asked for.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// Written by a later build.
    #[error("`{name}` has version {found}, and this build knows {known}: update it")]
    Newer {
        /// The type.
        name: &'static str,
        /// Its version.
        found: u32,
        /// The version of this build.
        known: u32,
    },
    /// Written by an earlier build, and there is no way to this one.
    #[error(transparent)]
    Upcast(#[from] UpcastError),
    /// Not MessagePack.
    #[error("`{name}` is not well-formed: {reason}")]
    Malformed {
        /// The type.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a value of the schema.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Not a value of the schema.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Not a value of the type.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// What is known of a type; made once for each.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) schema: Schema,
    pub(crate) reference: SchemaRef,
}

/// Schemas of the types of this program, which are few and stay.
pub(crate) fn known<T: Data>() -> &'static Known {
    static ALL: RwLock<Option<HashMap<TypeId, &'static Known>>> = RwLock::new(None);
    let id = TypeId::of::<T>();
    let found = ALL.read().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|all| all.get(&id).copied());
    found.unwrap_or_else(|| {
        let known = Box::leak(Box::new(Known { schema: T::schema(), reference: SchemaRef::of::<T>() }));
        ALL.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().entry(id).or_insert(known)
    })
}

/// Writes a value.
///
/// # Errors
/// When it is too long, or holds what its schema refuses (NaN where it is declared finite).
pub fn encode<T: Data>(value: &T, content: Content) -> Result<Bytes, ContentError> {
    let schema = &known::<T>().schema;
    let mut row = Vec::new();
    T::Storage::encode(value, &mut row);
    schema.check_row(&row)?;
    let bytes = match (content, T::KIND) {
        (Content::MessagePack, StorageKind::Document) => row,
        (Content::MessagePack, _) => strict::encode(&schema.row_to_value(&row)?),
        (Content::Json, _) => schema.row_to_value(&row)?.to_string().into_bytes(),
    };
    if bytes.len() > MAX_PAYLOAD {
        return Err(ContentError::TooLong { name: T::NAME.into(), length: bytes.len() });
    }
    Ok(bytes.into())
}

/// Reads a value that has this schema, or that of this build when nothing is said.
///
/// # Errors
/// When it is of another type, of a version that there is no way from, or no value of it.
pub fn decode<T: Data>(
    bytes: &[u8],
    content: Content,
    written: Option<&SchemaRef>,
    upcasters: &Upcasters,
) -> Result<T, ContentError> {
    let Known { schema, .. } = known::<T>();
    if bytes.len() > MAX_PAYLOAD {
        return Err(ContentError::TooLong { name: T::NAME.into(), length: bytes.len() });
    }
    let version = match written {
        Some(written) if written.name != T::NAME => {
            return Err(ContentError::Other { wanted: T::NAME, found: written.name.clone() });
        }
        Some(written) if written.version > schema.version => {
            return Err(ContentError::Newer { name: T::NAME, found: written.version, known: schema.version });
        }
        Some(written) => written.version,
        None => schema.version,
    };
    if version == schema.version && content == Content::MessagePack && T::KIND == StorageKind::Document {
        schema.check_row(bytes)?;
        return Ok(T::Storage::decode(bytes)?);
    }
    let value = value(T::NAME, bytes, content)?;
    let value = upcasters.lift(T::NAME, version, schema.version, value)?;
    Ok(T::Storage::decode(&schema.value_to_row(&value)?)?)
}

/// A payload as a value that describes itself, whatever type it is of.
///
/// # Errors
/// When it is not well-formed.
pub fn value(name: &str, bytes: &[u8], content: Content) -> Result<Value, ContentError> {
    if bytes.len() > MAX_PAYLOAD {
        return Err(ContentError::TooLong { name: name.to_owned(), length: bytes.len() });
    }
    content.value(bytes).map_err(|reason| ContentError::Malformed { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use engine_component::Event;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "shop.Purchased", document, version = 2)]
    struct Purchased {
        player: String,
        #[event(default = 1)]
        count: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Event)]
    #[event(name = "shop.Moved", finite)]
    #[repr(C)]
    struct Moved {
        by: f32,
        times: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Event)]
    #[event(name = "shop.Closed")]
    struct Closed;

    fn there_and_back<T: Data + PartialEq + std::fmt::Debug>(value: &T) {
        for content in [Content::MessagePack, Content::Json] {
            let bytes = encode(value, content).unwrap();
            let back: T = decode(&bytes, content, Some(&SchemaRef::of::<T>()), &Upcasters::default()).unwrap();
            assert_eq!(&back, value, "{content:?}");
        }
    }

    #[test]
    fn every_storage_in_both_spellings() {
        there_and_back(&Purchased { player: "ada".into(), count: 3 });
        there_and_back(&Moved { by: -1.5, times: 7 });
        there_and_back(&Closed);
    }

    #[test]
    fn what_is_no_value_is_refused_and_named() {
        let none = Upcasters::default();
        let read = |bytes: &[u8], content| decode::<Purchased>(bytes, content, None, &none).unwrap_err().to_string();
        assert!(read(br#"{"player": 7, "count": 1}"#, Content::Json).contains("player"));
        assert!(read(br#"{"player": "a", "cuont": 1}"#, Content::Json).contains("is `count` meant?"));
        assert!(read(br#"{"player": "a"} x"#, Content::Json).contains("well-formed"));
        assert!(read(&[0x81], Content::MessagePack).contains("shop.Purchased"));
        assert!(read(&vec![b'['; 1 << 20], Content::Json).contains("bytes"));
        let nan = encode(&Moved { by: f32::NAN, times: 0 }, Content::Json);
        assert!(nan.unwrap_err().to_string().contains("finite"));
    }

    #[test]
    fn other_names_and_newer_versions_are_refused() {
        let read = |name: &str, version| {
            let written = SchemaRef { name: name.into(), version, ..SchemaRef::of::<Purchased>() };
            decode::<Purchased>(b"{}", Content::Json, Some(&written), &Upcasters::default()).unwrap_err()
        };
        assert!(matches!(read("shop.Refused", 2), ContentError::Other { .. }));
        assert!(matches!(read("shop.Purchased", 3), ContentError::Newer { found: 3, known: 2, .. }));
        assert!(matches!(read("shop.Purchased", 1), ContentError::Upcast(_)));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let none = Upcasters::default();
            for content in [Content::MessagePack, Content::Json] {
                let _ = decode::<Purchased>(&bytes, content, None, &none);
                let _ = decode::<Moved>(&bytes, content, None, &none);
                let _ = decode::<Closed>(&bytes, content, None, &none);
            }
        }
    }
}
