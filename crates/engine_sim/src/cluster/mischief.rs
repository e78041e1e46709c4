//! What happens to parties: once in a millisecond it is decided whether, to whom, and what.

use engine_system::runner::InstanceCore;

use super::{Cluster, Event, LOG, MS};
use crate::faults::Fault;
use crate::network::{Partition, Party};

impl Cluster {
    pub(super) fn mischief(&mut self) {
        if self.now >= self.climate.until {
            return;
        }
        self.at(self.now + MS, Event::Mischief);
        if self.rng.chance(self.climate.party) {
            self.trouble_somebody();
        }
        if self.rng.chance(self.climate.coordinator) {
            self.trouble_coordinator();
        }
        if self.rng.chance(self.climate.partition) {
            self.divide();
        }
        if self.rng.chance(self.climate.log) {
            self.trouble_log();
        }
    }

    fn trouble_somebody(&mut self) {
        if !self.clients.is_empty() && self.rng.chance(0.1) {
            let client = 1 + self.instances.len() + self.rng.below(self.clients.len() as u32) as Party;
            return self.cut(client);
        }
        let party = 1 + self.rng.below(self.instances.len() as u32) as Party;
        match self.rng.below(11) {
            0..3 => self.kill_one(party),
            3..5 => self.pause(party),
            5..7 => self.cut(party),
            7..9 => self.leave(party),
            _ => self.lose_copies(party),
        }
    }

    /// What an instance has kept is a cache: it may be gone, or old, at any time.
    fn lose_copies(&mut self, party: Party) {
        let Some(core) = &mut self.instances[party - 1].core else { return };
        let (fault, said) = if self.rng.chance(0.5) {
            core.drop_copies();
            (Fault::DropCopies, "drops what it has kept")
        } else {
            core.age_copies();
            (Fault::AgeCopies, "has kept what is of another time")
        };
        self.counts.count(fault);
        self.tell(party, || said.into());
    }

    fn trouble_coordinator(&mut self) {
        let leader = self.leaders().map(|(number, _)| number).next();
        let anybody = self.rng.below(self.contenders.len() as u32) as usize;
        let number = leader.filter(|_| self.rng.chance(0.8)).unwrap_or(anybody);
        let data = self.data(number);
        match self.rng.below(8) {
            0 => self.cut_party(data, Fault::CutCoordinator),
            1 => self.cut_party(data + 1, Fault::CutLog),
            2 => self.divide_off(data, Fault::PartitionCoordinator),
            3 => self.divide_off(data + 1, Fault::PartitionLog),
            4 | 5 => self.pause_contender(number),
            _ => self.kill_by_stage(number),
        }
    }

    fn trouble_log(&mut self) {
        let until = self.now + self.some_ms(300);
        match self.rng.below(4) {
            0 => self.restart_log(),
            1 => {
                self.counts.count(Fault::FullLog);
                self.log.stream.behaviour.most = self.log.stream.len();
                self.tell(LOG, || format!("is full until {} ms", until / MS));
                self.ends_at(until);
                self.at(until, Event::Room);
            }
            2 => {
                self.counts.count(Fault::SlowLog);
                self.log_slow = (until, self.some_ms(60));
                self.tell(LOG, || format!("is slow until {} ms", until / MS));
                self.ends_at(until);
            }
            _ => self.log.damages_next = true,
        }
    }

    /// The server is gone for a while, with all connections to it; what is stored stays.
    fn restart_log(&mut self) {
        if self.network.is_cut(LOG) {
            return;
        }
        self.counts.count(Fault::RestartLog);
        let at = self.now + self.some_ms_or(150, 0.1, 2_000);
        self.ends_at(at);
        self.tell(LOG, || format!("is down until {} ms", at / MS));
        self.network.cut(LOG);
        for number in 0..self.contenders.len() {
            self.network.cut(self.data(number) + 1);
        }
        self.at(at, Event::Heal { party: LOG });
    }

