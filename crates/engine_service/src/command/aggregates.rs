//! The aggregates that a handler has in memory: a bounded number of them, those that were used last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// One aggregate, as far as its history was read. Whoever holds the lock is the only one in this process who decides
/// about it.
#[derive(Debug)]
pub(super) struct Folded<S> {
    /// What its events amount to.
    pub(super) state: S,
    /// The sequence that its history ends with; 0 when it is empty.
    pub(super) end: u64,
    /// Which commands it has outcomes of, and where.
    pub(super) handled: HashMap<Uuid, u64>,
    /// Whether somebody else may have appended since.
    pub(super) doubtful: bool,
}

impl<S: Default> Default for Folded<S> {
    fn default() -> Self {
        Self { state: S::default(), end: 0, handled: HashMap::new(), doubtful: true }
    }
}

pub(super) type Cell<S> = Arc<tokio::sync::Mutex<Folded<S>>>;

/// Two generations: what is used moves to the young one; when that is full it becomes the old one, and what nobody used
/// since is dropped. An aggregate that is dropped while somebody decides about it may be read again beside that; the
/// stream's guard keeps the two apart, as it does with two processes.
#[derive(Debug)]
pub(super) struct Aggregates<S> {
    generations: Mutex<[HashMap<String, Cell<S>>; 2]>,
    each: usize,
}

impl<S: Default> Aggregates<S> {
    pub(super) fn new(most: usize) -> Self {
        Self { generations: Mutex::default(), each: (most / 2).max(1) }
    }

    pub(super) fn get(&self, key: &str) -> Cell<S> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        if let Some(cell) = young.get(key) {
            return cell.clone();
        }
        let cell = old.remove(key).unwrap_or_default();
        if young.len() >= self.each {
            *old = std::mem::take(young);
        }
        young.insert(key.to_owned(), cell.clone());
        cell
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let aggregates = Aggregates::<u64>::new(8);
        let ada = aggregates.get("ada");
        for other in 0..100 {
            aggregates.get(&other.to_string());
            assert!(Arc::ptr_eq(&ada, &aggregates.get("ada")), "{other}");
            assert!(aggregates.len() <= 8);
        }
        let first = aggregates.get("0");
        assert_eq!(Arc::strong_count(&first), 2, "it was dropped meanwhile, and is a new one");
    }
}
