//! What coordinators said: who leads since when, and which ticks were announced as final.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use engine::net::messages::commit::Commit;

/// A reign, as its coordinator told of it.
#[derive(Clone, Debug)]
pub(crate) struct Reign {
    /// The number of the process.
    pub(crate) process: u64,
    pub(crate) epoch: u64,
    /// It said that it leads no longer.
    pub(crate) is_over: bool,
}

/// All that was said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) reigns: Vec<Reign>,
    /// Epoch → when its first tick was announced.
    pub(crate) first_commits: BTreeMap<u64, Instant>,
    /// Tick → hash, as it was announced.
    pub(crate) ticks: BTreeMap<u64, String>,
    /// Ticks that were announced with two hashes.
    pub(crate) contradictions: Vec<String>,
    /// What processes ended with by themselves.
    pub(crate) last_words: Vec<String>,
}

/// For those who listen and those who look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Said>>);

impl Record {
    pub(crate) fn look(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of a coordinator.
    pub(crate) fn hear(&self, process: u64, line: &str) {
        let mut said = self.look();
        if line.starts_with("coordinator of world ") {
            if let Some(epoch) = line.split("epoch ").nth(1).and_then(number) {
                said.reigns.push(Reign { process, epoch, is_over: false });
            }
        } else if line.starts_with("standing by") {
            said.reigns.iter_mut().filter(|reign| reign.process == process).for_each(|reign| reign.is_over = true);
        }
    }

    /// A tick was announced: from now on it may not become another one.
    pub(crate) fn announced(&self, commit: &Commit) {
        let mut said = self.look();
        said.first_commits.entry(commit.epoch).or_insert_with(Instant::now);
        let hash = commit.hash.to_string();
        let known = said.ticks.entry(commit.tick).or_insert_with(|| hash.clone()).clone();
        if known != hash {
            let Commit { tick, epoch, .. } = commit;
            said.contradictions.push(format!("tick {tick} was announced as {known}, and by epoch {epoch} as {hash}"));
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

impl Said {
    /// The reign of the highest epoch that wasn't given up.
    pub(crate) fn leader(&self) -> Option<&Reign> {
        self.reigns.iter().filter(|reign| !reign.is_over).max_by_key(|reign| reign.epoch)
    }

    /// The last tick that was announced.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.last_key_value().map_or(0, |(tick, _)| *tick)
    }
}

#[cfg(test)]
mod tests {
    use engine::component::WorldHash;

    use super::*;

    #[test]
    fn who_leads_is_told_from_lines() {
        let record = Record::default();
        record.hear(1, "coordinator of world `main`, epoch 1: new, 2024 entities; waiting for systems: steer");
        record.hear(2, "standing by: someone leads the world `main`");
        assert_eq!(record.look().leader().map(|reign| reign.process), Some(1));
        record.hear(2, "coordinator of world `main`, epoch 12: 2024 entities of tick 0, 1 records up to tick 1; ");
        record.hear(1, "standing by: epoch 12 reigns");
        assert_eq!(record.look().leader().map(|reign| (reign.process, reign.epoch)), Some((2, 12)));
    }

    #[test]
    fn a_tick_that_becomes_another_one_is_noticed() {
        let record = Record::default();
        let commit = |epoch, hash| Commit { epoch, tick: 2, hash: WorldHash(hash), entities: 1 };
        record.announced(&commit(1, 7));
        record.announced(&commit(2, 7));
        assert!(record.look().contradictions.is_empty());
        record.announced(&commit(2, 8));
        assert_eq!(record.look().contradictions.len(), 1);
    }
}
