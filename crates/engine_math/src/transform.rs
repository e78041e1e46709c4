//! Where something is, how it is turned, and how large it is.

use bytemuck::{Pod, Zeroable};
use glam::{Mat4, Quat, Vec3};
use serde::{Deserialize, Serialize};

/// Rotation, translation and a uniform scale: 32 bytes without padding.
///
/// The scale is one number, so that transforms put together are transforms again.
///
/// ```
/// use engine_math::{Quat, Transform, vec3};
/// let turn = Transform { rotation: Quat::from_rotation_z(std::f32::consts::FRAC_PI_2), ..Transform::IDENTITY };
/// let shift = Transform::from_translation(vec3(1.0, 0.0, 0.0));
/// let moved = (turn * shift).point(vec3(0.0, 0.0, 0.0));
/// assert!(moved.abs_diff_eq(vec3(0.0, 1.0, 0.0), 1e-6));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Serialize, Deserialize)]
#[repr(C)]
pub struct Transform {
    /// How it is turned.
    pub rotation: Quat,
    /// Where it is.
    pub translation: Vec3,
    /// How large it is.
    pub scale: f32,
}

impl Transform {
    /// At the origin, not turned, of scale 1.
    pub const IDENTITY: Self = Self { rotation: Quat::IDENTITY, translation: Vec3::ZERO, scale: 1.0 };

    /// Not turned, of scale 1.
    #[must_use]
    pub const fn from_translation(translation: Vec3) -> Self {
        Self { translation, ..Self::IDENTITY }
    }

    /// A point of the inner space in the outer space.
    #[must_use]
    pub fn point(&self, point: Vec3) -> Vec3 {
        self.rotation * (point * self.scale) + self.translation
    }

    /// A direction of the inner space in the outer space: turned and scaled, not moved.
    #[must_use]
    pub fn vector(&self, vector: Vec3) -> Vec3 {
        self.rotation * (vector * self.scale)
    }

    /// The way back. The scale must not be 0.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let (rotation, scale) = (self.rotation.conjugate(), 1.0 / self.scale);
        Self { rotation, translation: rotation * (self.translation * -scale), scale }
    }

    /// As a matrix.
    #[must_use]
    pub fn matrix(&self) -> Mat4 {
        Mat4::from_scale_rotation_translation(Vec3::splat(self.scale), self.rotation, self.translation)
    }
}

impl Default for Transform {
    fn default() -> Self {
        Self::IDENTITY
    }
}

impl std::ops::Mul for Transform {
    type Output = Self;

    /// First `inner`, then `self`.
    fn mul(self, inner: Self) -> Self {
        Self {
            rotation: self.rotation * inner.rotation,
            translation: self.point(inner.translation),
            scale: self.scale * inner.scale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::vec3;

    fn some() -> Transform {
        Transform { rotation: Quat::from_rotation_y(0.7), translation: vec3(1.0, -2.0, 3.0), scale: 2.5 }
    }

    #[test]
    fn the_inverse_leads_back() {
        let point = vec3(4.0, 5.0, -6.0);
        assert!((some().inverse() * some()).point(point).abs_diff_eq(point, 1e-5));
        assert!((some() * some().inverse()).point(point).abs_diff_eq(point, 1e-5));
    }

    #[test]
    fn the_matrix_does_the_same() {
        let point = vec3(4.0, 5.0, -6.0);
        assert!(some().matrix().transform_point3(point).abs_diff_eq(some().point(point), 1e-5));
        assert!(some().matrix().transform_vector3(point).abs_diff_eq(some().vector(point), 1e-5));
    }
}
