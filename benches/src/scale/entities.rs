//! More entities that move.

use anyhow::Result;

use super::here_and_there;
use crate::curve::{Axis, Curve, Law};
use crate::dist::broker::Tuning;
use crate::dist::raw::{self, Pattern};
use crate::dist::{BYTES_BACK, BYTES_OUT, MOVING, its_system};
use crate::tick::Ticker;

pub(super) fn curve() -> Curve {
    Curve {
        name: "scale/entities",
        about: "moving entities: one system on one table",
        axis: Axis { label: "entities", law: Law::Linear },
        points: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
        quick: &[1_000, 10_000, 100_000],
        tickers,
    }
}

fn tickers(entities: u64) -> Result<Vec<Ticker>> {
    let entities = entities as usize;
    let pattern = Pattern { workers: 1, bytes_out: entities * BYTES_OUT, bytes_back: entities * BYTES_BACK };
    let mut tickers = here_and_there(MOVING.of(entities, 0))?;
    tickers.extend([its_system(entities)?, raw::ticker(pattern, Tuning::Tuned)?]);
    Ok(tickers)
}
