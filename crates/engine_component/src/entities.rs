//! The entity index: entity → (table, row) in O(1).
//!
//! Entities are numbered in order and never reused, so the index is an array of pages:
//!
//! ```text
//! entity 0 … 4095      4096 … 8191     8192 …
//!      │                 (all dead:       │
//!    slots                freed)         run
//! slot[entity % 4096]              first row + entity
//!  = (table, row)
//! ```
//!
//! Entities that were spawned one after the other into one table, and have not moved since, are a *run*: the
//! rows follow the numbers, and nothing is kept for each of them. The first one that moves otherwise gives
//! its page a slot for each entity.
//!
//! A page goes away with the last entity on it, so memory follows the living; 16 bytes stay for every
//! 4096 entities that ever lived.

use crate::Entity;

/// Entities of a page.
pub(crate) const PAGE: usize = 4096;

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
enum Page {
    Run(Run),
    Slots(Box<Slots>),
}

/// Entities of a page in consecutive rows of one table.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first of them, counted from the beginning of the page.
    first: u16,
    count: u16,
    /// Where the first one is.
    at: Location,
}

#[derive(Clone, Debug)]
struct Slots {
    live: u32,
    slots: [Location; PAGE],
}

const EMPTY: Run = Run { first: 0, count: 0, at: NOWHERE };

impl Run {
    #[inline]
    fn get(&self, place: usize) -> Option<Location> {
        let distance = place.wrapping_sub(usize::from(self.first));
        (distance < usize::from(self.count)).then(|| self.location(distance))
    }

    fn location(&self, distance: usize) -> Location {
        Location { table: self.at.table, row: self.at.row + distance as u32 }
    }

    /// Sets the place of an entity if the run remains a run.
    #[inline]
    fn set(&mut self, place: usize, location: Location) -> bool {
        let (first, count) = (usize::from(self.first), usize::from(self.count));
        if count > 0 && place == first + count && location == self.location(count) {
            self.count += 1;
            return true;
        }
        if count == 0 || (count == 1 && place == first) {
            *self = Self { first: place as u16, count: 1, at: location };
            return true;
        }
        self.get(place) == Some(location)
    }

    /// Removes an entity of the run if it remains one.
    fn remove(&mut self, place: usize) -> bool {
        let is_last = place + 1 == usize::from(self.first) + usize::from(self.count);
        self.count -= u16::from(is_last);
        is_last
    }

    #[cold]
    fn to_slots(self) -> Box<Slots> {
        let mut slots = Box::new(Slots { live: self.count.into(), slots: [NOWHERE; PAGE] });
        let places = slots.slots[self.first.into()..].iter_mut().take(self.count.into());
        places.enumerate().for_each(|(distance, slot)| *slot = self.location(distance));
        slots
    }
}

impl Page {
    /// Sets the places of so many entities that have none.
    fn set_run(&mut self, place: usize, count: usize, at: Location) {
        if let Self::Run(run) = self {
            if run.count == 0 {
                *run = Run { first: place as u16, count: count as u16, at };
                return;
            }
            if place == usize::from(run.first) + usize::from(run.count) && at == run.location(run.count.into()) {
                run.count += count as u16;
                return;
            }
        }
        let page = self.slots();
        page.live += count as u32;
        let slots = page.slots[place..place + count].iter_mut();
        slots.zip(at.row..).for_each(|(slot, row)| *slot = Location { table: at.table, row });
    }

    /// The slots, made of the run if it is one.
    fn slots(&mut self) -> &mut Slots {
        if let Self::Run(run) = self {
            *self = Self::Slots(run.to_slots());
        }
        match self {
            Self::Slots(slots) => slots,
            Self::Run(_) => unreachable!("it was just replaced"),
        }
    }
}

/// Where all entities are: the index, when it is only read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a>(&'a [Page]);

/// Entities of a page in consecutive rows of one table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageRun {
    /// The first of them, counted from the beginning of the page.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// Where the first one is.
    pub(crate) row: u32,
}

impl<'a> Places<'a> {
    /// The run of each page, and its table; none where entities have moved.
    pub(crate) fn runs(self) -> impl Iterator<Item = Option<(TableId, PageRun)>> + 'a {
        self.0.iter().map(|page| match page {
            Page::Run(Run { first, count, at }) if *count > 0 => {
                Some((at.table, PageRun { first: (*first).into(), count: (*count).into(), row: at.row }))
            }
            _ => None,
        })
    }
}

