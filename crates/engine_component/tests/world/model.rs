//! The model: maps and lists that say what a world has to be after each operation, and operations that are
//! done to both.

use std::collections::{BTreeMap, BTreeSet};

use engine_component::commands::{Applied, CommandBuffer};
use engine_component::{ComponentId, Entity, On, RawComponent, World};
use proptest::prelude::*;

use crate::values::{IDS, Label, Marked, Mass, Place, Target, Value, components, value_of, values};

/// An operation. Entities are numbers that are taken modulo those that there are and two that there are not.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Spawn(Vec<Value>),
    /// So many entities at once, typed, or from whole columns.
    Batch(u8, bool),
    Despawn(u64),
    Insert(u64, Vec<Value>),
    Remove(u64, Vec<ComponentId>),
    Set(u64, Value),
    /// Writes a place through a reference.
    Write(u64, f32),
    Commands(Vec<Op>),
    /// Everybody has looked at what changed.
    Look,
    ChangeHooks,
    Hash,
}

pub(crate) fn structural() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => values().prop_map(Op::Spawn),
        3 => any::<u64>().prop_map(Op::Despawn),
        4 => (any::<u64>(), values()).prop_map(|(at, values)| Op::Insert(at, values)),
        3 => (any::<u64>(), components()).prop_map(|(at, components)| Op::Remove(at, components)),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => structural(),
        1 => (1..5_u8, any::<bool>()).prop_map(|(rows, columns)| Op::Batch(rows, columns)),
        3 => (any::<u64>(), (0..5_usize).prop_flat_map(value_of)).prop_map(|(at, value)| Op::Set(at, value)),
        1 => (any::<u64>(), 0..3_u8).prop_map(|(at, x)| Op::Write(at, x.into())),
        2 => proptest::collection::vec(structural(), 0..6).prop_map(Op::Commands),
        1 => Just(Op::Look),
        1 => Just(Op::ChangeHooks),
        1 => Just(Op::Hash),
    ]
}

pub(crate) type Call = (On, ComponentId, Entity);

/// A world without tables, columns, edges and bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) entities: BTreeMap<Entity, BTreeMap<ComponentId, Value>>,
    /// The entities of each archetype, row by row.
    pub(crate) rows: BTreeMap<Vec<ComponentId>, Vec<Entity>>,
    /// Entities that were handed out.
    pub(crate) last: u64,
    /// What changed since the last look, and since the last run of change hooks.
    pub(crate) changed: BTreeSet<(ComponentId, Entity)>,
    pub(crate) changed_for_hooks: BTreeSet<(ComponentId, Entity)>,
    /// Calls of hooks.
    pub(crate) calls: Vec<Call>,
}

impl Model {
    /// The entity that a drawn number stands for: any that ever was, none, or one that never was.
    pub(crate) fn pick(&self, number: u64) -> Entity {
        Entity::from_bits(number % (self.last + 2))
    }

    fn archetype(&self, entity: Entity) -> Vec<ComponentId> {
        self.entities[&entity].keys().copied().collect()
    }

    fn take_row(&mut self, entity: Entity) {
        let rows = self.rows.get_mut(&self.entities[&entity].keys().copied().collect::<Vec<_>>()).unwrap();
        let row = rows.iter().position(|other| *other == entity).unwrap();
        rows.swap_remove(row);
    }

    fn append_row(&mut self, entity: Entity) {
        self.rows.entry(self.archetype(entity)).or_default().push(entity);
    }

    fn touch(&mut self, component: ComponentId, entity: Entity) {
        self.changed.insert((component, entity));
        self.changed_for_hooks.insert((component, entity));
    }

    fn forget(&mut self, component: ComponentId, entity: Entity) {
        self.changed.remove(&(component, entity));
        self.changed_for_hooks.remove(&(component, entity));
    }

    pub(crate) fn allocate(&mut self) -> Entity {
        self.last += 1;
        Entity::from_bits(self.last)
    }

