//! Where a coordinator keeps large columns, so that instances on its host can map them: one bounded memory.
//!
//! The coordinator maps it first, to be written, and then seals it: whoever gets the descriptor after that can
//! only read. That seal has a price: the system gives none of its pages back before all of it ends. So the
//! places of columns that are gone are used again, lowest first, and never is more taken than its size; a
//! world that [leaves it](engine_component::World::set_memory) gives all of it back.

#![expect(unsafe_code, reason = "gives columns their memory, and instances a look at it")]

use std::fmt;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine_component::ColumnMemory;
use engine_component::memory::Block;

use super::buddy::{Buddies, LEAST};
use super::map::Map;
use super::memfd::{self, Others};
use super::{ShmError, check_size};

/// A column that grows gets at least so much more.
const STEP: u64 = 64 << 10;

/// The memory that a world's large columns are in. The coordinator's side.
pub struct Arena {
    memory: File,
    map: Map,
    places: Mutex<Buddies>,
}

impl Arena {
    /// A memory of so many bytes, none of which is taken before a column is there.
    ///
    /// # Errors
    /// When the system has no such memory, or it is smaller than a column that would be in it, or larger than
    /// [`MOST_BYTES`](super::MOST_BYTES).
    pub fn new(bytes: u64) -> Result<Self, ShmError> {
        let bytes = check_size(bytes / LEAST * LEAST)?;
        let memory = memfd::create("engine-columns", bytes)?;
        let map = Map::to_write(&memory, bytes)?;
        memfd::seal(&memory, Others::Read)?;
        Ok(Self { memory, map, places: Mutex::new(Buddies::new(bytes)) })
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.places().bytes()
    }

    /// The bytes of the blocks that columns are in.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.places().used()
    }

    /// What instances get, and can only read.
    pub(super) fn descriptor(&self) -> &File {
        &self.memory
    }

    /// A panic between two of its changes is not possible, so the places are right whoever held them.
    fn places(&self) -> MutexGuard<'_, Buddies> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a column of so many bytes needs of a block, beyond what it has, and some more to grow into; how
    /// much it has then. It is more than half of the block, so it tells the block's size.
    fn commit(&self, place: u64, size: u64, has: u64, bytes: u64) -> Option<usize> {
        let room = (bytes + (bytes / 16).max(STEP)).next_multiple_of(LEAST).min(size);
        let (more, room) = (usize::try_from(room - has).ok()?, usize::try_from(room).ok()?);
        self.map.commit(&self.memory, place + has, more).ok()?;
        Some(room)
    }
}

// SAFETY: `Buddies` gives each place to one block at a time; all of it is mapped to be written until the arena is
// dropped, which a column that has a block keeps; all other processes can only read it. Places are multiples of
// 16 KiB, and so are addresses.
unsafe impl ColumnMemory for Arena {
    fn allocate(&self, bytes: usize) -> Option<Block> {
        let wanted = u64::try_from(bytes).ok()?;
        let (place, size) = self.places().allocate(wanted)?;
        let block = self.commit(place, size, 0, wanted).and_then(|bytes| {
            let start = self.map.pointer(place, bytes)?;
            Some(Block { start, bytes, offset: place })
        });
        if block.is_none() {
            self.places().free(place, size);
        }
        block
    }

    unsafe fn grow(&self, block: &mut Block, bytes: usize) -> bool {
        let (Ok(before), Ok(wanted)) = (u64::try_from(block.bytes), u64::try_from(bytes)) else { return false };
        let grown = self.places().grow(block.offset, before, wanted);
        let Some(size) = grown else { return false };
        let Some(room) = self.commit(block.offset, size, before, wanted) else {
            self.places().shrink(block.offset, size, before);
            return false;
        };
        block.bytes = room;
        true
    }

    unsafe fn free(&self, block: Block) {
        if let Ok(bytes) = u64::try_from(block.bytes) {
            self.places().free(block.offset, bytes);
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places();
        write!(f, "Arena({} of {} bytes)", places.used(), places.bytes())
    }
}
