//! Too much of everything: it is bounded, and the world goes on.

use engine_net::messages::query::QueryRequest;
use engine_net::messages::register::Register;
use engine_net::strict;

use crate::registrations::honest;
use crate::world::{HONEST, World, who};

const MANY: u64 = 10_000;

#[test]
fn ten_thousand_registrations() {
    let mut world = World::start();
    world.gate.set_closed(true);
    let commit = world.begin();
    world.next_job();
    for number in 0..MANY {
        let register = Register { instance: format!("ghost-{number}"), nonce: number << 16, ..honest("ghost") };
        let subject = world.subjects.register(who(&register.instance));
        world.wait(world.client.publish(subject, strict::encode(&register).into())).unwrap();
    }
    world.until_counter("refused.overloaded", MANY - 4096);
    assert_eq!(world.status().systems[0].instances.len(), 4096);
    world.gate.set_closed(false);
    world.finish(commit);
    // Nobody listens where the ghosts should be: one after the other goes, and the jobs come to who is there.
    world.step();
    assert_eq!(world.counter("quarantined"), 0);
    world.step();
}

#[test]
fn ten_thousand_requests_without_waiting_for_answers() {
    let mut world = World::start();
    let inbox = world.client.new_inbox();
    let _answers = world.subscribe(&inbox);
    let query = strict::encode(&QueryRequest { with: vec!["bad.Position".into()], ..QueryRequest::default() });
    for number in 0..MANY {
        let (subject, payload) = if number % 2 == 0 {
            (world.subjects.query(), query.clone())
        } else {
            (world.subjects.status(), Vec::new())
        };
        world.wait(world.client.publish_with_reply(subject, inbox.clone(), payload.into())).unwrap();
    }
    world.step();
    for _ in 0..MANY {
        world.wait(world.client.publish(world.subjects.heartbeat(who(HONEST)), vec![0xc1; 100].into())).unwrap();
    }
    world.until_counter("refused.heartbeat", 1);
    world.step();
}
