//! The component types that a world knows, each by its schema. No user code is linked in.

use rustc_hash::FxHashMap;

use crate::ComponentId;
use crate::error::WorldError;
use crate::schema::{Access, Schema};

/// A registered component type and what follows from its schema.
#[derive(Clone, Debug)]
pub struct ComponentInfo {
    /// The id: the hash of the schema's name.
    pub id: ComponentId,
    /// The schema that values are stored by.
    pub schema: Schema,
    pub(crate) float_lanes: Vec<(u32, u8)>,
    pub(crate) entity_offsets: Vec<u32>,
    pub(crate) trackers: usize,
    /// Whether the columns of new tables get a journal.
    pub(crate) journaled: bool,
}

impl ComponentInfo {
    /// How many trackers note which of its rows change.
    #[must_use]
    pub fn trackers(&self) -> usize {
        self.trackers
    }
}

/// All component types of a world.
///
/// ```
/// use engine_component::{Component, Data, World, WorldError};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut world = World::default();
/// let id = world.register::<Position>().unwrap();
/// assert_eq!(world.registry().name(id), "doc.Position");
/// let mut other = Position::schema();
/// other.version += 1;
/// assert!(matches!(world.register_schema(other), Err(WorldError::SchemaMismatch { .. })));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    components: Vec<ComponentInfo>,
    by_id: FxHashMap<ComponentId, usize>,
}

impl Registry {
    /// Registers a schema. Registering an equal one again does nothing.
    ///
    /// # Errors
    /// When the schema is not valid, disagrees with the registered one, or its id belongs to another name.
    pub fn register(&mut self, schema: Schema) -> Result<ComponentId, WorldError> {
        let id = schema.id();
        self.register_as(id, schema)
    }

    /// Makes a component less open to programs outside; never more open. Answers whether it was more open before.
    pub(crate) fn restrict(&mut self, id: ComponentId, access: Access) -> bool {
        let Some(info) = self.get_mut(id).filter(|info| info.schema.access < access) else { return false };
        info.schema.access = access;
        true
    }

    /// The id comes from outside so that collisions can be tested: no two short names are known to collide.
    fn register_as(&mut self, id: ComponentId, schema: Schema) -> Result<ComponentId, WorldError> {
        if let Some(known) = self.get(id) {
            if known.schema.name != schema.name {
                return Err(WorldError::Collision { first: known.schema.name.clone(), second: schema.name, id });
            }
            if known.schema.clone().with_access(schema.access).hash() != schema.hash() {
                let diff = crate::schema::SchemaDiff::between(&known.schema, &schema).to_string();
                return Err(WorldError::SchemaMismatch { name: schema.name, diff });
            }
            // Of several builds the strictest counts.
            self.restrict(id, schema.access);
            return Ok(id);
        }
        schema
            .check()
            .map_err(|reason| WorldError::BadSchema { name: schema.name.clone(), reason: reason.to_string() })?;
        let info = ComponentInfo {
            id,
            float_lanes: schema.float_lanes(),
            entity_offsets: schema.entity_offsets(),
            schema,
            trackers: 0,
            journaled: false,
        };
        self.by_id.insert(id, self.components.len());
        self.components.push(info);
        Ok(id)
    }

    /// What is known of a component.
    #[must_use]
    pub fn get(&self, id: ComponentId) -> Option<&ComponentInfo> {
        self.by_id.get(&id).map(|index| &self.components[*index])
    }

    /// The place of a component in the order of registration.
    pub(crate) fn place(&self, id: ComponentId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Becomes equal to a registry whose earlier state it is, or to any other one at greater cost.
    pub(crate) fn catch_up(&mut self, source: &Self) {
        let known = self.components.len();
        if !source.components.iter().map(|info| info.id).take(known).eq(self.components.iter().map(|info| info.id)) {
            self.clone_from(source);
            return;
        }
        for (info, source) in self.components.iter_mut().zip(&source.components) {
            info.trackers = source.trackers;
            info.schema.access = source.schema.access;
        }
        for (place, info) in source.components.iter().enumerate().skip(known) {
            self.by_id.insert(info.id, place);
            self.components.push(info.clone());
        }
    }

    pub(crate) fn get_mut(&mut self, id: ComponentId) -> Option<&mut ComponentInfo> {
        self.by_id.get(&id).map(|index| &mut self.components[*index])
    }

    /// As [`Self::get`], with an error that says what is missing.
    ///
    /// # Errors
    /// When no such component is registered.
    pub fn require(&self, id: ComponentId) -> Result<&ComponentInfo, WorldError> {
        self.get(id).ok_or(WorldError::UnknownComponent(id))
    }

    /// The name of a component, or its id when it is not known.
    #[must_use]
    pub fn name(&self, id: ComponentId) -> String {
        self.get(id).map_or_else(|| id.to_string(), |info| info.schema.name.clone())
    }

    /// All components, in the order of their registration.
    pub fn iter(&self) -> impl Iterator<Item = &ComponentInfo> {
        self.components.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::StorageKind;

    fn tag(name: &str) -> Schema {
        Schema {
            name: name.into(),
            version: 1,
            kind: StorageKind::Tag,
            size: 0,
            align: 1,
            finite: false,
            access: Access::Open,
            fields: Vec::new(),
        }
    }

    #[test]
    fn a_collision_names_both() {
        let mut registry = Registry::default();
        let id = registry.register(tag("a.First")).unwrap();
        let error = registry.register_as(id, tag("b.Second")).unwrap_err().to_string();
        assert!(error.contains("a.First") && error.contains("b.Second"), "{error}");
    }
}
