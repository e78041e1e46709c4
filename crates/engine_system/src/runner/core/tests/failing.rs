//! Jobs that can't be run: each is answered with the reason, and the instance goes on.

use engine_component::query::Query;
use serde::{Deserialize, Serialize};

use super::*;

/// What the instance answers to a job that it can't even start.
fn refusal(said: &[Said]) -> String {
    let failures = failures(said);
    assert_eq!((failures.len(), said.len()), (1, 1), "one answer");
    assert_eq!(failures[0].reason, "refused");
    failures[0].message.clone()
}

/// What comes of a job that can be started.
fn failure(bench: &mut Bench, chunks: &[Bytes]) -> (String, String) {
    let failures = failures(&bench.run(chunks));
    assert_eq!(failures.len(), 1, "one answer");
    (failures[0].reason.clone(), failures[0].message.clone())
}

fn goes_on(bench: &mut Bench) {
    assert_eq!(of_kind(&bench.run(&short_job(1, 99)), ChunkKind::Result).len(), 1, "the instance goes on");
}

#[test]
fn a_system_that_is_not_here_is_named_with_those_that_are() {
    let mut bench = Bench::ready();
    let said = bench.give(&job(&prefix(1, 0), &manifest("fly", 1), &[2]));
    assert_eq!(refusal(&said), "instance `i` does not run system `fly`; it runs add, count, watch");
    assert!(bench.give(&job(&prefix(1, 0), &manifest("fly", 1), &[2])).is_empty(), "once");
    assert_eq!(failures(&bench.resend(&prefix(1, 0), &[])).len(), 1, "and again when it is asked");
    goes_on(&mut bench);
}

#[test]
fn a_manifest_that_can_not_be_read_is_refused() {
    let mut bench = Bench::ready();
    let chunks = ParcelWriter::new(prefix(1, 0), SIZES, &"no manifest").unwrap().finish().unwrap();
    let message = refusal(&bench.give(&chunks));
    assert!(message.starts_with("the job's manifest can't be read: "), "{message}");
    goes_on(&mut bench);
}

#[test]
fn a_panic_is_answered_with_its_message() {
    let mut bench = Bench::ready();
    let (reason, message) = failure(&mut bench, &job(&prefix(1, 0), &manifest("count", 2), &[2, 13]));
    assert_eq!(reason, "panic");
    assert_eq!(message, "system `count` panicked: thirteen is not counted");
    assert_eq!(failures(&bench.resend(&prefix(1, 0), &[])).len(), 1);
    goes_on(&mut bench);
}

#[derive(Component, Clone, Debug, Deserialize)]
#[component(name = "t.Shy", document)]
struct Shy {
    seen: bool,
}

impl Serialize for Shy {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("not in front of everybody")
    }
}

fn see(mut all: Query<&mut Shy>) {
    for shy in &mut all {
        shy.seen = true;
    }
}

#[test]
fn a_panic_behind_the_system_is_answered_too() {
    let mut bench = Bench::new();
    bench.core = InstanceCore::new("i".into(), 5, vec![Arc::from(see.into_system("see").unwrap())], 1 << 20).unwrap();
    bench.look();
    bench.accept(EPOCH, SLOT);
    let column = ColumnManifest { column: 0, stride: 0, place: Place::Inline };
    let part = PartManifest { archetype: vec![Shy::ID], columns: vec![column], ..part(1) };
    let manifest = JobManifest { jobs: Jobs::one(vec![part]), ..manifest("see", 1) };
    let mut writer = ParcelWriter::new(prefix(1, 0), SIZES, &manifest).unwrap();
    let rows = vec![[&[0x81, 0xa4][..], b"seen", &[0xc2]].concat()];
    writer.part(0, 1, &[OutColumn { column: 0, data: ColumnData::Documents(&rows) }]).unwrap();
    let (reason, message) = failure(&mut bench, &writer.finish().unwrap());
    assert_eq!((reason.as_str(), message.as_str()), ("panic", "system `see` panicked: not in front of everybody"));
}

