//! Rows that all jobs of a node read alike: views, with what is built from them only once.
//!
//! Shared rows may be used by many threads at once. Each job gets [`Part`]s of its own over them, since
//! a part decodes documents without locks; what is expensive (an index over all rows) is kept here.

use std::any::Any;
use std::ops::Range;
use std::sync::OnceLock;

use engine_component::query::{DocumentColumn, Part, PartColumn, QueryDescriptor};
use engine_component::{BitRows, Column, ComponentId, DocumentRows, Entity, StorageKind, Table};
use rustc_hash::FxHashMap;

/// The rows of one view in one node of one tick, in one process.
#[derive(Debug, Default)]
pub struct SharedRows<'a> {
    parts: Vec<SharedPart<'a>>,
    places: OnceLock<FxHashMap<Entity, RowPlace>>,
    index: IndexSlot,
}

/// Where a row is among shared rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// The part.
    pub part: u32,
    /// The row in the part.
    pub row: u32,
}

/// Rows of one table that are only read.
#[derive(Clone, Debug)]
pub struct SharedPart<'a> {
    /// The entity of each row.
    pub entities: &'a [Entity],
    /// The table's components, sorted.
    pub archetype: &'a [ComponentId],
    /// A column for each of the view's.
    pub columns: Vec<SharedColumn<'a>>,
    /// The changed rows for each component that the filter asks for; one that is not listed counts as
    /// changed in every row.
    pub changed: Vec<(ComponentId, BitRows)>,
}

/// One column of shared rows.
#[derive(Clone, Copy, Debug)]
pub enum SharedColumn<'a> {
    /// The archetype does not have the (optional) component.
    Absent,
    /// There, without data.
    Tag,
    /// Plain values, back to back.
    Plain {
        /// The values of all rows of the part.
        bytes: &'a [u8],
        /// Bytes of one value.
        stride: usize,
    },
    /// Documents.
    Documents {
        /// Those of the column that they are in.
        documents: DocumentRows<'a>,
        /// The part's first row in the column.
        first_row: usize,
    },
}

impl<'a> SharedRows<'a> {
    /// Shared rows of these parts, in the order in which views visit them.
    #[must_use]
    pub fn new(parts: Vec<SharedPart<'a>>) -> Self {
        Self { parts, ..Self::default() }
    }

    /// The number of rows, before filters that look at rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.entities.len()).sum()
    }

    /// Parts over the rows, for one job.
    #[must_use]
    pub fn parts(&self) -> Vec<Part<'_>> {
        self.parts.iter().map(SharedPart::part).collect()
    }

    /// Where an entity's row is. The first call makes an index over all rows.
    #[must_use]
    pub fn place(&self, entity: Entity) -> Option<RowPlace> {
        self.places.get_or_init(|| self.all_places().collect()).get(&entity).copied()
    }

    fn all_places(&self) -> impl Iterator<Item = (Entity, RowPlace)> + '_ {
        self.parts.iter().enumerate().flat_map(|(part, rows)| {
            let entities = rows.entities.iter().enumerate();
            entities.map(move |(row, entity)| (*entity, RowPlace { part: part as u32, row: row as u32 }))
        })
    }

    /// What `build` makes, made once for these rows however many jobs ask. Others wait for the first, so
    /// `build` must not ask for an index of the same rows.
    #[expect(clippy::should_implement_trait, reason = "an index is what the word means here")]
    pub fn index<I: Send + Sync + 'static>(&self, build: impl FnOnce() -> I) -> &I {
        self.index.get(build)
    }
}

impl<'a> SharedPart<'a> {
    /// Rows of a table.
    ///
    /// # Panics
    /// When the table has fewer rows.
    #[must_use]
    pub fn of_table(table: &'a Table, rows: Range<usize>, view: &QueryDescriptor) -> Self {
        let column_of = |component| match table.column_index(component) {
            Some(index) => SharedColumn::of_column(table.column(index), rows.clone()),
            None => SharedColumn::Absent,
        };
        Self {
            entities: &table.entities()[rows.clone()],
            archetype: table.components(),
            columns: view.columns.iter().map(|column| column_of(column.component)).collect(),
            changed: Vec::new(),
        }
    }

    /// A part over the rows.
    #[must_use]
    pub fn part(&self) -> Part<'_> {
        Part {
            entities: self.entities,
            archetype: self.archetype,
            columns: self.columns.iter().map(|column| column.part_column(self.entities.len())).collect(),
            changed: self.changed.clone(),
        }
    }
}

impl<'a> SharedColumn<'a> {
    /// Rows of a column.
    ///
    /// # Panics
    /// When the column has fewer rows.
    #[must_use]
    pub fn of_column(column: &'a Column, rows: Range<usize>) -> Self {
        let stride = column.stride();
        match column.kind() {
            StorageKind::Plain => {
                Self::Plain { bytes: &column.bytes()[rows.start * stride..rows.end * stride], stride }
            }
            StorageKind::Document => Self::Documents { documents: column.documents(), first_row: rows.start },
            StorageKind::Tag => Self::Tag,
        }
    }

    fn part_column(&self, rows: usize) -> PartColumn<'a> {
        match *self {
            Self::Absent => PartColumn::Absent,
            Self::Tag => PartColumn::Tag,
            Self::Plain { bytes, stride } => PartColumn::read(bytes, stride),
            Self::Documents { documents, first_row } => {
                PartColumn::Document(DocumentColumn::new(documents, first_row, rows))
            }
        }
    }
}

/// One index per type: a list, since a view hardly ever has a second one.
#[derive(Debug, Default)]
struct IndexSlot {
    built: OnceLock<Box<dyn Any + Send + Sync>>,
    next: OnceLock<Box<IndexSlot>>,
}

impl IndexSlot {
    fn get<I: Send + Sync + 'static>(&self, build: impl FnOnce() -> I) -> &I {
        let mut build = Some(build);
        let mut slot = self;
        loop {
            let built = slot.built.get_or_init(|| {
                let build = build.take().expect("a slot that is made ends the search");
                Box::new(build())
            });
            if let Some(index) = built.downcast_ref() {
                return index;
            }
            slot = slot.next.get_or_init(Box::default);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_built_once_per_type() {
        let rows = SharedRows::default();
        let first: &u32 = rows.index(|| 1);
        assert_eq!(*rows.index(|| "text"), "text");
        assert_eq!((*first, *rows.index(|| 2_u32), *rows.index(|| "other")), (1, 1, "text"));
    }

    #[test]
    fn threads_share_one_index() {
        let rows = SharedRows::default();
        let built = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| rows.index(|| built.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
            }
        });
        assert_eq!(built.into_inner(), 1);
    }
}
