//! A coordinator that is made of what another one left behind goes on as that one would have.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_component::Event;
use engine_net::descriptor::DeadlinePolicy;
use engine_net::messages::Reply;
use engine_net::messages::command::Action;
use engine_net::strict;
use engine_system::{EventReader, EventWriter, IntoSystem, System};

use super::replay::{late, position, replayer, run};
use super::script::{Script, drift, settings};
use crate::coordinator::state::State;
use crate::coordinator::{Coordinator, CoordinatorError, RestoreError};
use crate::record::TickRecord;

/// Ticks, standing records, control in the middle of ticks, shards that are late; and the state after each.
fn recorded() -> Vec<(TickRecord, Option<Vec<u8>>)> {
    let mut script = Script::with(late(), settings(), &["a", "b"]);
    script.coordinator.keep_log(1000);
    let mut states = Vec::new();
    let note = |script: &mut Script, states: &mut Vec<Option<Vec<u8>>>| {
        states.resize(script.records.len().max(1) - 1, None);
        states.push(script.coordinator.state());
    };
    script.act("first", Action::Spawn { entities: vec![position(0.5); 2] });
    note(&mut script, &mut states);
    script.act("steps", Action::Step { ticks: 3 });
    script.act("more", Action::Step { ticks: 2 });
    script.act("spawn", Action::Spawn { entities: vec![position(1.5)] });
    let early = script.held("b");
    early.into_iter().for_each(|(job, _)| script.deliver("b", job));
    script.pass(300);
    script.deliver_on();
    note(&mut script, &mut states);
    script.act("between", Action::Spawn { entities: vec![position(2.5)] });
    note(&mut script, &mut states);
    script.act("go", Action::Resume {});
    script.act("halt", Action::Pause {});
    script.act("one", Action::Step { ticks: 1 });
    script.act("slow", Action::Speed { factor: 0.5 });
    script.deliver_on();
    note(&mut script, &mut states);
    script.act("last", Action::Step { ticks: 7 });
    script.deliver_on();
    note(&mut script, &mut states);
    let records = script.records.iter().map(|record| TickRecord::from_bytes(record).unwrap());
    records.zip(states).collect()
}

/// Repeats a record, to its end.
fn repeat(coordinator: &mut Coordinator, record: &TickRecord) {
    coordinator.replay(record).unwrap();
    if !coordinator.may_replay() {
        run(coordinator);
    }
    assert_eq!(coordinator.committed(), (record.tick, record.hash));
}

#[test]
fn records_bring_back_all_that_the_coordinator_knew() {
    let recorded = recorded();
    assert!(recorded.iter().any(|(record, _)| !record.kept.is_empty()), "a shard was late");
    let standing = recorded.windows(2).filter(|two| two[0].0.tick == two[1].0.tick).count();
    let states: Vec<bool> = recorded.iter().map(|(_, state)| state.is_some()).collect();
    assert!(standing > 0 && states.iter().filter(|known| **known).count() >= 4, "{standing} {states:?}");
    let mut world = replayer();
    world.begin_recovery();
    for (record, state) in &recorded {
        repeat(&mut world, record);
        if let Some(state) = state {
            assert_eq!(text(&world.state().unwrap()), text(state), "after the record of tick {}", record.tick);
        }
    }
    // Nothing happens by itself, though steps are left.
    world.clock(1 << 40);
    assert!(!world.is_running());
}

/// So that a difference can be read.
fn text(state: &[u8]) -> String {
    format!("{:#?}", strict::decode::<State>(state, 1 << 20).unwrap())
}

#[test]
fn a_state_and_its_world_go_on_alike() {
    let recorded = recorded();
    for at in 0..recorded.len() {
        let mut first = replayer();
        first.begin_recovery();
        recorded[..=at].iter().for_each(|(record, _)| repeat(&mut first, record));
        let state = first.state().unwrap();
        let world = std::mem::take(&mut first.world);
        let mut second = Coordinator::restore(settings(), world, systems(), &state, 9).unwrap();
        assert_eq!(text(&second.state().unwrap()), text(&state));
        second.begin_recovery();
        recorded[at + 1..].iter().for_each(|(record, _)| repeat(&mut second, record));
    }
}

fn systems() -> Vec<(Arc<dyn System>, bool)> {
    late().into_systems().unwrap().into_iter().map(|system| (system, true)).collect()
}

#[test]
fn a_command_that_was_answered_is_known_to_the_next_coordinator() {
    let recorded = recorded();
    let mut script = Script::new(late(), settings());
    for (record, _) in &recorded {
        // The instances of the first one are gone: its systems run here.
        script.coordinator.systems.iter_mut().zip(systems()).for_each(|(entry, (system, _))| {
            entry.local = Some(system);
        });
        script.coordinator.begin_recovery();
        script.told.clear();
        repeat(&mut script.coordinator, record);
    }
    assert!(script.told.is_empty());
    let refused = script.act("new", Action::Spawn { entities: vec![position(1.0)] });
    assert!(matches!(&refused[..], [Reply::Error(problem)] if problem.code == "unavailable"), "{refused:?}");
    let entities = script.coordinator.world().len();
    for id in ["first", "spawn", "steps", "more", "halt"] {
        let answers = script.act(id, Action::Spawn { entities: vec![position(0.0)] });
        assert!(matches!(&answers[..], [Reply::Ok(_)]), "{id}: {answers:?}");
    }
    assert_eq!(script.coordinator.world().len(), entities);
}

