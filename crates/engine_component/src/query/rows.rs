//! Walking the rows of one part or table: what all iteration, over parts and over a world, comes down to.
//!
//! The columns are fetched once, and a row costs an addition per column. A source that matches as a whole
//! is not asked row by row: then the loop has no branch, and the compiler can turn it into vector code.

#![expect(unsafe_code, reason = "items of distinct rows are alive at the same time")]

use super::data::QueryData;
use super::filter::QueryFilter;
use super::part::Source;

/// Rows that are still to be handed out, each once.
pub(super) struct Rows<'a, D: QueryData, F: QueryFilter> {
    /// The columns; none only when there are no rows.
    fetch: Option<(D::Fetch<'a>, F::Fetch<'a>)>,
    row: usize,
    rows: usize,
}

impl<'a, D: QueryData, F: QueryFilter> Rows<'a, D, F> {
    pub(super) const fn none() -> Self {
        Self { fetch: None, row: 0, rows: 0 }
    }

    /// The rows of a source.
    ///
    /// # Safety
    /// The columns of the source are those of `D`'s description. Until they are gone, nobody writes what the
    /// items touch, or touches what they write.
    #[inline]
    pub(super) unsafe fn of<S: Source<'a>>(source: &S) -> Self {
        let rows = source.entities().len();
        if rows == 0 {
            return Self::none();
        }
        let filter = F::fetch(source);
        if !F::PER_ROW && !F::matches(&filter, 0) {
            return Self::none();
        }
        Self { fetch: Some((D::fetch(source, &mut 0), filter)), row: 0, rows }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<D::Item<'a>> {
        let (fetch, filter) = self.fetch.as_ref()?;
        loop {
            if F::PER_ROW {
                self.row = F::skip(filter, self.row, self.rows);
            }
            if self.row >= self.rows {
                return None;
            }
            let row = self.row;
            self.row += 1;
            if (!F::PER_ROW || F::matches(filter, row)) && D::matches(fetch, row) {
                // SAFETY: the row exists and matches, and is handed out once; the rest is what the maker of
                // these rows has promised.
                return Some(unsafe { D::item(fetch, row) });
            }
        }
    }

    /// The columns; none only when there are no rows.
    pub(super) fn into_columns(self) -> Option<(D::Fetch<'a>, F::Fetch<'a>)> {
        self.fetch
    }

    #[inline]
    pub(super) fn fold<B>(self, mut sum: B, visit: &mut impl FnMut(B, D::Item<'a>) -> B) -> B {
        if F::PER_ROW {
            let mut rows = self;
            while let Some(item) = rows.next() {
                sum = visit(sum, item);
            }
            return sum;
        }
        let Some((fetch, _)) = self.fetch else { return sum };
        for row in self.row..self.rows {
            if D::matches(&fetch, row) {
                // SAFETY: as in `next`.
                sum = visit(sum, unsafe { D::item(&fetch, row) });
            }
        }
        sum
    }

    /// Rows that are left, before filters and documents that match single rows.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.rows - self.row
    }
}

impl<D: QueryData, F: QueryFilter> std::fmt::Debug for Rows<'_, D, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {} of {}", self.row, self.rows)
    }
}
