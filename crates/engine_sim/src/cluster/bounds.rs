//! What has to stay small, however hostile the network is: checked after everything that happens to the
//! coordinator, and whenever an instance looks around.

use engine_app::coordinator::Load;

use super::Cluster;
use super::client::Client;
use super::contender::{LAG, Process, Reign};
use crate::network::Party;

/// Systems of the world at the most, in each of whose nodes there is one shared input.
const NODES: usize = crate::scenario::SYSTEMS.len();
/// Ticks that an instance keeps, with the one that is going on.
const TICKS: usize = 3;
/// Attempts at one job that one instance may be given: it may also lose what it has kept, again and again.
const ATTEMPTS: usize = 4;
/// Answers, announcements and events of all ticks that may be on their way to the log.
const MOST_HELD: u64 = 512;
/// Second attempts that are open, and late results that are waited for.
const MOST_SECOND: u64 = 8;
/// A job with its shared input, in bytes.
const LARGEST_JOB: u64 = 64 << 10;

impl Cluster {
    pub(super) fn check_coordinator(&mut self, number: usize, process: &mut Process) -> Result<(), String> {
        let Some(Reign { coordinator, counted, .. }) = process.reign_mut() else { return Ok(()) };
        let load = coordinator.load();
        self.shortcuts.add(&counted.count(coordinator, &load)?);
        coordinator.check_copies();
        self.most_jobs = self.most_jobs.max(load.jobs);
        let Load { open_jobs, queued, jobs, waiting, remembered, joins, members, in_flight, undurable, held, .. } =
            load;
        let (second_attempts, late_results) = (load.second_attempts as u64, load.late_results as u64);
        let processes: usize = self.clients.iter().map(Client::processes).sum();
        let names: usize = self.instances.iter().map(|instance| instance.incarnation as usize + 1).sum();
        let in_flight_limit = coordinator.settings().in_flight_bytes + LARGEST_JOB;
        // A recovery repeats what all ticks were given, one tick after another.
        let repeated = if coordinator.is_recovering() { self.ledger.len() } else { 0 };
        let appended = process.writer.as_ref().map_or(0, engine_app::log::writer::Writer::pending);
        let bounds = [
            ("records that are not durable", undurable as u64, LAG),
            ("messages that wait for the log", held as u64, MOST_HELD),
            ("records that wait for the writer", process.waiting.len() as u64, LAG),
            ("records that wait for the log", appended as u64, LAG + 1),
            ("open jobs", open_jobs as u64, jobs as u64),
            ("jobs that wait to be sent", queued as u64, (jobs * 2) as u64),
            ("commands that wait", waiting as u64, (processes + self.ledger.refused() + repeated) as u64),
            ("remembered commands", remembered as u64, self.ledger.len() as u64),
            ("registrations that wait", joins as u64, names as u64),
            ("instances", members as u64, names as u64),
            ("bytes on their way to an instance", in_flight, in_flight_limit),
            ("second attempts", second_attempts, MOST_SECOND),
            ("late results that are waited for", late_results, MOST_SECOND),
        ];
        check(&bounds).map_err(|what| format!("memory: {} has {what}", self.name(self.data(number))))
    }

    /// Whoever leads goes on leading when nothing disturbs it: epochs follow from faults.
    pub(crate) fn check_epochs(&self) -> Result<(), String> {
        let epochs = &self.log.truth.epochs;
        let late = epochs.iter().filter(|began| **began > self.calm_at + 2 * self.contest.ttl).count();
        let soon = (self.calm_at / (self.contest.ttl / 4) + 4) as usize;
        if late > 3 || epochs.len() > soon + late {
            return Err(format!(
                "flapping: {} epochs, {late} of them after the last fault was over; a lease lives {} ms",
                epochs.len(),
                self.contest.ttl / super::MS
            ));
        }
        Ok(())
    }

    pub(super) fn check_instance(&self, party: Party) -> Result<(), String> {
        let Some(core) = &self.instances[party - 1].core else { return Ok(()) };
        let load = core.load();
        core.check_copies();
        let jobs = (self.most_jobs * TICKS * ATTEMPTS) as u64;
        let bounds = [
            ("incomplete parcels", load.incoming as u64, jobs + (NODES * TICKS) as u64),
            ("jobs", load.jobs as u64, jobs),
            ("shared inputs", load.shared as u64, (NODES * TICKS) as u64),
            ("results", load.results as u64, jobs),
            ("bytes of parcels", load.bytes as u64, 1 << 20),
        ];
        check(&bounds).map_err(|what| format!("memory: {} has {what}", self.name(party)))
    }
}

fn check(bounds: &[(&str, u64, u64)]) -> Result<(), String> {
    match bounds.iter().find(|(_, is, most)| is > most) {
        None => Ok(()),
        Some((what, is, most)) => Err(format!("{is} {what}, where {most} are the bound")),
    }
}
