//! The state machine, told everything by hand: no connection, no threads, a clock that is a number.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod chunks;
mod failing;
mod heartbeat;
mod joining;
mod results;

use std::sync::Arc;

use bytes::Bytes;
use engine_component::query::{Changed, Query};
use engine_component::{Component, Data, Event};
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::hello::Hello;
use engine_net::messages::register::{Accepted, KnownComponent, Leave, Leaving, Register, RegisterReply};
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::parcel::{
    ChunkSizes, ColumnData, ColumnManifest, EventManifest, Failed, JobManifest, Jobs, Missing, OutColumn, Parcel,
    ParcelWriter, PartManifest, PartSource, Place, SharedManifest, WireTime, control,
};
use engine_net::{ChunkKind, ChunkPrefix, strict};

use super::super::compute::Work;
use super::{Answer, InstanceCore};
use crate::{EventBatch, EventReader, IntoSystem, System};

const MS: u64 = 1_000_000;
const EPOCH: u64 = 9;
const SLOT: u32 = 4;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Number")]
struct Number(u32);

#[derive(Event, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[event(name = "t.Added")]
struct Added(u32);

/// Adds one to even numbers; takes exception at 13.
fn count(mut numbers: Query<&mut Number>) {
    for number in &mut numbers {
        assert!(number.0 != 13, "thirteen is not counted");
        number.0 += u32::from(number.0 % 2 == 0);
    }
}

/// Needs a shared input.
fn add(added: EventReader<Added>, mut numbers: Query<&mut Number>) {
    let sum: u32 = added.iter().map(|added| added.0).sum();
    for number in &mut numbers {
        number.0 += sum;
    }
}

/// Has bitmaps.
fn watch(numbers: Query<&Number, Changed<Number>>) {
    assert!(numbers.iter().count() > 0);
}

fn systems() -> Vec<Arc<dyn System>> {
    let systems = [count.into_system("count"), add.into_system("add"), watch.into_system("watch")];
    systems.into_iter().map(|system| Arc::from(system.unwrap())).collect()
}

/// What an instance said.
enum Said {
    Compute(Box<Work>),
    /// About a job, with the body.
    Job(ChunkPrefix, Bytes),
    Heartbeat(Heartbeat),
    Register(Register),
    Leave(Leave),
}

/// An instance, and what is said to it.
struct Bench {
    core: InstanceCore,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { core: InstanceCore::new("i".into(), 5, systems(), 1 << 20).unwrap(), now: 1 }
    }

    /// One that is registered, and has said so.
    fn ready() -> Self {
        let mut bench = Self::new();
        bench.look();
        bench.accept(EPOCH, SLOT);
        bench.look();
        bench
    }

    fn accept(&mut self, epoch: u64, slot: u32) {
        self.core.answered(self.now, &accepted(epoch, slot)).unwrap();
    }

    fn later(&mut self, milliseconds: u64) -> Vec<Said> {
        self.now += milliseconds * MS;
        self.look()
    }

    fn look(&mut self) -> Vec<Said> {
        self.core.look_around(self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<Said> {
        let said = |answer| match answer {
            Answer::Compute(work) => Said::Compute(work),
            Answer::Result { epoch, payload } => {
                let prefix = ChunkPrefix::decode(&payload).unwrap().0;
                assert_eq!(epoch, prefix.epoch);
                Said::Job(prefix, payload)
            }
            Answer::Heartbeat(payload) => Said::Heartbeat(strict::decode(&payload, Heartbeat::LIMIT).unwrap()),
            Answer::Register(payload) => Said::Register(strict::decode(&payload, Register::LIMIT).unwrap()),
            Answer::Leave(payload) => Said::Leave(strict::decode(&payload, Leave::LIMIT).unwrap()),
            Answer::Map { .. } => panic!("nobody offers memory here"),
        };
        std::iter::from_fn(|| self.core.next_answer()).map(said).collect()
    }

    /// Gives chunks to the instance; what it says to them.
    fn give<'c>(&mut self, chunks: impl IntoIterator<Item = &'c Bytes>) -> Vec<Said> {
        chunks.into_iter().for_each(|chunk| self.core.chunk(self.now, chunk.clone()));
        self.said()
    }

    /// Gives a job, and computes it.
    fn run(&mut self, chunks: &[Bytes]) -> Vec<Said> {
        let work = only_work(self.give(chunks));
        self.compute(work)
    }

    fn compute(&mut self, work: Work) -> Vec<Said> {
        let computed = work.run(&|| 0);
        self.core.computed(computed);
        self.said()
    }

    /// Asks for the result of a job.
    fn resend(&mut self, job: &ChunkPrefix, chunks: &[u16]) -> Vec<Said> {
        let missing = Missing { of: ChunkKind::Result as u8, chunks: chunks.to_vec() };
        self.give(&[control::encode(job, ChunkKind::Resend, &missing)])
    }

    fn hello(&mut self, epoch: u64) {
        let hello = Hello { epoch, tick: 0, protocol: 1, coordinator: String::new() };
        self.core.hello(&strict::encode(&hello));
    }

    fn reject(&mut self, about: &ChunkPrefix, reason: RejectReason) {
        let (epoch, tick, job, attempt) = (EPOCH, about.tick, about.job, about.attempt);
        let rejected = Rejected { epoch, tick, job, attempt, reason, message: "no".into() };
        self.core.rejected(&strict::encode(&rejected));
    }
}