    pub(crate) fn place(&mut self, entity: Entity, values: &[Value]) {
        self.entities.insert(entity, values.iter().map(|value| (value.id(), value.clone())).collect());
        self.append_row(entity);
        for value in values {
            self.touch(value.id(), entity);
        }
    }

    pub(crate) fn call(&mut self, on: On, components: impl IntoIterator<Item = ComponentId>, entity: Entity) {
        self.calls.extend(components.into_iter().map(|component| (on, component, entity)));
    }

    pub(crate) fn spawn(&mut self, values: &[Value]) -> Entity {
        let entity = self.allocate();
        self.place(entity, values);
        self.call(On::Add, values.iter().map(Value::id), entity);
        entity
    }

    pub(crate) fn despawn(&mut self, entity: Entity) -> bool {
        if !self.entities.contains_key(&entity) {
            return false;
        }
        let held = self.archetype(entity);
        self.call(On::Remove, held.iter().copied(), entity);
        self.take_row(entity);
        self.entities.remove(&entity);
        held.iter().for_each(|component| self.forget(*component, entity));
        true
    }

    pub(crate) fn insert(&mut self, entity: Entity, values: &[Value]) -> bool {
        let Some(held) = self.entities.get(&entity) else { return false };
        let new: Vec<ComponentId> = values.iter().map(Value::id).filter(|id| !held.contains_key(id)).collect();
        if !new.is_empty() {
            self.take_row(entity);
        }
        for value in values {
            self.entities.get_mut(&entity).unwrap().insert(value.id(), value.clone());
            self.touch(value.id(), entity);
        }
        if !new.is_empty() {
            self.append_row(entity);
            self.call(On::Add, new, entity);
        }
        true
    }

    pub(crate) fn remove(&mut self, entity: Entity, components: &[ComponentId]) -> bool {
        let Some(held) = self.entities.get(&entity) else { return false };
        let lost: Vec<ComponentId> = components.iter().filter(|id| held.contains_key(id)).copied().collect();
        if lost.is_empty() {
            return true;
        }
        self.call(On::Remove, lost.iter().copied(), entity);
        self.take_row(entity);
        for component in lost {
            self.entities.get_mut(&entity).unwrap().remove(&component);
            self.forget(component, entity);
        }
        self.append_row(entity);
        true
    }

    pub(crate) fn set(&mut self, entity: Entity, value: &Value) -> bool {
        let Some(held) = self.entities.get_mut(&entity).and_then(|held| held.get_mut(&value.id())) else {
            return false;
        };
        held.clone_from(value);
        self.touch(value.id(), entity);
        true
    }

    /// As a record of commands does it: all numbers are given first.
    pub(crate) fn apply(&mut self, commands: &[Recorded]) -> Applied {
        let first = self.last + 1;
        let spawns = commands.iter().filter(|command| matches!(command, Recorded::Spawn(_))).count() as u64;
        self.last += spawns;
        let real = |entity: Entity| match entity.provisional_number() {
            Some(number) if number < spawns => Entity::from_bits(first + number),
            Some(_) => Entity::NONE,
            None => entity,
        };
        let resolve = |values: &[Value]| values.iter().map(|value| value.map_entities(&real)).collect::<Vec<_>>();
        let mut applied = Applied::default();
        for command in commands {
            let missed = match command {
                Recorded::Spawn(values) => {
                    let entity = Entity::from_bits(first + applied.spawned.len() as u64);
                    self.place(entity, &resolve(values));
                    self.call(On::Add, values.iter().map(Value::id), entity);
                    applied.spawned.push(entity);
                    false
                }
                Recorded::Despawn(entity) => {
                    let went = self.despawn(real(*entity));
                    applied.despawned.extend(went.then(|| real(*entity)));
                    !went
                }
                Recorded::Insert(entity, values) => !self.insert(real(*entity), &resolve(values)),
                Recorded::Remove(entity, components) => !self.remove(real(*entity), components),
            };
            applied.missed += u32::from(missed);
        }
        applied
    }

