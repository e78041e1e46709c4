//! Run-time settings: somebody puts them into their bucket, also what is no value at all, and whoever leads finds them
//! there sooner or later. The bucket outlives everybody who leads.

use engine_app::run_time::Entry;
use engine_component::Entity;
use engine_system::{EntityRng, Rng};

use super::{Cluster, Event, MS};
use crate::network::Party;

/// Something that is put, and when.
pub(crate) struct Put {
    at: u64,
    key: &'static str,
    value: String,
}

impl Put {
    /// What is put in the schedule of a seed; nothing in most of them, whose hashes are known beforehand.
    pub(crate) fn all_of(seed: u64) -> Vec<Self> {
        let mut rng = Rng::new(seed, 0, "settings").of(Entity::NONE);
        if !rng.chance(0.4) {
            return Vec::new();
        }
        let mut puts: Vec<Self> = (0..1 + rng.below(6)).map(|_| Self::any(&mut rng)).collect();
        puts.sort_by_key(|put| put.at);
        if let Some(last) = puts.iter().rfind(|put| put.key == "paused") {
            // Else nothing would happen any more: nor when what lets it go on was replaced by what is no value.
            let at = last.at + 1 + u64::from(rng.below(100)) * MS;
            puts.push(Self { at, key: "paused", value: "false".into() });
        }
        puts
    }

    fn any(rng: &mut EntityRng) -> Self {
        let at = u64::from(rng.below(200)) * MS;
        let (key, value) = match rng.below(8) {
            0..4 => ("rate", ["25", "50", "400", "33.3", "1000"][rng.below(5) as usize]),
            4 => ("paused", "true"),
            5 => ("paused", "false"),
            6 => ("log_level", "info"),
            _ => [("rate", "NaN"), ("rate", "0"), ("paused", "perhaps"), ("rat", "30")][rng.below(4) as usize],
        };
        Self { at, key, value: value.into() }
    }
}

impl Cluster {
    pub(super) fn plan_puts(&mut self, puts: Vec<Put>) {
        for put in puts {
            self.ends_at(put.at);
            self.at(put.at, Event::Put { put });
        }
    }

    /// The revision is the place in the bucket: each put has one of its own.
    pub(super) fn put(&mut self, put: Put) {
        let Put { key, value, .. } = put;
        self.revisions += 1;
        let revision = self.revisions;
        self.trace.note(self.now, || format!("       ** somebody sets {key} = {value}, revision {revision}"));
        self.bucket.retain(|entry| entry.key != key);
        self.bucket.push(Entry { key: key.into(), revision, value: value.into() });
        for number in 0..self.contenders.len() {
            self.look_soon(number);
        }
    }

    /// Who leads looks at the bucket now and then.
    pub(super) fn look_soon(&mut self, number: usize) {
        if self.bucket.is_empty() {
            return;
        }
        // As different as may be, and without a part in what else is drawn.
        let after = (self.revisions * 7 + number as u64 * 13 + self.now / MS) % 30 * MS / 2;
        let (to, incarnation): (Party, u32) = (self.data(number), self.contenders[number].incarnation);
        self.at(self.now + after, Event::Look { to, incarnation });
    }
}
