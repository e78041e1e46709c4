//! Cells: space cut into cubes of one size, each with a number per axis.

use glam::{Vec2, Vec3};

/// The cube of space that a point is in. In a plane, `z` is 0.
///
/// ```
/// use engine_math::{Cell, vec2};
/// assert_eq!(Cell::of(vec2(-0.5, 25.0), 10.0), Cell { x: -1, y: 2, z: 0 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Cells from the origin along x.
    pub x: i32,
    /// Cells from the origin along y.
    pub y: i32,
    /// Cells from the origin along z.
    pub z: i32,
}

impl Cell {
    /// The cell of a point; cells have edges of length `size`. Far outside, the outermost cell.
    #[must_use]
    pub fn of(point: impl crate::Point, size: f32) -> Self {
        let [x, y, z] = point.coordinates().map(|number| axis(f64::from(number), 1.0 / f64::from(size)));
        Self { x, y, z }
    }

    /// The cell as one number: the same for the same cell everywhere, different for cells that are less
    /// than two million cells apart on each axis.
    #[must_use]
    pub fn id(self) -> u64 {
        const BITS: u64 = 0x1f_ffff;
        let [x, y, z] = [self.x, self.y, self.z].map(|axis| i64::from(axis).cast_unsigned() & BITS);
        x | y << 21 | z << 42
    }

    /// This cell and those around it in the plane, row by row.
    pub fn around_2d(self) -> impl Iterator<Item = Self> {
        (-1..=1).flat_map(move |dy| (-1..=1).map(move |dx| self.offset(dx, dy, 0)))
    }

    /// This cell and those around it in space, layer by layer.
    pub fn around_3d(self) -> impl Iterator<Item = Self> {
        (-1..=1).flat_map(move |dz| self.around_2d().map(move |cell| cell.offset(0, 0, dz)))
    }

    fn offset(self, x: i32, y: i32, z: i32) -> Self {
        Self { x: self.x.saturating_add(x), y: self.y.saturating_add(y), z: self.z.saturating_add(z) }
    }
}

/// The cell on one axis. Grows with the coordinate and ends at the ends of `i32`.
pub(crate) fn axis(coordinate: f64, per_unit: f64) -> i32 {
    (coordinate * per_unit).floor() as i32
}

/// A point of a plane or of space.
pub trait Point: Copy + sealed::Sealed {
    /// x, y, z; z is 0 in a plane.
    fn coordinates(self) -> [f32; 3];
    /// The square of the distance.
    fn distance_squared(self, other: Self) -> f32;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for glam::Vec2 {}
    impl Sealed for glam::Vec3 {}
}

impl Point for Vec2 {
    #[inline]
    fn coordinates(self) -> [f32; 3] {
        [self.x, self.y, 0.0]
    }

    #[inline]
    fn distance_squared(self, other: Self) -> f32 {
        Self::distance_squared(self, other)
    }
}

impl Point for Vec3 {
    #[inline]
    fn coordinates(self) -> [f32; 3] {
        self.to_array()
    }

    #[inline]
    fn distance_squared(self, other: Self) -> f32 {
        Self::distance_squared(self, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{vec2, vec3};

    #[test]
    fn cells_reach_from_edge_to_edge() {
        assert_eq!(Cell::of(vec3(0.0, 9.999, -0.001), 10.0), Cell { x: 0, y: 0, z: -1 });
        assert_eq!(Cell::of(vec2(f32::MAX, f32::MIN), 1.0), Cell { x: i32::MAX, y: i32::MIN, z: 0 });
    }

    #[test]
    fn neighbours_are_distinct() {
        let cell = Cell { x: -1, y: 0, z: 5 };
        let mut ids: Vec<u64> = cell.around_3d().map(Cell::id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), cell.around_2d().count()), (27, 9));
    }
}
