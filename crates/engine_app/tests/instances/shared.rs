//! Instances that have mapped the coordinator's columns make the same world of them, and nothing of the columns is
//! sent.

use std::process::{Child, Command};

use engine_app::coordinator::Coordinator;
use engine_app::{App, Settings, Stop, TimeMode, driver, epoch_of_now};
use engine_component::query::Query;
use engine_component::{Component, WorldHash};
use engine_net::child::end_with_parent;
use engine_net::config::{ConnectionArgs, ConnectionConfig};
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::Time;
use engine_system::runner::{InstanceOptions, run_instance};

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
    with_some_by_wire(settings, shared, |_| false)
}

fn with_some_by_wire(
    settings: Settings,
    shared: usize,
    wire_only: impl Fn(usize) -> bool,
) -> (u64, WorldHash, Vec<u64>) {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = ConnectionConfig { world: settings.world.clone(), ..server.config() };
    let options = app().option_values(&[]);
    let (mut coordinator, _) = app().into_coordinator(settings, &options, |_| false, epoch_of_now()).unwrap();
    let names = app().system_names();
    let instances: Vec<Instance> = names
        .iter()
        .flat_map(|system| (0..2).map(move |number| (system.clone(), number)))
        .map(|(system, number)| {
            let name = Some(format!("{system}-{number}"));
            let options = InstanceOptions { name, wire_only: wire_only(number), ..InstanceOptions::default() };
            Instance::start_with(&config, app(), &system, options)
        })
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

/// One instance of each system is on another host, as far as the coordinator can tell.
#[test]
fn some_may_have_mapped_the_columns_and_others_not() {
    let (tick, hash, bytes) = with_some_by_wire(settings(), 2, |number| number == 1);
    assert_eq!(hash, in_process(tick));
    assert!(*bytes.last().unwrap() > 16 << 10, "{bytes:?}");
}

/// There is room for one of the columns: the others are sent.
#[test]
fn what_the_memory_has_no_room_for_is_sent() {
    let (tick, hash, bytes) = over_nats(Settings { shm_bytes: 2 << 20, ..settings() }, 4);
    assert_eq!(hash, in_process(tick));
    assert!(*bytes.last().unwrap() > 16 << 10, "{bytes:?}");
}

/// Set in another process: the name of the instance that it is to be.
const ROLE: &str = "ENGINE_TEST_SHARED";

#[test]
fn another_process() {
    let Ok(name) = std::env::var(ROLE) else { return };
    let config = ConnectionArgs::default().resolve().unwrap();
    let options = InstanceOptions { name: Some(name), ..InstanceOptions::default() };
    let _ = run_instance(&config, app().into_systems().unwrap(), options);
}

fn start_process(config: &ConnectionConfig, name: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["shared::another_process", "--exact"]).env(ROLE, name).envs(config.to_environment());
    end_with_parent(&mut command);
    command.spawn().unwrap()
}

/// What this process has of memory that is shared, and of sockets that memory is handed over on.
fn shared_things() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut things: Vec<String> =
        maps.lines().filter(|line| line.contains("memfd:engine")).map(str::to_owned).collect();
    let files =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
    things.extend(files.iter().filter(|file| file.contains("memfd:engine")).cloned());
    // Others on this machine may have such sockets too.
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let is_mine = |line: &&str| {
        let inode = line.split_whitespace().nth(6).unwrap_or_default();
        line.contains("@engine-") && files.contains(&format!("socket:[{inode}]"))
    };
    things.extend(sockets.lines().filter(is_mine).map(str::to_owned));
    things
}

/// A world with two processes, until it is stopped. `each` is told after how many ticks with both of them it is called.
fn with_two_processes(mut each: impl FnMut(u64, &Coordinator, &mut Child, &Stop)) -> Coordinator {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = ConnectionConfig { world: settings().world, ..server.config() };
    let (mut coordinator, _) =
        app().into_coordinator(settings(), &app().option_values(&[]), |_| false, epoch_of_now()).unwrap();
    let mut processes: Vec<Child> = ["one", "two"].iter().map(|name| start_process(&config, name)).collect();
    let (stop, mut ticks) = (Stop::default(), 0);
    driver::run(&mut coordinator, Some(&config), false, &stop, |_, coordinator| {
        let status = coordinator.status(0);
        let shared = status.systems[0].instances.iter().filter(|instance| instance.columns == "shared").count();
        ticks += u64::from(shared == 2);
        each(ticks, coordinator, &mut processes[0], &stop);
    })
    .unwrap();
    processes.iter_mut().for_each(|process| {
        let _ = process.kill();
        process.wait().unwrap();
    });
    assert_eq!(coordinator.committed().1, in_process(coordinator.committed().0));
    coordinator
}

#[test]
fn an_instance_that_is_killed_changes_nothing_and_leaves_nothing() {
    let mut after = 0;
    let coordinator = with_two_processes(|ticks, coordinator, process, stop| {
        if ticks == 10 {
            // In the middle of whatever it does.
            process.kill().unwrap();
        }
        after += u64::from(ticks >= 10 && coordinator.instances() == 1);
        if after == 20 {
            assert!(!shared_things().is_empty());
            stop.ask();
        }
    });
    drop(coordinator);
    assert_eq!(shared_things(), Vec::<String>::new());
}

/// The other instance computes its jobs as well, and goes on without it.
#[test]
fn an_instance_that_stands_still_changes_nothing() {
    let mut after = 0;
    let coordinator = with_two_processes(|ticks, coordinator, process, stop| {
        let pid = process.id().to_string();
        let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        if ticks == 10 {
            signal("-STOP");
        }
        // On a machine that is very busy it is given up instead.
        after += u64::from(coordinator.counter("speculative.won") > 0 || ticks > 10 && coordinator.instances() == 1);
        match after {
            50 => signal("-CONT"),
            150 => stop.ask(),
            _ => {}
        }
    });
    assert_eq!(coordinator.counter("speculative.differs"), 0);
}
