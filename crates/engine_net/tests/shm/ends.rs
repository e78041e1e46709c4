//! Whoever is killed leaves nothing behind.

use std::process::Command;
use std::time::Instant;

use engine_component::World;
use engine_net::shm::Invitation;

use crate::child::{LONG, Other};
use crate::columns::{Host, place_of};

/// A coordinator with a world, in the other process.
pub(crate) struct Coordinator {
    pub(crate) invitation: Invitation,
    _host: Host,
    _world: World,
}

impl Coordinator {
    pub(crate) fn start() -> Self {
        let host = Host::start();
        let (world, _) = host.world(10_000);
        Self { invitation: host.invitation.clone(), _host: host, _world: world }
    }
}

/// Maps of our shared memory in a process: what each line of `/proc/…/maps` says of the file.
fn maps_of(process: &str) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    let ours = maps.lines().filter(|line| line.contains("memfd:engine-"));
    ours.map(|line| line.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")).collect()
}

/// Processes that still have one of these mapped.
fn holders(of: &[String]) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let processes = processes.filter_map(|name| name.into_string().ok()).filter(|name| name.parse::<u32>().is_ok());
    processes.filter(|process| maps_of(process).iter().any(|map| of.contains(map))).collect()
}

/// Only these have one of them mapped: at once, but for programs that other tests of this process are just starting.
fn only(expected: &[String], have: &[String]) {
    let until = Instant::now() + LONG;
    while holders(have) != expected {
        assert!(Instant::now() < until, "{:?} instead of {expected:?}", holders(have));
        std::thread::yield_now();
    }
}

/// Whether the socket of an invitation is there.
fn is_listening(invitation: &Invitation) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    sockets.contains(&format!("@engine-{}", &invitation.text()[..32]))
}

#[test]
fn a_killed_instance_leaves_nothing() {
    let host = Host::start();
    let (world, _) = host.world(10_000);
    let mut instance = host.instance();
    let (offset, bytes) = place_of(&world);
    instance.ask(&format!("column {offset} {bytes}"));
    assert_eq!(instance.ask("write 100000 1"), "written");
    let process = instance.process.id().to_string();
    let maps = maps_of(&process);
    assert_eq!(maps.len(), 2, "the columns and its output: {maps:?}");
    assert!(holders(&maps).contains(&process));
    instance.kill();
    only(&[std::process::id().to_string()], &maps);
    let mut read = [0; 8];
    host.output.read(99_992, &mut read).unwrap();
    assert_eq!(read, [1; 8], "what it wrote is there until the coordinator drops it");
    drop((host, world));
    only(&[], &maps);
}

#[test]
fn a_killed_coordinator_leaves_nothing() {
    let (mut coordinator, mut instance) = (Other::start(), Other::start());
    let invitation = Invitation::parse(&coordinator.ask("coordinate")).unwrap();
    assert!(is_listening(&invitation));
    let join = format!("join {}", invitation.text());
    assert!(!instance.ask(&join).starts_with("no"));
    let maps = maps_of(&instance.process.id().to_string());
    assert_eq!((maps.len(), holders(&maps).len()), (2, 2));
    let before = instance.ask("column 0 80000");
    coordinator.kill();
    assert!(!is_listening(&invitation));
    assert_eq!(instance.ask("column 0 80000"), before, "it can be read until it is dropped");
    assert_eq!(instance.ask("write 100000 1"), "written");
    assert!(instance.ask(&join).starts_with("no: "));
    instance.end();
    only(&[], &maps);
}

#[test]
fn there_are_no_files() {
    let host = Host::start();
    let _world = host.world(10_000);
    let instance = host.instance();
    for directory in ["/dev/shm", "/run/shm", "/tmp"] {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap_or_default());
        let left: Vec<String> =
            names.filter(|name| name.contains("engine-columns") || name.contains("engine-output")).collect();
        assert!(left.is_empty(), "{directory}: {left:?}");
    }
    drop(host);
    instance.end();
}

#[test]
fn a_socket_ends_with_its_handover() {
    let mut coordinator = Other::start();
    let invitation = Invitation::parse(&coordinator.ask("coordinate")).unwrap();
    assert!(is_listening(&invitation));
    assert_eq!(coordinator.ask("stop"), "stopped");
    assert!(!is_listening(&invitation));
    coordinator.end();
}

/// Descriptors are not handed on to programs that the coordinator starts.
#[test]
fn programs_that_are_started_inherit_nothing() {
    let host = Host::start();
    let _world = host.world(10_000);
    let shown = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains("memfd:engine") && shown.contains("/proc/"), "{shown}");
    drop(host);
}
