//! What goes into a parcel, given what its instance has kept: whole columns, or what changed since.

use engine_component::query::ColumnAccess;
use engine_component::{Schema, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{
    Check, CopyKey, CopyOf, JobList, Jobs, Keep, Named, PartManifest, PartSource, Place, Space, bases, named,
};
use xxhash_rust::xxh3::xxh3_64;

use super::Coordinator;
use super::fusion::Fused;
use super::residents::Held;
use crate::plan::PartPlan;
use crate::ship::{Cargo, job_parts, shared_parts, wants_entities};
use crate::system_entry::RunFigures;

/// So many bytes that an instance writes to memory take as long to be had as one that it sends.
const MAPPED_BYTES: u64 = 8;

impl Coordinator {
    /// Decides what is sent of a batch, and counts on the instance having it from now on.
    pub(super) fn load_jobs(&mut self, slot: u32, jobs: &[u32], fused: &Fused) -> Option<Cargo> {
        let running = self.running.as_ref()?;
        let plans: Vec<_> = jobs.iter().map(|job| &running.run.plan().jobs[*job as usize]).collect();
        let system = running.run.plan().nodes[plans.first()?.node].system;
        let descriptor = self.systems[system].descriptor();
        let entities = wants_entities(&self.world, descriptor);
        let counts: Vec<usize> = plans.iter().map(|plan| plan.parts.len() + plan.resources.len()).collect();
        let parts = plans.iter().flat_map(|plan| job_parts(&self.world, descriptor, plan, entities)).collect();
        let rows: Vec<PartPlan> =
            plans.iter().flat_map(|plan| plan.parts.iter().chain(&plan.resources)).cloned().collect();
        // What an instance made of a mapped column is not recorded; and a batch that failed is tried without.
        let may_map = !descriptor.options.nondeterministic && !self.is_alone(*jobs.first()?);
        let mut cargo = self.pack(slot, system, (parts, &rows), (may_map, fused));
        let mut next = cargo.parts.iter();
        let list = JobList::new(counts.iter().map(|count| next.by_ref().take(*count).cloned().collect()).collect());
        cargo.jobs = Some(self.name_list(slot, list));
        Some(cargo)
    }

    /// As [`Self::load_jobs`], of what all jobs of a node read alike.
    pub(super) fn load_shared(&mut self, slot: u32, node: usize) -> Option<Cargo> {
        let running = self.running.as_ref()?;
        let node = &running.run.plan().nodes[node];
        let system = node.system;
        let parts = shared_parts(&self.world, self.systems[system].descriptor(), node);
        let rows: Vec<PartPlan> = node.views.iter().chain(&node.resources).cloned().collect();
        Some(self.pack(slot, system, (parts, &rows), (true, &Fused::default())))
    }

    /// By its digest, when the instance knows it.
    fn name_list(&mut self, slot: u32, list: JobList) -> Jobs {
        if !list.is_remembered() {
            return Jobs::List(list);
        }
        let tick = self.running.as_ref().map_or(0, |running| running.tick);
        let digest = if list.is_settled() { list.digest() } else { list.clone().again().digest() };
        if list.is_settled() && self.residents.knows_list(slot, digest, tick) {
            return Jobs::Again(digest);
        }
        self.residents.tell_list(slot, digest, tick);
        Jobs::List(list)
    }

    fn pack(
        &mut self,
        slot: u32,
        system: usize,
        (mut parts, rows): (Vec<PartManifest>, &[PartPlan]),
        (may_map, fused): (bool, &Fused),
    ) -> Cargo {
        let descriptor = self.systems[system].descriptor().clone();
        if may_map {
            self.map_columns(slot, &mut parts, rows, fused);
        }
        let kept =
            if self.settings.keep { self.keep_what_fits(slot, &descriptor, &mut parts, rows) } else { Vec::new() };
        let mut since: Vec<Vec<u64>> = parts.iter().map(|part| vec![0; 1 + part.columns.len()]).collect();
        if kept.is_empty() {
            return Cargo { parts, since, jobs: None, keep: None, copies: Vec::new() };
        }
        let (tick, version) = (self.running.as_ref().map_or(0, |running| running.tick), self.world.version());
        let stamp = self.residents.next_stamp();
        let known: Vec<Option<Held>> = kept.iter().map(|(named, _)| self.residents.held(slot, &named.key)).collect();
        let based = kept.iter().zip(&known).filter(|((named, _), _)| named.changed());
        let bases = bases(based.map(|(_, held)| held.map_or(0, |held| held.stamp)));
        let check = self.to_check(tick, &kept, rows, fused);
        let mut copies = Vec::with_capacity(kept.len());
        for ((named, bytes), held) in kept.iter().zip(known) {
            let part = &parts[usize::from(named.part)];
            let column = part.columns.iter().position(|column| column.column == named.column);
            let is_fused = fused.writes(&named.key);
            if let Some(held) = held.filter(|_| named.changed()) {
                // What the instance is about to write itself is not sent, whether it is in the world by now or not.
                let since_version = if is_fused { u64::MAX } else { held.version };
                since[usize::from(named.part)][column.map_or(0, |column| column + 1)] = since_version;
            }
            copies.push((named.key, writes(&descriptor, part, named.column)));
            let lead = held.filter(|_| is_fused).map_or(stamp, |held| held.lead);
            self.residents.hold(slot, named.key, Held { version, stamp, lead, bytes: *bytes, used: tick });
        }
        Cargo { parts, since, jobs: None, keep: Some(Keep { stamp, bases, check }), copies }
    }

    /// Says of every column whether it is kept, and whether only changes come; with the bytes of those that are.
    fn keep_what_fits(
        &self,
        slot: u32,
        descriptor: &SystemDescriptor,
        parts: &mut [PartManifest],
        rows: &[PartPlan],
    ) -> Vec<(Named, u64)> {
        let mut room = self.residents.room(slot);
        let whole = descriptor.options.whole;
        let component = |part: &PartManifest, column: u16| Some(access_of(descriptor, part, column)?.component);
        for part in parts.iter_mut().filter(|part| part.source != PartSource::Resource) {
            // All are kept for a moment, so that they have names.
            let kept = |place: Place| if place == Place::Inline { Place::Kept } else { place };
            part.entities = part.entities.map(kept);
            part.columns.iter_mut().for_each(|column| column.place = kept(column.place));
        }
        let all: Vec<Named> = named(parts, whole, component).collect();
        let mut kept = Vec::with_capacity(all.len());
        for mut name in all {
            let held = self.residents.held(slot, &name.key);
            let bytes = self.copy_bytes(&rows[usize::from(name.part)], &name, held);
            name.place = match held {
                Some(held) => {
                    room = (room + held.bytes).saturating_sub(bytes);
                    Place::Changed
                }
                None if bytes <= room => {
                    room -= bytes;
                    Place::Kept
                }
                None => Place::Inline,
            };
            let part = &mut parts[usize::from(name.part)];
            match part.columns.iter_mut().find(|column| column.column == name.column) {
                Some(column) => column.place = name.place,
                None => part.entities = Some(name.place),
            }
            if name.place.is_kept() {
                kept.push((name, bytes));
            }
        }
        kept
    }

    fn copy_bytes(&self, part: &PartPlan, name: &Named, held: Option<Held>) -> u64 {
        let table = self.world.table(part.table);
        let column = part.columns.get(usize::from(name.column)).copied().flatten();
        let Some(column) = column.map(|column| table.column(column.into())) else {
            return u64::from(part.rows) * 8;
        };
        match column.kind() {
            StorageKind::Document => match held {
                // They are only counted when some of them changed.
                Some(held) if !column.any_changed_since(held.version, &part.range()) => held.bytes,
                _ => part.range().map(|row| 8 + column.row(row).len() as u64).sum(),
            },
            _ => u64::from(part.rows) * column.stride() as u64,
        }
    }

    /// A Plain copy whose bytes the instance is to compare: another one in each tick.
    fn to_check(&self, tick: u64, kept: &[(Named, u64)], rows: &[PartPlan], fused: &Fused) -> Option<Check> {
        let mut plain = kept.iter().filter(|(name, _)| !fused.writes(&name.key)).filter_map(|(name, _)| {
            let plan = &rows[usize::from(name.part)];
            let column = plan.columns.get(usize::from(name.column)).copied().flatten()?;
            let column = self.world.table(plan.table).column(column.into());
            (name.changed() && column.kind() == StorageKind::Plain).then_some((name, plan, column))
        });
        let count = plain.clone().count() as u64;
        let (name, plan, column) = plain.nth(tick.checked_rem(count)? as usize)?;
        let stride = column.stride();
        let bytes = &column.bytes()[plan.range().start * stride..plan.range().end * stride];
        Some(Check { part: name.part, column: name.column, digest: xxh3_64(bytes) })
    }

    /// Bytes that a job moves: what is sent for it, and what is expected back by what its system's last run
    /// brought. What is mapped has only to be read, while the next batch is computed.
    pub(super) fn job_bytes(&self, slot: u32, job: u32) -> u64 {
        let Some(running) = &self.running else { return 0 };
        let plan = &running.run.plan().jobs[job as usize];
        let entry = &self.systems[running.run.plan().nodes[plan.node].system];
        let RunFigures { bytes_in, rows, .. } = entry.last_run;
        let queries = &entry.descriptor().queries;
        let is_mapped = self.mapped.is_at(slot);
        let mut bytes = 0;
        for part in &plan.parts {
            let table = self.world.table(part.table);
            let query = &queries[usize::from(part.query)];
            let space = if entry.descriptor().options.whole { Space::Whole(part.query) } else { Space::Shard };
            for (access, column) in query.columns.iter().zip(&part.columns) {
                let Some(column) = column.map(|column| table.column(column.into())) else { continue };
                let (stride, all) = (column.stride() as u64, u64::from(part.rows));
                if is_mapped && column.shared_offset().is_some() {
                    bytes += if access.write { all * stride / MAPPED_BYTES } else { 0 };
                    continue;
                }
                let of = CopyOf::Component(access.component);
                let key = CopyKey { space, archetype: table.archetype(), first_row: part.first_row, of };
                let changed = match self.residents.held(slot, &key) {
                    None => all,
                    Some(held) if !column.any_changed_since(held.version, &part.range()) => 0,
                    Some(held) => column.changed_since(held.version, part.range()).count() as u64,
                };
                bytes += changed * stride;
                bytes += if rows == 0 && access.write { all * stride } else { 0 };
            }
            bytes += bytes_in * u64::from(part.rows) / rows.max(1);
        }
        bytes
    }

    /// What was sent in a parcel is not counted on: nobody knows what became of it.
    pub(super) fn forget_cargo(&mut self, slot: u32, cargo: &Cargo) {
        cargo.copies.iter().for_each(|(key, _)| self.residents.forget(slot, key));
    }

    /// What an instance made of its copies is in the world; but where it may name entities that it spawned.
    pub(super) fn copies_merged(&mut self, slot: u32, keep: Option<Keep>, copies: &[(CopyKey, bool)], spawned: bool) {
        let (Some(keep), version) = (keep, self.world.version()) else { return };
        for (key, _) in copies.iter().filter(|(_, written)| *written) {
            let names_them = match key.of {
                CopyOf::Component(id) if spawned => self.world.schema(id).is_none_or(Schema::may_hold_entities),
                _ => false,
            };
            if names_them {
                self.residents.forget(slot, key);
            } else {
                self.residents.merged(slot, key, keep.stamp, version);
            }
        }
    }
}

fn access_of(descriptor: &SystemDescriptor, part: &PartManifest, column: u16) -> Option<ColumnAccess> {
    let queries = match part.source {
        PartSource::Query => &descriptor.queries,
        PartSource::View => &descriptor.views,
        PartSource::Resource => return None,
    };
    queries.get(usize::from(part.number))?.columns.get(usize::from(column)).copied()
}

fn writes(descriptor: &SystemDescriptor, part: &PartManifest, column: u16) -> bool {
    part.source == PartSource::Query && access_of(descriptor, part, column).is_some_and(|access| access.write)
}
