//! The model: maps of maps, and a list of rows for each set of components. What is done to it is done in the
//! plainest way that there is.

use std::collections::{BTreeMap, BTreeSet};

use engine_component::{Component, Data, Entity, World};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "model.Wide", finite)]
pub(crate) struct Wide {
    pub(crate) a: f32,
    pub(crate) b: u32,
    pub(crate) c: u64,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "model.Small")]
pub(crate) struct Small {
    pub(crate) value: u8,
}

#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "model.Text", document)]
pub(crate) struct Text {
    pub(crate) lines: Vec<String>,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[component(name = "model.Marked")]
pub(crate) struct Marked;

/// A value of one of the four components.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Wide(Wide),
    Small(Small),
    Text(Text),
    Marked,
}

impl Value {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Wide(_) => Kind::Wide,
            Self::Small(_) => Kind::Small,
            Self::Text(_) => Kind::Text,
            Self::Marked => Kind::Marked,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Wide,
    Small,
    Text,
    Marked,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Wide, Kind::Small, Kind::Text, Kind::Marked];

/// Something done to a world. Entities are chosen among those that were ever spawned: some are gone.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Spawn(Vec<Value>),
    SpawnBatch(u8, u8),
    Despawn(u16),
    Insert(u16, Value),
    Remove(u16, Kind),
    Set(u16, Value),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-9.0..9.0_f32, 0..4_u32, any::<u64>()).prop_map(|(a, b, c)| Value::Wide(Wide { a, b, c })),
        (0..4_u8).prop_map(|value| Value::Small(Small { value })),
        prop::collection::vec("[a-c]{0,9}", 0..4).prop_map(|lines| Value::Text(Text { lines })),
        Just(Value::Marked),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&KINDS[..])
}

pub(crate) fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        2 => prop::collection::vec(value(), 0..4).prop_map(Op::Spawn),
        1 => (0..if cfg!(miri) { 5_u8 } else { 90 }, any::<u8>()).prop_map(|(count, value)| Op::SpawnBatch(count, value)),
        2 => any::<u16>().prop_map(Op::Despawn),
        3 => (any::<u16>(), value()).prop_map(|(entity, value)| Op::Insert(entity, value)),
        2 => (any::<u16>(), kind()).prop_map(|(entity, kind)| Op::Remove(entity, kind)),
        2 => (any::<u16>(), value()).prop_map(|(entity, value)| Op::Set(entity, value)),
    ];
    prop::collection::vec(op, 1..most)
}

/// Few cases under Miri, which takes its time.
pub(crate) fn cases(many: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 1 } else { many }) }
}

/// Ops of a case.
pub(crate) const MANY: usize = if cfg!(miri) { 8 } else { 120 };

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) entities: BTreeMap<Entity, BTreeMap<Kind, Value>>,
    /// The rows of each set of components, in their order.
    pub(crate) rows: BTreeMap<BTreeSet<Kind>, Vec<Entity>>,
    /// Everybody who ever was.
    pub(crate) all: Vec<Entity>,
    /// Whose `Wide` was written since the last look.
    pub(crate) written: BTreeSet<Entity>,
}

impl Model {
    pub(crate) fn pick(&self, choice: u16) -> Entity {
        self.all.get(usize::from(choice) % self.all.len().max(1)).copied().unwrap_or(Entity::from_bits(u64::MAX >> 1))
    }

    fn set_of(&self, entity: Entity) -> BTreeSet<Kind> {
        self.entities[&entity].keys().copied().collect()
    }

    fn leave_row(&mut self, entity: Entity) {
        let set = self.set_of(entity);
        let rows = self.rows.get_mut(&set).unwrap();
        let row = rows.iter().position(|other| *other == entity).unwrap();
        rows.swap_remove(row);
    }

    fn take_row(&mut self, entity: Entity) {
        self.rows.entry(self.set_of(entity)).or_default().push(entity);
    }

    pub(crate) fn spawn(&mut self, entity: Entity, values: &[Value]) {
        let values = values.iter().map(|value| (value.kind(), value.clone())).collect();
        self.entities.insert(entity, values);
        self.all.push(entity);
        self.take_row(entity);
        self.note(entity);
    }

    fn note(&mut self, entity: Entity) {
        if self.entities[&entity].contains_key(&Kind::Wide) {
            self.written.insert(entity);
        }
    }

    pub(crate) fn despawn(&mut self, entity: Entity) -> bool {
        let there = self.entities.contains_key(&entity);
        if there {
            self.leave_row(entity);
            self.entities.remove(&entity);
            self.written.remove(&entity);
        }
        there
    }

    pub(crate) fn insert(&mut self, entity: Entity, value: &Value) -> bool {
        let Some(values) = self.entities.get(&entity) else { return false };
        let moves = !values.contains_key(&value.kind());
        if moves {
            self.leave_row(entity);
        }
        self.entities.get_mut(&entity).unwrap().insert(value.kind(), value.clone());
        if moves {
            self.take_row(entity);
        }
        if value.kind() == Kind::Wide {
            self.written.insert(entity);
        }
        true
    }

