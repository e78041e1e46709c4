//! Boxes along the axes.

use bytemuck::{Pod, Zeroable};
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// A box along the axes, both ends included. For a plane, leave `z` at 0.
///
/// ```
/// use engine_math::{Aabb, vec3};
/// let bounds = Aabb::of([vec3(0.0, 0.0, 0.0), vec3(2.0, 4.0, 6.0)]);
/// assert_eq!(bounds.centre(), vec3(1.0, 2.0, 3.0));
/// assert!(bounds.contains(vec3(2.0, 0.0, 1.0)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Serialize, Deserialize)]
#[repr(C)]
pub struct Aabb {
    /// The corner with the smallest coordinates.
    pub min: Vec3,
    /// The corner with the largest coordinates.
    pub max: Vec3,
}

impl Aabb {
    /// A box with nothing in it: the start of a union.
    pub const EMPTY: Self = Self { min: Vec3::INFINITY, max: Vec3::NEG_INFINITY };

    /// The smallest box around the points.
    #[must_use]
    pub fn of(points: impl IntoIterator<Item = Vec3>) -> Self {
        points
            .into_iter()
            .fold(Self::EMPTY, |bounds, point| Self { min: bounds.min.min(point), max: bounds.max.max(point) })
    }

    /// The box around a ball.
    #[must_use]
    pub fn around(centre: Vec3, radius: f32) -> Self {
        Self { min: centre - radius, max: centre + radius }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.min.cmple(self.max).all()
    }

    /// The middle.
    #[must_use]
    pub fn centre(&self) -> Vec3 {
        (self.min + self.max) * 0.5
    }

    /// The lengths of the edges.
    #[must_use]
    pub fn size(&self) -> Vec3 {
        self.max - self.min
    }

    /// Whether a point is in it.
    #[must_use]
    pub fn contains(&self, point: Vec3) -> bool {
        self.min.cmple(point).all() && point.cmple(self.max).all()
    }

    /// Whether they have a point in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.min.cmple(other.max).all() && other.min.cmple(self.max).all()
    }

    /// The smallest box around both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::vec3;

    #[test]
    fn empty_boxes_hold_and_touch_nothing() {
        assert!(Aabb::EMPTY.is_empty());
        assert!(!Aabb::EMPTY.contains(Vec3::ZERO));
        assert!(!Aabb::EMPTY.overlaps(&Aabb::around(Vec3::ZERO, 1e9)));
        let one = Aabb::around(Vec3::ONE, 0.0);
        assert!(!one.is_empty());
        assert_eq!(Aabb::EMPTY.union(&one), one);
    }

    #[test]
    fn touching_is_overlapping() {
        let left = Aabb { min: Vec3::ZERO, max: Vec3::ONE };
        let right = Aabb { min: vec3(1.0, 0.0, 0.0), max: vec3(2.0, 1.0, 1.0) };
        assert!(left.overlaps(&right));
        assert!(!left.overlaps(&Aabb { min: vec3(1.1, 0.0, 0.0), ..right }));
    }
}
