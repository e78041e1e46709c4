//! Who is near? A uniform grid over points, built anew whenever the points have moved.
//!
//! Points are sorted by cell with a counting sort: two passes over the points, no comparisons, no hash
//! map. The cells wrap around like a torus of a size that fits the number of points, so that one point far
//! away costs no memory; the exact distance is compared in the end, so wrapping never shows. Cells of a
//! row are neighbours in memory, and a query reads one or two runs of entries per row.
//!
//! The order of what a query finds is a function of the points, their order and the query alone, so it is
//! the same in every process.

use std::ops::Range;

use crate::Point;
use crate::cell::axis;

/// A uniform grid over points with a number each.
///
/// Choose a cell size near the usual radius of queries. Points with a coordinate that is not finite are
/// left out: they are near to nothing.
///
/// ```
/// use engine_math::{Grid, vec2};
/// let points = [vec2(0.0, 0.0), vec2(3.0, 4.0), vec2(100.0, 0.0)];
/// let grid = Grid::build(10.0, points.into_iter().zip(0..));
/// let mut near: Vec<u32> = grid.near(vec2(0.0, 0.0), 5.0).map(|near| near.payload).collect();
/// near.sort_unstable();
/// assert_eq!(near, [0, 1]);
/// ```
#[derive(Clone, Debug)]
pub struct Grid<P> {
    cells_per_unit: f64,
    shape: Shape,
    /// Where the entries of each cell start, and where the last ones end.
    starts: Vec<u32>,
    entries: Vec<(P, u32)>,
}

/// What a query finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near<P> {
    /// The number that was given with the point.
    pub payload: u32,
    /// The point.
    pub point: P,
    /// The square of its distance.
    pub distance_squared: f32,
}

impl<P: Point> Grid<P> {
    /// Sorts points, each with its number, into cells with edges of length `cell_size`.
    ///
    /// # Panics
    /// When the size of a cell is not a positive number, or there are 2³² points.
    pub fn build(cell_size: f32, points: impl IntoIterator<Item = (P, u32)>) -> Self {
        assert!(cell_size > 0.0 && cell_size.is_finite(), "cells of size {cell_size}: a positive number is needed");
        let cells_per_unit = 1.0 / f64::from(cell_size);
        let points: Vec<(P, u32)> = points.into_iter().filter(|entry| is_finite(entry.0)).collect();
        assert!(u32::try_from(points.len()).is_ok(), "a grid holds less than 2^32 points");
        let cells: Vec<[i32; 3]> = points.iter().map(|entry| cell(entry.0, cells_per_unit)).collect();
        let shape = Shape::of(&cells);
        let (starts, entries) = sort_by_cell(&points, &cells, &shape);
        Self { cells_per_unit, shape, starts, entries }
    }

