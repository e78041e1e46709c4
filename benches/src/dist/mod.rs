//! The world over NATS: what a tick costs against the same bytes sent by a bare client in the same pattern,
//! through a server of the same kind, in the same run.

mod apps;
pub(crate) mod broker;
mod crowd;
pub(crate) mod engine_side;
pub(crate) mod program;
pub(crate) mod raw;
mod region;
pub(crate) mod worker;

use anyhow::Result;
use engine_component::query::QueryState;
use engine_math::Vec3;

use crate::case::{OURS, Unit};
use crate::ecs::components::{engine_world, ours};
use crate::measure::repeated;
use crate::scale::systems::CHAIN;
use crate::tick::{TickCase, Ticker};

pub(crate) use apps::{MOVING, PARTLY, integrate};
use broker::Tuning;
use engine_side::{Place, Setup, Watched, Way};
use program::Work;
use raw::Pattern;

/// Entities that move in each tick.
const ENTITIES: usize = 1_000_000;
/// Position and Velocity go out.
pub(crate) const BYTES_OUT: usize = 24;
/// Position comes back.
pub(crate) const BYTES_BACK: usize = 12;
/// As many as there are instances, unless a case says otherwise.
const INSTANCES: usize = 2;
/// Entities whose bytes out are a mebibyte.
const MEBIBYTE: usize = (1 << 20) / BYTES_OUT;
/// Entities whose computing takes long beside sending them: some shards for each of two instances.
const COMPUTED: usize = 1 << 16;
/// Systems in a row, and their entities.
const SYSTEMS: usize = 20;
const CHAINED: usize = 20_000;

pub(crate) fn cases() -> Vec<TickCase> {
    let case = |name, unit, about, tickers| TickCase { name, about, unit, tickers };
    let (ms, us) = (Unit::Milliseconds, Unit::Microseconds);
    vec![
        case("dist_tick/nats/full", ms, "1,000,000 moving entities, two instances, 24 MB out and 12 MB back", || {
            full(ENTITIES, INSTANCES)
        }),
        case("dist_tick/nats/full_one", ms, "the same with one instance", || full(ENTITIES, 1)),
        case("dist_tick/nats/1MiB", us, "as many entities as make 1 MiB out, two instances", || {
            full(MEBIBYTE, INSTANCES)
        }),
        case("dist_tick/nats/resident", ms, "1,000,000 moving entities, of which only results travel", resident),
        case("dist_tick/nats/changed1", us, "1,000,000 entities, of which 1 % move", changed),
        case("dist_tick/nats/unchanged", us, "1,000,000 entities, of which none move", unchanged),
        case(
            "dist_tick/nats/chain",
            us,
            "20 systems after one another on the same 20,000 entities, two instances",
            chain,
        ),
        case(
            "telemetry/chain",
            us,
            "the same chain, of whose time nothing is known, figures are scraped, or every tick is traced",
            telemetered_chain,
        ),
        case("telemetry/resident", ms, "the same of 1,000,000 moving entities", telemetered_resident),
        case("dist_tick/shm", us, "1,000,000 moving entities in memory that instances have mapped", mapped),
        case("empty_tick", us, "a tick with one entity, against an empty message there and one back", empty),
        case("compute_bound", ms, "65,536 entities of a microsecond each, two instances against one", compute_bound),
    ]
}

fn ours(work: Work, way: Way) -> Result<Ticker> {
    Setup::new(work, Place::Processes(INSTANCES)).by(way).ticker(OURS)
}

/// The wire's floor of so many bytes.
fn floor(bytes_out: usize, bytes_back: usize) -> Result<Ticker> {
    raw::ticker(Pattern { workers: INSTANCES, bytes_out, bytes_back }, Tuning::Tuned)
}

fn full(entities: usize, instances: usize) -> Result<Vec<Ticker>> {
    let pattern = Pattern { workers: instances, bytes_out: entities * BYTES_OUT, bytes_back: entities * BYTES_BACK };
    Ok(vec![
        Setup::new(MOVING.of(entities, 0), Place::Processes(instances)).by(Way::Full).ticker(OURS)?,
        raw::ticker(pattern, Tuning::Tuned)?,
        raw::ticker(pattern, Tuning::Defaults)?,
        in_process(entities)?,
        its_system(entities)?,
    ])
}

fn resident() -> Result<Vec<Ticker>> {
    Ok(vec![ours(MOVING.of(ENTITIES, 0), Way::Resident)?, floor(0, ENTITIES * BYTES_BACK)?])
}

