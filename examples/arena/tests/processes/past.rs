//! The past of a world: repeated, compared, and gone on from as another world.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use engine::net::messages::command::Action;
use engine::net::messages::snapshot::{Snapshot, SnapshotReply, SnapshotRequest};
use engine::net::messages::{Message, Reply};
use engine::net::strict;

use super::cluster::{Cluster, SYSTEMS, TICKS, golden};
use super::durable::{KEEPS, Outside, fighter};

const FEW: u32 = 4_000;

impl Cluster {
    fn arena(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arena"));
        command.args(arguments).stdin(Stdio::null()).envs(self.server.config().to_environment());
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.arena(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.arena(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.lines().any(|line| line.starts_with("error: ")), "{error}");
        error
    }

    /// Runs a world to its last tick, all systems in the coordinator's process; its hash.
    fn run_alone(&self, more: &[&str]) -> String {
        let locals = SYSTEMS.iter().flat_map(|system| ["--local", system]);
        let arguments: Vec<&str> = KEEPS.into_iter().chain(locals).chain(more.iter().copied()).collect();
        self.coordinator_with(&arguments).hash()
    }
}

#[test]
fn a_branch_of_a_world_comes_to_the_same_world() {
    let cluster = Cluster::with_log(FEW);
    assert_eq!(cluster.run_alone(&[]), golden(FEW));

    let replayed = cluster.json(&["replay"]);
    assert_eq!((&replayed["diverged"], &replayed["to"]), (&Value::Null, &TICKS.into()), "{replayed}");
    assert_eq!(replayed["ticks"].as_u64().unwrap() + replayed["keyframe"].as_u64().unwrap(), TICKS, "{replayed}");

    let oldest = replayed["keyframe"].as_u64().unwrap();
    let at = ((oldest + TICKS) / 2).to_string();
    let branch = cluster.json(&["branch", "--at", &at, "--as", "other"]);
    assert_eq!((&branch["world"], branch["tick"].to_string()), (&"other".into(), at.clone()), "{branch}");
    // Before it has a coordinator of its own, and after.
    let still = cluster.json(&["replay", "--world", "other"]);
    assert_eq!((&still["ticks"], still["to"].to_string()), (&0.into(), at.clone()), "{still}");
    assert_eq!(cluster.run_alone(&["--world", "other"]), golden(FEW));
    let again = cluster.json(&["replay", "--world", "other"]);
    assert_eq!((&again["diverged"], &again["to"]), (&Value::Null, &TICKS.into()), "{again}");

    let same = cluster.json(&["diff", &at, &at]);
    assert_eq!((&same["same"], &same["entities"]["differ"]), (&true.into(), &0.into()), "{same}");
    let last = TICKS.to_string();
    let different = cluster.json(&["diff", &at, &last, "--limit", "3"]);
    assert_eq!((&different["same"], &different["b"]["hash"]), (&false.into(), &golden(FEW).into()), "{different}");
    assert_eq!(different["differences"].as_array().unwrap().len(), 3, "{different}");

    let error = cluster.refused(&["branch", "--at", &at, "--as", "other"]);
    assert!(error.contains("world `other` exists already"), "{error}");
    let error = cluster.refused(&["branch", "--at", "9999", "--as", "third"]);
    assert!(error.contains("ends with tick 300, before tick 9999"), "{error}");
    let error = cluster.refused(&["replay", "--world", "third"]);
    assert!(error.contains("world `third` has no log"), "{error}");
}

#[test]
fn what_a_world_was_given_is_repeated_with_it() {
    let cluster = Cluster::with_log(FEW);
    let mut coordinator = cluster.coordinator_with(&[&KEEPS[..], &["--keyframes", "100"]].concat());
    let _instances: Vec<_> = SYSTEMS.iter().map(|system| cluster.instance(system, 0)).collect();
    coordinator.wait_for_tick(20);
    let outside = Outside::new(&cluster);
    outside.act("one", fighter());
    let halted = outside.act("halt", Action::Pause {}).tick;
    outside.act("two", fighter());
    let stored = snapshot(&outside);
    assert_eq!(stored.tick, halted);
    outside.act("go", Action::Resume {});
    let hash = coordinator.hash();

    let replayed = cluster.json(&["replay"]);
    assert_eq!((&replayed["diverged"], &replayed["to"]), (&Value::Null, &TICKS.into()), "{replayed}");
    let halted = halted.to_string();
    let diff = cluster.json(&["diff", &halted, &TICKS.to_string(), "--limit", "0"]);
    assert_eq!((&diff["b"]["hash"], &diff["a"]["tick"]), (&hash.into(), &stored.tick.into()), "{diff}");
}

fn snapshot(outside: &Outside) -> Snapshot {
    let answer = outside.ask(&outside.subjects.snapshot(), &strict::encode(&SnapshotRequest {}));
    match strict::decode::<SnapshotReply>(&answer, SnapshotReply::LIMIT).unwrap() {
        Reply::Ok(stored) => stored,
        Reply::Error(problem) => panic!("{problem:?}"),
    }
}
