//! Where the bytes of large columns come from, when not from the heap: a place that other processes can map.
//!
//! The world knows nothing of processes: it asks a [`ColumnMemory`] for blocks, and remembers at which offset
//! of it each one is. Small columns stay on the heap, and so does whatever the memory has no room for: a
//! column that has no [`shared_offset`](crate::Column::shared_offset) is no mistake, it only can't be mapped.

#![expect(unsafe_code, reason = "columns believe what a memory says")]

use std::fmt;
use std::ptr::NonNull;

/// A block of a [`ColumnMemory`], which belongs to whoever holds this.
#[derive(Debug)]
pub struct Block {
    /// The first byte, aligned to 16.
    pub start: NonNull<u8>,
    /// How many bytes may be read and written.
    pub bytes: usize,
    /// Where the block is in the memory, for those that have mapped it elsewhere.
    pub offset: u64,
}

/// A bounded memory that columns live in.
///
/// # Safety
/// The bytes of a block that [`Self::allocate`] or [`Self::grow`] returned are valid for reads and writes, at
/// an address that does not change and is a multiple of 16, and nobody else writes to them, until the block is
/// freed, whichever thread does so. No method panics.
pub unsafe trait ColumnMemory: fmt::Debug + Send + Sync {
    /// Columns of fewer bytes stay on the heap: to say where they are costs more than to send them.
    fn least_bytes(&self) -> usize {
        16 << 10
    }

    /// A block of at least so many bytes, whatever they hold. `None` when there is no room.
    fn allocate(&self, bytes: usize) -> Option<Block>;

    /// Makes a block so large, or larger, where it is; what it holds stays. `false` leaves it as it was. A
    /// column that grows asks for exactly what it needs next, so a memory gives some more.
    ///
    /// # Safety
    /// The block is of this memory, and was not freed.
    unsafe fn grow(&self, block: &mut Block, bytes: usize) -> bool {
        let _ = (block, bytes);
        false
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The block is of this memory, and nothing points into it any more.
    unsafe fn free(&self, block: Block);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::alloc::{self, Layout};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Component, Data, Entity, World};

    /// A memory on the heap that checks what it is told: bounded, with some room to grow in place.
    #[derive(Debug)]
    pub(crate) struct Fake {
        limit: usize,
        state: Mutex<State>,
    }

    #[derive(Debug, Default)]
    struct State {
        /// By offset: the address, and the room of which a part was given out.
        blocks: BTreeMap<u64, (usize, usize)>,
        used: usize,
        next: u64,
    }

    impl Fake {
        pub(crate) fn new(limit: usize) -> Arc<Self> {
            Arc::new(Self { limit, state: Mutex::default() })
        }

        pub(crate) fn used(&self) -> usize {
            self.state.lock().unwrap().used
        }

        pub(crate) fn assert_holds(&self, offset: u64, start: *const u8) {
            assert_eq!(self.state.lock().unwrap().blocks[&offset].0, start.addr());
        }
    }

    fn layout(room: usize) -> Layout {
        Layout::from_size_align(room, 16).unwrap()
    }

    // SAFETY: a block is an allocation of its own, which ends when it is freed.
    unsafe impl ColumnMemory for Fake {
        fn least_bytes(&self) -> usize {
            128
        }

        fn allocate(&self, bytes: usize) -> Option<Block> {
            let mut state = self.state.lock().unwrap();
            let room = bytes + bytes / 2;
            if state.used + room > self.limit {
                return None;
            }
            // SAFETY: nobody asks for nothing.
            let start = NonNull::new(unsafe { alloc::alloc(layout(room)) }).unwrap();
            let offset = state.next;
            state.next += room as u64;
            state.used += room;
            state.blocks.insert(offset, (start.as_ptr().addr(), room));
            Some(Block { start, bytes, offset })
        }

        unsafe fn grow(&self, block: &mut Block, bytes: usize) -> bool {
            let (start, room) = self.state.lock().unwrap().blocks[&block.offset];
            assert_eq!(start, block.start.as_ptr().addr());
            assert!(bytes > block.bytes, "it is not asked for what it gave");
            if bytes <= room {
                block.bytes = bytes;
            }
            bytes <= room
        }

        unsafe fn free(&self, block: Block) {
            let mut state = self.state.lock().unwrap();
            let (start, room) = state.blocks.remove(&block.offset).expect("freed once");
            assert_eq!(start, block.start.as_ptr().addr());
            state.used -= room;
            // SAFETY: allocated with this layout, and freed once.
            unsafe { alloc::dealloc(block.start.as_ptr(), layout(room)) };
        }
    }