    /// Change hooks see components in the order in which they were observed, then archetypes and rows.
    fn change_hooks(&mut self, world: &World) {
        for component in IDS {
            for id in world.sorted_tables() {
                let rows = self.rows.get(world.table(*id).components()).cloned().unwrap_or_default();
                for entity in rows {
                    if self.changed_for_hooks.contains(&(component, entity)) {
                        self.calls.push((On::Change, component, entity));
                    }
                }
            }
        }
        self.changed_for_hooks.clear();
    }
}

/// A command as it is recorded.
#[derive(Clone, Debug)]
pub(crate) enum Recorded {
    Spawn(Vec<Value>),
    Despawn(Entity),
    Insert(Entity, Vec<Value>),
    Remove(Entity, Vec<ComponentId>),
}

/// Turns operations into commands. Every third entity is one that the record has spawned by then, and so are
/// some entities inside of values, those too that it spawns later or never.
pub(crate) fn recorded(model: &Model, ops: &[Op]) -> Vec<Recorded> {
    let mut spawned = 0;
    let mut commands = Vec::new();
    let inside = |entity: Entity| {
        let number = entity.to_bits();
        if number >= 5 { Entity::provisional(number as u32 - 5) } else { entity }
    };
    let inside = |values: &[Value]| values.iter().map(|value| value.map_entities(&inside)).collect();
    for op in ops {
        let pick = |number: u64| match u32::try_from(number / 3 % u64::from(spawned + 1)) {
            Ok(new) if number.is_multiple_of(3) && new < spawned => Entity::provisional(new),
            _ => model.pick(number),
        };
        match op {
            Op::Spawn(values) => {
                spawned += 1;
                commands.push(Recorded::Spawn(inside(values)));
            }
            Op::Despawn(at) => commands.push(Recorded::Despawn(pick(*at))),
            Op::Insert(at, values) => commands.push(Recorded::Insert(pick(*at), inside(values))),
            Op::Remove(at, components) => commands.push(Recorded::Remove(pick(*at), components.clone())),
            _ => {}
        }
    }
    commands
}

/// The bytes of commands.
pub(crate) fn record(commands: &[Recorded]) -> CommandBuffer {
    let mut buffer = CommandBuffer::default();
    for command in commands {
        match command {
            Recorded::Spawn(values) => match &values[..] {
                [Value::Place(place), Value::Label(label)] => drop(buffer.spawn((*place, label.clone()))),
                values => drop(with_raw(values, |raw| buffer.spawn_raw(raw))),
            },
            Recorded::Despawn(entity) => buffer.despawn(*entity),
            Recorded::Insert(entity, values) => match &values[..] {
                [Value::Target(target)] => buffer.insert(*entity, *target),
                values => with_raw(values, |raw| buffer.insert_raw(*entity, raw)),
            },
            Recorded::Remove(entity, components) => match components[..] {
                [id] if id == IDS[4] => buffer.remove::<Marked>(*entity),
                _ => buffer.remove_raw(*entity, components),
            },
        }
    }
    buffer
}

