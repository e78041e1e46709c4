//! Which Rust types can be fields of Plain components, and what schemas call them.

use engine_math::{Aabb, DVec2, DVec3, IVec2, IVec3, Mat4, Quat, Transform, UVec2, UVec3, Vec2, Vec3, Vec4};

use super::FieldType;
use crate::Entity;

/// A type that can be a field of a Plain component: its size is fixed, and every pattern of its bytes is a
/// value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a Plain component",
    label = "not a plain field",
    note = "plain fields are u8 to u64, i8 to i64, f32, f64, `Entity`, arrays of them, the vectors of `engine_math`, and structs with `#[derive(Plain)]`",
    note = "use `u8` for `bool`, `u32` for `char` and `u64` for `usize`",
    note = "for strings, vectors, maps, options and enums make the component a document: `#[component(name = \"…\", document)]`"
)]
pub trait PlainField: bytemuck::Pod {
    /// What schemas call the type.
    fn field_type() -> FieldType;
}

macro_rules! scalars {
    ($($ty:ty => $name:ident),* $(,)?) => {
        $(impl PlainField for $ty {
            fn field_type() -> FieldType {
                FieldType::$name
            }
        })*
    };
}

scalars! {
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    f32 => F32, f64 => F64, Entity => Entity,
}

impl<T: PlainField, const N: usize> PlainField for [T; N]
where
    [T; N]: bytemuck::Pod,
{
    fn field_type() -> FieldType {
        FieldType::Array(Box::new(T::field_type()), N as u32)
    }
}

macro_rules! structs {
    ($($ty:ty { $($field:ident: $part:ty),* })*) => {
        $(
            #[diagnostic::do_not_recommend]
            impl PlainField for $ty {
                fn field_type() -> FieldType {
                    FieldType::of_fields([$((stringify!($field).to_owned(), <$part>::field_type())),*])
                }
            }

            // The schema lays the parts out back to back, in this order: so must the type.
            const _: () = {
                let mut _end = 0;
                $(
                    assert!(std::mem::offset_of!($ty, $field) == _end);
                    _end += size_of::<$part>();
                )*
                assert!(size_of::<$ty>() == _end);
            };
        )*
    };
}

structs! {
    Vec2 { x: f32, y: f32 }
    Vec3 { x: f32, y: f32, z: f32 }
    DVec2 { x: f64, y: f64 }
    DVec3 { x: f64, y: f64, z: f64 }
    IVec2 { x: i32, y: i32 }
    IVec3 { x: i32, y: i32, z: i32 }
    UVec2 { x: u32, y: u32 }
    UVec3 { x: u32, y: u32, z: u32 }
    Transform { rotation: Quat, translation: Vec3, scale: f32 }
    Aabb { min: Vec3, max: Vec3 }
}

macro_rules! vectors {
    ($($ty:ty),*) => {
        $(#[diagnostic::do_not_recommend]
        impl PlainField for $ty {
            fn field_type() -> FieldType {
                FieldType::of_fields(["x", "y", "z", "w"].map(|name| (name.to_owned(), FieldType::F32)))
            }
        })*
    };
}

// Four lanes in one register on some machines: no fields to look at, but the bytes are x, y, z, w.
vectors!(Vec4, Quat);

#[diagnostic::do_not_recommend]
impl PlainField for Mat4 {
    fn field_type() -> FieldType {
        FieldType::Array(Box::new(FieldType::Array(Box::new(FieldType::F32), 4)), 4)
    }
}
