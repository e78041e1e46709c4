//! Parcels of any parts, cut at any size, in any order of arrival, hold what was put in; and no change to
//! their bytes makes the reader panic or believe what was not declared.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use engine_component::{BitRows, ComponentId, Entity};
use engine_net::parcel::{
    Assembler, Body, ChunkSizes, ColumnData, ColumnManifest, Expect, JobEffects, JobManifest, Jobs, Limits, OutColumn,
    Parcel, ParcelWriter, PartManifest, PartSource, Place, Progress, ResultManifest, WireTime,
};
use engine_net::{ChunkKind, ChunkPrefix};
use proptest::prelude::*;

fn prefix(kind: ChunkKind) -> ChunkPrefix {
    ChunkPrefix { kind, attempt: 1, job: 3, epoch: 9, tick: 100, chunk: 0, chunks: 1, instance: 2 }
}

/// A part as it is before and after its travel.
#[derive(Clone, Debug, PartialEq)]
struct Rows {
    entities: Vec<Entity>,
    plain: Vec<(usize, Vec<u8>)>,
    documents: Vec<Vec<u8>>,
    changed: BitRows,
}

impl Rows {
    fn len(&self) -> usize {
        self.entities.len()
    }

    fn manifest(&self) -> PartManifest {
        let column = |column: usize, stride: usize| ColumnManifest {
            column: column as u16,
            stride: stride as u32,
            place: Place::Inline,
        };
        let mut columns = vec![column(0, 0)];
        columns.extend(self.plain.iter().enumerate().map(|(at, (stride, _))| column(at + 1, *stride)));
        PartManifest {
            source: PartSource::Query,
            number: 0,
            archetype: vec![ComponentId::of_name("test.A")],
            first_row: 0,
            rows: self.len() as u32,
            entities: Some(Place::Inline),
            columns,
            changed: 1,
        }
    }

    fn write(&self, part: usize, writer: &mut ParcelWriter) {
        let mut columns = vec![
            OutColumn { column: 0, data: ColumnData::Entities(&self.entities) },
            OutColumn { column: 0, data: ColumnData::Documents(&self.documents) },
            OutColumn { column: 0, data: ColumnData::Changed(&self.changed) },
        ];
        for (at, (stride, bytes)) in self.plain.iter().enumerate() {
            columns.push(OutColumn { column: at as u16 + 1, data: ColumnData::Plain { bytes, stride: *stride } });
        }
        writer.part(part as u16, self.len(), &columns).unwrap();
    }

    fn write_dirty(&self, part: usize, dirty: &BitRows, writer: &mut ParcelWriter) {
        let mut columns =
            vec![OutColumn { column: 0, data: ColumnData::DirtyDocuments { rows: &self.documents, dirty } }];
        for (at, (stride, bytes)) in self.plain.iter().enumerate() {
            let data = ColumnData::DirtyPlain { bytes, stride: *stride, dirty };
            columns.push(OutColumn { column: at as u16 + 1, data });
        }
        writer.part(part as u16, self.len(), &columns).unwrap();
    }

    /// What a receiver allocates after the parcel was verified.
    fn blank(&self) -> Self {
        Self {
            entities: Vec::new(),
            plain: self.plain.iter().map(|(stride, bytes)| (*stride, vec![0; bytes.len()])).collect(),
            documents: vec![Vec::new(); self.len()],
            changed: BitRows::new(self.len()),
        }
    }
}

/// Copies sections into parts, as a receiver does.
fn read(parcel: &Parcel, parts: &mut [Rows]) -> Vec<u8> {
    let mut stream = Vec::new();
    for section in parcel.sections() {
        let section = section.unwrap();
        let first = section.first_row as usize;
        if let Body::Stream(data) = section.body {
            stream.extend_from_slice(data);
            continue;
        }
        let part = &mut parts[section.part as usize];
        match section.body {
            Body::Entities(data) => {
                part.entities.extend(data.as_chunks().0.iter().map(|b| Entity::from_bits(u64::from_le_bytes(*b))));
            }
            Body::Plain(data) => {
                let (stride, bytes) = &mut part.plain[section.column as usize - 1];
                bytes[first * *stride..][..data.len()].copy_from_slice(data);
            }
            Body::Documents(documents) => {
                for (at, document) in documents.iter().enumerate() {
                    part.documents[first + at] = document.to_vec();
                }
            }
            Body::Changed(bits) => {
                part.changed.add_at(first, &bits.to_rows());
            }
            Body::PackedPlain(bits, data) => {
                let (stride, bytes) = &mut part.plain[section.column as usize - 1];
                for (row, value) in bits.ones().zip(data.chunks_exact(*stride)) {
                    bytes[(first + row) * *stride..][..*stride].copy_from_slice(value);
                }
            }
            Body::PackedDocuments(bits, documents) => {
                for (row, document) in bits.ones().zip(documents.iter()) {
                    part.documents[first + row] = document.to_vec();
                }
            }
            Body::Stream(_) => unreachable!(),
        }
    }
    stream
}

