//! Memory for a snapshot, made before it is taken.

use super::snapshot::Snapshot;
use crate::column::Column;
use crate::hash::hash_anew;
use crate::registry::Registry;
use crate::table::Table;
use crate::world::{World, WorldSettings};

/// How much memory a snapshot of a world would take; any thread can make it.
///
/// Fresh memory comes from the operating system page by page, which takes several times as long as the copy
/// itself. So whoever can't let a world wait makes the memory elsewhere, and takes the first snapshot in it.
///
/// ```
/// use engine_component::image::{Room, Snapshot};
/// use engine_component::{Component, World};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut world = World::default();
/// world.spawn(Position { x: 1.0 });
/// let room = Room::of(&world);
/// let made = std::thread::spawn(|| room.make()); // The world goes on.
/// world.spawn(Position { x: 2.0 });
/// let mut snapshot = made.join().unwrap();
/// snapshot.refresh(&mut world);
/// assert_eq!(snapshot.hash(), Snapshot::capture(&mut world).hash());
/// ```
#[derive(Debug)]
pub struct Room {
    settings: WorldSettings,
    registry: Registry,
    tables: Vec<TableRoom>,
}

/// A table without rows, how many it is to have, and the bytes of documents in each of its columns.
#[derive(Debug)]
struct TableRoom {
    table: Table,
    rows: usize,
    documents: Vec<usize>,
}

impl Room {
    /// As much as the world takes now. Copies nothing but schemas.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let empty = |table: &Table| {
            let infos = table.components().iter().filter_map(|component| world.registry.get(*component));
            let columns = infos.map(|info| Column::with_trackers(&info.schema, info.trackers)).collect();
            let documents = table.columns().iter().map(Column::document_bytes).collect();
            TableRoom { table: Table::new(table.components().into(), columns), rows: table.len(), documents }
        };
        Self {
            settings: world.settings(),
            registry: world.registry.clone(),
            tables: world.tables.iter().map(empty).collect(),
        }
    }

    /// Makes the memory: a snapshot of a world without entities, to be brought up to date.
    #[must_use]
    pub fn make(self) -> Snapshot {
        let made = |TableRoom { mut table, rows, documents }| {
            table.make_room(rows, &documents);
            table
        };
        let tables: Vec<Table> = self.tables.into_iter().map(made).collect();
        let next_entity = 1;
        Snapshot {
            hash: hash_anew(&self.registry, tables.iter(), next_entity),
            settings: self.settings,
            registry: self.registry,
            tables,
            next_entity,
            version: 0,
        }
    }
}
