//! What a coordinator holds in memory besides the world, for whoever checks that it is bounded.

use super::Coordinator;

/// How much there is of everything that could grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs of the open tick that are assigned to instances.
    pub open_jobs: usize,
    /// Entries of the lines in which jobs wait to be sent.
    pub queued: usize,
    /// Batches that are at instances, or that wait for their node.
    pub open_batches: usize,
    /// Jobs of the open tick.
    pub jobs: usize,
    /// Commands and queries that wait for a tick.
    pub waiting: usize,
    /// Commands whose answers are remembered.
    pub remembered: usize,
    /// Registrations that wait for the end of the tick.
    pub joins: usize,
    /// Second attempts at batches.
    pub second_attempts: usize,
    /// Attempts that don't count, and whose results are waited for to be compared.
    pub late_results: usize,
    /// Instances.
    pub members: usize,
    /// The most bytes that are on their way to one instance.
    pub in_flight: u64,
    /// Messages and jobs that nobody has fetched.
    pub outputs: usize,
    /// Records that are not durable yet.
    pub undurable: usize,
    /// Messages that wait for those.
    pub held: usize,
    /// Copies that instances have, as far as the coordinator counts on them.
    pub copies: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
}

impl Coordinator {
    /// What it holds.
    #[must_use]
    pub fn load(&self) -> Load {
        let running = self.running.as_ref();
        let (undurable, held) = self.held();
        Load {
            open_jobs: running.map_or(0, |running| running.open.len()),
            queued: running.map_or(0, |running| running.queue.len()),
            open_batches: running.map_or(0, |running| running.batches.len()),
            jobs: running.map_or(0, |running| running.run.plan().jobs.len()),
            waiting: self.waiting.len(),
            remembered: self.remembered.len(),
            joins: self.joins.len(),
            second_attempts: self.second_attempts(),
            late_results: self.late_results.len(),
            members: self.members.len(),
            in_flight: self.members.iter().map(|member| member.in_flight).max().unwrap_or(0),
            outputs: self.out.len(),
            undurable,
            held,
            copies: self.members.iter().map(|member| self.residents.load(member.slot).0).sum(),
            copied_bytes: self.members.iter().map(|member| self.residents.load(member.slot).1).sum(),
        }
    }

    /// How often something happened, by the name that the status has for it.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.figures.counters.get(name).copied().unwrap_or(0)
    }

    /// # Panics
    /// When what it knows of copies contradicts itself.
    pub fn check_copies(&self) {
        self.residents.check_invariants();
    }
}