/// What the record of a tick brings waits with the tick for an instance. It is in the log already.
#[test]
fn nothing_is_recorded_again_while_a_repeated_tick_waits_for_an_instance() {
    let recorded = recorded();
    let mut script = Script::new(late(), settings());
    script.coordinator.keep_log(1000);
    script.coordinator.begin_recovery();
    for (record, _) in &recorded {
        script.coordinator.replay(record).unwrap();
        script.pass(1);
        if !script.coordinator.may_replay() {
            assert!(!record.inputs.is_empty() && script.coordinator.waits_for().is_some());
            script.join("a");
            script.deliver_on();
            assert_eq!(script.coordinator.committed(), (record.tick, record.hash));
            break;
        }
    }
    assert!(script.coordinator.committed().0 > 0 && script.records.is_empty(), "{:?}", script.records);
}

#[test]
fn a_world_that_differs_is_noticed_at_its_tick() {
    let recorded = recorded();
    let mut world = replayer();
    world.begin_recovery();
    repeat(&mut world, &recorded[0].0);
    let mut other = recorded[1].0.clone();
    other.kept.clear();
    other.hash.0 ^= 1;
    world.replay(&other).unwrap();
    run(&mut world);
    let failure = world.take_failure();
    assert!(matches!(failure, Some(CoordinatorError::Diverged { tick: 1, .. })), "{failure:?}");
}

#[derive(Event, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[event(name = "test.Ping")]
struct Ping {
    number: u32,
}

fn ping(time: engine_system::Time, mut pings: EventWriter<Ping>) {
    pings.send(Ping { number: time.tick as u32 });
}

fn count(pings: EventReader<Ping>) {
    let _ = pings.iter().count();
}

/// A reader that runs in every third tick has events waiting.
fn pinging() -> crate::App {
    crate::App::new("ping").add_system("ping", ping).add_system("count", count.every(3))
}

#[test]
fn events_that_nobody_has_read_are_kept() {
    let new = || pinging().into_coordinator(settings(), &BTreeMap::new(), |_| true, 7).unwrap().0;
    let (mut whole, mut cut) = (new(), new());
    for tick in 1..=10 {
        whole.step(1);
        cut.step(1);
        run(&mut whole);
        run(&mut cut);
        let state = cut.state().unwrap();
        let systems = pinging().into_systems().unwrap().into_iter().map(|system| (system, true)).collect();
        cut = Coordinator::restore(settings(), std::mem::take(&mut cut.world), systems, &state, 7).unwrap();
        assert_eq!(cut.committed(), whole.committed(), "tick {tick}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut first = replayer();
    first.step(1);
    run(&mut first);
    let state = first.state().unwrap();
    let restore = |systems, state: &[u8]| {
        Coordinator::restore(settings(), replayer().world, systems, state, 9).err().map(|error| error.to_string())
    };
    let error = restore(systems(), &state).unwrap();
    assert!(error.starts_with("the stored world of tick 1 has the hash"), "{error}");
    let error = restore(systems(), &state[..state.len() - 1]).unwrap();
    assert!(error.contains("ends in the middle"), "{error}");
    let without = systems().into_iter().skip(1).collect();
    let error = restore(without, &state).unwrap();
    assert!(error.starts_with("system `drift` of the log is not in this program"), "{error}");
    let other = super::script::app(drift.deadline(DeadlinePolicy::Skip)).into_systems().unwrap();
    let error = restore(other.into_iter().map(|system| (system, true)).collect(), &state).unwrap();
    assert!(error.starts_with("system `drift` is declared otherwise"), "{error}");
    let more: Vec<(Arc<dyn System>, bool)> =
        pinging().into_systems().unwrap().into_iter().map(|system| (system, true)).chain(systems()).collect();
    let error = restore(more, &state).unwrap();
    assert!(error.starts_with("system `ping` is not in the log"), "{error}");
    assert!(matches!(
        Coordinator::restore(settings(), replayer().world, systems(), b"", 9),
        Err(RestoreError::Unreadable(_))
    ));
}

#[test]
fn numbers_at_their_end_are_refused() {
    let new = || pinging().into_coordinator(settings(), &BTreeMap::new(), |_| true, 7).unwrap().0;
    let mut first = new();
    first.step(1);
    run(&mut first);
    let state = first.state().unwrap();
    // The first small number of this name becomes the largest that there is.
    let restore = |name: &str| {
        let name = strict::encode(name);
        let at = state.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        assert!(state[at] < 0x80, "a small number");
        let state = [&state[..at], &strict::encode(&u64::MAX), &state[at + 1..]].concat();
        let systems = pinging().into_systems().unwrap().into_iter().map(|system| (system, true)).collect();
        Coordinator::restore(settings(), new().world, systems, &state, 9).err().unwrap().to_string()
    };
    let error = restore("tick");
    assert!(error.contains("tick 18446744073709551615"), "{error}");
    for name in ["next", "dropped"] {
        let error = restore(name);
        assert!(error.contains("were emitted"), "{error}");
    }
}