impl Places<'_> {
    #[inline]
    pub(crate) fn get(self, entity: Entity) -> Option<Location> {
        let number = usize::try_from(entity.to_bits()).ok()?;
        match self.0.get(number / PAGE)? {
            Page::Run(run) => run.get(number % PAGE),
            Page::Slots(slots) => {
                let location = slots.slots[number % PAGE];
                (location.row != u32::MAX).then_some(location)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Entities {
    pages: Vec<Page>,
    next: u64,
    live: usize,
    /// Who was removed, when somebody wants to know.
    removed: Option<Vec<Entity>>,
}

impl Default for Entities {
    fn default() -> Self {
        Self { pages: Vec::new(), next: 1, live: 0, removed: None }
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
    pub(crate) fn allocate_many(&mut self, count: u64) -> u64 {
        let first = self.next;
        self.next += count;
        first
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Continues the numbers of another index: for one that is still empty.
    pub(crate) fn restore_next(&mut self, next: u64) {
        debug_assert!(self.live == 0 && next > 0);
        self.next = next;
    }

    /// Bytes of an index over so many numbers in which each page is a run. Of more numbers than there are
    /// addresses no index can be.
    pub(crate) fn least_bytes(next: u64) -> u64 {
        match usize::try_from(next) {
            Ok(next) => (next.div_ceil(PAGE) as u64).saturating_mul(size_of::<Page>() as u64),
            Err(_) => u64::MAX,
        }
    }

    /// Sets the place of an entity that has none; what that takes of memory beyond
    /// [`Self::least_bytes`]. `None` when it has one already.
    #[inline]
    pub(crate) fn claim(&mut self, entity: Entity, location: Location) -> Option<u64> {
        let number = entity.to_bits() as usize;
        match self.pages.get_mut(number / PAGE) {
            Some(Page::Slots(page)) => {
                let slot = &mut page.slots[number % PAGE];
                if slot.row != u32::MAX {
                    return None;
                }
                *slot = location;
                page.live += 1;
                self.live += 1;
                return Some(0);
            }
            Some(Page::Run(run)) if run.get(number % PAGE).is_some() => return None,
            _ => {}
        }
        self.set(entity, location);
        let is_run = matches!(self.pages[number / PAGE], Page::Run(_));
        Some(if is_run { 0 } else { size_of::<Slots>() as u64 })
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(crate) fn get(&self, entity: Entity) -> Option<Location> {
        self.places().get(entity)
    }

    /// All places, to be looked up one after the other.
    #[inline]
    pub(crate) fn places(&self) -> Places<'_> {
        Places(&self.pages)
    }

    /// Sets the place of an entity that was allocated.
    #[inline]
    pub(crate) fn set(&mut self, entity: Entity, location: Location) {
        debug_assert!(entity.to_bits() < self.next && !entity.is_none());
        let number = entity.to_bits() as usize;
        if number / PAGE >= self.pages.len() {
            self.pages.resize(number / PAGE + 1, Page::Run(EMPTY));
        }
        let page = &mut self.pages[number / PAGE];
        if let Page::Run(run) = page {
            let before = run.count;
            if run.set(number % PAGE, location) {
                self.live += usize::from(run.count - before);
                return;
            }
        }
        let page = page.slots();
        let slot = &mut page.slots[number % PAGE];
        if slot.row == u32::MAX {
            page.live += 1;
            self.live += 1;
        }
        *slot = location;
    }

    /// Sets the place of an entity that has one.
    #[inline]
    pub(crate) fn relocate(&mut self, entity: Entity, location: Location) {
        debug_assert!(self.get(entity).is_some());
        let number = entity.to_bits() as usize;
        match self.pages.get_mut(number / PAGE) {
            Some(Page::Slots(page)) => page.slots[number % PAGE] = location,
            _ => self.relocate_in_run(entity, location),
        }
    }

    #[cold]
    #[inline(never)]
    fn relocate_in_run(&mut self, entity: Entity, location: Location) {
        self.set(entity, location);
    }

    /// The place of an entity that is in this table, to be changed; none when it is not there, or when its page
    /// is a run.
    #[inline]
    pub(crate) fn slot_in(&mut self, entity: Entity, table: TableId) -> Option<&mut Location> {
        let number = usize::try_from(entity.to_bits()).ok()?;
        match self.pages.get_mut(number / PAGE)? {
            Page::Slots(page) => Some(&mut page.slots[number % PAGE]).filter(|slot| slot.table == table),
            Page::Run(_) => None,
        }
    }

    /// Sets the places of entities that follow one another and have none, in consecutive rows from one on. Pays
    /// for each page of them, not for each of them.
    pub(crate) fn set_run(&mut self, first: u64, count: usize, at: Location) {
        debug_assert!(first > 0 && first + count as u64 <= self.next);
        let (mut number, mut row, end) = (first as usize, at.row, first as usize + count);
        self.pages.resize(self.pages.len().max(end.div_ceil(PAGE)), Page::Run(EMPTY));
        while number < end {
            let place = number % PAGE;
            let taken = (PAGE - place).min(end - number);
            self.pages[number / PAGE].set_run(place, taken, Location { table: at.table, row });
            number += taken;
            row += taken as u32;
        }
        self.live += count;
    }

    /// Entities that were removed since the last call; the first call begins it.
    pub(crate) fn take_removed(&mut self) -> Vec<Entity> {
        self.removed.replace(Vec::new()).unwrap_or_default()
    }

    pub(crate) fn remove(&mut self, entity: Entity) {
        if self.get(entity).is_none() {
            return;
        }
        if let Some(removed) = &mut self.removed {
            removed.push(entity);
        }
        let number = entity.to_bits() as usize;
        let page = &mut self.pages[number / PAGE];
        self.live -= 1;
        if let Page::Run(run) = page
            && run.remove(number % PAGE)
        {
            return;
        }
        let slots = page.slots();
        slots.slots[number % PAGE] = NOWHERE;
        slots.live -= 1;
        let page_is_past = (number / PAGE + 1) * PAGE <= self.next as usize;
        if slots.live == 0 && page_is_past {
            *page = Page::Run(EMPTY);
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let slots = self.pages.iter().filter(|page| matches!(page, Page::Slots(_))).count();
        self.pages.capacity() * size_of::<Page>() + slots * size_of::<Slots>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(table: u32, row: u32) -> Location {
        Location { table: TableId(table), row }
    }

    fn is_run(entities: &Entities, page: usize) -> bool {
        matches!(entities.pages[page], Page::Run(_))
    }

    #[test]
    fn pages_of_the_dead_are_freed() {
        let mut entities = Entities::default();
        for _ in 0..2 * PAGE {
            let entity = entities.allocate();
            entities.set(entity, at(0, 0));
        }
        assert!(!is_run(&entities, 0), "rows that do not follow the numbers");
        for number in 1..PAGE as u64 {
            entities.remove(Entity::from_bits(number));
        }
        assert!(is_run(&entities, 0));
        assert_eq!(entities.get(Entity::from_bits(5)), None);
        assert_eq!(entities.get(Entity::from_bits(u64::MAX)), None);
        assert_eq!(entities.len(), PAGE + 1);
    }

    #[test]
    fn entities_that_follow_one_another_cost_nothing() {
        let mut entities = Entities::default();
        for row in 0..3 * PAGE as u32 {
            let entity = entities.allocate();
            entities.set(entity, at(7, row));
        }
        assert!(entities.heap_bytes() < 1000, "{}", entities.heap_bytes());
        assert_eq!(entities.get(Entity::from_bits(5000)), Some(at(7, 4999)));
        entities.set(Entity::from_bits(5000), at(8, 0));
        assert_eq!((is_run(&entities, 0), is_run(&entities, 1), is_run(&entities, 2)), (true, false, true));
        assert_eq!(entities.get(Entity::from_bits(5000)), Some(at(8, 0)));
        assert_eq!(entities.get(Entity::from_bits(4999)), Some(at(7, 4998)));
        assert_eq!(entities.len(), 3 * PAGE);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// So many in consecutive rows from one on.
        Spawn(u32, u32),
        /// The same at once.
        SpawnRun(u32, u32),
        Set(u64, u32),
        Remove(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..2000_u32, 0..3_u32).prop_map(|(count, row)| Step::Spawn(count, row)),
            (1..6000_u32, 0..3_u32).prop_map(|(count, row)| Step::SpawnRun(count, row)),
            (0..6000_u64, 0..5_u32).prop_map(|(number, row)| Step::Set(number, row)),
            (0..6000_u64).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "without unsafe code, and far too many steps")]
        fn the_index_is_a_map(steps in proptest::collection::vec(step(), 0..40)) {
            let mut entities = Entities::default();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Spawn(count, row) => {
                        for row in row..row + count {
                            let entity = entities.allocate();
                            entities.set(entity, at(1, row));
                            model.insert(entity, at(1, row));
                        }
                    }
                    Step::SpawnRun(count, row) => {
                        let first = entities.allocate_many(count.into());
                        entities.set_run(first, count as usize, at(1, row));
                        let spawned = (first..entities.next()).zip(row..);
                        model.extend(spawned.map(|(number, row)| (Entity::from_bits(number), at(1, row))));
                    }
                    Step::Set(number, row) if number > 0 && number < entities.next() => {
                        let entity = Entity::from_bits(number);
                        match entities.get(entity) {
                            Some(_) => entities.relocate(entity, at(2, row)),
                            None => entities.set(entity, at(2, row)),
                        }
                        model.insert(Entity::from_bits(number), at(2, row));
                    }
                    Step::Set(..) => {}
                    Step::Remove(number) => {
                        entities.remove(Entity::from_bits(number));
                        model.remove(&Entity::from_bits(number));
                    }
                }
            }
            prop_assert_eq!(entities.len(), model.len());
            for number in 0..entities.next() + 10 {
                let entity = Entity::from_bits(number);
                prop_assert_eq!(entities.get(entity), model.get(&entity).copied());
            }
        }
    }
}
