//! Values that describe themselves, for whoever was not compiled with the component types: tools, scenes,
//! other languages. And the spellings of entities, hashes and blobs in messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value: nil, true or false, a number, text, a list, or a map with text keys. A Plain component is a
/// map of its fields; a Tag an empty map.
pub type Value = serde_json::Value;

/// Component name → value.
pub type Components = BTreeMap<String, Value>;

/// Bytes, `bin` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(bytes.into())
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// A list of entities as `bin`: 8 bytes each, little endian.
pub mod entity_bytes {
    use engine_component::Entity;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Blob;

    /// Writes the list.
    pub fn serialize<S: Serializer>(entities: &[Entity], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = entities.iter().flat_map(|entity| entity.to_bits().to_le_bytes()).collect();
        Blob::from(bytes).serialize(serializer)
    }

    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entity>, D::Error> {
        let blob = Blob::deserialize(deserializer)?;
        let (entities, rest) = blob.as_ref().as_chunks::<8>();
        if !rest.is_empty() {
            return Err(D::Error::custom("entities are 8 bytes each"));
        }
        Ok(entities.iter().map(|bytes| Entity::from_bits(u64::from_le_bytes(*bytes))).collect())
    }
}

/// A list of entities as numbers.
pub mod entity_numbers {
    use engine_component::Entity;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the list.
    pub fn serialize<S: Serializer>(entities: &[Entity], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(entities.iter().map(|entity| entity.to_bits()))
    }

    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entity>, D::Error> {
        Ok(Vec::<u64>::deserialize(deserializer)?.into_iter().map(Entity::from_bits).collect())
    }
}

/// An entity as a number.
pub mod entity_number {
    use engine_component::Entity;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the number.
    pub fn serialize<S: Serializer>(entity: &Entity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(entity.to_bits())
    }

    /// Reads the number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entity, D::Error> {
        u64::deserialize(deserializer).map(Entity::from_bits)
    }
}

/// A world hash as 32 hexadecimal digits.
pub mod hash_text {
    use engine_component::WorldHash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the digits.
    pub fn serialize<S: Serializer>(hash: &WorldHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    /// Reads the digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WorldHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 32 {
            return Err(D::Error::custom("a world hash has 32 hexadecimal digits"));
        }
        text.parse().map_err(D::Error::custom)
    }
}
/// The version of a component's value: another one for other bytes, the same for the same. 16 hexadecimal digits of the
/// XXH3-64 hash of a Plain component's bytes, or of a document's MessagePack.
#[must_use]
pub fn version_of(row: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(row))
}
