//! How long a world stands still when its leader dies: from the kill to the first tick of the next reign.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Cluster;
use crate::said::Said;
use crate::servers::Wish;
use crate::soak::wait_for_tick;
use crate::world::World;

/// Times of takeovers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Takeovers {
    /// Reigns that were ended, and when.
    open: Vec<(u64, Instant)>,
    pub(crate) took: Vec<Duration>,
}

impl Takeovers {
    /// The leader of an epoch is killed now.
    pub(crate) fn killed(&mut self, epoch: u64) {
        // A second kill before anybody took over belongs to the first one.
        if self.open.is_empty() {
            self.open.push((epoch, Instant::now()));
        }
    }

    pub(crate) fn look(&mut self, said: &Said) {
        self.open.retain(|(epoch, at)| {
            let next = said.first_commits.range(epoch + 1..).map(|(_, first)| *first).min();
            self.took.extend(next.map(|first| first.saturating_duration_since(*at)));
            next.is_none()
        });
    }

    pub(crate) fn median(&self) -> Option<Duration> {
        let mut times = self.took.clone();
        times.sort();
        times.get(times.len().saturating_sub(1) / 2).copied()
    }

    pub(crate) fn worst(&self) -> Option<Duration> {
        self.took.iter().max().copied()
    }
}

/// Kills the leader so many times, and nothing else.
pub(crate) fn measure(world: &World, cluster: bool, count: usize) -> Result<Takeovers> {
    let wish = Wish { cluster, ..Wish::default() };
    let mut cluster = Cluster::start(world, &wish, 1)?;
    wait_for_tick(&mut cluster, 60)?;
    let mut takeovers = Takeovers::default();
    while takeovers.took.len() < count {
        // The other one has to be standing by, and the leader to have led for a while.
        let seen = cluster.said.look().tick();
        wait_for_tick(&mut cluster, seen + 60 + 60 * u64::from(world.lease))?;
        let Some((party, epoch)) = cluster.leader() else { continue };
        takeovers.killed(epoch);
        cluster.kill(party);
        let before = takeovers.took.len();
        while takeovers.took.len() == before {
            crate::stop::check()?;
            std::thread::sleep(Duration::from_millis(1));
            takeovers.look(&cluster.said.look());
        }
        cluster.run(party)?;
    }
    Ok(takeovers)
}
