//! Instances that have mapped the coordinator's columns make the same world of them, and nothing of the columns is
//! sent.

use engine_app::{App, Settings, Stop, TimeMode, driver, epoch_of_now};
use engine_component::query::Query;
use engine_component::{Component, WorldHash};
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::Time;

use super::processes::Instance;

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
#[component(name = "test.At")]
struct At {
    x: f32,
    y: f32,
    z: f32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
#[component(name = "test.Speed")]
struct Speed {
    x: f32,
    y: f32,
    z: f32,
}

fn integrate(time: Time, mut bodies: Query<(&mut At, &Speed)>) {
    for (at, speed) in bodies.slices_mut() {
        for (at, speed) in at.iter_mut().zip(speed) {
            at.x += speed.x * time.dt;
            at.y += speed.y * time.dt;
        }
    }
}

/// Changes some rows only.
fn turn(time: Time, mut bodies: Query<(&At, &mut Speed)>) {
    for (number, (at, speed)) in bodies.iter_mut().enumerate() {
        if number as u64 % 100 == time.tick % 100 {
            speed.z = at.x;
        }
    }
}

const ROWS: u32 = 100_000;

fn app() -> App {
    App::new("shared").add_system("integrate", integrate).add_system("turn", turn).on_start(|start| {
        let row = |n: u32| (At { x: n as f32, y: 0.0, z: 0.0 }, Speed { x: 1.0, y: n as f32, z: 0.0 });
        start.world.spawn_batch((0..ROWS).map(row));
        Ok(())
    })
}

fn settings() -> Settings {
    Settings { time: TimeMode::Fast, ..Settings::default() }
}

fn in_process(ticks: u64) -> WorldHash {
    let settings = Settings { ticks: Some(ticks), ..settings() };
    let systems = |_: &str| true;
    let (mut coordinator, _) =
        app().into_coordinator(settings, &app().option_values(&[]), systems, epoch_of_now()).unwrap();
    driver::run(&mut coordinator, None, false, &Stop::default(), |_, _| {}).unwrap();
    coordinator.committed().1
}

/// Ticks until so many instances have mapped the columns, and some more; the last tick and its hash, and the bytes of
/// each of the last ones.
fn over_nats(settings: Settings, shared: usize) -> (u64, WorldHash, Vec<u64>) {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = ConnectionConfig { world: settings.world.clone(), ..server.config() };
    let options = app().option_values(&[]);
    let (mut coordinator, _) = app().into_coordinator(settings, &options, |_| false, epoch_of_now()).unwrap();
    let names = app().system_names();
    let instances: Vec<Instance> = names
        .iter()
        .flat_map(|system| (0..2).map(move |number| (system.clone(), format!("{system}-{number}"))))
        .map(|(system, name)| Instance::start(&config, app(), &system, &name))
        .collect();
    let (stop, mut bytes) = (Stop::default(), Vec::new());
    driver::run(&mut coordinator, Some(&config), false, &stop, |commit, coordinator| {
        let status = coordinator.status(0);
        let instances = status.systems.iter().flat_map(|system| &system.instances);
        let now = instances.filter(|instance| instance.columns == "shared").count();
        if now >= shared {
            bytes.push(commit.bytes);
        }
        if bytes.len() >= 20 {
            stop.ask();
        }
    })
    .unwrap();
    drop(instances);
    (coordinator.committed().0, coordinator.committed().1, bytes)
}

#[test]
fn nothing_of_mapped_columns_is_sent() {
    let (tick, hash, bytes) = over_nats(settings(), 4);
    assert_eq!(hash, in_process(tick));
    // Two nodes at two instances: a job and a result of each.
    let last = bytes.last().unwrap();
    assert!(*last < 16 << 10, "{bytes:?}");
}

#[test]
fn columns_are_sent_when_it_is_switched_off() {
    let (tick, hash, bytes) = over_nats(Settings { shm_bytes: 0, ..settings() }, 0);
    assert_eq!(hash, in_process(tick));
    assert!(*bytes.last().unwrap() > u64::from(ROWS) * 8, "{bytes:?}");
}

/// There is room for one of the columns: the others are sent.
#[test]
fn what_the_memory_has_no_room_for_is_sent() {
    let (tick, hash, bytes) = over_nats(Settings { shm_bytes: 2 << 20, ..settings() }, 4);
    assert_eq!(hash, in_process(tick));
    assert!(*bytes.last().unwrap() > 16 << 10, "{bytes:?}");
}
