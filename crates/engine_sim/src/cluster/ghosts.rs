//! Messages that come when nobody expects them any more: copies of results, and what was on its way to a
//! process that died. They come at the worst moment, when their sender has just been given a job, most of all
//! the same job once more: in another attempt, tick or epoch.

use std::collections::VecDeque;

use engine_app::log::writer::Subject;
use engine_net::ChunkPrefix;

use super::{Cluster, Event, RESULTS};
use crate::faults::Fault;
use crate::log::Jet;
use crate::network::{Message, Party};

/// Messages that are kept, at the most; the oldest are forgotten.
const MOST: usize = 256;
/// The last results, of which copies may come after the coordinator has died.
const RECENT: usize = 24;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    kept: VecDeque<Message>,
    recent: VecDeque<Message>,
    /// Records that never reached the log.
    records: VecDeque<Message>,
}

fn push(queue: &mut VecDeque<Message>, message: Message, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(message);
}

/// The tick and the job that a chunk is about.
fn about(message: &Message) -> Option<(u64, u32)> {
    ChunkPrefix::decode(&message.payload).ok().map(|(prefix, _)| (prefix.tick, prefix.job))
}

impl Cluster {
    /// A result is sent.
    pub(super) fn remember_result(&mut self, message: &Message) {
        if message.lane == RESULTS && self.now < self.climate.until {
            push(&mut self.ghosts.recent, message.clone(), RECENT);
            // Results are few where jobs go in batches.
            if self.rng.chance(3.0 * self.climate.double) {
                self.keep_ghost(message.clone());
            }
        }
    }

    /// A record does not reach the log, as far as its sender can know.
    pub(super) fn remember_record(&mut self, message: &Message) {
        let is_record = matches!(&message.jet, Some(Jet::Publish(publish)) if publish.subject != Subject::Epoch);
        if is_record && self.now < self.climate.until && self.rng.chance(0.7) {
            push(&mut self.ghosts.records, message.clone(), RECENT);
        }
    }

    /// A reign begins, with the record at this place: one that another leader wanted behind it comes now. Nothing
    /// but the guard on the epoch record tells it from one of the new reign.
    pub(super) fn release_records(&mut self, seq: u64) {
        let belongs =
            |message: &Message| matches!(&message.jet, Some(Jet::Publish(publish)) if publish.expected_last_seq == seq);
        let kept = std::mem::take(&mut self.ghosts.records);
        let Some(message) = kept.into_iter().find(belongs) else { return };
        self.counts.count(Fault::GhostRecord);
        let at = self.now + 10_000 + u64::from(self.rng.below(300_000));
        self.ends_at(at);
        self.at(at, Event::Publish { message });
    }

    /// The coordinator is dead: copies of the last results may come to the next one.
    pub(super) fn keep_recent(&mut self) {
        if self.rng.chance(0.8) {
            for message in std::mem::take(&mut self.ghosts.recent) {
                self.keep_ghost(message);
            }
        }
    }

    /// What happens to a process that is dead happens to nobody. But a message to it may be with its sender
    /// still, and is routed to whoever comes after.
    pub(super) fn outlive(&mut self, event: Event) {
        if let Event::Arrive { message, .. } = event
            && self.now < self.climate.until
            && self.rng.chance(0.8)
        {
            self.keep_ghost(message);
        }
    }

    /// A message, or its copy, that comes much later.
    pub(super) fn keep_ghost(&mut self, message: Message) {
        self.counts.count(Fault::Ghost);
        push(&mut self.ghosts.kept, message, MOST);
    }

    /// A job goes to a party: something old may come from it now.
    pub(super) fn release_ghosts(&mut self, party: Party, job: &Message) {
        let ghosts = &self.ghosts.kept;
        if ghosts.is_empty() || self.now >= self.climate.until || !self.rng.chance(0.7) {
            return;
        }
        let Some((tick, job)) = about(job) else { return };
        let all = || ghosts.iter().filter(|ghost| ghost.from == party);
        let of_the_job = |ghost: &&Message, is_this_tick: bool| {
            about(ghost).is_some_and(|(other, of)| {
                // One of the systems runs in every other tick: after two, jobs have the same numbers.
                of == job && (other == tick) == is_this_tick && other % 2 == tick % 2
            })
        };
        // Attempts at one job have the same result; those of two ticks have not.
        let first = self.rng.chance(0.25);
        let of_either =
            all().find(|ghost| of_the_job(ghost, first)).or_else(|| all().find(|ghost| of_the_job(ghost, !first)));
        let Some(chosen) = of_either.or_else(|| all().next()) else { return };
        let (from, like) = (chosen.from, about(chosen));
        // All chunks of it, if it is a chunk.
        let (released, kept) = std::mem::take(&mut self.ghosts.kept)
            .into_iter()
            .partition(|ghost| ghost.from == from && about(ghost) == like);
        self.ghosts.kept = kept;
        let released: VecDeque<Message> = released;
        for message in released {
            let at = self.now + 10_000 + u64::from(self.rng.below(300_000));
            self.ends_at(at);
            self.at(at, Event::Publish { message });
        }
    }
}
