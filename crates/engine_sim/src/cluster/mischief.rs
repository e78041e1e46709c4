//! What happens to parties: once in a millisecond it is decided whether, to whom, and what.

use engine_system::runner::InstanceCore;

use super::{COORDINATOR, Cluster, Event, MS};
use crate::faults::Fault;
use crate::network::Party;

impl Cluster {
    pub(super) fn mischief(&mut self) {
        if self.now >= self.climate.until {
            return;
        }
        self.at(self.now + MS, Event::Mischief);
        if !self.rng.chance(self.climate.party) {
            return;
        }
        let party = 1 + self.rng.below(self.instances.len() as u32) as Party;
        match self.rng.below(10) {
            0..3 => self.kill_one(party),
            3..5 => self.pause(party),
            5..7 => self.cut(party),
            7..9 => self.leave(party),
            _ => self.cut_coordinator(),
        }
    }

    fn some_ms(&mut self, most: u32) -> u64 {
        u64::from(self.rng.below(most)) * MS
    }

    fn kill_one(&mut self, party: Party) {
        if self.instances[party - 1].core.is_none() {
            return;
        }
        let young = self.instances[party - 1].incarnation > 0;
        self.counts.count(if young { Fault::KillAgain } else { Fault::Kill });
        self.kill(party);
        let at = self.now + self.some_ms(60);
        let name = self.instances[party - 1].name.clone();
        self.at(at, Event::Start { party, name });
    }

    fn pause(&mut self, party: Party) {
        self.counts.count(Fault::Pause);
        // Longer, at times, than the coordinator's patience with a silent instance.
        let most = if self.rng.chance(0.2) { 15_000 } else { 500 };
        let until = self.now + self.some_ms(most);
        self.instances[party - 1].paused_until = until;
        self.trace.note(self.now, || format!("{party} stands still until {} ms", until / MS));
    }

    fn cut(&mut self, party: Party) {
        if self.instances[party - 1].core.is_none() || self.network.is_cut(party) {
            return;
        }
        self.counts.count(Fault::Cut);
        self.network.forget(party);
        self.network.cut(party);
        self.trace.note(self.now, || format!("{party} is cut off"));
        self.with_core(party, InstanceCore::forget_everything);
        let at = self.now + self.some_ms(400);
        self.at(at, Event::Heal { party });
    }

    fn cut_coordinator(&mut self) {
        if self.network.is_cut(COORDINATOR) {
            return;
        }
        self.counts.count(Fault::CutCoordinator);
        self.network.forget(COORDINATOR);
        self.network.cut(COORDINATOR);
        self.trace.note(self.now, || "the coordinator is cut off".into());
        let at = self.now + self.some_ms(300);
        self.at(at, Event::Heal { party: COORDINATOR });
    }

    fn leave(&mut self, party: Party) {
        if self.instances[party - 1].core.is_none() {
            return;
        }
        self.counts.count(Fault::Leave);
        self.trace.note(self.now, || format!("{party} wants to leave"));
        self.with_core(party, InstanceCore::leave);
    }
}