fn changed() -> Result<Vec<Ticker>> {
    Ok(vec![ours(PARTLY.of(ENTITIES, 1), Way::Resident)?, floor(0, ENTITIES / 100 * BYTES_BACK)?, empty_of_ours()?])
}

/// That the bytes are the same for any number of entities is seen in what each tick takes.
fn unchanged() -> Result<Vec<Ticker>> {
    Ok(vec![
        ours(PARTLY.of(ENTITIES, 0), Way::Resident)?,
        ours(PARTLY.of(ENTITIES / 100, 0), Way::Resident)?.named("engine, 10,000 entities"),
        floor(0, 0)?,
        empty_of_ours()?,
    ])
}

fn mapped() -> Result<Vec<Ticker>> {
    let pattern = Pattern { workers: INSTANCES, bytes_out: ENTITIES * BYTES_OUT, bytes_back: ENTITIES * BYTES_BACK };
    Ok(vec![
        ours(MOVING.of(ENTITIES, 0), Way::Shared)?,
        raw::mapped_ticker(pattern, false)?,
        raw::mapped_ticker(pattern, true)?,
        its_system(ENTITIES)?,
        in_process(ENTITIES)?,
        ours(MOVING.of(ENTITIES, 0), Way::Full)?.named("engine over NATS, full"),
    ])
}

/// Each system writes what the next one reads.
fn chain() -> Result<Vec<Ticker>> {
    let setup = |systems| Setup::new(CHAIN.of(CHAINED, systems), Place::Processes(INSTANCES));
    let mut waiting = setup(SYSTEMS);
    waiting.settings.fuse = false;
    Ok(vec![
        setup(SYSTEMS).ticker(OURS)?,
        waiting.ticker("engine without fusion")?,
        setup(1).ticker("engine, one system")?,
        floor(0, SYSTEMS * CHAINED * BYTES_BACK)?,
    ])
}

/// The same tick, watched more or less. Ours is what a user has who sets nothing.
fn telemetered(setup: &Setup) -> Result<Vec<Ticker>> {
    let by = |watched, name| Setup { watched, ..setup.clone() }.ticker(name);
    Ok(vec![
        by(Watched::Defaults, OURS)?,
        by(Watched::Nothing, "engine, nothing measured")?,
        by(Watched::Scraped, "engine, scraped each second")?,
        by(Watched::Traced, "engine, every tick traced")?,
    ])
}

fn telemetered_chain() -> Result<Vec<Ticker>> {
    telemetered(&Setup::new(CHAIN.of(CHAINED, SYSTEMS), Place::Processes(INSTANCES)))
}

fn telemetered_resident() -> Result<Vec<Ticker>> {
    telemetered(&Setup::new(MOVING.of(ENTITIES, 0), Place::Processes(INSTANCES)).by(Way::Resident))
}

fn empty() -> Result<Vec<Ticker>> {
    let setup = Setup::new(MOVING.of(1, 0), Place::Processes(1));
    Ok(vec![
        setup.ticker(OURS)?,
        raw::ticker(Pattern { workers: 1, bytes_out: 0, bytes_back: 0 }, Tuning::Tuned)?,
        raw::ticker(Pattern { workers: 1, bytes_out: 0, bytes_back: 0 }, Tuning::Defaults)?,
    ])
}

/// A tick of ours with hardly anything in it.
fn empty_of_ours() -> Result<Ticker> {
    Ok(ours(MOVING.of(1, 0), Way::Resident)?.named("engine's empty tick"))
}

fn compute_bound() -> Result<Vec<Ticker>> {
    let setup = |place| Setup::new(apps::COMPUTING.of(COMPUTED, 0), place);
    let here = |threads, name| {
        let mut setup = setup(Place::Here);
        setup.settings.threads = threads;
        setup.ticker(name)
    };
    Ok(vec![
        setup(Place::Processes(2)).ticker(OURS)?,
        setup(Place::Processes(1)).ticker("one instance")?,
        here(2, "in process, two threads")?,
        here(1, "in process, one thread")?,
    ])
}

/// A whole tick of the same world without a network.
pub(crate) fn in_process(entities: usize) -> Result<Ticker> {
    Setup::new(MOVING.of(entities, 0), Place::Here).ticker("engine in process")
}

/// What its system does, without any tick around it.
pub(crate) fn its_system(entities: usize) -> Result<Ticker> {
    let mut world = engine_world(entities, false);
    let mut moving = QueryState::<(&mut ours::Position, &ours::Velocity)>::new()?;
    let dt = Vec3::splat(1.0 / 60.0);
    Ok(Ticker::of(repeated("its system alone", 1, move || {
        moving.for_each(&mut world, |(position, velocity)| position.value += velocity.value * dt);
    })))
}
