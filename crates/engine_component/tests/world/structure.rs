//! Locations, rows, their order and all values after any sequence of operations; and what is refused.

use engine_component::commands::CommandBuffer;
use engine_component::{Component, ComponentId, Data, Entity, World, WorldError};
use proptest::prelude::*;

use crate::model::{Model, empty, op, step};
use crate::values::{IDS, Label, Marked, Mass, Place, Target, Value};

/// Everything that can be asked about a world's structure and values is what the model says.
pub(crate) fn assert_agree(world: &World, model: &Model) {
    world.check_invariants();
    assert_eq!(world.len(), model.entities.len());
    assert_eq!(world.next_entity(), model.last + 1);
    for number in 0..model.last + 2 {
        let entity = Entity::from_bits(number);
        assert_eq!(world.contains(entity), model.entities.contains_key(&entity));
        for component in IDS {
            let value = model.entities.get(&entity).and_then(|held| held.get(&component));
            assert_eq!(Value::of(world, entity, component).as_ref(), value);
            assert_eq!(world.get_raw(entity, component).map(<[u8]>::to_vec), value.map(Value::bytes));
            assert_eq!(world.has(entity, component), value.is_some());
        }
    }
    let none = Vec::new();
    for table in world.tables() {
        let rows = model.rows.get(table.components()).unwrap_or(&none);
        assert_eq!(table.entities(), rows, "rows are appended, and the last one fills a gap");
        for (row, entity) in rows.iter().enumerate() {
            let location = world.location(*entity).unwrap();
            assert_eq!(world.table(location.table).components(), table.components());
            assert_eq!(location.row as usize, row);
        }
    }
    let order: Vec<_> = world.sorted_tables().iter().map(|id| world.table(*id).archetype()).collect();
    assert!(order.is_sorted_by(|a, b| a < b) && order.len() == world.tables().len());
}