fn job(parts: &[Rows]) -> JobManifest {
    JobManifest {
        system: "test".to_owned(),
        node: 1,
        seed: 7,
        time: WireTime { tick: 100, dt: 0.016, elapsed: 1.6 },
        shared: None,
        jobs: Jobs::one(parts.iter().map(Rows::manifest).collect()),
        keep: None,
        chunk_bytes: 24 << 10,
        deadline_ms: None,
        traceparent: None,
    }
}

fn write_job(parts: &[Rows], sizes: ChunkSizes) -> Vec<Bytes> {
    let mut writer = ParcelWriter::new(prefix(ChunkKind::Job), sizes, &job(parts)).unwrap();
    parts.iter().enumerate().for_each(|(at, part)| part.write(at, &mut writer));
    writer.finish().unwrap()
}

fn bits(flags: &[bool]) -> BitRows {
    let mut rows = BitRows::new(flags.len());
    flags.iter().enumerate().filter(|(_, flag)| **flag).for_each(|(row, _)| rows.set(row));
    rows
}

fn rows() -> impl Strategy<Value = Rows> {
    (0_usize..400, proptest::collection::vec(1_usize..40, 0..4), any::<u8>()).prop_flat_map(|(rows, strides, seed)| {
        let documents = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), rows);
        let changed = proptest::collection::vec(any::<bool>(), rows);
        (documents, changed).prop_map(move |(documents, changed)| Rows {
            entities: (0..rows as u64).map(|row| Entity::from_bits(row * 3 + 1)).collect(),
            plain: strides
                .iter()
                .map(|stride| (*stride, (0..rows * stride).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect()))
                .collect(),
            documents,
            changed: bits(&changed),
        })
    })
}

