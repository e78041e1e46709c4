//! The entity index: entity → (table, row) in O(1).
//!
//! Entities are numbered in order and never reused, so the index is an array of pages:
//!
//! ```text
//! entity 0 … 4095      4096 … 8191     8192 …
//!      │                 (all dead:       │
//!   [page]                freed)       [page]     page[entity % 4096] = (table, row)
//! ```
//!
//! A page goes away with the last entity on it, so memory follows the living; 8 bytes stay for every
//! 4096 entities that ever lived.

use crate::Entity;

const PAGE: usize = 4096;

/// Which table of a world: in the order of creation, for lookups only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableId(pub(crate) u32);

impl TableId {
    /// The place in [`World::tables`](crate::World::tables).
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where an entity is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// The table.
    pub table: TableId,
    /// The row in the table.
    pub row: u32,
}

const NOWHERE: Location = Location { table: TableId(u32::MAX), row: u32::MAX };

#[derive(Clone, Debug)]
struct Page {
    live: u32,
    slots: [Location; PAGE],
}

#[derive(Clone, Debug)]
pub(crate) struct Entities {
    pages: Vec<Option<Box<Page>>>,
    next: u64,
    live: usize,
}

impl Default for Entities {
    fn default() -> Self {
        Self { pages: Vec::new(), next: 1, live: 0 }
    }
}

impl Entities {
    /// The next entity, without a place yet.
    #[inline]
    pub(crate) fn allocate(&mut self) -> Entity {
        let entity = Entity::from_bits(self.next);
        self.next += 1;
        entity
    }

    /// The next `count` entities, without places yet; the first one's number.
    pub(crate) fn allocate_many(&mut self, count: u32) -> u64 {
        let first = self.next;
        self.next += u64::from(count);
        first
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(crate) fn get(&self, entity: Entity) -> Option<Location> {
        let number = usize::try_from(entity.to_bits()).ok()?;
        let page = self.pages.get(number / PAGE)?.as_ref()?;
        let location = page.slots[number % PAGE];
        (location.row != u32::MAX).then_some(location)
    }

    /// Sets the place of an entity that was allocated.
    #[inline]
    pub(crate) fn set(&mut self, entity: Entity, location: Location) {
        debug_assert!(entity.to_bits() < self.next && !entity.is_none());
        let number = entity.to_bits() as usize;
        if number / PAGE >= self.pages.len() {
            self.pages.resize_with(number / PAGE + 1, || None);
        }
        let page = self.pages[number / PAGE].get_or_insert_with(|| Box::new(Page { live: 0, slots: [NOWHERE; PAGE] }));
        let slot = &mut page.slots[number % PAGE];
        if slot.row == u32::MAX {
            page.live += 1;
            self.live += 1;
        }
        *slot = location;
    }

    pub(crate) fn remove(&mut self, entity: Entity) {
        let number = entity.to_bits() as usize;
        let Some(slot) = self.pages.get_mut(number / PAGE) else { return };
        let Some(page) = slot else { return };
        if page.slots[number % PAGE].row == u32::MAX {
            return;
        }
        page.slots[number % PAGE] = NOWHERE;
        page.live -= 1;
        self.live -= 1;
        let page_is_past = (number / PAGE + 1) * PAGE <= self.next as usize;
        if page.live == 0 && page_is_past {
            *slot = None;
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Option<Box<Page>>>() + self.pages.iter().flatten().count() * size_of::<Page>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_dead_are_freed() {
        let mut entities = Entities::default();
        let here = Location { table: TableId(0), row: 0 };
        for _ in 0..2 * PAGE {
            let entity = entities.allocate();
            entities.set(entity, here);
        }
        for number in 1..PAGE as u64 {
            entities.remove(Entity::from_bits(number));
        }
        assert!(entities.pages[0].is_none());
        assert_eq!(entities.get(Entity::from_bits(5)), None);
        assert_eq!(entities.get(Entity::from_bits(u64::MAX)), None);
        assert_eq!(entities.len(), PAGE + 1);
    }
}
