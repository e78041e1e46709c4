//! Events of chosen domains are kept: they are handed out with the tick that brought them, once it is durable, and counted
//! until whoever keeps them has them.
//!
//! What is computed again from its record is handed out again, since nobody here knows whether it was kept before. The
//! message is the same byte for byte: it has the epoch of the record, and not of the reign that repeats it.

use std::collections::VecDeque;

use engine_component::ComponentId;
use engine_component::schema::Access;
use engine_net::messages::status::KeptStatus;

use super::{Coordinator, Output, Running};
use crate::kept::{KeptTick, Packer};

/// What may wait to be kept before the world waits for it.
const MAX_TICKS: usize = 1024;
const MAX_BYTES: usize = 64 << 20;

/// What is known of the events that are kept.
#[derive(Default)]
pub(super) struct Kept {
    domains: Vec<String>,
    /// Ticks whose events are not kept yet, those that are not durable included.
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Why they wait.
    trouble: Option<String>,
}

struct Waiting {
    tick: u64,
    events: u64,
    bytes: usize,
}

impl Kept {
    fn has(&self, event: &str) -> bool {
        event.split_once('.').is_some_and(|(domain, _)| self.domains.iter().any(|kept| kept == domain))
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_TICKS || self.bytes >= MAX_BYTES
    }

    fn events(&self) -> u64 {
        self.waiting.iter().map(|tick| tick.events).sum()
    }
}

impl Coordinator {
    /// From now on events of these domains are handed out as [`Output::Keep`], instead of being published, also while
    /// a world is recovered; [`Self::events_kept`] says that they are.
    pub fn keep_events(&mut self, domains: &[String]) {
        self.kept = Kept { domains: domains.to_vec(), ..Kept::default() };
    }

    /// All that was to be kept of ticks up to this one is.
    pub fn events_kept(&mut self, now: u64, tick: u64) {
        let was_full = self.kept.is_full();
        while let Some(kept) = self.kept.waiting.pop_front_if(|waiting| waiting.tick <= tick) {
            self.kept.bytes -= kept.bytes;
        }
        if was_full {
            self.advance(now);
        }
    }

    /// Events are not kept, for this reason, or are again: the status says so.
    pub fn events_trouble(&mut self, trouble: Option<String>) {
        self.kept.trouble = trouble;
    }

    /// The oldest tick of which events are to be kept and are not yet.
    #[must_use]
    pub fn unkept_since(&self) -> Option<u64> {
        self.kept.waiting.front().map(|waiting| waiting.tick)
    }

    /// Whether so many events wait to be kept that no tick may begin.
    #[must_use]
    pub fn keeps_too_much(&self) -> bool {
        self.kept.is_full()
    }

    /// How far the events are that are kept; none of a world that keeps none.
    pub(super) fn kept_status(&self) -> Option<KeptStatus> {
        let Kept { domains, waiting, trouble, .. } = &self.kept;
        (!domains.is_empty()).then(|| KeptStatus {
            domains: domains.clone(),
            events: self.kept.events(),
            ticks: waiting.len() as u64,
            trouble: trouble.clone(),
        })
    }

    /// Hands out what is to be kept of a tick; what is left is for whoever listens.
    pub(super) fn hand_out_kept(&mut self, running: &mut Running) {
        if self.kept.domains.is_empty() {
            return;
        }
        let mut packers = Vec::<(ComponentId, Packer)>::new();
        let (epoch, limit) = (running.epoch, self.sizes.limit);
        running.emitted.retain(|(event, batch)| {
            let place = packers.iter().position(|(known, _)| known == event);
            let place = place.or_else(|| {
                let schema = self.world.schema(*event).filter(|schema| self.kept.has(&schema.name))?;
                if schema.access == Access::Private {
                    return None;
                }
                let subject = self.subjects.event(&schema.name);
                packers.push((*event, Packer::new(epoch, running.tick, schema.clone(), subject, limit)));
                Some(packers.len() - 1)
            });
            if let Some(place) = place {
                packers[place].1.add(batch);
            }
            place.is_none()
        });
        let mut tick = KeptTick { epoch, tick: running.tick, types: Vec::new() };
        for (_, packer) in packers {
            if packer.too_long > 0 {
                self.too_long(packer.too_long, running.tick);
            }
            tick.types.push(packer.finish());
        }
        tick.types.retain(|of_type| !of_type.parts.is_empty());
        if !tick.types.is_empty() {
            let (events, bytes) = (tick.events(), tick.bytes());
            self.kept.waiting.push_back(Waiting { tick: tick.tick, events, bytes });
            self.kept.bytes += bytes;
            self.out.push_back(Output::Keep(tick));
        }
    }

    /// Nothing could ever store them, and the world would wait for ever.
    fn too_long(&mut self, events: u32, tick: u64) {
        tracing::error!(events, tick, "events are longer than the server takes in one message: they are not kept");
        *self.figures.counters.entry("unkept_events".into()).or_default() += u64::from(events);
    }
}
