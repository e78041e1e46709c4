//! What a watch sees of the world: everything at first, then what became different since it last looked.
//!
//! Blocks of rows that have their old version are passed over, whatever the filters are. What a reader was
//! shown is kept as a digest per row, so that what changed and changed back is no news, however long the
//! reader waited.

use std::collections::BTreeMap;
use std::ops::Range;

use engine_component::{Entity, Table, World};
use engine_net::messages::Problem;
use engine_net::messages::query::{QueryRequest, QueryRow};
use engine_net::strict;
use xxhash_rust::xxh3::xxh3_64;

use crate::ask::Plan;

/// Rows that a watch shows, at the most.
pub(super) const MOST_ROWS: usize = 4096;
/// Bytes of the rows of one frame, at the most.
const MOST_BYTES: usize = 8 << 20;
/// What it costs to show a row, in rows that are merely looked at.
const SHOWING: usize = 64;

/// Rows that are new or changed, each with the bytes of its MessagePack; and entities that are gone.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) rows: Vec<(usize, QueryRow)>,
    pub(super) removed: Vec<Entity>,
    /// What it took to find out, in rows that were looked at.
    pub(super) cost: usize,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.removed.is_empty()
    }
}

/// A query that is looked at again and again.
#[derive(Debug)]
pub(super) struct Look {
    plan: Plan,
    /// Only these; nothing means all.
    entities: Vec<Entity>,
    /// A digest of each row that the reader was shown.
    shown: BTreeMap<Entity, u64>,
    /// The version of the world when it last looked.
    seen: Option<u64>,
}

impl Look {
    /// # Errors
    /// When the world doesn't know a name, or one is private.
    pub(super) fn new(world: &World, request: QueryRequest) -> Result<Self, Problem> {
        let plan = Plan::new(world, &request)?;
        let mut entities = request.entities;
        entities.sort_unstable();
        entities.dedup();
        Ok(Self { plan, entities, shown: BTreeMap::new(), seen: None })
    }

    /// What became different since the last call, or everything. Whoever calls begins a new version of the
    /// world afterwards.
    ///
    /// # Errors
    /// When there is more of it than a watch may show; the look is of no use then.
    pub(super) fn look(&mut self, world: &World, everything: bool) -> Result<News, Problem> {
        if everything {
            (self.seen, self.shown) = (None, BTreeMap::new());
        }
        let (mut news, mut found, mut bytes) = (News::default(), BTreeMap::new(), 0);
        for (table, rows) in self.places(world) {
            for row in rows {
                news.cost += 1;
                let Some((row, _)) = self.plan.row(world, table, row) else { continue };
                news.cost += SHOWING;
                let encoded = strict::encode(&row);
                let digest = xxh3_64(&encoded);
                found.insert(row.entity, digest);
                if found.len() > MOST_ROWS {
                    return Err(too_many());
                }
                if self.shown.get(&row.entity) != Some(&digest) {
                    bytes += encoded.len();
                    if bytes > MOST_BYTES {
                        return Err(Problem::new(
                            "too_many",
                            format_args!("rows of more than {MOST_BYTES} bytes: ask for fewer fields"),
                        ));
                    }
                    news.rows.push((encoded.len(), row));
                }
            }
        }
        let gone = |entity: &&Entity| !found.contains_key(*entity) && !self.stays(world, **entity);
        news.removed = self.shown.keys().filter(gone).copied().collect();
        for entity in &news.removed {
            self.shown.remove(entity);
        }
        self.shown.extend(found);
        if self.shown.len() > MOST_ROWS {
            return Err(too_many());
        }
        self.seen = Some(world.version());
        Ok(news)
    }

    /// The rows that have to be looked at.
    fn places<'w>(&self, world: &'w World) -> Vec<(&'w Table, Range<usize>)> {
        if !self.entities.is_empty() {
            let places = self.entities.iter().filter_map(|entity| {
                let location = world.location(*entity)?;
                let (table, row) = (world.table(location.table), location.row as usize);
                let is_news = self.plan.matches(table) && self.plan.is_changed(table, row, self.seen);
                is_news.then_some((table, row..row + 1))
            });
            return places.collect();
        }
        let tables = world.sorted_tables().iter().map(|id| world.table(*id)).filter(|table| self.plan.matches(table));
        tables.flat_map(|table| self.plan.changed_blocks(table, self.seen).map(move |rows| (table, rows))).collect()
    }

    /// Whether an entity that was shown, and is in no block that changed, is where it was.
    fn stays(&self, world: &World, entity: Entity) -> bool {
        world.location(entity).is_some_and(|location| {
            let table = world.table(location.table);
            self.plan.matches(table) && !self.plan.is_changed(table, location.row as usize, self.seen)
        })
    }
}

fn too_many() -> Problem {
    Problem::new("too_many", format_args!("more than {MOST_ROWS} rows: narrow the query, or give a region"))
}