    /// A connection of a coordinator is cut, and it knows.
    fn cut_party(&mut self, party: Party, fault: Fault) {
        if self.network.is_cut(party) {
            return;
        }
        self.counts.count(fault);
        self.network.forget(party);
        self.network.cut(party);
        // Longer than a lease, at times: what is sent meanwhile may come late.
        let at = self.now + self.some_ms_or(300, 0.3, 1_500);
        self.ends_at(at);
        self.tell(party, || format!("is cut off until {} ms", at / MS));
        self.at(at, Event::Heal { party });
    }

    /// A connection of a coordinator is dead in one direction or in both, and nobody is told.
    fn divide_off(&mut self, party: Party, fault: Fault) {
        self.counts.count(fault);
        let (out, into) = [(true, true), (true, false), (false, true)][self.rng.below(3) as usize];
        let until = self.now + self.some_ms_or(300, 0.3, 1_500);
        self.ends_at(until);
        self.tell(party, || format!("is divided off until {} ms, out {out}, into {into}", until / MS));
        self.network.divide(Partition { side: [party].into(), out, into, until });
    }

    pub(super) fn some_ms(&mut self, most: u32) -> u64 {
        u64::from(self.rng.below(most)) * MS
    }

    /// As often as `chance` says, the other bound counts.
    fn some_ms_or(&mut self, most: u32, chance: f32, other: u32) -> u64 {
        let most = if self.rng.chance(chance) { other } else { most };
        self.some_ms(most)
    }

    fn kill_one(&mut self, party: Party) {
        if self.instances[party - 1].core.is_none() {
            return;
        }
        let is_young =
            self.now < self.instances[party - 1].started + 20 * MS && self.instances[party - 1].incarnation > 0;
        self.kill_and_restart(party, if is_young { Fault::KillAgain } else { Fault::Kill });
    }

    /// Kills an instance; another process of its name comes. Some die again while they join.
    pub(super) fn kill_and_restart(&mut self, party: Party, fault: Fault) {
        self.counts.count(fault);
        self.kill(party);
        let at = self.now + self.some_ms(60);
        self.ends_at(at);
        let name = self.instances[party - 1].name.clone();
        self.at(at, Event::Start { party, name });
    }

    fn pause(&mut self, party: Party) {
        self.counts.count(Fault::Pause);
        // Longer, at times, than the coordinator's patience with a silent instance.
        let most = if self.rng.chance(0.2) { 15_000 } else { 500 };
        let until = self.now + self.some_ms(most);
        self.instances[party - 1].paused_until = until;
        self.ends_at(until);
        self.tell(party, || format!("stands still until {} ms", until / MS));
    }

    fn cut(&mut self, party: Party) {
        let is_there = self.is_client(party) || self.instances[party - 1].core.is_some();
        if !is_there || self.network.is_cut(party) {
            return;
        }
        self.counts.count(Fault::Cut);
        self.network.forget(party);
        self.network.cut(party);
        let at = self.now + self.some_ms(400);
        self.ends_at(at);
        self.tell(party, || format!("is cut off until {} ms", at / MS));
        if !self.is_client(party) {
            self.with_core(party, InstanceCore::forget_everything);
        }
        self.at(at, Event::Heal { party });
    }

    /// Some parties, the coordinator perhaps among them, and the others don't hear one another.
    fn divide(&mut self) {
        let parties = self.data(self.contenders.len());
        let side = (0..parties).filter(|_| self.rng.chance(0.4)).collect();
        let (out, into) = [(true, true), (true, false), (false, true)][self.rng.below(3) as usize];
        let most = if self.rng.chance(0.1) { 12_000 } else { 500 };
        let until = self.now + self.some_ms(most);
        self.counts.count(if out && into { Fault::Partition } else { Fault::PartitionOneWay });
        self.ends_at(until);
        let partition = Partition { side, out, into, until };
        self.trace.note(self.now, || format!("       ** {partition:?}"));
        self.network.divide(partition);
    }

    fn leave(&mut self, party: Party) {
        if self.instances[party - 1].core.is_none() {
            return;
        }
        self.counts.count(Fault::Leave);
        self.tell(party, || "wants to leave".into());
        self.with_core(party, InstanceCore::leave);
    }
}
