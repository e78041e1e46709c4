//! What the `engine` program knows without a connection: texts of queries and values, scene files, tables.
//!
//! Everything here is plain data in and plain data out; `src/bin/engine` connects it to NATS.
//!
//! | file | what it is |
//! | --- | --- |
//! | `schemas.rs` | the components of a world, by name |
//! | `assign.rs` | `arena.Position.x=3` |
//! | `query_text.rs` | `arena.Position, ?arena.Name, !arena.Asleep` |
//! | `scene/` | files of entities: read, checked whole, cut into batches, written |
//! | `words.rs`, `panel.rs` | the status of a world, in words and in a few lines of a terminal |
//! | `top/` | a live view of any world: what is known, as text, and drawn |
//! | `table.rs` | columns for people |
//! | `trace/` | what the time of ticks was spent on: critical path, files, sums |
//! | `progress.rs` | how far something is that takes long |

pub mod assign;
pub mod panel;
pub mod progress;
pub mod query_text;
pub mod scene;
pub mod schemas;
pub mod table;
pub mod top;
pub mod trace;
pub mod words;
