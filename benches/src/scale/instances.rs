//! More instances of one system. Nearly all of them are idle, and all share one process: what is seen is what an
//! instance costs the coordinator.

use anyhow::Result;

use crate::curve::{Axis, Curve, Law};
use crate::dist::MOVING;
use crate::dist::engine_side::{Place, Setup};
use crate::tick::Ticker;

/// Small shards, so that there are as many jobs as instances.
const ROWS: usize = 64;
const JOBS: usize = 64;

pub(super) fn curve() -> Curve {
    Curve {
        name: "scale/instances",
        about: "instances of one system: one job, which one of them gets, or 64 jobs for all of them",
        axis: Axis { label: "instances", law: Law::Constant },
        points: &[1, 2, 4, 8, 16, 32, 64],
        quick: &[1, 8, 64],
        tickers,
    }
}

fn tickers(instances: u64) -> Result<Vec<Ticker>> {
    let ticker = |jobs: usize, name| {
        let mut setup = Setup::new(MOVING.of(jobs * ROWS, 0), Place::Crowd(instances as usize));
        setup.settings.rows_per_shard = ROWS;
        setup.ticker(name)
    };
    Ok(vec![ticker(1, "engine, one job")?, ticker(JOBS, "engine, 64 jobs")?])
}