fn accepted(epoch: u64, slot: u32) -> Vec<u8> {
    let known = |schema: engine_component::Schema| KnownComponent { id: schema.id(), schema };
    strict::encode(&RegisterReply::Ok(Accepted {
        epoch,
        slot,
        tick: 0,
        seed: 1,
        dt: 0.5,
        rows_per_shard: 64,
        chunk_bytes: 256,
        keep_ticks: 2,
        heartbeat_ms: 1000,
        in_flight_bytes: 1 << 20,
        components: vec![known(Number::schema()), known(Added::schema())],
        memory: None,
    }))
}

fn prefix(tick: u64, job: u32) -> ChunkPrefix {
    ChunkPrefix { kind: ChunkKind::Job, attempt: 0, job, epoch: EPOCH, tick, chunk: 0, chunks: 1, instance: SLOT }
}

const SIZES: ChunkSizes = ChunkSizes { aim: 256, limit: 1 << 19 };

fn part(rows: usize) -> PartManifest {
    PartManifest {
        source: PartSource::Query,
        number: 0,
        archetype: vec![Number::ID],
        first_row: 0,
        rows: rows as u32,
        entities: None,
        columns: vec![ColumnManifest { column: 0, stride: 4, place: Place::Inline }],
        changed: 0,
    }
}

fn manifest(system: &str, rows: usize) -> JobManifest {
    JobManifest {
        system: system.into(),
        node: 2,
        seed: 1,
        time: WireTime { tick: 1, dt: 0.5, elapsed: 0.0 },
        shared: None,
        jobs: Jobs::one(vec![part(rows)]),
        keep: None,
        chunk_bytes: 256,
        deadline_ms: None,
        traceparent: None,
    }
}

/// The chunks of a job over these numbers.
fn job(prefix: &ChunkPrefix, manifest: &JobManifest, numbers: &[u32]) -> Vec<Bytes> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut writer = ParcelWriter::new(*prefix, SIZES, manifest).unwrap();
    let data = ColumnData::Plain { bytes: &bytes, stride: 4 };
    writer.part(0, numbers.len(), &[OutColumn { column: 0, data }]).unwrap();
    writer.finish().unwrap()
}

