//! The jobs of a batch: what is the same in all parts of a table once, and for each part only its rows.
//!
//! An instance remembers the lists that it got. Where shards and instances stay what they were, the next tick
//! names the list by its digest: what is sent of a batch in which nothing changed doesn't grow with it.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::manifest::{PartManifest, Place};
use crate::strict;

/// Jobs of a batch, at the most.
pub const MAX_JOBS: usize = 8192;
/// Parts of a batch, at the most: sections name them by 16 bits.
pub const MAX_PARTS: usize = u16::MAX as usize;

/// The jobs of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobList {
    /// What parts have in common; `first_row` and `rows` are 0.
    pub kinds: Vec<PartManifest>,
    /// The parts of each job.
    pub jobs: Vec<Vec<PartRows>>,
}

/// A part: its place among the kinds, its first row, and its number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRows(pub u16, pub u32, pub u32);

impl JobList {
    /// The list of jobs with these parts.
    #[must_use]
    pub fn new(jobs: Vec<Vec<PartManifest>>) -> Self {
        let mut list = Self::default();
        for parts in jobs {
            let parts = parts.into_iter().map(|part| list.add(part)).collect();
            list.jobs.push(parts);
        }
        list
    }

    fn add(&mut self, part: PartManifest) -> PartRows {
        let (first_row, rows) = (part.first_row, part.rows);
        let kind = PartManifest { first_row: 0, rows: 0, ..part };
        // Shards of one table follow one another: what is looked for is mostly the last one.
        let at = self.kinds.iter().rposition(|known| *known == kind).unwrap_or_else(|| {
            self.kinds.push(kind);
            self.kinds.len() - 1
        });
        PartRows(at as u16, first_row, rows)
    }

    /// The parts of all jobs, and how many of them each job has; none when the list contradicts itself, or is
    /// longer than a batch may be.
    #[must_use]
    pub fn parts(&self) -> Option<(Vec<PartManifest>, Vec<u16>)> {
        let count: usize = self.jobs.iter().map(Vec::len).sum();
        if self.jobs.is_empty() || self.jobs.len() > MAX_JOBS || count > MAX_PARTS {
            return None;
        }
        let expand = |part: &PartRows| {
            let kind = self.kinds.get(usize::from(part.0))?;
            Some(PartManifest { first_row: part.1, rows: part.2, ..kind.clone() })
        };
        let parts: Option<Vec<PartManifest>> = self.jobs.iter().flatten().map(expand).collect();
        Some((parts?, self.jobs.iter().map(|job| job.len() as u16).collect()))
    }

    /// Whether the instance remembers the list: where everything is sent every time, it isn't worth it.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.kinds.iter().flat_map(PartManifest::places).any(|place| place != Place::Inline)
    }

    /// The list as it is when it comes again: of what was kept, what changed is sent.
    #[must_use]
    pub fn again(mut self) -> Self {
        let kept = |place: Place| if place.is_kept() { Place::Changed } else { place };
        for kind in &mut self.kinds {
            kind.entities = kind.entities.map(kept);
            kind.columns.iter_mut().for_each(|column| column.place = kept(column.place));
        }
        // Kinds that differed in that only are one now.
        let jobs: Vec<Vec<PartManifest>> = self
            .jobs
            .iter()
            .map(|parts| {
                let known = parts.iter().filter_map(|part| Some((part, self.kinds.get(usize::from(part.0))?)));
                known.map(|(part, kind)| PartManifest { first_row: part.1, rows: part.2, ..kind.clone() }).collect()
            })
            .collect();
        Self::new(jobs)
    }

    /// Whether it is as it is when it comes [again](Self::again): nothing of it is sent to be kept anew.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.kinds.iter().flat_map(PartManifest::places).any(|place| place == Place::Kept)
    }

    /// What names the list when it comes [again](Self::again): both sides compute it, of the list as it is then.
    #[must_use]
    pub fn digest(&self) -> u64 {
        xxh3_64(&strict::encode(self))
    }
}

#[cfg(test)]
mod tests {
    use engine_component::ComponentId;

    use super::super::manifest::{ColumnManifest, PartSource};
    use super::*;

    fn part(first_row: u32, place: Place) -> PartManifest {
        PartManifest {
            source: PartSource::Query,
            number: 0,
            archetype: vec![ComponentId::of_name("a.A")],
            first_row,
            rows: 64,
            entities: Some(place),
            columns: vec![ColumnManifest { column: 0, stride: 4, place }],
            changed: 0,
        }
    }

    #[test]
    fn what_shards_have_in_common_is_said_once() {
        let jobs: Vec<_> = (0..100).map(|shard| vec![part(shard * 64, Place::Changed)]).collect();
        let list = JobList::new(jobs.clone());
        assert_eq!((list.kinds.len(), list.jobs.len()), (1, 100));
        assert!(strict::encode(&list).len() < 1000);
        let (parts, counts) = list.parts().unwrap();
        assert_eq!((parts, counts), (jobs.concat(), vec![1; 100]));
    }

    #[test]
    fn a_list_comes_again_whatever_was_sent_the_first_time() {
        let first = JobList::new(vec![vec![part(0, Place::Kept)], vec![part(64, Place::Changed)]]);
        let later = JobList::new(vec![vec![part(0, Place::Changed)], vec![part(64, Place::Changed)]]);
        assert_ne!(first.digest(), later.digest());
        assert_eq!(first.clone().again().digest(), later.clone().digest());
        assert_eq!(later.clone().again(), later);
        assert!(later.is_settled() && !first.is_settled());
        let inline = JobList::new(vec![vec![part(0, Place::Inline)]]);
        assert_eq!(inline.clone().again(), inline);
    }

    #[test]
    fn lists_that_contradict_themselves_are_none() {
        let mut list = JobList::new(vec![vec![part(0, Place::Kept)]]);
        assert!(list.parts().is_some());
        list.jobs[0][0].0 = 1;
        assert_eq!(list.parts(), None);
        assert_eq!(JobList::default().parts(), None);
        let many = JobList { kinds: Vec::new(), jobs: vec![Vec::new(); MAX_JOBS + 1] };
        assert_eq!(many.parts(), None);
    }
}
