//! Commands to a coordinator without a server: messages in, messages out.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::{App, Settings, TimeMode};
use engine_component::query::Query;
use engine_component::{Component, Entity};
use engine_net::messages::command::{Action, Command, CommandReply, Done};
use engine_net::messages::value::Components;
use engine_net::messages::{Message, Reply};
use engine_net::strict;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Count")]
struct Count {
    value: u32,
}

fn count(mut counts: Query<&mut Count>) {
    for count in &mut counts {
        count.value += 1;
    }
}

/// A paused world: what is asked of it is done at once.
fn paused() -> Coordinator {
    let settings = Settings { paused: true, time: TimeMode::Fast, ..Settings::default() };
    let app = App::new("test").add_system("count", count).on_start(|start| {
        start.world.spawn((Count { value: 0 },));
        Ok(())
    });
    app.into_coordinator(settings, &BTreeMap::new(), |_| true, 1).unwrap().0
}

/// Sends a command, and gives back the answer to this request if there is one.
fn ask(coordinator: &mut Coordinator, reply: &str, id: &str, action: Action) -> Option<CommandReply> {
    let (aggregate, name) = action.subject();
    let subject = coordinator.subjects().command("world", aggregate, name);
    let payload = Bytes::from(strict::encode(&Command::new(id, action)));
    coordinator.message(1, &subject, Some(reply), payload);
    answer(coordinator, reply)
}

fn answer(coordinator: &mut Coordinator, reply: &str) -> Option<CommandReply> {
    let mut answer = None;
    while let Some(output) = coordinator.next_output() {
        if let Output::Send { subject, payload, .. } = output
            && subject == reply
        {
            answer = Some(strict::decode(&payload, CommandReply::LIMIT).unwrap());
        }
    }
    answer
}

fn spawn(count: usize) -> Action {
    Action::Spawn { entities: vec![Components::default(); count] }
}

#[test]
fn a_repeated_command_is_applied_once_and_answered_alike() {
    let mut world = paused();
    let first = ask(&mut world, "_INBOX.a", "one", spawn(2)).unwrap();
    let Reply::Ok(Done { entities, .. }) = &first else { panic!("{first:?}") };
    assert_eq!((entities.len(), world.world().len()), (2, 3));
    assert_eq!(ask(&mut world, "_INBOX.b", "one", spawn(2)), Some(first), "the same answer, to who asks now");
    assert_eq!(world.world().len(), 3);
    assert!(matches!(ask(&mut world, "_INBOX.a", "two", spawn(2)), Some(Reply::Ok(_))));
    assert_eq!(world.world().len(), 5);
}

#[test]
fn a_refused_command_stays_refused_and_is_tried_again_under_another_id() {
    let mut world = paused();
    let despawn = |number| Action::Despawn { entities: vec![Entity::from_bits(number)] };
    let refused = ask(&mut world, "_INBOX.a", "one", despawn(2));
    assert!(matches!(&refused, Some(Reply::Error(problem)) if problem.code == "unknown_entity"), "{refused:?}");
    ask(&mut world, "_INBOX.a", "two", spawn(1));
    // A copy of the first that comes late: its sender was told that it is not applied.
    assert_eq!(ask(&mut world, "_INBOX.a", "one", despawn(2)), refused);
    assert_eq!(world.world().len(), 2);
    assert!(matches!(ask(&mut world, "_INBOX.a", "three", despawn(2)), Some(Reply::Ok(_))));
    assert_eq!(world.world().len(), 1);
}

#[test]
fn who_repeats_a_waiting_command_gets_the_answer() {
    let mut world = paused();
    ask(&mut world, "_INBOX.a", "go", Action::Step { ticks: 1 });
    let waits = ask(&mut world, "_INBOX.b", "go", Action::Step { ticks: 1 });
    assert_eq!(waits, None, "the tick is not over: its job is in nobody's hands here");
    assert_eq!(ask(&mut world, "_INBOX.c", "", spawn(1)).map(|reply| matches!(reply, Reply::Error(_))), Some(true));
}
