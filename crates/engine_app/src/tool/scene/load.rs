//! From a checked scene to entities: in batches over the wire, or at once in a world of this process.
//!
//! A batch is one command, so its size is bounded by the payload. References inside of a batch are numbers that
//! the coordinator replaces; to an entity of an earlier batch, the entity that it became; to one of a later
//! batch, no entity at first, mended by an `insert` when that one has its number.

use std::collections::BTreeSet;

use anyhow::Context;
use engine_component::commands::CommandBuffer;
use engine_component::{ComponentId, Entity, World};
use engine_net::messages::command::{Action, SceneEntity};
use engine_net::messages::value::{Components, Value};
use engine_net::strict;

use super::check::{index_of, place};
use super::{Checked, CheckedEntity, SceneError};
use crate::tool::schemas::Schemas;

/// Entities of a batch, at the most: a tick applies a batch whole.
const MAX_BATCH: usize = 16 * 1024;

/// Hands out the commands that load a scene, one after another.
#[derive(Debug)]
pub struct Loader {
    entities: Vec<CheckedEntity>,
    /// Bytes of each entity in a command.
    sizes: Vec<usize>,
    schemas: Schemas,
    batch_bytes: usize,
    /// What the entities of the batches before became.
    real: Vec<Entity>,
    /// Entities of the batch that is on its way.
    open: usize,
    mend: BTreeSet<(usize, String)>,
}

impl Loader {
    /// Cuts a scene into batches of so many bytes.
    ///
    /// # Errors
    /// When one entity alone is larger.
    pub fn new(scene: Checked, schemas: Schemas, batch_bytes: usize) -> Result<Self, SceneError> {
        let mut sizes = Vec::with_capacity(scene.entities.len());
        for entity in &scene.entities {
            let size = strict::encode(&entity.components).len() + 32;
            if size > batch_bytes {
                return Err(SceneError::new(
                    entity.line,
                    format_args!(
                        "the entity has {size} bytes, a command {batch_bytes} at the most: the server's max_payload bounds it"
                    ),
                ));
            }
            sizes.push(size);
        }
        Ok(Self {
            entities: scene.entities,
            sizes,
            schemas,
            batch_bytes,
            real: Vec::new(),
            open: 0,
            mend: BTreeSet::new(),
        })
    }

    /// Entities of the scene.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether the scene has no entity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Whether one command holds all of it.
    #[must_use]
    pub fn is_one_batch(&self) -> bool {
        self.batch_end(0) == self.entities.len()
    }

    /// What the entities became, in the order of the file, as far as they are there.
    #[must_use]
    pub fn spawned(&self) -> &[Entity] {
        &self.real
    }

    /// The lines of the batch that is on its way, first and last.
    #[must_use]
    pub fn open_lines(&self) -> (usize, usize) {
        let line = |index: usize| self.entities.get(index).map_or(0, |entity| entity.line);
        (line(self.real.len()), line((self.real.len() + self.open).saturating_sub(1)))
    }

    fn batch_end(&self, start: usize) -> usize {
        let mut bytes = 0;
        let fits = |size: &&usize| {
            bytes += **size;
            bytes <= self.batch_bytes
        };
        start + self.sizes[start..].iter().take(MAX_BATCH).take_while(fits).count()
    }

    /// The next batch; none when all are spawned. [`Self::accept`] has to follow.
    pub fn next_batch(&mut self) -> Option<Action> {
        let start = self.real.len();
        let end = self.batch_end(start);
        self.open = end - start;
        if start == end {
            return None;
        }
        let mut batch = Vec::with_capacity(end - start);
        for index in start..end {
            let mut components = self.entities[index].components.clone();
            for (name, value) in &mut components {
                if self.replace(name, value, start..end) {
                    self.mend.insert((index, name.clone()));
                }
            }
            batch.push(SceneEntity { number: place(index), components });
        }
        Some(Action::SceneLoad { entities: batch })
    }

    /// What the entities of the batch became.
    ///
    /// # Errors
    /// When they are not as many as the batch had.
    pub fn accept(&mut self, spawned: &[Entity]) -> Result<(), String> {
        if spawned.len() != self.open {
            return Err(format!("{} entities were sent, {} came back", self.open, spawned.len()));
        }
        self.real.extend(spawned);
        self.open = 0;
        Ok(())
    }

    /// When all batches are in: what is to be done for references to entities of later batches.
    #[must_use]
    pub fn mending(&self) -> Vec<Action> {
        let action = |(index, name): &(usize, String)| {
            let mut value = self.entities[*index].components.get(name)?.clone();
            self.replace(name, &mut value, 0..0);
            Some(Action::Insert {
                entity: *self.real.get(*index)?,
                components: Components::from([(name.clone(), value)]),
            })
        };
        self.mend.iter().filter_map(action).collect()
    }

    /// Replaces places outside of a batch; whether one of them has no entity yet.
    fn replace(&self, component: &str, value: &mut Value, batch: std::ops::Range<usize>) -> bool {
        let Some(schema) = self.schemas.get(component) else { return false };
        let mut later = false;
        schema.for_each_entity_value(value, &mut |reference| {
            let Some(index) = reference.as_u64().and_then(index_of).filter(|index| !batch.contains(index)) else {
                return;
            };
            later |= index >= self.real.len();
            *reference = self.real.get(index).map_or(0, |entity| entity.to_bits()).into();
        });
        later
    }
}

/// Spawns a checked scene in a world of this process, all of it or nothing.
///
/// # Errors
/// When the world refuses a value.
pub fn spawn_into(world: &mut World, scene: &Checked) -> anyhow::Result<Vec<Entity>> {
    let mut commands = CommandBuffer::default();
    for entity in &scene.entities {
        let mut rows: Vec<(ComponentId, Vec<u8>)> = Vec::with_capacity(entity.components.len());
        for (name, value) in &entity.components {
            let id = ComponentId::of_name(name);
            let schema = world.schema(id).with_context(|| format!("`{name}` is not known"))?;
            let mut value = value.clone();
            schema.for_each_entity_value(&mut value, &mut |reference| {
                if let Some(index) = reference.as_u64().and_then(index_of) {
                    *reference = Entity::provisional(index as u32).to_bits().into();
                }
            });
            rows.push((id, schema.value_to_row(&value)?));
        }
        let raw: Vec<(ComponentId, &[u8])> = rows.iter().map(|(id, row)| (*id, row.as_slice())).collect();
        commands.spawn_raw(&raw);
    }
    Ok(world.apply(commands.bytes())?.spawned)
}
