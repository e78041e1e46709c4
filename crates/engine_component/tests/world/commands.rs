//! Recorded commands do what the operations do that they stand for; damaged records do nothing.

use engine_component::commands::{self, CommandBuffer};
use engine_component::{Entity, World};
use proptest::prelude::*;

use crate::model::{Kind, MANY, Marked, Model, Op, Small, Text, Value, Wide, cases, ops};

/// Records what `act` would do; entities of this record are named by their provisional numbers.
fn record(buffer: &mut CommandBuffer, names: &mut Vec<Entity>, op: &Op) {
    let pick = |names: &[Entity], choice: &u16| names.get(usize::from(*choice) % names.len().max(1)).copied();
    match op {
        Op::Spawn(values) => {
            let entity = buffer.spawn(());
            names.push(entity);
            values.iter().for_each(|value| insert(buffer, entity, value));
        }
        Op::SpawnBatch(count, value) => {
            for row in 0..*count {
                let wide = Wide { a: 1.0, b: 2, c: u64::from(*value) };
                names.push(buffer.spawn((Small { value: row }, wide)));
            }
        }
        Op::Despawn(choice) => {
            if let Some(entity) = pick(names, choice) {
                buffer.despawn(entity);
            }
        }
        Op::Insert(choice, value) | Op::Set(choice, value) => {
            if let Some(entity) = pick(names, choice) {
                insert(buffer, entity, value);
            }
        }
        Op::Remove(choice, kind) => {
            let Some(entity) = pick(names, choice) else { return };
            match kind {
                Kind::Wide => buffer.remove::<(Wide,)>(entity),
                Kind::Small => buffer.remove::<(Small,)>(entity),
                Kind::Text => buffer.remove::<(Text,)>(entity),
                Kind::Marked => buffer.remove::<(Marked,)>(entity),
            }
        }
    }
}

fn insert(buffer: &mut CommandBuffer, entity: Entity, value: &Value) {
    match value.clone() {
        Value::Wide(value) => buffer.insert(entity, (value,)),
        Value::Small(value) => buffer.insert(entity, (value,)),
        Value::Text(value) => buffer.insert(entity, (value,)),
        Value::Marked => buffer.insert(entity, (Marked,)),
    }
}

/// The same done to the model, with the numbers that a world gives.
fn model_of(ops: &[Op]) -> Model {
    let mut model = Model::default();
    let mut next = 1;
    let mut fresh = || {
        next += 1;
        Entity::from_bits(next - 1)
    };
    for op in ops {
        match op {
            Op::Spawn(values) => {
                let entity = fresh();
                model.spawn(entity, &[]);
                for value in values {
                    model.insert(entity, value);
                }
            }
            Op::SpawnBatch(count, value) => {
                for row in 0..*count {
                    let wide = Value::Wide(Wide { a: 1.0, b: 2, c: u64::from(*value) });
                    model.spawn(fresh(), &[Value::Small(Small { value: row }), wide]);
                }
            }
            Op::Despawn(choice) => {
                model.despawn(model.pick(*choice));
            }
            Op::Insert(choice, value) | Op::Set(choice, value) => {
                model.insert(model.pick(*choice), value);
            }
            Op::Remove(choice, kind) => {
                model.remove(model.pick(*choice), *kind);
            }
        }
    }
    model
}

fn recorded(ops: &[Op]) -> Vec<u8> {
    let (mut buffer, mut names) = (CommandBuffer::default(), Vec::new());
    ops.iter().for_each(|op| record(&mut buffer, &mut names, op));
    buffer.into_bytes()
}

fn world() -> World {
    let mut world = World::default();
    world.register::<Wide>().unwrap();
    world.register::<Small>().unwrap();
    world.register::<Text>().unwrap();
    world.register::<Marked>().unwrap();
    world
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_record_does_what_the_operations_do(ops in ops(MANY)) {
        let mut world = world();
        let bytes = recorded(&ops);
        commands::check(&bytes, world.registry()).unwrap();
        let applied = world.apply(&bytes).unwrap();
        let model = model_of(&ops);
        prop_assert_eq!(&applied.spawned, &model.all);
        model.check(&world);
    }
}

/// Cut anywhere, and with any byte changed: refused whole, or a record that is well-formed; never a panic.
#[test]
fn damaged_records_are_refused_whole() {
    let ops = [
        Op::Spawn(vec![Value::Wide(Wide { a: 1.0, b: 2, c: 3 }), Value::Text(Text { lines: vec!["abc".into()] })]),
        Op::SpawnBatch(2, 5),
        Op::Insert(0, Value::Marked),
        Op::Remove(1, Kind::Small),
        Op::Despawn(2),
    ];
    let bytes = recorded(&ops);
    let step = if cfg!(miri) { 41 } else { 1 };
    for end in (0..bytes.len()).step_by(step) {
        let _ = attempt(&bytes[..end]);
    }
    let mut refused = 0;
    let steps: &[u8] = if cfg!(miri) { &[0x80] } else { &[1, 0x10, 0x80, 0xff] };
    for at in (0..bytes.len()).step_by(step) {
        for flip in steps {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            refused += u32::from(attempt(&damaged).is_err());
        }
    }
    assert!(refused > 0, "{refused}");
}

fn attempt(bytes: &[u8]) -> Result<(), String> {
    let mut world = world();
    let before = world.hash();
    let checked = commands::check(bytes, world.registry());
    let applied = world.apply(bytes);
    assert_eq!(checked.is_ok(), applied.is_ok(), "what passes the check can be applied");
    world.check_invariants();
    applied.map(drop).map_err(|error| {
        assert_eq!(world.hash(), before, "refused whole");
        error.to_string()
    })
}

#[test]
fn commands_to_nobody_are_missed_and_counted() {
    let mut world = world();
    let mut buffer = CommandBuffer::default();
    buffer.despawn(Entity::from_bits(99));
    buffer.insert(Entity::from_bits(98), (Marked,));
    let fresh = buffer.spawn((Marked,));
    buffer.despawn(fresh);
    buffer.insert(fresh, (Small { value: 1 },));
    let applied = world.apply(buffer.bytes()).unwrap();
    assert_eq!((applied.missed, applied.spawned.len(), world.len()), (3, 1, 0));
}