pub(crate) fn with_raw<R>(values: &[Value], take: impl FnOnce(&[RawComponent<'_>]) -> R) -> R {
    let bytes: Vec<Vec<u8>> = values.iter().map(Value::bytes).collect();
    let raw: Vec<RawComponent<'_>> = values.iter().zip(&bytes).map(|(value, bytes)| (value.id(), &bytes[..])).collect();
    take(&raw)
}

/// A world that knows all components, and watches what changes in each.
pub(crate) fn empty() -> World {
    let mut world = World::default();
    world.register::<Place>().unwrap();
    world.register::<Mass>().unwrap();
    world.register::<Target>().unwrap();
    world.register::<Label>().unwrap();
    world.register::<Marked>().unwrap();
    for component in IDS {
        assert_eq!(world.track(component).unwrap(), 0);
    }
    world
}

/// Does an operation to both; what the world says of it has to be what the model says.
pub(crate) fn step(world: &mut World, model: &mut Model, op: &Op) {
    match op {
        Op::Spawn(values) => assert_eq!(spawn(world, values), model.spawn(values)),
        Op::Batch(rows, columns) => batch(world, model, usize::from(*rows), *columns),
        Op::Despawn(at) => {
            let entity = model.pick(*at);
            assert_eq!(world.despawn(entity).is_ok(), model.despawn(entity));
        }
        Op::Insert(at, values) => {
            let entity = model.pick(*at);
            let done = match &values[..] {
                [Value::Label(label)] => world.insert(entity, label.clone()),
                [Value::Place(place), Value::Mass(mass)] => world.insert(entity, (*place, *mass)),
                values => with_raw(values, |raw| world.insert_raw(entity, raw)),
            };
            assert_eq!(done.is_ok(), model.insert(entity, values));
        }
        Op::Remove(at, components) => {
            let entity = model.pick(*at);
            let done = match components[..] {
                [a, b] if (a, b) == (IDS[0], IDS[3]) => world.remove::<(Place, Label)>(entity),
                [a] if a == IDS[0] => world.remove::<Place>(entity),
                _ => world.remove_raw(entity, components),
            };
            assert_eq!(done.is_ok(), model.remove(entity, components));
        }
        Op::Set(at, value) => {
            let entity = model.pick(*at);
            let done = match value {
                Value::Place(place) => world.set(entity, place),
                Value::Label(label) => world.set(entity, label),
                value => world.set_raw(entity, value.id(), &value.bytes()),
            };
            assert_eq!(done.is_ok(), model.set(entity, value));
        }
        Op::Write(at, x) => {
            let entity = model.pick(*at);
            let place = Place { x: *x, y: -1.0 };
            let row = world.get_mut::<Place>(entity).map(|row| *row = place);
            assert_eq!(row.is_some(), model.set(entity, &Value::Place(place)));
        }
        Op::Commands(ops) => {
            let commands = recorded(model, ops);
            assert_eq!(world.apply(record(&commands).bytes()).unwrap(), model.apply(&commands));
        }
        Op::Look => {
            IDS.iter().for_each(|component| world.clear_tracker(*component, 0));
            model.changed.clear();
        }
        Op::ChangeHooks => {
            world.run_change_hooks();
            model.change_hooks(world);
        }
        Op::Hash => drop(world.hash()),
    }
}

/// Typed where there is a type for it.
fn spawn(world: &mut World, values: &[Value]) -> Entity {
    match values {
        [] => world.spawn(()),
        [Value::Place(place)] => world.spawn(*place),
        [Value::Label(label)] => world.spawn((label.clone(),)),
        [Value::Place(place), Value::Label(label)] => world.spawn((*place, label.clone())),
        [Value::Marked, Value::Mass(mass), Value::Target(target)] => world.spawn((Marked, (*mass, *target))),
        values => with_raw(values, |raw| world.spawn_raw(raw)).unwrap(),
    }
}

fn batch(world: &mut World, model: &mut Model, rows: usize, columns: bool) {
    let place = |row: usize| Place { x: row as f32, y: 0.0 };
    let first = if columns {
        let bytes: Vec<u8> = (0..rows).flat_map(|row| Value::Place(place(row)).bytes()).collect();
        world.spawn_columns(rows, &[(IDS[4], &[]), (IDS[0], &bytes)]).unwrap()
    } else {
        world.spawn_batch((0..rows).map(|row| (Marked, place(row))))[0]
    };
    // Hooks run when all of them are there.
    let spawned: Vec<Entity> = (0..rows).map(|_| model.allocate()).collect();
    for (row, entity) in spawned.iter().enumerate() {
        model.place(*entity, &[Value::Marked, Value::Place(place(row))]);
    }
    for entity in &spawned {
        model.call(On::Add, [IDS[4], IDS[0]], *entity);
    }
    assert_eq!(first, spawned[0]);
}
