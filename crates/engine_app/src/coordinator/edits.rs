//! What commands do to the world.

use std::collections::BTreeMap;

use engine_component::commands::CommandBuffer;
use engine_component::schema::{FieldType, Schema};
use engine_component::{ComponentId, Entity, StorageKind, WorldError, msgpack};
use engine_net::messages::Problem;
use engine_net::messages::command::{Action, Done, Expected, SceneEntity};
use engine_net::messages::value::{Components, version_of};

use super::Coordinator;
use crate::ask;

impl Coordinator {
    /// Does what a command says, or nothing of it.
    pub(super) fn apply(&mut self, action: Action) -> Result<Done, Problem> {
        let entities = match action {
            Action::Spawn { entities } => {
                let scene = entities.into_iter().map(|components| SceneEntity { number: 0, components }).collect();
                self.spawn_scene(scene)?
            }
            Action::SceneLoad { entities } => self.spawn_scene(entities)?,
            Action::Despawn { entities } => self.despawn_all(&entities)?,
            Action::Set { entity, components } => {
                let values = self.merged_values(entity, components)?;
                self.insert_rows(entity, &values)?
            }
            Action::Insert { entity, components } => {
                let values = self.rows_of(&components)?;
                self.insert_rows(entity, &values)?
            }
            Action::Remove { entity, components } => {
                let ids = components.iter().map(|name| self.component(name)).collect::<Result<Vec<_>, _>>()?;
                self.world.remove_raw(entity, &ids).map_err(problem)?;
                Vec::new()
            }
            Action::Pause {} | Action::Resume {} | Action::Step { .. } | Action::Speed { .. } => Vec::new(),
        };
        Ok(Done { tick: self.tick, entities })
    }

    /// Whether an entity has what the sender of a command has seen of it.
    pub(super) fn check_expected(&self, entity: Option<Entity>, expect: &Expected) -> Result<(), Problem> {
        let Some(entity) = entity.filter(|_| !expect.is_empty()) else { return Ok(()) };
        if !self.world.contains(entity) {
            return Err(problem(WorldError::NoEntity(entity)));
        }
        for (name, wanted) in expect {
            let id = ask::seen(&self.world, name)?;
            let found = self.world.get_raw(entity, id).map(version_of);
            if found != *wanted {
                let shown = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
                let text = format!(
                    "`{name}` of entity {entity} has version {}, not {}: look at it again",
                    shown(&found),
                    shown(wanted)
                );
                return Err(Problem::new("conflict", text));
            }
        }
        Ok(())
    }

    /// All or nothing: every value is checked before the first entity is spawned.
    fn spawn_scene(&mut self, scene: Vec<SceneEntity>) -> Result<Vec<Entity>, Problem> {
        let mut numbers = BTreeMap::new();
        for (index, entity) in scene.iter().enumerate() {
            if entity.number != 0 && numbers.insert(entity.number, index as u32).is_some() {
                return Err(Problem::new(
                    "bad_request",
                    format_args!("the scene has two entities of number {}", entity.number),
                ));
            }
        }
        let mut record = CommandBuffer::default();
        for entity in &scene {
            let mut rows = self.rows_of(&entity.components)?;
            for (component, row) in &mut rows {
                if let Some(schema) = self.world.schema(*component) {
                    number_entities(schema, row, &numbers);
                }
            }
            let raw: Vec<(ComponentId, &[u8])> =
                rows.iter().map(|(component, row)| (*component, row.as_slice())).collect();
            record.spawn_raw(&raw);
        }
        self.world.apply(record.bytes()).map(|applied| applied.spawned).map_err(problem)
    }

    fn despawn_all(&mut self, entities: &[Entity]) -> Result<Vec<Entity>, Problem> {
        if let Some(missing) = entities.iter().find(|entity| !self.world.contains(**entity)) {
            return Err(problem(WorldError::NoEntity(*missing)));
        }
        for entity in entities {
            // One that is named twice is gone the second time.
            let _ = self.world.despawn(*entity);
        }
        Ok(Vec::new())
    }

