//! What everybody is told when a tick is committed: its hash, who came and went, and what happened.

use std::collections::BTreeMap;

use engine_component::schema::Access;
use engine_component::{ComponentId, Entity};
use engine_net::messages::commit::Commit;
use engine_net::messages::entities::{Created, CreatedBatch, Destroyed, MAX_ENTITIES};
use engine_net::messages::event::Events;
use engine_net::messages::value::Blob;
use engine_system::EventBatch;

use super::{Coordinator, Running};

/// Bytes of event records in one message.
const EVENT_BYTES: usize = 512 << 10;

impl Coordinator {
    /// Whether anybody can listen: a world without a broker has no audience.
    pub(super) fn has_audience(&self) -> bool {
        self.epoch > 0
    }

    /// Entities of the world as it starts are not announced: nobody listens yet, and who comes later asks.
    pub(super) fn begin_announcing(&mut self) {
        if self.has_audience() {
            self.world.take_despawned();
            self.announced = self.world.next_entity();
        }
    }

    /// Tells the outside what the tick brought.
    pub(super) fn announce(&mut self, running: &mut Running) {
        self.hand_out_kept(running);
        if !self.has_audience() || self.recovering {
            return self.begin_announcing();
        }
        let commit = Commit { epoch: self.epoch, tick: self.tick, hash: self.hash, entities: self.world.len() as u64 };
        self.publish(self.subjects.commit(), &commit);
        self.announce_entities();
        self.announce_events(std::mem::take(&mut running.emitted));
    }

    /// Who came and went since the last call, whoever did it: systems, commands, hooks, plugins. Who came and
    /// is gone already was never there for anybody else.
    pub(super) fn announce_entities(&mut self) {
        if !self.has_audience() || self.recovering {
            return self.begin_announcing();
        }
        let (epoch, tick) = (self.epoch, self.tick);
        let known = std::mem::replace(&mut self.announced, self.world.next_entity());
        let created = (known..self.announced).map(Entity::from_bits).filter(|entity| self.world.contains(*entity));
        let created: Vec<Entity> = created.collect();
        for entities in created.chunks(MAX_ENTITIES) {
            let mut batches = BTreeMap::<u64, CreatedBatch>::new();
            for entity in entities {
                let Some(location) = self.world.location(*entity) else { continue };
                let table = self.world.table(location.table);
                let batch = batches
                    .entry(table.archetype().to_bits())
                    .or_insert_with(|| CreatedBatch { archetype: table.components().to_vec(), entities: Vec::new() });
                batch.entities.push(*entity);
            }
            let message = Created { epoch, tick, batches: batches.into_values().collect() };
            self.publish(self.subjects.entity_create(), &message);
        }
        let mut destroyed = self.world.take_despawned();
        destroyed.retain(|entity| entity.to_bits() < known);
        for entities in destroyed.chunks(MAX_ENTITIES) {
            self.publish(self.subjects.entity_destroy(), &Destroyed { epoch, tick, entities: entities.to_vec() });
        }
    }

    fn announce_events(&mut self, emitted: Vec<(ComponentId, EventBatch)>) {
        let mut first = BTreeMap::<ComponentId, u32>::new();
        for (event, batch) in emitted {
            let Some(schema) = self.world.schema(event).cloned() else { continue };
            if schema.access == Access::Private {
                continue;
            }
            let number = first.entry(event).or_default();
            if batch.is_empty() || batch.byte_len() > EVENT_BYTES {
                *number = number.saturating_add(batch.len() as u32);
                if !batch.is_empty() {
                    self.figures.count("unannounced_events");
                }
                continue;
            }
            let message = Events {
                epoch: self.epoch,
                tick: self.tick,
                first: *number,
                count: batch.len() as u32,
                records: Blob::from(batch.bytes().to_vec()),
                schema,
            };
            *number = number.saturating_add(batch.len() as u32);
            let subject = self.subjects.event(&message.schema.name);
            self.publish(subject, &message);
        }
    }
}
