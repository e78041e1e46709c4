//! The program of an image: what it says of itself, and how it is ended.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::house::{House, Process, arena, until};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_says_its_version_and_that_nobody_serves_probes() {
    let version = arena(&["--version"]).output().unwrap();
    assert!(version.status.success() && text(&version.stdout).contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let health = arena(&["health", &nobody]).output().unwrap();
    assert_eq!(health.status.code(), Some(1));
    let said = text(&health.stderr);
    assert!(said.starts_with(&format!("error: http://{nobody}/live: nothing serves probes there")), "{said}");
}

#[test]
fn one_that_is_ended_hands_over_and_its_health_is_told() {
    let house = House::open();
    let (mut first, instance) = (house.coordinator(), house.instance("one"));
    until("the first one leads", || first.is_ready());
    let second = house.coordinator();
    // It stands by, which is all right, and does not lead.
    let (live, ready) = (second.health(&[]), second.health(&["--ready"]));
    assert!(live.status.success(), "{live:?}");
    assert_eq!(text(&live.stdout), format!("http://{}/live: ok\n", second.address));
    assert_eq!(ready.status.code(), Some(1));
    assert!(text(&ready.stderr).contains("503: another coordinator leads"), "{ready:?}");
    assert!(first.health(&["--ready"]).status.success());

    assert!(first.process.terminate(), "it ends well");
    until("the second one leads, with the same instance", || second.health(&["--ready"]).status.success());
    assert!(instance.is_ready());
    let mut instance = instance;
    assert!(instance.process.terminate(), "an instance ends well too");
    until("it is missed", || !second.is_ready());
}

#[test]
fn one_that_waits_for_a_server_can_be_ended() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for role in [&["coordinator"][..], &["coordinator", "--durability", "server"], &["system", "steer"]] {
        let mut command = arena(role);
        command.env("NATS_WAIT", "true").env("NATS_URL", format!("nats://{nobody}")).stderr(Stdio::piped());
        let mut process = Process::start(command);
        // Kept: who can't say what he has to say does not end well.
        let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines();
        let said = lines.next().map(Result::unwrap);
        assert!(said.as_ref().is_some_and(|line| line.contains("waiting for NATS")), "{said:?}");
        let ended_well = process.terminate();
        assert!(ended_well, "{role:?}: {:?}", lines.map_while(Result::ok).collect::<Vec<_>>());
    }
}
