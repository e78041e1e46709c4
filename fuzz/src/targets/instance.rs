//! All that an instance is sent: jobs and shared inputs, honest, damaged and made up; control messages.

use std::sync::OnceLock;

use bytes::Bytes;
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::parcel::{Check, JobManifest, Jobs, Keep, Parcel, Place, SharedManifest};
use engine_net::prefix::PREFIX_BYTES;
use engine_net::{ChunkKind, ChunkPrefix, strict};
use engine_system::runner::{Answer, InstanceCore};

use crate::Seeds;
use crate::cluster::{self, Cluster};
use crate::script::{Script, Writer};

const MOST_STEPS: usize = 48;
/// Chunks that answer one message, at the most: an instance does not multiply what it is sent.
const MOST_ANSWERS: usize = 4096;

/// What a registered instance is sent when all is well.
struct Traffic {
    accepted: Bytes,
    chunks: Vec<Bytes>,
}

fn traffic() -> &'static Traffic {
    static TRAFFIC: OnceLock<Traffic> = OnceLock::new();
    TRAFFIC.get_or_init(|| {
        let mut cluster = Cluster::new(1);
        for _ in 0..3 {
            cluster.step();
            cluster.deliver_all();
        }
        let accepted = cluster.accepted.first().expect("it was registered").clone();
        Traffic { accepted, chunks: cluster.sent }
    })
}

pub(super) fn run(input: &[u8]) {
    let traffic = traffic();
    let mut script = Script::new(input);
    let mut core = cluster::instance(0);
    let mut now = 1;
    core.look_around(now);
    let accepted = if script.byte() == 1 { script.damaged(&traffic.accepted) } else { traffic.accepted.clone() };
    let _ = core.answered(now, &accepted);
    for _ in 0..MOST_STEPS {
        if script.is_over() {
            break;
        }
        now += 1_000_000;
        step(&mut core, &mut now, &mut script, traffic);
        answer(&mut core, now);
    }
}

fn step(core: &mut InstanceCore, now: &mut u64, script: &mut Script<'_>, traffic: &Traffic) {
    match script.byte() % 8 {
        0 => {
            let from = script.below(traffic.chunks.len());
            let many = script.below(64);
            traffic.chunks[from..].iter().take(many).for_each(|chunk| core.chunk(*now, chunk.clone()));
        }
        1 => {
            let chunk = script.choose(&traffic.chunks);
            core.chunk(*now, script.damaged(chunk));
        }
        2 => {
            let mut made_up = script.choose(&traffic.chunks)[..PREFIX_BYTES].to_vec();
            if script.byte().is_multiple_of(2) {
                // One chunk is all of it.
                made_up[24..28].copy_from_slice(&[0, 0, 1, 0]);
            }
            made_up.extend(script.block());
            core.chunk(*now, made_up.into());
        }
        3 => {
            let chunk = script.choose(&traffic.chunks);
            for forged in other_manifest(traffic, chunk, script) {
                core.chunk(*now, forged);
            }
        }
        4 => core.hello(script.block()),
        5 => core.rejected(script.block()),
        6 => {
            *now += u64::from(script.byte()) * 10_000_000;
            core.look_around(*now);
        }
        _ => {
            let _ = core.answered(*now, script.block());
        }
    }
}

/// The parcel of a chunk, with numbers in its manifest changed.
fn other_manifest(traffic: &Traffic, chunk: &Bytes, script: &mut Script<'_>) -> Vec<Bytes> {
    let Ok((prefix, _)) = ChunkPrefix::decode(chunk) else { return Vec::new() };
    let own = traffic
        .chunks
        .iter()
        .filter(|other| ChunkPrefix::decode(other).is_ok_and(|(other, _)| other.parcel() == prefix.parcel()));
    let mut chunks: Vec<Bytes> = own.cloned().collect();
    let Ok(parcel) = Parcel::of_chunks(chunks.clone(), Default::default()) else { return Vec::new() };
    let manifest = match prefix.kind {
        ChunkKind::Job => parcel.manifest::<JobManifest>().ok().map(|mut manifest| {
            match script.byte() % 4 {
                0 => manifest.node = u32::from(script.byte()),
                1 => manifest.shared = manifest.shared.map_or(Some(script.byte().into()), |_| None),
                2 => manifest.chunk_bytes = script.long() as u32,
                _ => manifest.time.tick = script.long(),
            }
            other_jobs(&mut manifest, script);
            strict::encode(&manifest)
        }),
        _ => parcel.manifest::<SharedManifest>().ok().map(|mut manifest| {
            for event in &mut manifest.events {
                match script.byte() % 4 {
                    0 => event.count = script.long() as u32,
                    1 => event.bytes = script.long(),
                    _ => {}
                }
            }
            manifest.parts.iter_mut().for_each(|part| change(part, script));
            strict::encode(&manifest)
        }),
    };
    let Some(manifest) = manifest else { return Vec::new() };
    let Some(first) = chunks.first_mut() else { return Vec::new() };
    let old = strict::measure(&first[PREFIX_BYTES..]).unwrap_or(0);
    let mut bytes = first[..PREFIX_BYTES].to_vec();
    bytes.extend(&manifest);
    // Data stays aligned, when the manifest has the length that it had.
    bytes.extend(&first[PREFIX_BYTES + old..]);
    *first = bytes.into();
    chunks
}

