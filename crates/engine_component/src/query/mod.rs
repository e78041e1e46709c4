//! Queries: which rows a system wants, and typed access to them.
//!
//! A query is declared by types, described by a [`QueryDescriptor`] that travels, and run over [`Part`]s:
//! runs of rows of one table. A part lies in the world's own memory (a system in the coordinator's
//! process) or in the buffers of an instance (a system elsewhere); the query can't tell.
//!
//! | file | what it is |
//! | --- | --- |
//! | `descriptor.rs` | what a query reads, writes and filters, for whoever was not compiled with it |
//! | `part.rs` | rows that a query runs over |
//! | `data.rs` | `Entity`, `&T`, `&mut T`, `Option<…>` and tuples as items |
//! | `filter.rs` | `With`, `Without`, `Changed`, `Or` |
//! | `documents.rs` | documents, decoded when they are looked at |
//! | `slices.rs` | whole columns as slices |
//! | `rows.rs` | walking the rows of one part |
//! | `cursor.rs` | the query itself: rows, access by entity |
//! | `world_query.rs` | queries on a world, outside of systems |
//! | `prepared.rs`, `by_entity.rs` | prepared ones: all rows, rows by entity |
//! | `marks.rs` | where changes of single rows are noted |
//! | `table_source.rs` | tables of a world as sources of rows |

mod by_entity;
mod cursor;
mod data;
mod descriptor;
mod documents;
mod filter;
mod marks;
mod part;
mod prepared;
mod rows;
mod slices;
mod table_source;
mod world_query;

pub use by_entity::ByEntity;
pub use cursor::{NotSingle, Query, QueryIter};
pub use data::{FetchStorage, QueryData, ReadOnlyQueryData};
pub use descriptor::{ColumnAccess, Filter, ItemNames, QueryDescriptor, QueryError, describe};
pub use documents::{Cells, DocumentColumn};
pub use filter::{ArchetypeFilter, Changed, Or, QueryFilter, With, Without};
pub use marks::{Mark, Marks, OptionalMark};
pub use part::{ColumnView, Part, PartColumn, Source};
pub use prepared::{QueryState, StateIter};
pub use slices::SliceData;
