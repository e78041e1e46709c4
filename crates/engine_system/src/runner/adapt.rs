//! Between the world's layout of components and events and this build's, where the two are not the same.
//!
//! Everything travels in the world's layout. A component that fits exactly has no adapter: its bytes are
//! taken as they are. Any other is converted when rows and events come in, and converted back when they go:
//! what this build does not know keeps the value that the world has, or gets the world's default in what is
//! new.

use std::sync::Arc;

use engine_component::ComponentId;
use engine_component::commands::{self, Command, CommandBuffer};
use engine_component::schema::{Adapter, Fit, Schema, fit};
use engine_net::messages::register::KnownComponent;

use super::compute::Failure;
use crate::events::{EventSlice, SentEvents};
use crate::{EventBatch, System};

/// How one component or event is converted.
pub(super) struct Adapted {
    /// The layout in the world.
    pub(super) world: Schema,
    /// The layout in this build.
    pub(super) mine: Schema,
    /// The way between them.
    pub(super) adapter: Adapter,
}

/// What a system's components and events need; nothing for those that fit exactly.
#[derive(Default)]
pub(super) struct Adapters(Vec<(ComponentId, Arc<Adapted>)>);

impl Adapters {
    /// What a system needs in a world of these schemas.
    ///
    /// # Errors
    /// When a component means something else in this world; with the difference.
    pub(super) fn of(system: &dyn System, known: &[KnownComponent]) -> Result<Self, String> {
        let mut adapters = Vec::new();
        for mine in system.schemas() {
            let Some(known) = known.iter().find(|known| known.schema.name == mine.name) else { continue };
            match fit(&known.schema, mine) {
                Fit::Exact => {}
                Fit::Compatible(adapter) => {
                    tracing::info!(component = mine.name, "laid out otherwise in this world: it is adapted");
                    let adapted = Adapted { world: known.schema.clone(), mine: mine.clone(), adapter };
                    adapters.push((mine.id(), Arc::new(adapted)));
                }
                Fit::Incompatible(diff) => {
                    return Err(format!("`{}` is another type in this world than in this build:\n{diff}", mine.name));
                }
            }
        }
        Ok(Self(adapters))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// That of a component, when it needs one.
    pub(super) fn get(&self, component: ComponentId) -> Option<&Arc<Adapted>> {
        self.0.iter().find(|adapted| adapted.0 == component).map(|adapted| &adapted.1)
    }

    /// A record of commands as the world reads it.
    pub(super) fn commands(&self, recorded: CommandBuffer) -> Result<CommandBuffer, Failure> {
        if self.0.is_empty() || recorded.is_empty() {
            return Ok(recorded);
        }
        let mut adapted = CommandBuffer::default();
        for command in commands::decode(recorded.bytes()) {
            match command.map_err(Failure::refused)? {
                Command::Spawn(_, values) => {
                    let values = self.values(&values)?;
                    adapted.spawn_raw(&borrowed(&values));
                }
                Command::Insert(entity, values) => {
                    let values = self.values(&values)?;
                    adapted.insert_raw(entity, &borrowed(&values));
                }
                Command::Despawn(entity) => adapted.despawn(entity),
                Command::Remove(entity, components) => adapted.remove_raw(entity, &components),
            }
        }
        Ok(adapted)
    }

    fn values(&self, values: &[(ComponentId, &[u8])]) -> Result<Vec<(ComponentId, Vec<u8>)>, Failure> {
        let convert = |(component, bytes): &(ComponentId, &[u8])| match self.get(*component) {
            Some(adapted) => Ok((*component, adapted.make(bytes)?)),
            None => Ok((*component, bytes.to_vec())),
        };
        values.iter().map(convert).collect()
    }

    /// Sent events as the world reads them.
    pub(super) fn sent(&self, events: SentEvents) -> Result<SentEvents, Failure> {
        let convert = |(event, batch): (ComponentId, EventBatch)| match self.get(event) {
            Some(adapted) if !batch.is_empty() => Ok((event, adapted.sent(batch.as_slice())?)),
            _ => Ok((event, batch)),
        };
        events.into_iter().map(convert).collect()
    }
}

fn borrowed(values: &[(ComponentId, Vec<u8>)]) -> Vec<(ComponentId, &[u8])> {
    values.iter().map(|(component, bytes)| (*component, bytes.as_slice())).collect()
}

impl Adapted {
    /// A failure to convert, for people.
    pub(super) fn failure(&self, reason: impl std::fmt::Display) -> Failure {
        Failure { reason: "adapt", message: format!("`{}`: {reason}", self.mine.name) }
    }

    fn make(&self, mine: &[u8]) -> Result<Vec<u8>, Failure> {
        self.adapter.make(mine).map_err(|error| self.failure(error))
    }

    /// Events of the world as this build reads them.
    pub(super) fn unread(&self, events: EventSlice<'_>) -> Result<EventBatch, Failure> {
        let mut batch = EventBatch::default();
        for row in events.rows() {
            let row = self.adapter.read_value(row).map_err(|error| self.failure(error))?;
            batch.push_raw(&self.mine, &row);
        }
        Ok(batch)
    }

    fn sent(&self, events: EventSlice<'_>) -> Result<EventBatch, Failure> {
        let mut batch = EventBatch::default();
        for row in events.rows() {
            batch.push_raw(&self.world, &self.make(row)?);
        }
        Ok(batch)
    }
}
