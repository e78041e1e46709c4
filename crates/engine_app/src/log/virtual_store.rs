//! A key-value entry with a time to live, in memory: for tests of the [lease](super::lease), and for the simulator.

use super::lease::Entry;

/// One key of a store.
#[derive(Clone, Debug)]
pub struct VirtualStore {
    ttl: u64,
    /// How much later than that an entry is removed.
    late: u64,
    held: Option<(Entry, u64)>,
    revision: u64,
}

impl VirtualStore {
    /// An empty one, whose entries live for `ttl` nanoseconds of its own clock.
    #[must_use]
    pub fn new(ttl: u64) -> Self {
        Self { ttl, late: 0, held: None, revision: 0 }
    }

    /// Removes entries that much later than their time is over, as a store does that looks at them now and then.
    #[must_use]
    pub fn with_late_removal(self, late: u64) -> Self {
        Self { late, ..self }
    }

    /// The entry, if there is one.
    #[must_use]
    pub fn read(&self, now: u64) -> Option<&Entry> {
        self.held.as_ref().filter(|(_, expires)| now < *expires).map(|(entry, _)| entry)
    }

    /// Puts an entry where none is. Answers its revision.
    ///
    /// # Errors
    /// With the entry that is there.
    pub fn create(&mut self, holder: &str, now: u64) -> Result<u64, Entry> {
        match self.read(now) {
            Some(entry) => Err(entry.clone()),
            None => Ok(self.put(holder, now)),
        }
    }

    /// Puts an entry in the place of the one with that revision. Answers its revision.
    ///
    /// # Errors
    /// With the entry that is there instead, if any.
    pub fn replace(&mut self, holder: &str, revision: u64, now: u64) -> Result<u64, Option<Entry>> {
        match self.read(now) {
            Some(entry) if entry.revision == revision => Ok(self.put(holder, now)),
            other => Err(other.cloned()),
        }
    }

    /// Puts it again if it still has that revision: it lives on. Answers the new revision.
    pub fn renew(&mut self, holder: &str, revision: u64, now: u64) -> Option<u64> {
        self.read(now).is_some_and(|entry| entry.revision == revision).then(|| self.put(holder, now))
    }

    /// Removes it if it still has that revision.
    pub fn release(&mut self, revision: u64, now: u64) {
        if self.read(now).is_some_and(|entry| entry.revision == revision) {
            self.revision += 1;
            self.held = None;
        }
    }

    fn put(&mut self, holder: &str, now: u64) -> u64 {
        self.revision += 1;
        let entry = Entry { holder: holder.to_owned(), revision: self.revision, ttl: Some(self.ttl) };
        self.held = Some((entry, now.saturating_add(self.ttl).saturating_add(self.late)));
        self.revision
    }
}
