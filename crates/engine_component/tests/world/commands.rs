//! Records of commands from outside: cut or changed anywhere they are refused whole, or mean what they say.

use engine_component::commands::{Applied, Command, CommandBuffer, check, decode};
use engine_component::{Entity, World, WorldError};
use proptest::prelude::*;

use crate::model::{Model, Op, Recorded, empty, record, recorded, step, structural};
use crate::structure::assert_agree;
use crate::values::{Label, Marked, Mass, Place, Target, Value};

/// A world with a few rows, always the same.
fn start() -> (World, Model) {
    let (mut world, mut model) = (empty(), Model::default());
    for shots in 0..4 {
        let place = Value::Place(Place { x: 1.0, y: 2.0 });
        let target = Value::Target(Target { entity: Entity::NONE, shots });
        step(&mut world, &mut model, &Op::Spawn(vec![place, target]));
    }
    (world, model)
}

/// A record with every command and every kind of value in it.
fn everything() -> Vec<Recorded> {
    let (one, two) = (Entity::from_bits(1), Entity::from_bits(2));
    let label = |friend| Value::Label(Label { text: "somebody".into(), friend });
    let target = |entity| Value::Target(Target { entity, shots: 7 });
    vec![
        Recorded::Spawn(vec![Value::Place(Place { x: 3.0, y: 4.0 }), label(Some(Entity::provisional(1)))]),
        Recorded::Insert(one, vec![Value::Mass(Mass { kilograms: 1.5 }), Value::Marked]),
        Recorded::Despawn(two),
        Recorded::Spawn(vec![target(Entity::provisional(0)), label(None)]),
        Recorded::Insert(Entity::provisional(0), vec![target(two)]),
        Recorded::Remove(one, vec![Value::Marked.id(), target(one).id()]),
        Recorded::Despawn(Entity::provisional(1)),
        Recorded::Insert(two, vec![]),
        Recorded::Spawn(vec![]),
    ]
}

/// Records anew what was decoded.
fn again(bytes: &[u8]) -> Vec<u8> {
    let mut buffer = CommandBuffer::default();
    for command in decode(bytes) {
        match command.unwrap() {
            Command::Spawn(_, values) => drop(buffer.spawn_raw(&values)),
            Command::Despawn(entity) => buffer.despawn(entity),
            Command::Insert(entity, values) => buffer.insert_raw(entity, &values),
            Command::Remove(entity, components) => buffer.remove_raw(entity, &components),
        }
    }
    buffer.into_bytes()
}

/// Either the record is refused and the world is what it was, or it is applied and means what it says.
fn refused_whole_or_equal(bytes: &[u8]) -> Result<Applied, WorldError> {
    let (mut world, _) = start();
    let (hash, next) = (world.hash(), world.next_entity());
    let checked = check(bytes, world.registry());
    let applied = world.apply(bytes);
    world.check_invariants();
    match (&checked, &applied) {
        (Ok(spawns), Ok(applied)) => {
            assert_eq!(applied.spawned.len(), *spawns as usize);
            assert_eq!(world.next_entity(), next + u64::from(*spawns));
            assert_eq!(again(bytes), bytes, "there is one way to write a command");
        }
        (Err(checked), Err(applied)) => {
            assert_eq!(checked, applied);
            assert_eq!((world.hash(), world.next_entity()), (hash, next));
        }
        other => panic!("checked and applied: {other:?}"),
    }
    applied
}

#[test]
fn a_record_that_is_cut_is_refused_or_is_the_commands_before_the_cut() {
    let commands = everything();
    let ends: Vec<usize> = (0..=commands.len()).map(|count| record(&commands[..count]).bytes().len()).collect();
    let bytes = record(&commands).into_bytes();
    for cut in 0..=bytes.len() {
        match ends.iter().position(|end| *end == cut) {
            None => assert!(refused_whole_or_equal(&bytes[..cut]).is_err(), "cut at {cut}"),
            Some(count) => {
                let (mut world, mut model) = start();
                assert_eq!(world.apply(&bytes[..cut]), Ok(model.apply(&commands[..count])));
                assert_agree(&world, &model);
                refused_whole_or_equal(&bytes[..cut]).unwrap();
            }
        }
    }
}

#[test]
fn a_record_with_a_changed_byte_is_refused_or_means_what_it_says() {
    let bytes = record(&everything()).into_bytes();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for flip in [0xff, 0x80, 1 << (at % 8)] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            refused += usize::from(refused_whole_or_equal(&changed).is_err());
        }
    }
    assert!(refused > bytes.len(), "most bytes matter: {refused}");
}

#[test]
fn bytes_that_follow_a_record_are_refused() {
    let mut bytes = record(&everything()).into_bytes();
    bytes.push(0);
    assert!(refused_whole_or_equal(&bytes).is_err());
}

#[test]
fn a_value_that_names_an_entity_the_record_does_not_spawn_names_none() {
    let (mut world, _) = start();
    let mut commands = CommandBuffer::default();
    let spawned = commands.spawn(Target { entity: Entity::provisional(1), shots: 0 });
    commands.insert(spawned, Label { text: String::new(), friend: Some(Entity::from_bits(u64::MAX)) });
    let entity = world.apply(commands.bytes()).unwrap().spawned[0];
    assert_eq!(world.get::<Target>(entity).unwrap().entity, Entity::NONE);
    assert_eq!(world.get::<Label>(entity).unwrap().friend, Some(Entity::NONE));
}

proptest! {
    #[test]
    fn recorded_commands_do_what_the_operations_do(ops in proptest::collection::vec(structural(), 0..30)) {
        let (mut world, mut model) = start();
        let commands = recorded(&model, &ops);
        let bytes = record(&commands).into_bytes();
        assert_eq!(again(&bytes), bytes);
        assert_eq!(world.apply(&bytes), Ok(model.apply(&commands)));
        assert_agree(&world, &model);
    }

    #[test]
    fn bytes_of_no_meaning_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = refused_whole_or_equal(&bytes);
    }

    #[test]
    fn records_with_several_changes_are_refused_or_equal(
        ops in proptest::collection::vec(structural(), 1..8),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (_, model) = start();
        let mut bytes = record(&recorded(&model, &ops)).into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = refused_whole_or_equal(&bytes);
    }
}

#[test]
fn a_record_without_commands_does_nothing() {
    let (mut world, _) = start();
    let hash = world.hash();
    assert_eq!(world.apply(&[]), Ok(Applied::default()));
    assert_eq!(world.hash(), hash);
    assert!(CommandBuffer::default().is_empty());
    let mut buffer = CommandBuffer::default();
    buffer.remove::<Marked>(Entity::NONE);
    assert_eq!(world.apply(buffer.bytes()).unwrap().missed, 1);
}