fn sizes() -> impl Strategy<Value = ChunkSizes> {
    prop_oneof![Just(64_usize), 200_usize..3000, Just(24 << 10)].prop_map(|aim| ChunkSizes { aim, limit: 1 << 20 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn jobs_arrive_as_they_were_sent(
        parts in proptest::collection::vec(rows(), 0..4),
        sizes in sizes(),
        order in any::<u64>(),
    ) {
        let chunks = write_job(&parts, sizes);
        let mut shuffled: Vec<Bytes> = chunks.iter().chain(&chunks[..chunks.len() / 3]).cloned().collect();
        shuffle(&mut shuffled, order);
        let (first, _) = ChunkPrefix::decode(&shuffled[0]).unwrap();
        let mut assembler = Assembler::new(&first, Limits::default()).unwrap();
        let mut completed = 0;
        for chunk in shuffled {
            completed += usize::from(assembler.push(chunk).unwrap() == Progress::Complete);
        }
        prop_assert_eq!(completed, 1);
        prop_assert_eq!(assembler.duplicates() as usize, chunks.len() / 3);
        let parcel = assembler.finish().unwrap();
        let manifest: JobManifest = parcel.manifest().unwrap();
        prop_assert_eq!(&manifest, &job(&parts));
        Expect::input(&manifest.jobs.parts().unwrap(), &[]).verify(&parcel).unwrap();
        let mut arrived: Vec<Rows> = parts.iter().map(Rows::blank).collect();
        read(&parcel, &mut arrived);
        prop_assert_eq!(arrived, parts);
        if sizes.aim >= 3000 {
            prop_assert!(chunks[1..].iter().all(|chunk| chunk.len() <= sizes.aim), "no chunk is larger than wished");
        }
    }

    #[test]
    fn results_change_the_dirty_rows_and_no_others(
        (part, dirty) in rows().prop_flat_map(|part| {
            let flags = prop_oneof![
                proptest::collection::vec(any::<bool>(), part.len()),
                Just(vec![true; part.len()]),
                Just(vec![false; part.len()]),
                proptest::collection::vec(proptest::bool::weighted(0.02), part.len()),
                proptest::collection::vec(proptest::bool::weighted(0.99), part.len()),
            ];
            (Just(part), flags)
        }),
        commands in proptest::collection::vec(any::<u8>(), 0..500),
        sizes in sizes(),
        other in sizes(),
    ) {
        let dirty = bits(&dirty);
        let write = |sizes: ChunkSizes, compute_ns: u64| {
            let effects = JobEffects { job: 0, commands_bytes: commands.len() as u64, events: vec![] };
            let manifest = ResultManifest { compute_ns, wait_ns: 0, rest_ns: 0, jobs: vec![effects], mapped: Vec::new() };
            let mut writer = ParcelWriter::new(prefix(ChunkKind::Result), sizes, &manifest).unwrap();
            part.write_dirty(0, &dirty, &mut writer);
            writer.stream(0, 0, &commands).unwrap();
            Parcel::of_chunks(writer.finish().unwrap(), Limits::default()).unwrap()
        };
        let parcel = write(sizes, 5);
        let manifest: ResultManifest = parcel.manifest().unwrap();
        let expect = Expect::result(&[part.manifest()], |_, _| true, vec![manifest.jobs[0].commands_bytes]);
        expect.verify(&parcel).unwrap();
        let mut arrived = vec![part.blank()];
        prop_assert_eq!(&read(&parcel, &mut arrived), &commands);
        for row in 0..part.len() {
            let same = |sent: &[u8], got: &[u8]| if dirty.get(row) { sent == got } else { got.iter().all(|b| *b == 0) };
            prop_assert!(same(&part.documents[row], &arrived[0].documents[row]));
            for ((stride, sent), (_, got)) in part.plain.iter().zip(&arrived[0].plain) {
                let range = row * stride..(row + 1) * stride;
                prop_assert!(same(&sent[range.clone()], &got[range]));
            }
        }
        prop_assert_eq!(parcel.digest().unwrap(), write(other, 1 << 50).digest().unwrap());
        if part.plain.is_empty() {
            return Ok(());
        }
        let nothing = Expect::result(&[part.manifest()], |_, column| column == 0, vec![manifest.jobs[0].commands_bytes]);
        prop_assert_eq!(nothing.verify(&parcel).is_err(), dirty.any(), "columns that may not be written are refused");
    }

    #[test]
    fn changed_bytes_never_panic(
        part in rows(),
        sizes in sizes(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of((any::<proptest::sample::Index>(), any::<proptest::sample::Index>())),
    ) {
        let mut chunks: Vec<Vec<u8>> = write_job(std::slice::from_ref(&part), sizes).iter().map(|c| c.to_vec()).collect();
        for (chunk, at, value) in edits {
            let chunk = chunk.index(chunks.len());
            let at = at.index(chunks[chunk].len());
            chunks[chunk][at] = value;
        }
        if let Some((chunk, at)) = cut {
            let chunk = chunk.index(chunks.len());
            let at = at.index(chunks[chunk].len());
            chunks[chunk].truncate(at);
        }
        let Ok(parcel) = Parcel::of_chunks(chunks.into_iter().map(Bytes::from), Limits::default()) else { return Ok(()) };
        parcel.sections().for_each(drop);
        let _ = parcel.digest();
        // Whatever the bytes say now: what verifies can be copied into the rows that were really sent.
        if Expect::input(&[part.manifest()], &[]).verify(&parcel).is_ok() {
            let mut arrived = vec![part.blank()];
            read(&parcel, &mut arrived);
        }
        let _ = parcel.manifest::<JobManifest>();
    }
}

fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for at in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(at, (seed >> 33) as usize % (at + 1));
    }
}

#[test]
fn large_documents_get_chunks_of_their_own_and_too_large_ones_are_an_error() {
    let sizes = ChunkSizes { aim: 1000, limit: 100_000 };
    let write = |bytes: usize| {
        let documents = vec![vec![1_u8; 10], vec![2; bytes], vec![3; 10]];
        let manifest = ResultManifest { compute_ns: 0, wait_ns: 0, rest_ns: 0, jobs: Vec::new(), mapped: Vec::new() };
        let mut writer = ParcelWriter::new(prefix(ChunkKind::Result), sizes, &manifest).unwrap();
        let column = OutColumn { column: 0, data: ColumnData::Documents(&documents) };
        writer.part(0, 3, &[column]).map(|()| writer.finish().unwrap())
    };
    let chunks = write(50_000).unwrap();
    assert!(chunks.iter().all(|chunk| chunk.len() <= sizes.limit));
    let parcel = Parcel::of_chunks(chunks, Limits::default()).unwrap();
    let lengths: Vec<usize> = parcel
        .sections()
        .flat_map(|section| match section.unwrap().body {
            Body::Documents(documents) => documents.iter().map(<[u8]>::len).collect::<Vec<_>>(),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(lengths, [10, 50_000, 10]);
    let error = write(100_000).unwrap_err().to_string();
    assert!(error.contains("row 1 of part 0 needs"), "{error}");
}

#[test]
fn columns_of_a_range_of_rows_travel_together() {
    let rows = 10_000;
    let (positions, velocities) = (vec![1_u8; rows * 12], vec![2_u8; rows * 12]);
    let manifest = ResultManifest { compute_ns: 0, wait_ns: 0, rest_ns: 0, jobs: vec![], mapped: Vec::new() };
    let mut writer = ParcelWriter::new(prefix(ChunkKind::Job), ChunkSizes::default(), &manifest).unwrap();
    let columns = [&positions, &velocities].map(|bytes| ColumnData::Plain { bytes, stride: 12 });
    let columns = [0, 1].map(|column| OutColumn { column, data: columns[usize::from(column)] });
    writer.part(0, rows, &columns).unwrap();
    let chunks = writer.finish().unwrap();
    assert!(chunks.iter().all(|chunk| chunk.len() <= 24 << 10));
    assert_eq!(chunks.len(), (rows * 24).div_ceil((24 << 10) - 200));
    let parcel = Parcel::of_chunks(chunks, Limits::default()).unwrap();
    let ranges: Vec<(u16, u32, u32)> =
        parcel.sections().map(|s| s.map(|s| (s.column, s.first_row, s.end())).unwrap()).collect();
    for pair in ranges.chunks(2) {
        assert_eq!((pair[0].0, pair[1].0), (0, 1));
        assert_eq!((pair[0].1, pair[0].2), (pair[1].1, pair[1].2));
    }
}
