//! What a Rust type has to say so that its values can be columns: a name, a storage kind, a schema.
//!
//! Nobody implements these traits by hand: `#[derive(Component)]` and `#[derive(Event)]` do, and check at
//! compile time what the world relies on. Generic code goes through [`Storage`], which is the only place
//! that knows how values become bytes.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ComponentId;
use crate::outside::Invalid;
use crate::schema::Schema;

#[cfg(target_endian = "big")]
compile_error!("Plain columns are little endian and read in place: big endian machines are not supported");

/// A type with a declared name and a schema.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no declared name and schema",
    label = "neither a component nor an event",
    note = "add `#[derive(Component)]` with `#[component(name = \"…\")]`, or `#[derive(Event)]` with `#[event(name = \"…\")]`"
)]
pub trait Data: Sized + Send + Sync + 'static {
    /// The declared name: the identity of the type for every build and every language.
    const NAME: &'static str;
    /// The hash of the name.
    const ID: ComponentId;
    /// How values are stored.
    const KIND: StorageKind;
    /// The code for [`Self::KIND`].
    type Storage: crate::query::FetchStorage<Self>;

    /// Fields, types, offsets, defaults.
    fn schema() -> Schema;
}

/// Typed data on an entity.
///
/// ```
/// use engine_component::{Component, Data};
///
/// #[derive(Clone, Copy, Component)]
/// #[component(name = "physics.Velocity")]
/// #[repr(C)]
/// struct Velocity {
///     x: f32,
///     y: f32,
/// }
///
/// assert_eq!(Velocity::NAME, "physics.Velocity");
/// assert_eq!(Velocity::schema().size, 8);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no component",
    label = "not a component",
    note = "add `#[derive(Component)]` and `#[component(name = \"…\")]` to the type"
)]
pub trait Component: Data {}

/// Something that happened in a tick: systems write events, later systems read them.
///
/// ```
/// use engine_component::{Entity, Event};
///
/// #[derive(Clone, Copy, Event)]
/// #[event(name = "arena.Damage")]
/// #[repr(C)]
/// struct Damage {
///     target: Entity,
///     amount: f64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event",
    label = "not an event",
    note = "add `#[derive(Event)]` and `#[event(name = \"…\")]` to the type"
)]
pub trait Event: Data {
    /// Whether a value means something: asked of what comes from outside, and before it is published there. Say it with
    /// `#[event(validate = …)]`.
    ///
    /// # Errors
    /// When it doesn't; with the reason.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// A type of fixed size without padding or pointers, aligned to 16 bytes at the most: its bytes are its
/// value, on every machine.
///
/// Components and events that are neither documents nor tags are Plain. `#[derive(Plain)]` makes a struct
/// usable as a field of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not stored as plain bytes",
    label = "not a Plain component",
    note = "documents and tags have no slices: only structs of fixed size fields that are `#[repr(C)]` have"
)]
pub trait Plain: bytemuck::Pod {}

/// A type without data, of which there is one value.
pub trait Tag: Sized {
    /// The value.
    const VALUE: Self;
}

/// How the values of a component type are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Fixed size: the column is one aligned block of bytes.
    Plain,
    /// A MessagePack map per row.
    Document,
    /// No data.
    Tag,
}

impl StorageKind {
    /// The word for it in schemas.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Document => "document",
            Self::Tag => "tag",
        }
    }
}

/// How values of a type become the bytes of a column's row, and back.
///
/// ```
/// use engine_component::{Component, Data, Storage};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut bytes = Vec::new();
/// type Stored = <Position as Data>::Storage;
/// Stored::encode(&Position { x: 1.0 }, &mut bytes);
/// assert_eq!(bytes, 1.0_f32.to_le_bytes());
/// let read: Position = Stored::decode(&bytes)?;
/// assert_eq!(read, Position { x: 1.0 });
/// let cut_short: Result<Position, _> = Stored::decode(&bytes[1..]);
/// assert!(cut_short.is_err());
/// # Ok::<(), engine_component::DecodeError>(())
/// ```
pub trait Storage<T>: 'static {
    /// Appends the bytes of a value.
    fn encode(value: &T, out: &mut Vec<u8>);

    /// The value of bytes, which need not be aligned.
    ///
    /// # Errors
    /// When the bytes are no value of this type.
    fn decode(bytes: &[u8]) -> Result<T, DecodeError>;

    /// Hands out the bytes of a value, without a copy where the value is its bytes.
    fn with_bytes<R>(value: &T, take: impl FnOnce(&[u8]) -> R) -> R;

    /// The value of a column's row: borrowed where it lies in the column.
    ///
    /// # Errors
    /// When the bytes are no value of this type.
    fn view(bytes: &[u8]) -> Result<Ref<'_, T>, DecodeError>;
}

