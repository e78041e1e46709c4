//! Engine's own tick over NATS: a coordinator in a thread of this process, instances in processes of their
//! own.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use engine_app::coordinator::Coordinator;
use engine_app::{App, Settings, Stop, TimeMode, driver};
use engine_component::query::Query;
use engine_math::Vec3;
use engine_net::config::ConnectionConfig;
use engine_system::Time;
use engine_system::runner::{InstanceOptions, run_instance};

use super::broker::{Broker, Entrance};
use super::worker::Role;
use crate::case::{Contender, OURS};
use crate::ecs::components::ours::{Position, Velocity};

/// Reads Velocity, writes Position: 24 bytes a row go out, 12 come back.
fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
    for (positions, velocities) in bodies.slices_mut() {
        for (position, velocity) in positions.iter_mut().zip(velocities) {
            position.value += velocity.value * time.dt;
        }
    }
}

fn app(entities: usize) -> App {
    App::new("bench").add_system("integrate", integrate).on_start(move |start| {
        let row = (Position { value: Vec3::X }, Velocity { value: Vec3::X });
        start.world.spawn_batch((0..entities).map(|_| row));
        Ok(())
    })
}

/// A world of so many moving entities, with so many instances of its one system.
pub(crate) fn tick(entities: usize, instances: usize) -> Result<Contender> {
    let mut broker = Broker::start()?;
    for number in 0..instances {
        broker.start_worker(&Role::Instance { number })?;
    }
    let config = super::broker::config(&broker.entrance()?);
    let settings = Settings { time: TimeMode::Fast, paused: true, ..Settings::default() };
    let (coordinator, _) = app(entities).into_coordinator(settings, &BTreeMap::new(), |_| false, 1)?;
    let ticks = Ticks::start(coordinator, config, instances)?;
    let sample = move |times: u32| {
        // The server and the workers live as long as the contender.
        let _ = &broker;
        ticks.run(times)
    };
    Ok(Contender { name: OURS, sample: Box::new(sample) })
}

/// A coordinator that stands still after each tick until it is asked for more.
struct Ticks {
    ask: Sender<u32>,
    done: Receiver<f64>,
}

impl Ticks {
    fn start(mut coordinator: Coordinator, config: ConnectionConfig, instances: usize) -> Result<Self> {
        let (ask, asked) = channel::<u32>();
        let (tell, done) = channel();
        let work = move || {
            let stop = Stop::default();
            // Paused, since else the next tick would have begun when this one is reported.
            let (mut open, mut started) = (0_u32, None::<Instant>);
            coordinator.step(1);
            let ended = driver::run(&mut coordinator, Some(&config), false, &stop, |_, coordinator| {
                open = open.saturating_sub(1);
                if open > 0 {
                    return;
                }
                if coordinator.instances() < instances {
                    return coordinator.step(1);
                }
                if let Some(started) = started {
                    let _ = tell.send(started.elapsed().as_secs_f64());
                }
                match asked.recv() {
                    Ok(times) => {
                        (open, started) = (times, Some(Instant::now()));
                        coordinator.step(times.into());
                    }
                    Err(_) => stop.ask(),
                }
            });
            if let Err(error) = ended {
                eprintln!("the coordinator has ended: {error}");
            }
        };
        // Named, so that a profiler tells it from the contenders.
        std::thread::Builder::new().name("coordinator".into()).spawn(work).context("can't start a thread")?;
        Ok(Self { ask, done })
    }

    /// Seconds of a tick, in the mean of so many.
    fn run(&self, times: u32) -> Result<f64> {
        self.ask.send(times).map_err(|_| anyhow!("the coordinator has ended"))?;
        Ok(self.done.recv().context("the coordinator has ended")? / f64::from(times))
    }
}

/// The process of an instance.
pub(crate) fn work(entrance: &Entrance, number: usize) -> Result<()> {
    let options = InstanceOptions { name: Some(format!("bench-{number}")), ..InstanceOptions::default() };
    Ok(run_instance(&super::broker::config(entrance), app(0).into_systems()?, options)?)
}
