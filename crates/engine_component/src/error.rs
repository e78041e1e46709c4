//! What can go wrong with a world: each error says what was tried, on what, and what to do.

use crate::{ComponentId, Entity};

/// A refused change of the world. Whatever is refused is refused whole: the world is untouched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// Two names with one id.
    #[error("components `{first}` and `{second}` have the same id {id}: rename one of them")]
    Collision {
        /// The name that was registered first.
        first: String,
        /// The name that was refused.
        second: String,
        /// The id that both hash to.
        id: ComponentId,
    },
    /// A component was registered before with another schema.
    #[error("component `{name}` is registered with another schema:\n{diff}")]
    SchemaMismatch {
        /// The component.
        name: String,
        /// The difference, a line per field.
        diff: String,
    },
    /// A schema that contradicts itself.
    #[error("the schema of `{name}` is not valid: {reason}")]
    BadSchema {
        /// The name in the schema.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No component with this id.
    #[error("no component {0} is registered: a process that declares it has to register first")]
    UnknownComponent(ComponentId),
    /// No such entity.
    #[error("entity {0} does not exist: it was despawned, or never spawned")]
    NoEntity(Entity),
    /// Numbers that were reserved for entities are used twice.
    #[error("entity {0} lives already: numbers that are reserved are used once")]
    Taken(Entity),
    /// The entity has no such component.
    #[error("entity {entity} has no `{component}`")]
    NoComponent {
        /// The entity.
        entity: Entity,
        /// The component that it lacks.
        component: String,
    },
    /// A component twice in one spawn or insert.
    #[error("component `{0}` is given twice")]
    Twice(String),
    /// A value that does not fit its schema.
    #[error("the value of `{component}` is refused: {reason}")]
    BadValue {
        /// The component.
        component: String,
        /// Why.
        reason: String,
    },
    /// Commands that do not decode.
    #[error("commands are refused at byte {at}: {reason}")]
    BadCommands {
        /// Where.
        at: usize,
        /// Why.
        reason: String,
    },
    /// An archetype id that two sets of components hash to.
    #[error("two sets of components have the same archetype id: rename a component")]
    ArchetypeCollision,
    /// A setting out of its range.
    #[error("{0}")]
    BadSetting(String),
}