    pub(crate) fn remove(&mut self, entity: Entity, kind: Kind) -> bool {
        let Some(values) = self.entities.get(&entity) else { return false };
        if values.contains_key(&kind) {
            self.leave_row(entity);
            self.entities.get_mut(&entity).unwrap().remove(&kind);
            self.take_row(entity);
            if kind == Kind::Wide {
                self.written.remove(&entity);
            }
        }
        true
    }

    pub(crate) fn set(&mut self, entity: Entity, value: &Value) -> bool {
        let there = self.entities.get(&entity).is_some_and(|values| values.contains_key(&value.kind()));
        there && self.insert(entity, value)
    }

    /// Whether a world holds the same, in the same order.
    pub(crate) fn check(&self, world: &World) {
        world.check_invariants();
        assert_eq!(world.len(), self.entities.len());
        for entity in &self.all {
            assert_eq!(world.contains(*entity), self.entities.contains_key(entity), "{entity}");
            let values = self.entities.get(entity).cloned().unwrap_or_default();
            assert_eq!(read(world, *entity), values, "{entity}");
        }
        for (set, rows) in &self.rows {
            let mut ids: Vec<_> = set.iter().map(|kind| id(*kind)).collect();
            ids.sort();
            let table = world.tables().iter().find(|table| table.components() == ids);
            let entities = table.map_or(&[][..], |table| table.entities());
            assert_eq!(entities, rows.as_slice(), "rows of {set:?}");
            for (row, entity) in rows.iter().enumerate() {
                assert_eq!(world.location(*entity).map(|location| location.row as usize), Some(row));
            }
        }
    }
}

pub(crate) fn id(kind: Kind) -> engine_component::ComponentId {
    match kind {
        Kind::Wide => Wide::ID,
        Kind::Small => Small::ID,
        Kind::Text => Text::ID,
        Kind::Marked => Marked::ID,
    }
}

fn read(world: &World, entity: Entity) -> BTreeMap<Kind, Value> {
    let wide = world.get::<Wide>(entity).map(|value| Value::Wide(*value));
    let small = world.get::<Small>(entity).map(|value| Value::Small(*value));
    let text = world.get::<Text>(entity).map(|value| Value::Text((*value).clone()));
    let marked = world.get::<Marked>(entity).map(|_| Value::Marked);
    [wide, small, text, marked].into_iter().flatten().map(|value| (value.kind(), value)).collect()
}

/// Does the same to a world and to a model; both have to agree on whether it can be done.
pub(crate) fn act(world: &mut World, model: &mut Model, op: &Op) {
    match op {
        Op::Spawn(values) => {
            let entity = world.spawn(());
            model.spawn(entity, &[]);
            for value in values {
                assert!(insert(world, entity, value) && model.insert(entity, value));
            }
        }
        Op::SpawnBatch(count, value) => {
            let rows = (0..*count).map(|row| (Small { value: row }, Wide { a: 1.0, b: 2, c: u64::from(*value) }));
            for (row, entity) in world.spawn_batch(rows).into_iter().enumerate() {
                let wide = Value::Wide(Wide { a: 1.0, b: 2, c: u64::from(*value) });
                model.spawn(entity, &[Value::Small(Small { value: row as u8 }), wide]);
            }
        }
        Op::Despawn(choice) => {
            let entity = model.pick(*choice);
            assert_eq!(world.despawn(entity).is_ok(), model.despawn(entity));
        }
        Op::Insert(choice, value) => {
            let entity = model.pick(*choice);
            assert_eq!(insert(world, entity, value), model.insert(entity, value));
        }
        Op::Remove(choice, kind) => {
            let entity = model.pick(*choice);
            let removed = match kind {
                Kind::Wide => world.remove::<(Wide,)>(entity),
                Kind::Small => world.remove::<(Small,)>(entity),
                Kind::Text => world.remove::<(Text,)>(entity),
                Kind::Marked => world.remove::<(Marked,)>(entity),
            };
            assert_eq!(removed.is_ok(), model.remove(entity, *kind));
        }
        Op::Set(choice, value) => {
            let entity = model.pick(*choice);
            let set = match value {
                Value::Wide(value) => world.set(entity, value),
                Value::Small(value) => world.set(entity, value),
                Value::Text(value) => world.set(entity, value),
                Value::Marked => world.set(entity, &Marked),
            };
            assert_eq!(set.is_ok(), model.set(entity, value));
        }
    }
}

fn insert(world: &mut World, entity: Entity, value: &Value) -> bool {
    let inserted = match value.clone() {
        Value::Wide(value) => world.insert(entity, (value,)),
        Value::Small(value) => world.insert(entity, (value,)),
        Value::Text(value) => world.insert(entity, (value,)),
        Value::Marked => world.insert(entity, (Marked,)),
    };
    inserted.is_ok()
}