    fn insert_rows(&mut self, entity: Entity, rows: &[(ComponentId, Vec<u8>)]) -> Result<Vec<Entity>, Problem> {
        let raw: Vec<(ComponentId, &[u8])> = rows.iter().map(|(component, row)| (*component, row.as_slice())).collect();
        self.world.insert_raw(entity, &raw).map_err(problem)?;
        Ok(Vec::new())
    }

    fn component(&self, name: &str) -> Result<ComponentId, Problem> {
        ask::component(&self.world, name)
    }

    fn rows_of(&self, components: &Components) -> Result<Vec<(ComponentId, Vec<u8>)>, Problem> {
        components
            .iter()
            .map(|(name, value)| {
                let id = self.component(name)?;
                let schema = self.world.schema(id).ok_or_else(|| problem(WorldError::UnknownComponent(id)))?;
                let row = schema.value_to_row(value).map_err(|error| Problem::new("bad_value", error))?;
                Ok((id, row))
            })
            .collect()
    }

    /// The rows of components that an entity has, with some fields replaced.
    fn merged_values(&self, entity: Entity, components: Components) -> Result<Vec<(ComponentId, Vec<u8>)>, Problem> {
        if !self.world.contains(entity) {
            return Err(problem(WorldError::NoEntity(entity)));
        }
        let mut whole = Components::new();
        for (name, change) in components {
            let id = self.component(&name)?;
            let Some(row) = self.world.get_raw(entity, id) else {
                return Err(problem(WorldError::NoComponent { entity, component: name }));
            };
            let schema = self.world.schema(id).ok_or_else(|| problem(WorldError::UnknownComponent(id)))?;
            let mut value = schema.row_to_value(row).map_err(|error| Problem::new("bad_value", error))?;
            change_fields(schema, &mut value, change);
            whole.insert(name, value);
        }
        self.rows_of(&whole)
    }
}

fn problem(error: WorldError) -> Problem {
    let code = match &error {
        WorldError::NoEntity(_) => "unknown_entity",
        WorldError::UnknownComponent(_) | WorldError::NoComponent { .. } => "unknown_component",
        _ => "bad_value",
    };
    Problem::new(code, error)
}

/// Replaces the fields that a change names. Structs inside of Plain values are changed field by field too;
/// what documents hold is replaced whole, since a map without a key means something.
fn change_fields(schema: &Schema, value: &mut serde_json::Value, change: serde_json::Value) {
    let fields = schema.fields.iter().map(|field| (field.name.as_str(), &field.ty));
    put_fields(&fields.collect::<Vec<_>>(), value, change);
}

fn put_fields(known: &[(&str, &FieldType)], value: &mut serde_json::Value, change: serde_json::Value) {
    match (value, change) {
        (serde_json::Value::Object(fields), serde_json::Value::Object(changes)) => {
            for (name, change) in changes {
                let ty = known.iter().find(|(known, _)| *known == name).map(|(_, ty)| *ty);
                match (ty, fields.get_mut(&name)) {
                    (Some(FieldType::Struct(inner)), Some(old)) => {
                        let inner: Vec<_> = inner.iter().map(|field| (field.name.as_str(), &field.ty)).collect();
                        put_fields(&inner, old, change);
                    }
                    _ => drop(fields.insert(name, change)),
                }
            }
        }
        (value, change) => *value = change,
    }
}

/// Entities of a scene name each other by numbers of the scene: they become provisional entities.
fn number_entities(schema: &Schema, row: &mut [u8], numbers: &BTreeMap<u64, u32>) {
    let provisional = |number: u64| numbers.get(&number).map(|index| Entity::provisional(*index));
    if schema.kind == StorageKind::Document {
        msgpack::for_each_entity(row, |entity| provisional(entity.to_bits()).unwrap_or(entity));
    }
    for offset in schema.entity_offsets() {
        let at = offset as usize;
        let Some(field) = row.get_mut(at..at + 8) else { continue };
        let number = field.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        if let Some(entity) = provisional(number) {
            field.copy_from_slice(&entity.to_bits().to_le_bytes());
        }
    }
}