/// Bytes that are no value of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A Plain value or a tag of another length.
    #[error("`{name}` has {expected} bytes, not {found}")]
    Length {
        /// The component or event.
        name: &'static str,
        /// Bytes of a value.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// A document that does not decode.
    #[error("the document is no `{name}`: {reason}")]
    Document {
        /// The component or event.
        name: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

/// A component as [`World::get`](crate::World::get) gives it: borrowed from the column, or decoded from a
/// document.
#[derive(Clone, Debug)]
pub enum Ref<'a, T> {
    /// It lies in the column.
    Borrowed(&'a T),
    /// It was made for the caller.
    Owned(T),
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Borrowed(value) => value,
            Self::Owned(value) => value,
        }
    }
}

/// The storage of [`StorageKind::Plain`].
#[derive(Debug)]
pub struct PlainStorage;

impl<T: Data + Plain> Storage<T> for PlainStorage {
    #[inline]
    fn encode(value: &T, out: &mut Vec<u8>) {
        out.extend_from_slice(bytemuck::bytes_of(value));
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        bytemuck::try_pod_read_unaligned(bytes).map_err(|_| wrong_length::<T>(bytes))
    }

    #[inline]
    fn with_bytes<R>(value: &T, take: impl FnOnce(&[u8]) -> R) -> R {
        take(bytemuck::bytes_of(value))
    }

    #[inline]
    fn view(bytes: &[u8]) -> Result<Ref<'_, T>, DecodeError> {
        match bytemuck::try_from_bytes(bytes) {
            Ok(value) => Ok(Ref::Borrowed(value)),
            // Bytes outside of a column need not be aligned.
            Err(_) => Self::decode(bytes).map(Ref::Owned),
        }
    }
}

fn wrong_length<T: Data>(bytes: &[u8]) -> DecodeError {
    DecodeError::Length { name: T::NAME, expected: size_of::<T>(), found: bytes.len() }
}

/// The storage of [`StorageKind::Document`]: MessagePack maps with the names of the fields.
#[derive(Debug)]
pub struct DocumentStorage;

impl<T: Data + Serialize + DeserializeOwned> Storage<T> for DocumentStorage {
    fn encode(value: &T, out: &mut Vec<u8>) {
        value
            .serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())
            .expect("memory takes everything, and a type whose Serialize fails is no component");
    }

    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        let refuse = |reason: String| DecodeError::Document { name: T::NAME, reason };
        let mut rest = bytes;
        let value =
            T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).map_err(|error| refuse(error.to_string()))?;
        if rest.is_empty() { Ok(value) } else { Err(refuse(format!("{} bytes follow it", rest.len()))) }
    }

    fn with_bytes<R>(value: &T, take: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = Vec::with_capacity(64);
        Self::encode(value, &mut bytes);
        take(&bytes)
    }

    fn view(bytes: &[u8]) -> Result<Ref<'_, T>, DecodeError> {
        Self::decode(bytes).map(Ref::Owned)
    }
}

/// The storage of [`StorageKind::Tag`]: nothing.
#[derive(Debug)]
pub struct TagStorage;

impl<T: Data + Tag> Storage<T> for TagStorage {
    #[inline]
    fn encode(_: &T, _: &mut Vec<u8>) {}

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        if bytes.is_empty() { Ok(T::VALUE) } else { Err(wrong_length::<T>(bytes)) }
    }

    #[inline]
    fn with_bytes<R>(_: &T, take: impl FnOnce(&[u8]) -> R) -> R {
        take(&[])
    }

    #[inline]
    fn view(bytes: &[u8]) -> Result<Ref<'_, T>, DecodeError> {
        Self::decode(bytes).map(Ref::Owned)
    }
}
