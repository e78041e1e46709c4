//! What a tick costs as something grows: entities, tables, systems, instances, changes, structure.
//!
//! Each curve is said to have a law, and the report shows by which power it grows at its end. The points are
//! measured with the program's own settings.

pub(crate) mod archetypes;
mod changed;
mod entities;
mod instances;
pub(crate) mod spawns;
pub(crate) mod systems;

use anyhow::Result;

use crate::curve::Curve;
use crate::dist::engine_side::{Place, Setup};
use crate::dist::program::Work;
use crate::tick::Ticker;

pub(crate) fn curves() -> Vec<Curve> {
    vec![
        entities::curve(),
        archetypes::curve(),
        systems::curve(),
        instances::curve(),
        changed::curve(),
        spawns::curve(),
    ]
}

const HERE: &str = "engine in process";
const OVER_NATS: &str = "engine over NATS";

/// The same work in one process, and over NATS with one instance.
fn here_and_there(work: Work) -> Result<Vec<Ticker>> {
    let here = Setup::new(work, Place::Here).ticker(HERE)?;
    let there = Setup::new(work, Place::Processes(1)).ticker(OVER_NATS)?;
    Ok(vec![here, there])
}