    /// The number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no points.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The points that are at most `radius` away from `centre`, cell by cell, within a cell in the order in
    /// which they were given.
    pub fn near(&self, centre: P, radius: f32) -> impl Iterator<Item = Near<P>> + '_ {
        let limit = radius * radius;
        self.runs(centre, radius).flat_map(|run| &self.entries[run]).filter_map(move |(point, payload)| {
            let distance_squared = point.distance_squared(centre);
            (distance_squared <= limit).then_some(Near { payload: *payload, point: *point, distance_squared })
        })
    }

    /// As [`Self::near`], calling a function: loops that the compiler sees through.
    #[inline]
    pub fn for_each_near(&self, centre: P, radius: f32, mut found: impl FnMut(Near<P>)) {
        let limit = radius * radius;
        let [xs, ys, zs] = self.spans(centre, radius);
        for z in zs {
            for y in ys.clone() {
                for run in self.row(xs.clone(), y, z).into_iter().flatten() {
                    for (point, payload) in &self.entries[run] {
                        let distance_squared = point.distance_squared(centre);
                        if distance_squared <= limit {
                            found(Near { payload: *payload, point: *point, distance_squared });
                        }
                    }
                }
            }
        }
    }

    fn runs(&self, centre: P, radius: f32) -> impl Iterator<Item = Range<usize>> + '_ {
        let [xs, ys, zs] = self.spans(centre, radius);
        zs.flat_map(move |z| ys.clone().map(move |y| (y, z)))
            .flat_map(move |(y, z)| self.row(xs.clone(), y, z).into_iter().flatten())
    }

    /// The cells that a ball reaches, per axis: never more than a way around the torus.
    fn spans(&self, centre: P, radius: f32) -> [Range<i64>; 3] {
        // A little more than the radius, so that rounding never hides a point on the rim.
        let reach = f64::from(radius) * (1.0 + 1e-6);
        if !is_finite(centre) || reach.is_nan() || reach < 0.0 {
            return [0..0, 0..0, 0..0];
        }
        let centre = centre.coordinates().map(f64::from);
        std::array::from_fn(|index| {
            let first = i64::from(axis(centre[index] - reach, self.cells_per_unit));
            let last = i64::from(axis(centre[index] + reach, self.cells_per_unit));
            first..(last + 1).min(first + (1 << self.shape.bits[index]))
        })
    }

    /// The entries of a row of cells: one run, or two where the row wraps around.
    fn row(&self, xs: Range<i64>, y: i64, z: i64) -> [Option<Range<usize>>; 2] {
        let width = 1_i64 << self.shape.bits[0];
        let row = self.shape.row(y, z);
        let first = xs.start & (width - 1);
        let end = first + (xs.end - xs.start);
        let run =
            |from: i64, to: i64| self.starts[row + from as usize] as usize..self.starts[row + to as usize] as usize;
        if xs.is_empty() {
            [None, None]
        } else if end <= width {
            [Some(run(first, end)), None]
        } else {
            [Some(run(first, width)), Some(run(0, end - width))]
        }
    }
}

fn is_finite<P: Point>(point: P) -> bool {
    point.coordinates().iter().all(|number| number.is_finite())
}

fn cell<P: Point>(point: P, cells_per_unit: f64) -> [i32; 3] {
    point.coordinates().map(|number| axis(f64::from(number), cells_per_unit))
}

/// Sizes of the torus, as powers of two.
#[derive(Clone, Debug)]
struct Shape {
    bits: [u32; 3],
}

impl Shape {
    /// As large as the box around the cells, but of no more than about two cells per point.
    fn of(cells: &[[i32; 3]]) -> Self {
        let mut bits = [0, 1, 2].map(|index| {
            let axis = || cells.iter().map(|cell| i64::from(cell[index]));
            let length = axis().max().unwrap_or(0) - axis().min().unwrap_or(0) + 1;
            length.cast_unsigned().next_power_of_two().trailing_zeros()
        });
        let most = (2 * cells.len() as u64).next_power_of_two().trailing_zeros();
        while bits.iter().sum::<u32>() > most {
            let longest = (0..3).rev().max_by_key(|index| bits[*index]).expect("there are three axes");
            bits[longest] -= 1;
        }
        Self { bits }
    }

    fn cells(&self) -> usize {
        1 << self.bits.iter().sum::<u32>()
    }

    /// The first cell of a row.
    fn row(&self, y: i64, z: i64) -> usize {
        let [_, height, depth] = self.bits.map(|bits| (1_i64 << bits) - 1);
        (((z & depth) << self.bits[1] | (y & height)) << self.bits[0]) as usize
    }

    fn index(&self, cell: [i32; 3]) -> usize {
        let [x, y, z] = cell.map(i64::from);
        self.row(y, z) + (x & ((1 << self.bits[0]) - 1)) as usize
    }
}

