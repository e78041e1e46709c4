//! Whatever process dies, the world goes on as if nothing had happened, and what was answered is in it.

use std::time::{Duration, Instant};

use engine::component::Entity;
use engine::net::io::{Io, Lane, Outgoing};
use engine::net::messages::command::{Action, Command, CommandReply, Done};
use engine::net::messages::query::{QueryReply, QueryRequest};
use engine::net::messages::status::{SimState, StatusReply};
use engine::net::messages::value::Components;
use engine::net::messages::{Message, Reply};
use engine::net::strict;
use engine::net::subject::Subjects;

use super::cluster::{Cluster, Process, SYSTEMS, TICKS, golden};

const FEW: u32 = 4_000;
/// A lease of a second: nobody wants to wait for three.
pub(crate) const KEEPS: [&str; 4] = ["--durability", "server", "--lease", "1"];
const STANDS_BY: [&str; 5] = ["--durability", "server", "--lease", "1", "--standby"];
const SOON: Duration = Duration::from_secs(30);

impl Cluster {
    fn one_of_each(&self) -> Vec<Process> {
        SYSTEMS.iter().map(|system| self.instance(system, 0)).collect()
    }
}

/// Somebody outside, with a connection.
pub(crate) struct Outside {
    io: Io,
    pub(crate) subjects: Subjects,
}

impl Outside {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let config = cluster.server.config();
        let subjects = Subjects::new(&config.prefix, &config.world).unwrap();
        Self { io: Io::start(&config, "outside", 1).unwrap().0, subjects }
    }

    /// Asks until somebody answers: meanwhile there may be no coordinator.
    pub(crate) fn ask(&self, subject: &str, request: &[u8]) -> Vec<u8> {
        let until = Instant::now() + SOON;
        loop {
            let message = Outgoing::new(subject.to_owned(), request.to_vec());
            match self.io.handle().request_blocking(Lane(0), message, SOON) {
                Ok(answer) => return answer.payload.to_vec(),
                Err(error) => assert!(Instant::now() < until, "{subject}: {error}"),
            }
        }
    }

    /// Gives a command, again and again under the same id.
    pub(crate) fn act(&self, id: &str, action: Action) -> Done {
        let (aggregate, verb) = action.subject();
        let subject = self.subjects.command("world", aggregate, verb);
        let command = strict::encode(&Command::new(id, action));
        loop {
            match strict::decode::<CommandReply>(&self.ask(&subject, &command), CommandReply::LIMIT).unwrap() {
                Reply::Ok(done) => return done,
                Reply::Error(problem) => assert_eq!(problem.code, "unavailable", "{problem:?}"),
            }
        }
    }

    fn rows(&self, entity: Entity) -> usize {
        let request = strict::encode(&QueryRequest { entities: vec![entity], ..QueryRequest::default() });
        loop {
            match strict::decode::<QueryReply>(&self.ask(&self.subjects.query(), &request), QueryReply::LIMIT).unwrap()
            {
                Reply::Ok(page) => return page.rows.len(),
                Reply::Error(problem) => assert_eq!(problem.code, "unavailable", "{problem:?}"),
            }
        }
    }

    fn state(&self) -> SimState {
        let answer = self.ask(&self.subjects.status(), b"");
        match strict::decode::<StatusReply>(&answer, StatusReply::LIMIT).unwrap() {
            Reply::Ok(status) => status.state,
            Reply::Error(problem) => panic!("{problem:?}"),
        }
    }
}

pub(crate) fn fighter() -> Action {
    let place = ("arena.Position".to_owned(), serde_json::json!({"at": {"x": 1.0, "y": 2.0}}));
    Action::Spawn { entities: vec![Components::from([place])] }
}

#[test]
fn a_coordinator_that_is_killed_is_followed_by_the_one_that_stands_by() {
    let cluster = Cluster::with_log(FEW);
    let mut first = cluster.coordinator_with(&KEEPS);
    let _instances = cluster.one_of_each();
    first.wait_for_tick(40);
    let mut second = cluster.coordinator_with(&STANDS_BY);
    second.wait_for("standing by");
    first.wait_for_tick(100);
    drop(first);
    second.wait_for_tick(160);
    let third = cluster.coordinator_with(&STANDS_BY);
    drop(second);
    assert_eq!(third.hash(), golden(FEW));
}

#[test]
fn a_coordinator_that_stood_still_for_too_long_steps_down() {
    let cluster = Cluster::with_log(FEW);
    let mut first = cluster.coordinator_with(&KEEPS);
    let _instances = cluster.one_of_each();
    first.wait_for_tick(60);
    first.process.signal(libc::SIGSTOP);
    let mut second = cluster.coordinator_with(&STANDS_BY);
    second.wait_for_tick(120);
    first.process.signal(libc::SIGCONT);
    first.wait_for("standing by");
    assert_eq!(second.hash(), golden(FEW));
    // The world has had its last tick: there is nothing left to lead but its end.
    assert_eq!(first.hash(), golden(FEW));
}

#[test]
fn a_coordinator_that_ends_hands_over_at_once() {
    let cluster = Cluster::with_log(FEW);
    // With a lease that nobody would wait for.
    let mut first = cluster.coordinator_with(&["--durability", "server", "--lease", "600"]);
    let _instances = cluster.one_of_each();
    first.wait_for_tick(40);
    let mut second = cluster.coordinator_with(&["--durability", "server", "--lease", "600", "--standby"]);
    second.wait_for("standing by");
    first.process.signal(libc::SIGTERM);
    assert_eq!(second.hash(), golden(FEW));
}

/// Everything at once: nothing of it is in anybody's memory any more.
#[test]
fn what_was_answered_outlives_every_process() {
    let mut cluster = Cluster::with_log(FEW);
    let mut coordinator = cluster.coordinator_with(&KEEPS);
    let instances = cluster.one_of_each();
    coordinator.wait_for_tick(20);
    let outside = Outside::new(&cluster);
    let done = outside.act("one", fighter());
    outside.act("halt", Action::Pause {});
    drop(instances);
    drop(coordinator);
    cluster.server.kill();
    cluster.server.restart().unwrap();

    let mut coordinator = cluster.coordinator_with(&KEEPS);
    let _instances = cluster.one_of_each();
    assert_eq!(outside.rows(done.entities[0]), 1);
    assert_eq!(outside.state(), SimState::Paused);
    assert_eq!(outside.act("one", fighter()), done, "whoever did not hear the answer hears it now");
    outside.act("go", Action::Resume {});
    coordinator.wait_for_tick(TICKS);
}
