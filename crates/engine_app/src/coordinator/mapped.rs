//! Columns that instances on this host have mapped: they are read in place, and nothing of them is sent.
//!
//! The world's large columns are in a memory that instances can map, as long as there is one that has. What such an
//! instance writes is in a memory of its own, at the place that the column has in the world's. It is read once, when the
//! instance has said that it is done: into a buffer, and only that is looked at. So what is checked is what is merged,
//! whatever the instance does meanwhile.
//!
//! What the operating system has to do with it is behind [`HostMemory`]; where there is none, columns travel.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use engine_component::memory::ColumnMemory;
use engine_component::{StorageKind, Table, World};
use engine_net::parcel::{CopyKey, PartManifest, PartSource, Place};

use super::Coordinator;
use super::fusion::Fused;
use crate::plan::PartPlan;
use crate::staged::OutputMemory;

/// Buffers that are kept to be used again, at the most.
const MAX_BUFFERS: usize = 16;
/// Bytes of a buffer that is kept, at the most.
const MAX_BUFFER: usize = 256 << 20;

/// Memory that instances on this host may map, by their slots.
pub trait HostMemory: Send {
    /// Where columns are to be, so that they can be mapped.
    fn columns(&self) -> Arc<dyn ColumnMemory>;
    /// What an instance is told, so that it comes for it; none when it is not offered anything.
    fn invite(&mut self, slot: u32) -> Option<String>;
    /// An instance says that it has mapped what it was offered; whether that is so.
    fn has_joined(&mut self, slot: u32) -> bool;
    /// An instance is gone, or has no use for it.
    fn withdraw(&mut self, slot: u32);
    /// Where an instance writes, also when it is gone since.
    fn output(&self, slot: u32) -> Option<Arc<dyn OutputMemory>>;
}

/// Who has mapped the world's columns.
#[derive(Default)]
pub(super) struct Mapped {
    memory: Option<Box<dyn HostMemory>>,
    slots: BTreeSet<u32>,
    /// The world's columns are in the memory.
    in_use: bool,
    /// What is read of instances is put here; emptied buffers come back.
    buffers: Vec<Vec<u8>>,
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({:?}, in use: {})", self.slots, self.in_use)
    }
}

impl Mapped {
    /// Whether an instance has mapped the columns where they are now.
    pub(super) fn is_at(&self, slot: u32) -> bool {
        self.in_use && self.slots.contains(&slot)
    }

    /// Whether an instance will have its columns this way from the next tick on, if it hasn't yet.
    pub(super) fn has(&self, slot: u32) -> bool {
        self.slots.contains(&slot)
    }

    pub(super) fn invite(&mut self, slot: u32) -> Option<String> {
        self.memory.as_mut()?.invite(slot)
    }

    /// Whether it had it.
    pub(super) fn withdraw(&mut self, slot: u32) -> bool {
        if let Some(memory) = &mut self.memory {
            memory.withdraw(slot);
        }
        self.slots.remove(&slot)
    }

    pub(super) fn output(&self, slot: u32) -> Option<Arc<dyn OutputMemory>> {
        self.memory.as_ref()?.output(slot)
    }

    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < MAX_BUFFERS && (1..=MAX_BUFFER).contains(&buffer.capacity()) {
            self.buffers.push(buffer);
        }
    }

    /// Moves columns to where they can be mapped, or back. Only between ticks: jobs in this process point to them.
    fn place(&mut self, world: &mut World) {
        let wanted = !self.slots.is_empty();
        if wanted == self.in_use {
            return;
        }
        let memory = self.memory.as_ref().filter(|_| wanted);
        world.set_memory(memory.map(|memory| memory.columns()));
        self.in_use = wanted;
        if !wanted {
            self.buffers.clear();
        }
    }
}

impl Coordinator {
    /// From now on instances may map the world's columns. What was there before is left.
    pub fn share_memory(&mut self, memory: Option<Box<dyn HostMemory>>) {
        self.mapped = Mapped { memory, in_use: false, ..Mapped::default() };
    }

    /// An instance has mapped what it was offered: its next jobs are sent without columns that it can see.
    pub fn memory_mapped(&mut self, slot: u32) {
        let Some(member) = self.members.iter().find(|member| member.slot == slot) else { return };
        if self.mapped.memory.as_mut().is_some_and(|memory| memory.has_joined(slot)) {
            tracing::info!(tick = self.tick, instance = member.name, "an instance has mapped the columns");
            self.mapped.slots.insert(slot);
        }
    }

    pub(super) fn place_columns(&mut self) {
        self.mapped.place(&mut self.world);
    }

    /// Says of every column that the instance has mapped where it is.
    ///
    /// But of those that what it builds on is about to write: in memory they are as they were before.
    pub(super) fn map_columns(&self, slot: u32, parts: &mut [PartManifest], rows: &[PartPlan], fused: &Fused) {
        if !self.mapped.is_at(slot) {
            return;
        }
        for (part, plan) in parts.iter_mut().zip(rows).filter(|(part, _)| part.source != PartSource::Resource) {
            let table = self.world.table(plan.table);
            if let (Some(place), Some(offset)) = (&mut part.entities, table.entities_shared_offset()) {
                *place = Place::Mapped(offset);
            }
            for column in &mut part.columns {
                if let Some(offset) = shared_offset(table, plan, column.column, fused) {
                    column.place = Place::Mapped(offset);
                }
            }
        }
    }
}

fn shared_offset(table: &Table, plan: &PartPlan, column: u16, fused: &Fused) -> Option<u64> {
    let index = usize::from(plan.columns.get(usize::from(column)).copied().flatten()?);
    let column = table.column(index);
    let offset = column.shared_offset().filter(|_| column.kind() == StorageKind::Plain)?;
    let key = CopyKey::in_shard(table.archetype(), plan.first_row, table.components()[index]);
    (!fused.writes(&key)).then_some(offset)
}