fn sort_by_cell<P: Point>(points: &[(P, u32)], cells: &[[i32; 3]], shape: &Shape) -> (Vec<u32>, Vec<(P, u32)>) {
    let indices: Vec<u32> = cells.iter().map(|cell| shape.index(*cell) as u32).collect();
    let mut starts = vec![0_u32; shape.cells() + 1];
    for index in &indices {
        starts[*index as usize + 1] += 1;
    }
    for index in 1..starts.len() {
        starts[index] += starts[index - 1];
    }
    let mut next = starts.clone();
    let mut entries = points.to_vec();
    for (entry, index) in points.iter().zip(indices) {
        let place = &mut next[index as usize];
        entries[*place as usize] = *entry;
        *place += 1;
    }
    (starts, entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{Vec2, Vec3, vec2, vec3};
    use proptest::prelude::*;

    fn found<P: Point>(grid: &Grid<P>, centre: P, radius: f32) -> Vec<u32> {
        let mut found: Vec<u32> = grid.near(centre, radius).map(|near| near.payload).collect();
        let mut called = Vec::new();
        grid.for_each_near(centre, radius, |near| called.push(near.payload));
        assert_eq!(found, called, "both ways of asking give the same, in the same order");
        found.sort_unstable();
        found
    }

    fn expected<P: Point>(points: &[P], centre: P, radius: f32) -> Vec<u32> {
        let near = |point: &P| point.distance_squared(centre) <= radius * radius;
        (0..).zip(points).filter(|(_, point)| near(point)).map(|(index, _)| index).collect()
    }

    proptest! {
        #[test]
        fn a_plane_gives_what_a_scan_gives(
            points in prop::collection::vec((-50.0_f32..50.0, -9.0_f32..9.0), 0..200),
            far in (-1e12_f32..1e12, -1e12_f32..1e12),
            centre in (-60.0_f32..60.0, -12.0_f32..12.0),
            radius in 0.0_f32..40.0,
            size in 0.1_f32..30.0,
        ) {
            let points: Vec<Vec2> = points.into_iter().chain([far]).map(Vec2::from).collect();
            let grid = Grid::build(size, points.iter().copied().zip(0..));
            let centre = Vec2::from(centre);
            prop_assert_eq!(found(&grid, centre, radius), expected(&points, centre, radius));
            prop_assert_eq!(found(&grid, points[0], radius), expected(&points, points[0], radius));
        }

        #[test]
        fn space_gives_what_a_scan_gives(
            points in prop::collection::vec((-9.0_f32..9.0, -9.0_f32..9.0, -9.0_f32..9.0), 0..200),
            centre in (-12.0_f32..12.0, -12.0_f32..12.0, -12.0_f32..12.0),
            radius in 0.0_f32..15.0,
            size in 0.5_f32..8.0,
        ) {
            let points: Vec<Vec3> = points.into_iter().map(Vec3::from).collect();
            let grid = Grid::build(size, points.iter().copied().zip(0..));
            let centre = Vec3::from(centre);
            prop_assert_eq!(found(&grid, centre, radius), expected(&points, centre, radius));
        }
    }

    #[test]
    fn points_on_the_rim_of_cells_are_found() {
        let points: Vec<Vec2> = (-20..20).flat_map(|y| (-20..20).map(move |x| vec2(x as f32, y as f32))).collect();
        let grid = Grid::build(1.0, points.iter().copied().zip(0..));
        for centre in &points {
            for radius in [0.0, 1.0, 5.0] {
                assert_eq!(found(&grid, *centre, radius), expected(&points, *centre, radius));
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_near_to_nothing() {
        let points = [vec3(f32::NAN, 0.0, 0.0), vec3(0.0, f32::INFINITY, 0.0), Vec3::ZERO];
        let grid = Grid::build(1.0, points.into_iter().zip(0..));
        assert_eq!(grid.len(), 1);
        assert_eq!(found(&grid, Vec3::ZERO, f32::INFINITY), [2]);
        assert_eq!(found(&grid, points[0], 1.0), [0; 0]);
        assert_eq!(found(&grid, Vec3::ZERO, f32::NAN), [0; 0]);
        assert_eq!(found(&grid, Vec3::ZERO, -1.0), [0; 0]);
    }

    #[test]
    fn one_point_far_away_costs_no_memory() {
        let points = [vec2(0.0, 0.0), vec2(1e30, -1e30), vec2(0.5, 0.5)];
        let grid = Grid::build(0.001, points.into_iter().zip(0..));
        assert!(grid.shape.cells() <= 8);
        assert_eq!(found(&grid, vec2(1e30, -1e30), 1.0), [1]);
        assert_eq!(found(&grid, vec2(0.0, 0.0), 1.0), [0, 2]);
    }

    #[test]
    fn nothing_is_found_in_an_empty_grid() {
        let grid: Grid<Vec2> = Grid::build(1.0, []);
        assert!(grid.is_empty());
        assert_eq!(found(&grid, Vec2::ZERO, 1e9), [0; 0]);
    }
}
