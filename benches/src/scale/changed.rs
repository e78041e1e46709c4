//! More of the entities really change; all of them are looked at.

use anyhow::Result;

use super::here_and_there;
use crate::curve::{Axis, Curve, Law};
use crate::dist::broker::Tuning;
use crate::dist::raw::{self, Pattern};
use crate::dist::{BYTES_BACK, PARTLY};
use crate::tick::Ticker;

const ENTITIES: usize = 1_000_000;

pub(super) fn curve() -> Curve {
    Curve {
        name: "scale/changed",
        about: "1,000,000 entities, of which so many of a hundred move",
        axis: Axis { label: "changed rows, %", law: Law::Linear },
        points: &[0, 1, 10, 100],
        quick: &[0, 1, 10, 100],
        tickers,
    }
}

fn tickers(percent: u64) -> Result<Vec<Ticker>> {
    let rows = ENTITIES / 100 * percent as usize;
    let mut tickers = here_and_there(PARTLY.of(ENTITIES, percent as usize))?;
    let pattern = Pattern { workers: 1, bytes_out: 0, bytes_back: rows * BYTES_BACK };
    tickers.push(raw::ticker(pattern, Tuning::Tuned)?.named("raw NATS, what changed"));
    Ok(tickers)
}
