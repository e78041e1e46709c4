//! Entities: plain numbers that are handed out in order and never used twice.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An entity: a number that the world hands out, in order, and never reuses. 0 is no entity.
///
/// ```
/// use engine_component::{Entity, World};
/// let mut world = World::default();
/// let first = world.spawn(());
/// world.despawn(first).unwrap();
/// let second = world.spawn(());
/// assert_eq!((first.to_bits(), second.to_bits()), (1, 2));
/// assert!(Entity::NONE.is_none() && !world.contains(Entity::NONE));
/// ```
///
/// In documents it is MessagePack `fixext 8` of type 1 with the number little endian, so that entities
/// inside of a document can be found without its schema; in human-readable formats it is a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Entity(u64);

/// Set in entities that a job spawned and that have no final number yet.
const PROVISIONAL: u64 = 1 << 63;

impl Entity {
    /// No entity.
    pub const NONE: Self = Self(0);
    /// The MessagePack extension type of an entity.
    pub const EXTENSION: i8 = 1;

    /// The entity of a number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number of the entity.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether this is [`Entity::NONE`].
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The `number`th entity that a job spawns: a stand-in until the job's commands are applied.
    #[must_use]
    pub const fn provisional(number: u32) -> Self {
        Self(PROVISIONAL | number as u64)
    }

    /// The position among its job's spawns, when this entity is provisional.
    #[must_use]
    pub const fn provisional_number(self) -> Option<u64> {
        if self.0 & PROVISIONAL == 0 { None } else { Some(self.0 & !PROVISIONAL) }
    }

    /// The entity that this one stands for, when its job spawns `count` entities from `first` on: none, when
    /// it is not one of them; itself, when it is not provisional.
    ///
    /// ```
    /// use engine_component::Entity;
    ///
    /// let first = Entity::from_bits(7);
    /// assert_eq!(Entity::provisional(1).resolved(first, 2), Entity::from_bits(8));
    /// assert_eq!(Entity::provisional(2).resolved(first, 2), Entity::NONE);
    /// assert_eq!(Entity::from_bits(3).resolved(first, 2), Entity::from_bits(3));
    /// ```
    #[must_use]
    pub const fn resolved(self, first: Self, count: u32) -> Self {
        match self.provisional_number() {
            Some(number) if number < count as u64 => Self(first.0 + number),
            Some(_) => Self::NONE,
            None => self,
        }
    }

    /// Whether the entity was spawned in a job and has no final number yet.
    #[must_use]
    pub const fn is_provisional(self) -> bool {
        self.0 & PROVISIONAL != 0
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.provisional_number() {
            Some(number) => write!(f, "new#{number}"),
            None => write!(f, "#{}", self.0),
        }
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entity({self})")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "_ExtStruct")]
struct Extension((i8, serde_bytes_8::Eight));

/// Eight bytes as MessagePack `bin`, which rmp-serde turns into the extension's body.
mod serde_bytes_8 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) struct Eight(pub(super) [u8; 8]);

    impl Serialize for Eight {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Eight {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Bytes;
            impl de::Visitor<'_> for Bytes {
                type Value = Eight;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("eight bytes")
                }
                fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Eight, E> {
                    bytes.try_into().map(Eight).map_err(|_| E::invalid_length(bytes.len(), &self))
                }
            }
            deserializer.deserialize_bytes(Bytes)
        }
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_u64(self.0);
        }
        Extension((Self::EXTENSION, serde_bytes_8::Eight(self.0.to_le_bytes()))).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Self);
        }
        let Extension((kind, bytes)) = Extension::deserialize(deserializer)?;
        if kind != Self::EXTENSION {
            return Err(de::Error::custom(format_args!("extension type {kind} is no entity")));
        }
        Ok(Self(u64::from_le_bytes(bytes.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_in_documents_are_fixext_8() {
        let entity = Entity::from_bits(0x0102_0304);
        let bytes = rmp_serde::to_vec_named(&entity).unwrap();
        assert_eq!(bytes, [0xd7, 1, 4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(rmp_serde::from_slice::<Entity>(&bytes).unwrap(), entity);
        assert!(rmp_serde::from_slice::<Entity>(&[0xd7, 2, 4, 3, 2, 1, 0, 0, 0, 0]).is_err());
        assert_eq!(serde_json::to_string(&entity).unwrap(), "16909060");
    }
}
