//! What has to stay small, however hostile the network is: checked after everything that happens to the
//! coordinator, and whenever an instance looks around.

use engine_app::coordinator::Load;

use super::client::Client;
use super::{COORDINATOR, Cluster};
use crate::network::Party;

/// Systems of the world at the most, in each of whose nodes there is one shared input.
const NODES: usize = crate::scenario::SYSTEMS.len();
/// Ticks that an instance keeps, with the one that is going on.
const TICKS: usize = 3;
/// Attempts at one job that one instance may be given.
const ATTEMPTS: usize = 2;
/// A job with its shared input, in bytes.
const LARGEST_JOB: u64 = 64 << 10;

impl Cluster {
    pub(super) fn check_coordinator(&mut self) -> Result<(), String> {
        let Some(coordinator) = &self.reign.coordinator else { return Ok(()) };
        let load = coordinator.load();
        self.most_jobs = self.most_jobs.max(load.jobs);
        let Load { open_jobs, queued, jobs, waiting, remembered, joins, members, in_flight, .. } = load;
        let processes: usize = self.clients.iter().map(Client::processes).sum();
        let names: usize = self.instances.iter().map(|instance| instance.incarnation as usize + 1).sum();
        let in_flight_limit = coordinator.settings().in_flight_bytes + LARGEST_JOB;
        let bounds = [
            ("open jobs", open_jobs as u64, jobs as u64),
            ("jobs that wait to be sent", queued as u64, (jobs * 2) as u64),
            ("commands that wait", waiting as u64, (processes + self.ledger.refused()) as u64),
            ("remembered commands", remembered as u64, self.ledger.len() as u64),
            ("registrations that wait", joins as u64, names as u64),
            ("instances", members as u64, names as u64),
            ("bytes on their way to an instance", in_flight, in_flight_limit),
        ];
        check(&bounds).map_err(|what| format!("memory: {} has {what}", self.name(COORDINATOR)))
    }

    pub(super) fn check_instance(&self, party: Party) -> Result<(), String> {
        let Some(core) = &self.instances[party - 1].core else { return Ok(()) };
        let load = core.load();
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
