//! Tables and columns whose values may be written, and whose rows may not be added, removed or exchanged for those of
//! others: queries rely on all columns of a table having the same rows, and the index of entities on them being there.
//! So neither of them is a `&mut` to what it is about.

use std::ops::{Deref, Range};

use crate::{BitRows, Column, Table};

/// A table, to be written.
///
/// ```
/// # use engine_component::{Component, World};
/// #[derive(Component, Clone, Copy)]
/// #[repr(C)]
/// #[component(name = "game.Height")]
/// struct Height(f32);
///
/// let mut world = World::default();
/// world.spawn(Height(1.0));
/// let version = world.advance_version();
/// for mut table in world.tables_mut() {
///     for mut column in table.columns_mut() {
///         column.bytes_mut().fill(0);
///         let rows = 0..column.len();
///         column.mark_range(rows, version);
///     }
/// }
/// ```
///
/// Another column can't take the place of one, nor rows leave it:
///
/// ```compile_fail,E0594
/// # use engine_component::{Column, Schema, World};
/// fn shorten(world: &mut World, schema: &Schema) {
///     for mut table in world.tables_mut() {
///         *table.column_mut(0) = Column::new(schema);
///     }
/// }
/// ```
#[derive(Debug)]
pub struct TableMut<'a>(&'a mut Table);

/// A column of a table, to be written. The caller marks what it changed.
#[derive(Debug)]
pub struct ColumnMut<'a>(&'a mut Column);

impl<'a> TableMut<'a> {
    pub(crate) fn new(table: &'a mut Table) -> Self {
        Self(table)
    }

    /// A column by its index.
    ///
    /// # Panics
    /// When there is no such column.
    #[inline]
    pub fn column_mut(&mut self, index: usize) -> ColumnMut<'_> {
        ColumnMut(self.0.column_mut(index))
    }

    /// As [`Self::column_mut`], for as long as the world is borrowed.
    ///
    /// # Panics
    /// When there is no such column.
    #[inline]
    #[must_use]
    pub fn into_column(self, index: usize) -> ColumnMut<'a> {
        ColumnMut(self.0.column_mut(index))
    }

    /// All columns, in the order of their components.
    pub fn columns_mut(&mut self) -> impl Iterator<Item = ColumnMut<'_>> {
        self.0.columns_mut().iter_mut().map(ColumnMut)
    }

    /// Several columns at once; `None` when there is no such column, or one of them is named twice.
    #[must_use]
    pub fn disjoint_columns<const N: usize>(&mut self, indices: [usize; N]) -> Option<[ColumnMut<'_>; N]> {
        Some(self.0.columns_mut().get_disjoint_mut(indices).ok()?.map(ColumnMut))
    }

    /// All rows of a column changed.
    ///
    /// # Panics
    /// When there is no such column.
    #[inline]
    pub fn mark_all_changed(&mut self, column: usize, version: u64) {
        self.0.mark_all_changed(column, version);
    }

    /// The rows of a set, which starts at row `first` (a multiple of 64), changed in a column.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn mark_rows(&mut self, column: usize, first: usize, dirty: &BitRows, version: u64) {
        self.0.mark_rows(column, first, dirty, version);
    }
}

impl Deref for TableMut<'_> {
    type Target = Table;

    #[inline]
    fn deref(&self) -> &Table {
        self.0
    }
}

impl ColumnMut<'_> {
    /// The values of a Plain column.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }

    /// The first value of a Plain column. Valid until rows are added or removed.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// Replaces the value of a row, and marks that.
    ///
    /// # Panics
    /// When there is no such row, or the bytes are not of the stride.
    pub fn set_row(&mut self, row: usize, bytes: &[u8], version: u64) {
        self.0.set_row(row, bytes, version);
    }

    /// All rows of a range changed.
    pub fn mark_range(&mut self, rows: Range<usize>, version: u64) {
        self.0.mark_range(rows, version);
    }

    /// The rows of a set, which starts at row `first` (a multiple of 64), changed.
    pub fn mark_rows(&mut self, first: usize, dirty: &BitRows, version: u64) {
        self.0.mark_rows(first, dirty, version);
    }
}

impl Deref for ColumnMut<'_> {
    type Target = Column;

    #[inline]
    fn deref(&self) -> &Column {
        self.0
    }
}