proptest! {
    #[test]
    fn a_world_is_what_its_model_is(ops in proptest::collection::vec(op(), 1..60)) {
        let (mut world, mut model) = (empty(), Model::default());
        for op in &ops {
            step(&mut world, &mut model, op);
            assert_agree(&world, &model);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Unknown")]
#[repr(C)]
struct Unknown {
    number: u32,
}

/// Another type under the name of a known one.
#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Mass")]
#[repr(C)]
struct Impostor {
    grams: u16,
}

fn small() -> (World, Entity) {
    let mut world = empty();
    let label = Label { text: "one".into(), friend: None };
    let entity = world.spawn((Place { x: 1.0, y: 2.0 }, Mass { kilograms: 3.0 }, label));
    world.spawn((Place { x: 4.0, y: 5.0 }, Marked));
    (world, entity)
}

/// Tries something that is refused; the world is what it was.
fn refused<T: std::fmt::Debug>(attempt: impl FnOnce(&mut World, Entity) -> Result<T, WorldError>) -> WorldError {
    let (mut world, entity) = small();
    let (hash, next, rows) = (world.hash(), world.next_entity(), world.len());
    let error = attempt(&mut world, entity).unwrap_err();
    world.check_invariants();
    assert_eq!((world.next_entity(), world.len()), (next, rows), "{error}");
    // Nothing is taken from what was hashed before.
    assert_eq!(world.hash(), hash, "{error}");
    let (mut untouched, _) = small();
    assert_eq!(untouched.hash(), hash, "{error}");
    assert!(IDS.iter().all(|id| {
        let bits = |world: &World| -> Vec<Vec<usize>> {
            let columns = world.tables().iter().filter_map(|table| Some(table.column(table.column_index(*id)?)));
            columns.map(|column| column.tracked(0).iter_ones().collect()).collect()
        };
        bits(&world) == bits(&untouched)
    }));
    error
}

const GONE: Entity = Entity::from_bits(77);

#[test]
fn entities_that_are_not_there_are_refused() {
    let no = |error| assert_eq!(error, WorldError::NoEntity(GONE));
    no(refused(|world, _| world.despawn(GONE)));
    no(refused(|world, _| world.insert(GONE, Marked)));
    no(refused(|world, _| world.insert_raw(GONE, &[(Marked::ID, &[])])));
    no(refused(|world, _| world.remove::<Marked>(GONE)));
    no(refused(|world, _| world.remove_raw(GONE, &[Marked::ID])));
    no(refused(|world, _| world.set(GONE, &Mass { kilograms: 1.0 })));
    for entity in [Entity::NONE, Entity::from_bits(u64::MAX), Entity::provisional(0)] {
        refused(|world, _| world.despawn(entity));
    }
}

#[test]
fn components_that_are_not_known_or_not_there_are_refused() {
    let bytes = [0; 4];
    let no = |error| assert_eq!(error, WorldError::UnknownComponent(Unknown::ID));
    no(refused(|world, _| world.spawn_raw(&[(Marked::ID, &[]), (Unknown::ID, &bytes)])));
    no(refused(|world, _| world.spawn_columns(1, &[(Unknown::ID, &bytes)])));
    no(refused(|world, entity| world.insert_raw(entity, &[(Unknown::ID, &bytes)])));
    no(refused(|world, entity| world.remove_raw(entity, &[Place::ID, Unknown::ID])));
    no(refused(|world, entity| world.set_raw(entity, Unknown::ID, &bytes)));
    no(refused(|world, _| world.track(Unknown::ID)));
    let absent = refused(|world, entity| world.set(entity, &Target { entity: GONE, shots: 1 }));
    assert!(matches!(absent, WorldError::NoComponent { .. }), "{absent}");
}

#[test]
fn values_of_another_length_are_refused() {
    let bad = |error| assert!(matches!(error, WorldError::BadValue { .. }), "{error}");
    for bytes in [&[][..], &[0; 7], &[0; 9], &[0; 16]] {
        bad(refused(|world, _| world.spawn_raw(&[(Place::ID, bytes)])));
        bad(refused(|world, entity| world.insert_raw(entity, &[(Place::ID, bytes)])));
        bad(refused(|world, entity| world.insert_raw(entity, &[(Target::ID, &[0; 16]), (Place::ID, bytes)])));
        bad(refused(|world, entity| world.set_raw(entity, Place::ID, bytes)));
        bad(refused(|world, _| world.spawn_columns(3, &[(Place::ID, bytes)])));
    }
    bad(refused(|world, _| world.spawn_raw(&[(Marked::ID, &[1])])));
    bad(refused(|world, _| world.spawn_columns(1, &[(Label::ID, &[])])));
}

#[test]
fn components_that_are_given_twice_are_refused() {
    let bytes = [0; 8];
    let twice = |error| assert!(matches!(error, WorldError::Twice(_)), "{error}");
    twice(refused(|world, _| world.spawn_raw(&[(Place::ID, &bytes), (Place::ID, &bytes)])));
    twice(refused(|world, entity| world.insert_raw(entity, &[(Place::ID, &bytes), (Place::ID, &bytes)])));
    twice(refused(|world, entity| world.insert(entity, (Marked, Marked))));
    twice(refused(|world, _| world.spawn_columns(1, &[(Place::ID, &bytes), (Place::ID, &bytes)])));
}

#[test]
fn a_type_that_disagrees_with_the_registered_one_is_refused() {
    let mismatch = |error| assert!(matches!(error, WorldError::SchemaMismatch { .. }), "{error}");
    mismatch(refused(|world, entity| world.insert(entity, Impostor { grams: 1 })));
    mismatch(refused(|world, entity| world.insert(entity, (Marked, Impostor { grams: 1 }))));
    mismatch(refused(|world, _| world.register::<Impostor>()));
    let length = refused(|world, entity| world.set(entity, &Impostor { grams: 1 }));
    assert!(matches!(length, WorldError::BadValue { .. }), "{length}");
    let (mut world, entity) = small();
    assert!(world.get::<Impostor>(entity).is_none() && world.get_mut::<Impostor>(entity).is_none());
}

/// Values from outside come as commands: there they are checked against their schemas.
#[test]
fn commands_with_values_that_do_not_fit_are_refused_whole() {
    let try_values = |id: ComponentId, bytes: &[u8]| {
        let error = refused(|world, entity| {
            let mut commands = CommandBuffer::default();
            commands.despawn(entity);
            let new = commands.spawn(Marked);
            commands.insert_raw(new, &[(id, bytes)]);
            world.apply(commands.bytes())
        });
        assert!(matches!(error, WorldError::BadValue { .. }), "{error}");
    };
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        try_values(Mass::ID, &number.to_le_bytes());
    }
    for document in [&[][..], &[0xc1], &[0x01], &[0x81, 0xa1], &[0x80, 0x80]] {
        try_values(Label::ID, document);
    }
    try_values(Place::ID, &[0; 4]);
}

#[test]
fn two_archetypes_with_one_tag_each_are_two_tables() {
    let mut world = empty();
    let both = world.spawn((Marked, Place { x: 0.0, y: 0.0 }));
    world.remove::<(Marked, Place)>(both).unwrap();
    assert_eq!(world.table(world.location(both).unwrap().table).components(), []);
    world.insert(both, (Place { x: 1.0, y: 0.0 }, Marked)).unwrap();
    let tables = world.tables().iter().map(|table| (table.components().len(), table.len())).collect::<Vec<_>>();
    assert_eq!(tables, [(2, 1), (0, 0)], "the order in which components are given does not matter");
}
