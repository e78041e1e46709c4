//! An image: a whole world as bytes, in parts, and back. Keyframes of the world log are made of it.
//!
//! ```text
//! tick boundary                    another thread, while the world goes on
//! ────────────────────────         ─────────────────────────────────────────────────────────
//! World ── capture ──► Snapshot ── parts() ──► part 0, part 1, … part n-1, and the manifest last
//!          (memcpy)
//!
//! manifest ──► Restore ── part 0 … part n-1 ──► finish() ──► World      (same hash, same behaviour)
//! ```
//!
//! Columns are one block of memory each, read in place by every query; a copy on write in there would cost
//! every pass over every column. So a snapshot is a copy of the columns, made between two ticks:
//! [`Snapshot::refresh`] copies only the blocks of rows that changed since the snapshot was last taken.
//! The first one needs memory, which [`Room`] makes ahead on another thread.
//!
//! What an image holds: the schemas in the order of their registration; all tables in the order of their
//! creation, the empty ones too; their rows in order; which rows every tracker has seen changed; the number
//! that the next entity gets. What it does not hold: hooks, which are code
//! ([`World::take_hooks`](crate::World::take_hooks)), who a tracker belongs to, and who was despawned since
//! [`World::take_despawned`](crate::World::take_despawned) was last called.
//!
//! What comes from outside is refused whole and costs nothing: every number is checked against the bytes that
//! are there and against [`Limits`] before memory is asked for because of it.
//!
//! # Format
//!
//! Everything is little endian. A part and the manifest begin with the same 48 bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | `EIMG` |
//! | 4..6 | format, 1 |
//! | 6 | 1 a part, 2 the manifest |
//! | 7 | 0 |
//! | 8..12 | number of the part, from 0; of the manifest the number of parts |
//! | 12..16 | bytes that follow |
//! | 16..32 | the world hash: which image this belongs to |
//! | 32..48 | XXH3-128 of what follows, its seed the XXH3-64 of bytes 0..32 |
//!
//! A part then holds pieces, each 40 bytes of head and its bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | 1 registry, 2 tables, 3 entities, 4 values, 5 lengths, 6 documents, 7 changed rows |
//! | 1..4 | 0 |
//! | 4..8 | table, in the order of creation |
//! | 8..12 | column, in the order of component ids |
//! | 12..16 | tracker |
//! | 16..24 | where in the block this piece begins |
//! | 24..32 | bytes of the whole block |
//! | 32..36 | bytes of this piece |
//! | 36..40 | 0 |
//!
//! All pieces of a block but its last one are of a multiple of 16 bytes: no number is cut in two. The blocks, in this order, those of no bytes left out:
//!
//! * registry: the number of components (`u32`); for each the number of its trackers (`u32`), the hash of
//!   its schema (`u128`), and the schema as MessagePack behind its length (`u32`).
//! * tables: their number (`u32`); for each its rows (`u32`), the number of its columns (`u32`), and for
//!   each column the place of its component in the registry (`u32`), in the order of component ids.
//! * for each table its entities (`u64` each), then column by column: Plain values back to back, or the
//!   lengths (`u32` each) and then the bytes of documents; then for each tracker a bit per row, in `u64`s.
//!
//! The manifest holds `rows_per_shard` (`u32`), 0 (`u32`), the version of the world (`u64`), the number of
//! the next entity (`u64`), the number of entities (`u64`), the bytes of all blocks (`u64`), and for each
//! part its bytes (`u32`), 0 (`u32`) and the hash in its head (`u128`).

mod block;
mod documents;
mod error;
mod frame;
mod limits;
mod manifest;
mod order;
mod parts;
mod registry;
mod restore;
mod room;
mod snapshot;
mod tables;

pub use error::{ImageError, Place, Problem};
pub use frame::MAX_PART;
pub use limits::Limits;
pub use manifest::{MAX_PARTS, Manifest};
pub use parts::{Part, PartBytes, Parts};
pub use restore::Restore;
pub use room::Room;
pub use snapshot::Snapshot;