const PLACES: [Place; 4] = [Place::Inline, Place::Kept, Place::Changed, Place::Elsewhere];

/// Other jobs, and another opinion of what the instance has kept.
fn other_jobs(manifest: &mut JobManifest, script: &mut Script<'_>) {
    match &mut manifest.jobs {
        Jobs::List(list) => {
            list.kinds.iter_mut().for_each(|kind| change(kind, script));
            for part in list.jobs.iter_mut().flatten() {
                match script.byte() % 8 {
                    0 => part.0 = u16::from(script.byte()),
                    1 => part.1 = script.long() as u32,
                    2 => part.2 = script.long() as u32,
                    _ => {}
                }
            }
        }
        Jobs::Again(digest) => *digest ^= u64::from(script.byte()),
    }
    match script.byte() % 8 {
        0 => manifest.keep = None,
        1 => manifest.jobs = Jobs::Again(script.long()),
        2 => {
            let check = Some(Check { part: 0, column: u16::from(script.byte() % 4), digest: script.long() });
            manifest.keep = Some(Keep { stamp: script.long(), bases: script.long() % 2, check });
        }
        _ => {}
    }
}

fn change(part: &mut engine_net::parcel::PartManifest, script: &mut Script<'_>) {
    match script.byte() % 16 {
        0 => part.rows = script.long() as u32,
        1 => part.first_row = script.long() as u32,
        2 => part.entities = part.entities.map_or(Some(*script.choose(&PLACES)), |_| None),
        3 => part.number = u16::from(script.byte()),
        4 => part.changed = u16::from(script.byte()),
        5 => part.archetype.truncate(script.below(4)),
        6 => part.columns.truncate(script.below(4)),
        7 => {
            let (column, stride) = (u16::from(script.byte()), u32::from(script.short()));
            if let Some(first) = part.columns.first_mut() {
                (first.column, first.stride) = (column, stride);
            }
        }
        8 => part.columns.extend_from_within(..),
        10 => {
            if let Some(first) = part.columns.first_mut() {
                first.place = *script.choose(&PLACES);
            }
        }
        9 => part.archetype.reverse(),
        _ => {}
    }
}

/// Does what the instance wants done; whatever it sends has to be well formed.
fn answer(core: &mut InstanceCore, now: u64) {
    let mut count = 0;
    while let Some(answer) = core.next_answer() {
        count += 1;
        assert!(count < MOST_ANSWERS, "it goes on answering");
        match answer {
            Answer::Compute(work) => {
                if core.wants(&work) {
                    core.computed(work.run(&|| now));
                }
            }
            Answer::Result { payload, .. } => {
                ChunkPrefix::decode(&payload).expect("an instance sends chunks");
            }
            Answer::Heartbeat(_) | Answer::Register(_) | Answer::Leave(_) | Answer::Map { .. } => {}
        }
    }
}

pub(super) fn seeds() -> Seeds {
    let count = traffic().chunks.len() as u8;
    let honest = (0..count).step_by(60).fold(Writer::default().byte(0), |script, at| script.byte(0).byte(at).byte(63));
    let forged = (0..8).fold(Writer::default().byte(0), |script, at| {
        script.byte(3).byte(at).byte(0).byte(0).byte(0).long(1 << 31).byte(16)
    });
    let damaged =
        (0..8).fold(Writer::default().byte(0), |script, at| script.byte(1).byte(at).byte(1).byte(0).short(60).byte(1));
    let rejected =
        Rejected { epoch: 7, tick: 1, job: 0, attempt: 0, reason: RejectReason::Garbage, message: "so".into() };
    let control = Writer::default().byte(0).byte(5).block(strict::encode(&rejected)).byte(6).byte(200).byte(6).byte(9);
    vec![
        ("honest", honest.end()),
        ("forged", forged.end()),
        ("damaged", damaged.end()),
        ("control", control.end()),
        ("accepted", Writer::default().byte(1).byte(1).byte(0).short(30).byte(1).end()),
    ]
}