#[test]
fn parts_that_the_system_does_not_declare_are_refused() {
    let undeclared = |change: &dyn Fn(&mut PartManifest)| {
        let mut bench = Bench::ready();
        let mut part = part(1);
        change(&mut part);
        let manifest = JobManifest { jobs: Jobs::one(vec![part]), ..manifest("count", 1) };
        let (reason, message) = failure(&mut bench, &job(&prefix(1, 0), &manifest, &[2]));
        assert_eq!(reason, "refused");
        goes_on(&mut bench);
        message
    };
    assert_eq!(
        undeclared(&|part| part.number = 1),
        "the job has a part for Query 1, which the system does not declare"
    );
    let message = undeclared(&|part| part.source = PartSource::View);
    assert_eq!(message, "the job has a part for View 0, which the system does not declare");
    let message = undeclared(&|part| part.columns[0].place = Place::Elsewhere);
    assert!(message.starts_with("the column of `t.Number` comes in a way or a layout"), "{message}");
    let message = undeclared(&|part| part.archetype.clear());
    assert_eq!(message, "`t.Number`: the job has rows without it, and the system wants it of every row");
    let message = undeclared(&|part| part.columns[0].stride = 8);
    assert!(message.contains("part 0, column 0"), "{message}");
    let message = undeclared(&|part| part.rows = 2);
    assert!(message.contains("part 0, column 0"), "{message}");
    let message = undeclared(&|part| part.changed = 65);
    assert!(message.contains("bitmaps of changed rows: 65"), "{message}");
}

#[test]
fn a_shared_input_that_can_not_be_read_fails_the_jobs_that_need_it() {
    let mut bench = Bench::ready();
    let shared = ChunkPrefix { kind: ChunkKind::Shared, ..prefix(1, 3) };
    bench.give(&ParcelWriter::new(shared, SIZES, &7_u8).unwrap().finish().unwrap());
    for number in 0..2 {
        let (reason, message) = failure(&mut bench, &sharing_job(1, number, 3));
        assert_eq!(reason, "refused");
        assert!(message.starts_with("the manifest of the shared input can't be read: "), "{message}");
    }
    goes_on(&mut bench);
}

#[test]
fn events_that_are_none_are_refused() {
    let mut bench = Bench::ready();
    let events = EventManifest { event: Added::ID, count: 2, bytes: 4 };
    let manifest =
        SharedManifest { system: "add".into(), node: 3, parts: Vec::new(), keep: None, events: vec![events] };
    let shared = ChunkPrefix { kind: ChunkKind::Shared, ..prefix(1, 3) };
    let mut writer = ParcelWriter::new(shared, SIZES, &manifest).unwrap();
    writer.stream(0, 0, &[1, 0, 0, 0]).unwrap();
    bench.give(&writer.finish().unwrap());
    let (reason, message) = failure(&mut bench, &sharing_job(1, 0, 3));
    assert_eq!(reason, "refused");
    assert!(message.contains("`t.Added`"), "{message}");
}

#[test]
fn a_bitmap_of_changed_rows_reaches_the_filter() {
    let mut bench = Bench::ready();
    let manifest =
        JobManifest { jobs: Jobs::one(vec![PartManifest { changed: 1, ..part(2) }]), ..manifest("watch", 2) };
    let watched = |changed: bool| {
        let mut rows = engine_component::BitRows::new(2);
        if changed {
            rows.set(1);
        }
        let mut writer = ParcelWriter::new(prefix(1, u32::from(changed)), SIZES, &manifest).unwrap();
        let numbers = OutColumn { column: 0, data: ColumnData::Plain { bytes: &[0; 8], stride: 4 } };
        let changed = OutColumn { column: 0, data: ColumnData::Changed(&rows) };
        writer.part(0, 2, &[numbers, changed]).unwrap();
        writer.finish().unwrap()
    };
    assert_eq!(failure(&mut bench, &watched(false)).0, "panic", "no row changed");
    assert_eq!(failures(&bench.run(&watched(true))), []);
}