    #[derive(Component, Clone, Copy, PartialEq, Debug)]
    #[repr(C)]
    #[component(name = "test.Place")]
    struct Place {
        x: u32,
        y: u32,
    }

    #[derive(Component, Clone, Copy)]
    #[component(name = "test.Marked")]
    struct Marked;

    fn place(x: u32) -> Place {
        Place { x, y: !x }
    }

    /// The offsets of the entities and of the places, table by table.
    fn offsets(world: &World) -> Vec<(Option<u64>, Option<u64>)> {
        let offsets = |table: &crate::Table| {
            let column = table.column(table.column_index(Place::ID).unwrap());
            (table.entities_shared_offset(), column.shared_offset())
        };
        world.tables().iter().map(offsets).collect()
    }

    #[test]
    fn large_columns_and_entities_are_in_the_memory() {
        let memory = Fake::new(1 << 20);
        let mut world = World::default();
        world.set_memory(Some(memory.clone()));
        let few = world.spawn_batch((0..4).map(place));
        assert_eq!(offsets(&world), [(None, None)], "few stay on the heap");
        let many = world.spawn_batch((4..100).map(place));
        let table = &world.tables()[0];
        memory.assert_holds(table.entities_shared_offset().unwrap(), table.entities().as_ptr().cast());
        memory.assert_holds(table.column(0).shared_offset().unwrap(), table.column(0).bytes().as_ptr());
        assert_eq!(*world.get::<Place>(many[50]).unwrap(), place(54));

        // Tables that are made later know it too.
        for entity in &many {
            world.insert(*entity, Marked).unwrap();
        }
        assert!(offsets(&world).iter().all(|(entities, places)| entities.is_some() && places.is_some()));
        assert_eq!(*world.get::<Place>(many[95]).unwrap(), place(99));
        assert_eq!(*world.get::<Place>(few[3]).unwrap(), place(3));
        world.check_invariants();
        drop(world);
        assert_eq!(memory.used(), 0, "everything was freed");
    }

    #[test]
    fn a_world_moves_into_a_memory_and_out_of_it() {
        let (first, second) = (Fake::new(1 << 20), Fake::new(1 << 20));
        let mut world = World::default();
        let entities = world.spawn_batch((0..100).map(place));
        let hash = world.hash();
        for memory in [Some(&first), Some(&first), Some(&second), None, Some(&first)] {
            world.set_memory(memory.map(|memory| memory.clone() as Arc<dyn ColumnMemory>));
            let shared = offsets(&world)[0];
            assert_eq!((shared.0.is_some(), shared.1.is_some()), (memory.is_some(), memory.is_some()));
            assert_eq!(world.hash(), hash);
            assert_eq!(*world.get::<Place>(entities[7]).unwrap(), place(7));
            world.check_invariants();
        }
        assert_eq!(second.used(), 0);
    }

    #[test]
    fn what_the_memory_has_no_room_for_is_on_the_heap() {
        let memory = Fake::new(3000);
        let mut world = World::default();
        world.set_memory(Some(memory.clone()));
        let entities: Vec<Entity> = (0..1000).map(|x| world.spawn(place(x))).collect();
        assert!(memory.used() <= 3000);
        assert_eq!(offsets(&world), [(None, None)], "8,000 bytes each");
        assert_eq!(memory.used(), 0, "and what was in it was given back");
        for (x, entity) in (0..).zip(&entities) {
            assert_eq!(*world.get::<Place>(*entity).unwrap(), place(x));
        }
        world.check_invariants();
    }

    #[test]
    fn a_snapshot_takes_nothing_of_the_memory() {
        let memory = Fake::new(1 << 20);
        let mut world = World::default();
        world.set_memory(Some(memory.clone()));
        world.spawn_batch((0..100).map(place));
        let used = memory.used();
        let mut copy = world.tables()[0].clone();
        assert_eq!((copy.column(0).shared_offset(), memory.used()), (None, used));
        world.advance_version();
        world.spawn(place(100));
        copy.catch_up(&world.tables()[0]);
        assert_eq!((copy.column(0).shared_offset(), copy.len()), (None, 101));
        assert_eq!(copy.column(0).bytes(), world.tables()[0].column(0).bytes());
    }
}
