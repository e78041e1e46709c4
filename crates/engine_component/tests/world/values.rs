//! Components of each storage as plain values, and how tests draw them.

use engine_component::{Component, ComponentId, Data, Entity, Storage, World};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Place")]
#[repr(C)]
pub(crate) struct Place {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Mass", finite)]
#[repr(C)]
pub(crate) struct Mass {
    pub(crate) kilograms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Target")]
#[repr(C)]
pub(crate) struct Target {
    pub(crate) entity: Entity,
    pub(crate) shots: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Component)]
#[component(name = "model.Label", document)]
pub(crate) struct Label {
    pub(crate) text: String,
    pub(crate) friend: Option<Entity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Marked")]
pub(crate) struct Marked;

/// All components, in the order in which tests register them.
pub(crate) const IDS: [ComponentId; 5] = [Place::ID, Mass::ID, Target::ID, Label::ID, Marked::ID];

/// A value of one of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Place(Place),
    Mass(Mass),
    Target(Target),
    Label(Label),
    Marked,
}

fn bytes_of<T: Data>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    T::Storage::encode(value, &mut bytes);
    bytes
}

impl Value {
    pub(crate) fn id(&self) -> ComponentId {
        match self {
            Self::Place(_) => Place::ID,
            Self::Mass(_) => Mass::ID,
            Self::Target(_) => Target::ID,
            Self::Label(_) => Label::ID,
            Self::Marked => Marked::ID,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Place(value) => bytes_of(value),
            Self::Mass(value) => bytes_of(value),
            Self::Target(value) => bytes_of(value),
            Self::Label(value) => bytes_of(value),
            Self::Marked => Vec::new(),
        }
    }

    /// The component of an entity, read as its type.
    pub(crate) fn of(world: &World, entity: Entity, component: ComponentId) -> Option<Self> {
        match component {
            Place::ID => world.get::<Place>(entity).map(|value| Self::Place(*value)),
            Mass::ID => world.get::<Mass>(entity).map(|value| Self::Mass(*value)),
            Target::ID => world.get::<Target>(entity).map(|value| Self::Target(*value)),
            Label::ID => world.get::<Label>(entity).map(|value| Self::Label((*value).clone())),
            _ => world.get::<Marked>(entity).map(|_| Self::Marked),
        }
    }

    /// Its entities, replaced.
    pub(crate) fn map_entities(&self, map: &impl Fn(Entity) -> Entity) -> Self {
        match self {
            Self::Target(target) => Self::Target(Target { entity: map(target.entity), ..*target }),
            Self::Label(label) => Self::Label(Label { friend: label.friend.map(map), text: label.text.clone() }),
            other => other.clone(),
        }
    }
}

/// A value of each component. Few different numbers, so that equal values meet.
pub(crate) fn value_of(component: usize) -> BoxedStrategy<Value> {
    let number = 0..4_u8;
    match component {
        0 => (number.clone(), number).prop_map(|(x, y)| Value::Place(Place { x: x.into(), y: y.into() })).boxed(),
        1 => number.prop_map(|number| Value::Mass(Mass { kilograms: number.into() })).boxed(),
        2 => (0..9_u64, number)
            .prop_map(|(entity, shots)| {
                Value::Target(Target { entity: Entity::from_bits(entity), shots: shots.into() })
            })
            .boxed(),
        3 => (0..60_usize, proptest::option::of(1..9_u64))
            .prop_map(|(length, friend)| {
                Value::Label(Label { text: "l".repeat(length), friend: friend.map(Entity::from_bits) })
            })
            .boxed(),
        _ => Just(Value::Marked).boxed(),
    }
}

/// Values of distinct components, in any order.
pub(crate) fn values() -> impl Strategy<Value = Vec<Value>> {
    proptest::sample::subsequence(vec![0, 1, 2, 3, 4], 0..=4)
        .prop_shuffle()
        .prop_flat_map(|components| components.into_iter().map(value_of).collect::<Vec<_>>())
}

pub(crate) fn components() -> impl Strategy<Value = Vec<ComponentId>> {
    proptest::sample::subsequence(IDS.to_vec(), 0..=3).prop_shuffle()
}
