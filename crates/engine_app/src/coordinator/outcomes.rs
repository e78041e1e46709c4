//! What systems did that are not deterministic: recorded when it is merged, and taken from the record when the
//! tick is computed again, instead of being computed.
//!
//! It is kept in the form in which instances send it, whoever computed it: so a replay checks and merges it as it
//! does with any result.

use std::borrow::Cow;

use bytes::Bytes;
use engine_component::{BitRows, StorageKind, World};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{
    ChunkSizes, ColumnData, JobEffects, Limits, OutColumn, Parcel, ParcelWriter, ResultManifest, WriteError,
};
use engine_net::{ChunkKind, ChunkPrefix};

use super::{Coordinator, CoordinatorError};
use crate::local::{LocalResult, Written};
use crate::merge::JobResult;
use crate::plan::{JobPlan, PartPlan};
use crate::receive;
use crate::record::{MAX_BYTES, Outcome};
use crate::staged::Staged;

impl Coordinator {
    /// Keeps what the jobs of a complete node did for the record of the tick, if its system needs that.
    pub(super) fn record_outcomes(&mut self, node: usize) {
        let Some(running) = &mut self.running else { return };
        let plan = &running.run.plan().nodes[node];
        let descriptor = self.systems[plan.system].descriptor();
        if !descriptor.options.nondeterministic {
            return;
        }
        for job in plan.jobs.clone() {
            let prefix = ChunkPrefix {
                kind: ChunkKind::Result,
                attempt: 0,
                job,
                epoch: self.epoch,
                tick: running.tick,
                chunk: 0,
                chunks: 1,
                instance: 0,
            };
            let chunks = match running.run.staged(job) {
                // Such a system's jobs travel one by one.
                Some(JobResult::Remote(result)) => match &result.columns {
                    Some(columns) => Ok(columns.parcel().chunks().to_vec()),
                    None => continue,
                },
                Some(JobResult::Local(result)) => {
                    let job = &running.run.plan().jobs[job as usize];
                    write(&self.world, descriptor, job, result, (prefix, self.sizes))
                }
                Some(JobResult::Held) | None => continue,
            };
            match chunks {
                Ok(chunks) => drop(running.outcomes.insert(job, chunks)),
                Err(error) => {
                    let shard = job - running.run.plan().nodes[node].jobs.start;
                    let (tick, system, reason) = (running.tick, descriptor.name.clone(), error.to_string());
                    self.failure.get_or_insert(CoordinatorError::Outcome { tick, system, shard, reason });
                }
            }
        }
    }

    /// Jobs of a node that starts, of which a record says what they did.
    pub(super) fn take_recorded(&mut self, node: usize) {
        let (Some(running), Some(replayed)) = (&mut self.running, &mut self.replayed) else { return };
        let plan = running.run.plan().nodes[node].clone();
        let descriptor = self.systems[plan.system].descriptor();
        for outcome in replayed.outcomes.extract_if(.., |outcome| outcome.system == descriptor.name) {
            let Outcome { system, shard, chunks } = outcome;
            let job = plan.jobs.start.checked_add(shard).filter(|job| running.run.is_open(*job));
            let limits = Limits { bytes: MAX_BYTES, ..Limits::default() };
            let received =
                job.ok_or_else(|| "there is no such shard, or it kept its values".to_owned()).and_then(|job| {
                    let parcel = Parcel::of_chunks(chunks, limits).map_err(|error| error.to_string())?;
                    let plan = &running.run.plan().jobs[job as usize];
                    let received =
                        receive::read(&self.world, descriptor, &[plan], parcel).map_err(|error| error.message)?;
                    Ok((job, received))
                });
            match received {
                Ok((job, received)) => {
                    JobResult::of_batch(&[job], received, Staged::default()).for_each(|(job, result)| {
                        running.run.stage(job, result);
                    });
                }
                Err(reason) => {
                    let tick = running.tick;
                    self.failure.get_or_insert(CoordinatorError::Outcome { tick, system, shard, reason });
                }
            }
        }
    }
}

/// The result of a job of this process as an instance would send it. Plain rows are in the world already.
fn write(
    world: &World,
    descriptor: &SystemDescriptor,
    job: &JobPlan,
    result: &LocalResult,
    (prefix, sizes): (ChunkPrefix, ChunkSizes),
) -> Result<Vec<Bytes>, WriteError> {
    let commands = result.output.commands.bytes();
    let events = &result.output.events;
    let manifest = ResultManifest {
        compute_ns: result.compute_ns,
        wait_ns: 0,
        rest_ns: 0,
        jobs: vec![JobEffects {
            job: 0,
            commands_bytes: commands.len() as u64,
            events: events.iter().map(|(event, batch)| batch.manifest(*event)).collect(),
        }],
        mapped: Vec::new(),
    };
    let mut writer = ParcelWriter::new(prefix, sizes, &manifest)?;
    for (number, part) in job.parts.iter().chain(&job.resources).enumerate() {
        let changes: Vec<Change<'_>> = result
            .written
            .iter()
            .filter(|(of, ..)| of == part)
            .filter_map(|change| Change::of(world, change))
            .collect();
        let columns: Vec<OutColumn<'_>> = changes.iter().map(Change::column).collect();
        if !columns.is_empty() {
            writer.part(number as u16, part.rows as usize, &columns)?;
        }
    }
    debug_assert!(events.iter().all(|(event, _)| descriptor.writes_events.contains(event)));
    writer.stream(0, 0, commands)?;
    for (stream, (_, batch)) in events.iter().enumerate() {
        writer.stream(stream as u16 + 1, 0, batch.bytes())?;
    }
    writer.finish()
}

/// What a job did to a column: the values of all rows of the part, and which of them count.
struct Change<'a> {
    slot: u16,
    dirty: Cow<'a, BitRows>,
    rows: Rows<'a>,
}

enum Rows<'a> {
    Plain { bytes: &'a [u8], stride: usize },
    Documents(Vec<Vec<u8>>),
}

impl<'a> Change<'a> {
    fn of(world: &'a World, (part, column, written): &'a (PartPlan, u16, Written)) -> Option<Self> {
        let slot = part.columns.iter().position(|slot| *slot == Some(*column))? as u16;
        let rows = part.rows as usize;
        let column = world.table(part.table).column(usize::from(*column));
        let (dirty, values) = match written {
            Written::Plain(changed) => {
                debug_assert_eq!(column.kind(), StorageKind::Plain);
                let stride = column.stride();
                let bytes = &column.bytes()[part.range().start * stride..part.range().end * stride];
                let dirty = changed.as_ref().map_or_else(|| Cow::Owned(BitRows::full(rows)), Cow::Borrowed);
                (dirty, Rows::Plain { bytes, stride })
            }
            Written::Documents(changed) => {
                let (mut all, mut dirty) = (vec![Vec::new(); rows], BitRows::new(rows));
                for (row, bytes) in changed {
                    all[*row].clone_from(bytes);
                    dirty.set(*row);
                }
                (Cow::Owned(dirty), Rows::Documents(all))
            }
        };
        dirty.any().then_some(Self { slot, dirty, rows: values })
    }

    fn column(&self) -> OutColumn<'_> {
        let dirty = &*self.dirty;
        let data = match &self.rows {
            Rows::Plain { bytes, stride } => ColumnData::DirtyPlain { bytes, stride: *stride, dirty },
            Rows::Documents(rows) => ColumnData::DirtyDocuments { rows, dirty },
        };
        OutColumn { column: self.slot, data }
    }
}
