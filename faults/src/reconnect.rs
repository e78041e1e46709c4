//! How long a world stands still when its server is killed and comes back: from the server's readiness to the next tick.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Cluster;
use crate::servers::Wish;
use crate::soak::wait_for_tick;
use crate::world::World;

/// Kills and restarts the server so many times, and nothing else.
pub(crate) fn measure(world: &World, count: usize) -> Result<Vec<Duration>> {
    let mut cluster = Cluster::start(world, &Wish::default(), 1)?;
    wait_for_tick(&mut cluster, 60)?;
    let mut took = Vec::new();
    for _ in 0..count {
        let seen = cluster.said.look().tick();
        wait_for_tick(&mut cluster, seen + 60)?;
        cluster.servers.kill(0);
        cluster.servers.restart(0)?;
        let (ready, last) = (Instant::now(), cluster.said.look().tick());
        while cluster.said.look().tick() <= last {
            crate::stop::check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(ready.elapsed());
    }
    Ok(took)
}