/// A job of the system `count` that travels in many chunks, none of its rows odd.
fn long_job(tick: u64, number: u32) -> Vec<Bytes> {
    let numbers: Vec<u32> = (0..500).map(|number| number * 2).collect();
    job(&prefix(tick, number), &manifest("count", 500), &numbers)
}

fn short_job(tick: u64, number: u32) -> Vec<Bytes> {
    job(&prefix(tick, number), &manifest("count", 3), &[2, 3, 4])
}

/// A job of the system `add`, which needs the shared input of its node.
fn sharing_job(tick: u64, number: u32, node: u32) -> Vec<Bytes> {
    let manifest = JobManifest { shared: Some(0), node, ..manifest("add", 2) };
    job(&prefix(tick, number), &manifest, &[10, 20])
}

fn shared_input(tick: u64, node: u32, added: &[u32]) -> Vec<Bytes> {
    let mut batch = EventBatch::of::<Added>();
    added.iter().for_each(|number| batch.push(&Added(*number)));
    let manifest = SharedManifest {
        system: "add".into(),
        node,
        parts: Vec::new(),
        keep: None,
        events: vec![batch.manifest(Added::ID)],
    };
    let prefix = ChunkPrefix { kind: ChunkKind::Shared, ..prefix(tick, node) };
    let mut writer = ParcelWriter::new(prefix, SIZES, &manifest).unwrap();
    writer.stream(0, 0, batch.bytes()).unwrap();
    writer.finish().unwrap()
}

fn only_work(said: Vec<Said>) -> Work {
    let mut works = works(said);
    assert_eq!(works.len(), 1, "one job is ready");
    works.remove(0)
}

fn works(said: Vec<Said>) -> Vec<Work> {
    said.into_iter().filter_map(|said| if let Said::Compute(work) = said { Some(*work) } else { None }).collect()
}

/// Messages of one kind about jobs.
fn of_kind(said: &[Said], kind: ChunkKind) -> Vec<(ChunkPrefix, Bytes)> {
    let about = |said: &Said| match said {
        Said::Job(prefix, payload) if prefix.kind == kind => Some((*prefix, payload.clone())),
        _ => None,
    };
    said.iter().filter_map(about).collect()
}

fn body<T: serde::de::DeserializeOwned>(payload: &Bytes) -> T {
    control::decode(ChunkPrefix::decode(payload).unwrap().1).unwrap()
}

/// What the instance asks for: (tick, job or node, kind of parcel, chunks).
fn asks(said: &[Said]) -> Vec<(u64, u32, u8, Vec<u16>)> {
    let ask = |(prefix, payload): (ChunkPrefix, Bytes)| {
        let missing: Missing = body(&payload);
        (prefix.tick, prefix.job, missing.of, missing.chunks)
    };
    of_kind(said, ChunkKind::Missing).into_iter().map(ask).collect()
}

fn failures(said: &[Said]) -> Vec<Failed> {
    of_kind(said, ChunkKind::Failed).iter().map(|(_, payload)| body(payload)).collect()
}

/// The parcel of the result that was sent.
fn result(said: &[Said]) -> Parcel {
    let chunks = of_kind(said, ChunkKind::Result).into_iter().map(|(_, payload)| payload);
    Parcel::of_chunks(chunks, engine_net::parcel::Limits::default()).unwrap()
}

fn registrations(said: &[Said]) -> usize {
    said.iter().filter(|said| matches!(said, Said::Register(_))).count()
}

fn heartbeats(said: Vec<Said>) -> Vec<Heartbeat> {
    let heartbeat = |said| if let Said::Heartbeat(heartbeat) = said { Some(heartbeat) } else { None };
    said.into_iter().filter_map(heartbeat).collect()
}

fn problem(code: &'static str) -> Vec<u8> {
    strict::encode(&RegisterReply::Error(Problem::new(code, "there is a reason")))
}

fn open_jobs(open_jobs: u32) -> Vec<u8> {
    strict::encode(&Reply::<Leaving>::Ok(Leaving { open_jobs }))
}
