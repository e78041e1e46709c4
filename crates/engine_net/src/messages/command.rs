//! `command.<domain>.<aggregate>.<action>`: change the world, or how it runs.
//!
//! A command is a request. It is answered when what it did is as durable as the world is. A command is
//! applied whole or not at all; a second one with the same `id` is not applied again, and gets the same
//! answer while the coordinator remembers it.

use engine_component::Entity;
use serde::{Deserialize, Serialize};

use super::value::Components;
use super::{Reply, kib, message};

/// A command of the domain `world`. The subject and the payload name the action both; they must agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// An id that the sender chose, unique among all commands (a UUID, or the sender and a number); text of 1 to
    /// 128 bytes.
    pub id: String,
    /// What is to be done.
    pub action: Action,
    /// What the entity has to be like when the command's turn comes, for an action on one entity; else the command is
    /// refused with `conflict`. Component name → [version](super::value::version_of) of its value, or nothing where the
    /// entity must not have it.
    #[serde(default, skip_serializing_if = "Expected::is_empty")]
    pub expect: Expected,
}
message!(Command, "command", 1, kib(960));

/// Component name → version, or nothing where there must be none.
pub type Expected = std::collections::BTreeMap<String, Option<String>>;

impl Command {
    /// A command that expects nothing.
    #[must_use]
    pub fn new(id: impl Into<String>, action: Action) -> Self {
        Self { id: id.into(), action, expect: Expected::new() }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `command.world.entity.spawn`: one entity for each entry.
    Spawn {
        /// Component name → value, for each entity.
        entities: Vec<Components>,
    },
    /// `command.world.entity.set`: change components that the entity has. Fields that are not named keep
    /// their values.
    Set {
        /// The entity.
        #[serde(with = "super::value::entity_number")]
        entity: Entity,
        /// Component name → fields that change.
        components: Components,
    },
    /// `command.world.entity.insert`: give an entity components, or replace them whole.
    Insert {
        /// The entity.
        #[serde(with = "super::value::entity_number")]
        entity: Entity,
        /// Component name → value.
        components: Components,
    },
    /// `command.world.entity.remove`: take components from an entity.
    Remove {
        /// The entity.
        #[serde(with = "super::value::entity_number")]
        entity: Entity,
        /// Component names.
        components: Vec<String>,
    },
    /// `command.world.entity.despawn`: remove entities.
    Despawn {
        /// The entities.
        #[serde(with = "super::value::entity_numbers")]
        entities: Vec<Entity>,
    },
    /// `command.world.sim.pause`: stop before the next tick.
    Pause {},
    /// `command.world.sim.resume`: go on.
    Resume {},
    /// `command.world.sim.step`: run some ticks of a paused world; answered after the last one.
    Step {
        /// How many.
        ticks: u64,
    },
    /// `command.world.sim.speed`: how fast the world runs.
    Speed {
        /// 1 is the configured rate; 0 is as fast as possible.
        factor: f64,
    },
    /// `command.world.scene.load`: spawn the entities of a scene. Entities inside of values are numbers of
    /// the scene, and become those of the world.
    SceneLoad {
        /// The entities.
        entities: Vec<SceneEntity>,
    },
}

impl Action {
    /// Aggregate and action, the last two tokens of the subject.
    #[must_use]
    pub fn subject(&self) -> (&'static str, &'static str) {
        match self {
            Self::Spawn { .. } => ("entity", "spawn"),
            Self::Set { .. } => ("entity", "set"),
            Self::Insert { .. } => ("entity", "insert"),
            Self::Remove { .. } => ("entity", "remove"),
            Self::Despawn { .. } => ("entity", "despawn"),
            Self::Pause {} => ("sim", "pause"),
            Self::Resume {} => ("sim", "resume"),
            Self::Step { .. } => ("sim", "step"),
            Self::Speed { .. } => ("sim", "speed"),
            Self::SceneLoad { .. } => ("scene", "load"),
        }
    }

    /// The entity that it is about, where that is one that exists.
    #[must_use]
    pub fn entity(&self) -> Option<Entity> {
        match self {
            Self::Set { entity, .. } | Self::Insert { entity, .. } | Self::Remove { entity, .. } => Some(*entity),
            Self::Despawn { entities } => match entities[..] {
                [entity] => Some(entity),
                _ => None,
            },
            _ => None,
        }
    }

    /// The components that it writes, adds or removes, by name.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        let (named, removed, spawned, scene): (Option<&Components>, &[String], &[Components], &[SceneEntity]) =
            match self {
                Self::Set { components, .. } | Self::Insert { components, .. } => (Some(components), &[], &[], &[]),
                Self::Remove { components, .. } => (None, components, &[], &[]),
                Self::Spawn { entities } => (None, &[], entities, &[]),
                Self::SceneLoad { entities } => (None, &[], &[], entities),
                _ => (None, &[], &[], &[]),
            };
        let scene = scene.iter().map(|entity| &entity.components);
        let values = named.into_iter().chain(spawned).chain(scene).flat_map(|components| components.keys());
        values.chain(removed).map(String::as_str)
    }

    /// Whether it is about the tick and not about the world.
    #[must_use]
    pub fn is_control(&self) -> bool {
        matches!(self, Self::Pause {} | Self::Resume {} | Self::Step { .. } | Self::Speed { .. })
    }
}

/// The domain of these commands.
pub const DOMAIN: &str = "world";
/// Bytes of a command's id, at the most.
pub const MAX_ID: usize = 128;
/// Entities that one command spawns, at the most: as many numbers as fit into its answer.
pub const MAX_SPAWNED: usize = 64 * 1024;

/// An entity of a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneEntity {
    /// The number that other entities of the same message name it by; 0 when none does.
    pub number: u64,
    /// Component name → value.
    pub components: Components,
}

/// The answer to [`Command`]. Codes of refusals: `bad_request`, `unknown_component`, `unknown_field`,
/// `bad_value`, `unknown_entity`, `conflict`, `read_only`, `private`, `not_finite`, `bad_subject`, `not_paused`,
/// `overloaded`, `unavailable`.
pub type CommandReply = Reply<Done>;
message!(CommandReply, "command-reply", 1, kib(960));

/// A command is applied, and durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The tick that it was applied in.
    pub tick: u64,
    /// Entities that it spawned, in order.
    #[serde(with = "super::value::entity_numbers")]
    pub entities: Vec<Entity>,
}
