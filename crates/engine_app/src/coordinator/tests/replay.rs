//! What a tick was given is recorded; a world that is given the same becomes the same, without any instance.

use engine_component::{Component, Data, Entity};
use engine_net::descriptor::DeadlinePolicy;
use engine_net::messages::Message as _;
use engine_net::messages::command::{Action, Command, CommandReply};
use engine_net::messages::value::Components;
use engine_net::strict;
use engine_system::IntoSystem;

use super::script::{Script, app, drift, settings, stranger};
use crate::coordinator::{Coordinator, Output};
use crate::record::{Input, ReplayError, TickRecord};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Guest")]
struct Guest {
    host: Entity,
}

pub(super) fn late() -> crate::App {
    app(drift.deadline(DeadlinePolicy::Hold).deadline_ms(200))
}

/// The same world with its systems in this process.
pub(super) fn replayer() -> Coordinator {
    late().into_coordinator(settings(), &std::collections::BTreeMap::new(), |_| true, 8).unwrap().0
}

/// Runs what is to be run here until the tick is committed.
pub(super) fn run(coordinator: &mut Coordinator) -> TickRecord {
    coordinator.clock(1);
    while let Some(output) = coordinator.next_output() {
        if let Output::Run(job) = output {
            let number = job.number();
            coordinator.local_done(1, number, job.run());
        }
    }
    coordinator.next_commit().expect("a tick is committed").record
}

pub(super) fn position(x: f64) -> Components {
    Components::from([("test.Position".to_owned(), serde_json::json!({ "x": x }))])
}

/// Ticks with commands before them and in their middle, a type that arrives, and shards that are late.
fn recorded() -> Vec<TickRecord> {
    let mut script = Script::with(late(), settings(), &["a", "b"]);
    let mut records = Vec::new();
    for tick in 1..=5_u64 {
        if tick == 2 {
            // Before the first command that names it.
            let (sender, register) = stranger(vec![Guest::schema()]);
            let subject = script.coordinator.subjects().register(sender);
            script.request(&subject, strict::encode(&register));
            let guest = ("test.Guest".to_owned(), serde_json::json!({ "host": 3 }));
            script.act("guest", Action::Insert { entity: Entity::from_bits(4), components: [guest].into() });
        }
        script.begin();
        script.act(&format!("set-{tick}"), Action::Set { entity: Entity::from_bits(9), components: position(-50.0) });
        script.act("nobody", Action::Despawn { entities: vec![Entity::from_bits(1 << 30)] });
        script.act(&format!("spawn-{tick}"), Action::Spawn { entities: vec![position(tick as f64); 3] });
        script.act(&format!("gone-{tick}"), Action::Despawn { entities: vec![Entity::from_bits(20 + tick)] });
        if tick % 2 == 0 {
            // What `a` has is late: its shards keep their values.
            let early = script.held("b");
            early.into_iter().for_each(|(job, _)| script.deliver("b", job));
            script.pass(300);
        }
        script.deliver_all();
        records.push(script.coordinator.next_commit().expect("a tick is committed").record);
        assert_eq!(records.last().unwrap().tick, tick);
    }
    records
}

#[test]
fn a_replay_comes_to_the_same_world() {
    let records = recorded();
    assert!(records.iter().any(|record| !record.kept.is_empty()), "shards were late");
    let is_arrival = |input: &Input| matches!(input, Input::Arrived { schemas, .. } if schemas.len() == 1);
    assert!(records[1].inputs.iter().any(is_arrival), "{:?}", records[1].inputs);
    let commands = records.iter().flat_map(|record| &record.inputs).filter(|input| !is_arrival(input));
    assert_eq!(commands.count(), 1 + 4 * 3, "what was refused is not recorded, and the last ones wait");
    // As they come from a log.
    let records: Vec<TickRecord> =
        records.iter().map(|record| strict::decode(&strict::encode(record), 1 << 20).unwrap()).collect();
    let mut world = replayer();
    for record in &records {
        world.replay(record).unwrap();
        let again = run(&mut world);
        assert_eq!(again, TickRecord { epoch: 8, ..record.clone() });
    }
}

#[test]
fn a_record_that_is_changed_shows() {
    let records = recorded();
    let replay = |change: &dyn Fn(&mut Vec<TickRecord>)| {
        let mut records = records.clone();
        change(&mut records);
        let mut world = replayer();
        for record in &records {
            world.replay(record).map_err(|error| error.to_string())?;
            if run(&mut world).hash != record.hash {
                return Err(format!("tick {} differs", record.tick));
            }
        }
        Ok(())
    };
    assert_eq!(replay(&|_| ()), Ok(()));
    let kept = records.iter().position(|record| !record.kept.is_empty()).unwrap();
    assert_eq!(replay(&|records| drop(records[kept].kept.pop())), Err(format!("tick {} differs", kept + 1)));
    assert_eq!(replay(&|records| drop(records[2].inputs.pop())), Err("tick 3 differs".into()));
    assert_eq!(replay(&|records| records[3].inputs.swap(0, 1)), Ok(()), "these two have no part in each other");
    let error = replay(&|records| drop(records.remove(1))).unwrap_err();
    assert_eq!(error, "the record is of tick 3; the next tick of this world is 2");
    let twice = replay(&|records| {
        let last = records[4].inputs.last().unwrap().clone();
        records[4].inputs.push(last);
    });
    assert!(twice.unwrap_err().contains("is refused now"));
}

#[test]
fn records_are_replayed_between_ticks() {
    let records = recorded();
    let mut script = Script::with(late(), settings(), &["a"]);
    script.begin();
    assert_eq!(script.coordinator.replay(&records[0]), Err(ReplayError::Running));
}

#[test]
fn who_repeats_a_command_to_the_next_coordinator_gets_the_answer_of_the_last() {
    let mut world = replayer();
    for record in &recorded() {
        world.replay(record).unwrap();
        run(&mut world);
    }
    let entities = world.world().len();
    let action = Action::Spawn { entities: vec![position(3.0); 3] };
    let subject = world.subjects().command("world", "entity", "spawn");
    let command = Command::new("spawn-3", action);
    world.message(2, &subject, Some("_INBOX.1"), strict::encode(&command).into());
    let answer = std::iter::from_fn(|| world.next_output()).find_map(|output| match output {
        Output::Send { subject, payload, .. } if subject == "_INBOX.1" => Some(payload),
        _ => None,
    });
    let answer = CommandReply::decode(&answer.expect("an answer, at once")).unwrap();
    let done = answer.into_result().unwrap();
    // Commands that came in the middle of tick 3 are of tick 4.
    assert_eq!((done.tick, done.entities.len()), (4, 3));
    assert!(done.entities.iter().all(|entity| world.world().contains(*entity)));
    assert_eq!(world.world().len(), entities, "it is not applied again");
}
