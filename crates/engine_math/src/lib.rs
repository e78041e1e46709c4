//! Vectors, transforms, bounds and grid cells for Engine.
//!
//! The vectors are those of [`glam`], which is re-exported. What is added is shaped for components: sizes
//! without padding, and results that are the same in every process.

mod aabb;
mod cell;
mod grid;
mod transform;

pub use aabb::Aabb;
pub use cell::{Cell, Point};
pub use glam;
pub use glam::{
    DVec2, DVec3, DVec4, EulerRot, IVec2, IVec3, IVec4, Mat2, Mat3, Mat4, Quat, UVec2, UVec3, UVec4, Vec2, Vec3, Vec4,
    dvec2, dvec3, ivec2, ivec3, uvec2, uvec3, vec2, vec3, vec4,
};
pub use grid::{Grid, Near};
pub use transform::Transform;
