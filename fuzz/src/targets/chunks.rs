//! Chunks: prefixes, manifests, sections, what was declared, and the few control messages among them.

use bytes::Bytes;
use engine_net::parcel::control::{self, Failed, Missing};
use engine_net::parcel::{
    Assembler, Body, Expect, JobEffects, JobManifest, Limits, Parcel, Progress, ResultManifest, SharedManifest,
};
use engine_net::prefix::PREFIX_BYTES;
use engine_net::{ChunkKind, ChunkPrefix};

use crate::Seeds;
use crate::cluster::Cluster;
use crate::script::{Script, Writer};

const LIMITS: Limits = Limits { chunks: 64, bytes: 1 << 20 };

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    // Half of the inputs have prefixes that fit, so that bodies are reached.
    let mended = script.byte().is_multiple_of(2);
    let mut chunks = Vec::new();
    while !script.is_over() && chunks.len() < 16 {
        let block = script.block();
        single(block);
        chunks.push(block.to_vec());
    }
    if mended {
        mend(&mut chunks);
    }
    let chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
    assemble(&chunks);
    if let Ok(parcel) = Parcel::of_chunks(chunks, LIMITS) {
        look_at(&parcel);
    }
}

fn single(payload: &[u8]) {
    let Ok((prefix, body)) = ChunkPrefix::decode(payload) else { return };
    assert_eq!(prefix.encode(), payload[..PREFIX_BYTES], "a prefix is written as it was read");
    if let Ok(missing) = control::decode::<Missing>(body) {
        let again = control::encode(&prefix, ChunkKind::Missing, &missing);
        assert_eq!(control::decode::<Missing>(&again[PREFIX_BYTES..]), Ok(missing.clone()));
        if let Some(wanted) = missing.wanted(100) {
            assert!(wanted.is_sorted() && wanted.iter().all(|number| *number < 100));
        }
    }
    if let Ok(failed) = control::decode::<Failed>(body) {
        let again = control::encode(&prefix, ChunkKind::Failed, &failed);
        assert_eq!(control::decode::<Failed>(&again[PREFIX_BYTES..]), Ok(failed));
    }
}

/// Gives all chunks one prefix, numbered.
fn mend(chunks: &mut [Vec<u8>]) {
    let count = chunks.len() as u16;
    for (number, chunk) in chunks.iter_mut().enumerate() {
        let kind = chunk.first().map_or(ChunkKind::Job, |byte| match byte % 3 {
            0 => ChunkKind::Job,
            1 => ChunkKind::Shared,
            _ => ChunkKind::Result,
        });
        let prefix = ChunkPrefix {
            kind,
            attempt: 0,
            job: 1,
            epoch: 1,
            tick: 1,
            chunk: number as u16,
            chunks: count,
            instance: 1,
        };
        chunk.resize(chunk.len().max(PREFIX_BYTES), 0);
        chunk[..PREFIX_BYTES].copy_from_slice(&prefix.encode());
    }
    let kinds: Vec<u8> = chunks.iter().map(|chunk| chunk[0]).collect();
    if let Some(first) = kinds.first() {
        chunks.iter_mut().for_each(|chunk| chunk[0] = *first);
    }
}

/// In whatever order: backwards here, forwards in [`Parcel::of_chunks`].
fn assemble(chunks: &[Bytes]) {
    let Some(Ok((prefix, _))) = chunks.last().map(|chunk| ChunkPrefix::decode(chunk)) else { return };
    let Ok(mut assembler) = Assembler::new(&prefix, LIMITS) else { return };
    for chunk in chunks.iter().rev() {
        let before = assembler.bytes();
        match assembler.push(chunk.clone()) {
            Ok(Progress::Need(need)) => assert_eq!(assembler.missing().count(), usize::from(need)),
            Ok(Progress::Complete) => assert!(assembler.is_complete()),
            Ok(Progress::Duplicate) | Err(_) => assert_eq!(assembler.bytes(), before, "nothing was added"),
        }
    }
    if assembler.is_complete() {
        let parcel = assembler.finish().expect("it is complete");
        assert!(Parcel::of_chunks(parcel.chunks().to_vec(), LIMITS).is_ok());
    }
}

fn look_at(parcel: &Parcel) {
    let digest = parcel.digest();
    assert_eq!(digest.is_ok(), parcel.sections().all(|section| section.is_ok()));
    for section in parcel.sections().map_while(Result::ok) {
        match section.body {
            Body::Documents(documents) | Body::PackedDocuments(_, documents) => {
                assert_eq!(documents.iter().count(), documents.len());
            }
            Body::Changed(bits) => assert_eq!(bits.ones().count(), bits.count()),
            _ => {}
        }
    }
    if let Ok(manifest) = parcel.manifest::<JobManifest>() {
        let parts = manifest.jobs.parts().unwrap_or_default();
        verify(&Expect::input(&parts, &[]), parcel);
        verify(&Expect::result(&parts, |_, column| column % 2 == 0, vec![8]), parcel);
    }
    if let Ok(manifest) = parcel.manifest::<SharedManifest>() {
        verify(&Expect::input(&manifest.parts, &manifest.events), parcel);
    }
    if let Ok(manifest) = parcel.manifest::<ResultManifest>() {
        let of_job = |job: &JobEffects| {
            std::iter::once(job.commands_bytes).chain(job.events.iter().map(|event| event.bytes)).collect::<Vec<_>>()
        };
        let streams = manifest.jobs.iter().flat_map(of_job);
        verify(&Expect::result(&[], |_, _| true, streams.collect()), parcel);
    }
}

/// What is accepted has all the bytes that it claims.
fn verify(expect: &Expect, parcel: &Parcel) {
    if expect.verify(parcel).is_err() {
        return;
    }
    let claimed: u64 = expect.streams.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    assert!(claimed <= parcel.bytes() as u64, "streams claim bytes that did not come");
    for part in &expect.parts {
        let wanted = part.columns.iter().filter(|column| column.all_rows).map(|column| u64::from(column.stride));
        let bytes = wanted.sum::<u64>().saturating_mul(u64::from(part.rows));
        assert!(bytes <= parcel.bytes() as u64, "rows claim bytes that did not come");
    }
}

pub(super) fn seeds() -> Seeds {
    let mut cluster = Cluster::new(1);
    cluster.step();
    let mut found: Vec<(&'static str, Vec<Bytes>)> = Vec::new();
    let results: Vec<Bytes> = cluster.held.iter().map(|(_, payload)| payload.clone()).collect();
    for (name, kind, payloads) in [
        ("job", ChunkKind::Job, &cluster.sent),
        ("shared", ChunkKind::Shared, &cluster.sent),
        ("result", ChunkKind::Result, &results),
    ] {
        let of_kind = |payload: &&Bytes| ChunkPrefix::decode(payload).is_ok_and(|(prefix, _)| prefix.kind == kind);
        let first =
            payloads.iter().find(of_kind).map(|payload| ChunkPrefix::decode(payload).expect("its own").0.parcel());
        let whole = payloads
            .iter()
            .filter(|payload| ChunkPrefix::decode(payload).is_ok_and(|(prefix, _)| Some(prefix.parcel()) == first));
        found.push((name, whole.cloned().collect()));
    }
    found
        .into_iter()
        .filter(|(_, chunks)| !chunks.is_empty())
        .map(|(name, chunks)| {
            let script = chunks.iter().fold(Writer::default().byte(1), Writer::block);
            (name, script.end())
        })
        .collect()
}
