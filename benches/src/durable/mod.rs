//! A world that outlives its processes: what the log costs while it runs, and how fast it is back.

mod recovery;
mod ticks;

use anyhow::{Context, Result, bail};
use engine_app::log::jet::{JetSettings, Mode, Streams};
use engine_app::log::keeper::{Keeper, KeeperSettings, LogEvent};
use engine_app::log::lease::LeaseSettings;
use engine_app::log::link::Waker;
use engine_app::log::record::EpochBody;
use engine_app::log::recovery::{Found, Wanted, recover};
use engine_app::log::writer::{Begin, Limits};
use engine_app::{App, Blueprint};
use engine_component::Component;
use engine_component::query::Query;
use engine_math::Vec3;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::case::{Case, Unit};
use crate::ecs::components::ours::{Position, Velocity};

const MANY: usize = 1_000_000;
const FEW: usize = 20_000;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "bench.Armour")]
struct Armour {
    value: f32,
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "durable/tick",
            about: "a tick of 1,000,000 moving entities in process, with a log (and its keyframes) and without",
            unit: Unit::Milliseconds,
            contenders: || ticks::with_and_without(MANY),
        },
        Case {
            name: "durable/small_tick",
            about: "the same with 20,000 entities: a record every few hundred microseconds",
            unit: Unit::Microseconds,
            contenders: || ticks::with_and_without(FEW),
        },
        Case {
            name: "durable/longest_tick",
            about: "the longest of the ticks while keyframes of 1,000,000 entities are written, against the median",
            unit: Unit::Milliseconds,
            contenders: || ticks::longest(MANY),
        },
        Case {
            name: "durable/recovery",
            about: "1,000,000 entities with three components brought back, against reading the same bytes",
            unit: Unit::Milliseconds,
            contenders: recovery::against_reading,
        },
    ]
}

fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
    for (positions, velocities) in bodies.slices_mut() {
        for (position, velocity) in positions.iter_mut().zip(velocities) {
            position.value += velocity.value * time.dt;
        }
    }
}

fn blueprint(entities: usize) -> Result<Blueprint> {
    let app = App::new("bench").add_system("integrate", integrate).on_start(move |start| {
        let row = |row: usize| (Position { value: Vec3::X }, Velocity { value: Vec3::X }, Armour { value: row as f32 });
        start.world.spawn_batch((0..entities).map(row));
        Ok(())
    });
    app.into_blueprint(&BTreeMap::new(), &|_| true)
}

/// A server with streams; they are in memory as far as the system's cache of files goes.
fn server() -> Result<PrivateServer> {
    Ok(PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() })?)
}

/// The log of a world that nobody else wants.
struct Log {
    streams: Arc<Streams>,
    keeper: Keeper,
    waker: Waker,
    found: Found,
    epoch: u64,
}

impl Log {
    fn begin(server: &PrivateServer) -> Result<Self> {
        let settings = JetSettings { log_bytes: 1 << 30, key_bytes: 1 << 30, ..JetSettings::default() };
        let streams = Arc::new(Streams::open(&server.config(), "bench", Mode::Server, settings)?);
        let (waker, lease) = (Waker::default(), LeaseSettings::default());
        let wake = waker.clone();
        let settings = KeeperSettings { name: format!("bench-{:p}", &*streams), lease, keep: 2 };
        let keeper = Keeper::start(streams.clone(), settings, move || wake.wake())?;
        wait_for(&keeper, |event| matches!(event, LogEvent::Leading).then_some(()))?;
        let found = recover(&*streams, Wanted::Newest, |_| {})?;
        let (position, last_seq) = match &found {
            Found::Nothing { position, last_seq } => (*position, *last_seq),
            Found::World(world) => (world.position, world.last_seq),
        };
        let body = EpochBody { host: "bench".into(), pid: std::process::id(), format: 1, wall_ms: 0 };
        keeper.begin(Begin { position, last_seq, epoch: 1, nonce: 1, body }, Limits::default(), None);
        let epoch = wait_for(&keeper, |event| match event {
            LogEvent::Began { position } => Some(position.epoch),
            _ => None,
        })?;
        Ok(Self { streams, keeper, waker, found, epoch })
    }
}

fn wait_for<T>(keeper: &Keeper, mut is: impl FnMut(LogEvent) -> Option<T>) -> Result<T> {
    loop {
        match keeper.events().recv_timeout(Duration::from_secs(60)).context("the log does not answer")? {
            LogEvent::Deposed(why) | LogEvent::Damaged(why) => bail!("the log: {why}"),
            event => {
                if let Some(found) = is(event) {
                    return Ok(found);
                }
            }
        }
    }
}
