//! `docs/protocol.md` says what the code does: its examples in bytes are the encoder's output, its tables
//! name every message with its version and limit, and every field of every message occurs.
//!
//! `ENGINE_BLESS=1` writes the examples anew.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use engine_component::commands::CommandBuffer;
use engine_component::query::{ColumnAccess, Filter, QueryDescriptor};
use engine_component::schema::Schema;
use engine_component::{ArchetypeId, BitRows, ComponentId, Entity};
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages;
use engine_net::parcel::{
    ChunkSizes, ColumnData, ColumnManifest, Expect, JobEffects, JobManifest, Jobs, Limits, Missing, OutColumn, Parcel,
    ParcelWriter, PartManifest, PartSource, Place, ResultManifest, WireTime, control,
};
use engine_net::prefix::PREFIX_BYTES;
use engine_net::{ChunkKind, ChunkPrefix, strict};

const POSITION: ComponentId = ComponentId::of_name("physics.Position");
const VELOCITY: ComponentId = ComponentId::of_name("physics.Velocity");

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md")
}

fn document() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// The text of a fenced block: from the line behind "```<info>" to the line before "```".
fn block(document: &str, info: &str) -> std::ops::Range<usize> {
    let opening = format!("```{info}\n");
    let start = document.find(&opening).unwrap_or_else(|| panic!("a block `{info}`")) + opening.len();
    start..start + document[start..].find("```").unwrap()
}

fn prefix(kind: ChunkKind) -> ChunkPrefix {
    ChunkPrefix { kind, attempt: 0, job: 4, epoch: 2, tick: 300, chunk: 0, chunks: 1, instance: 5 }
}

fn entities() -> [Entity; 3] {
    [10, 11, 12].map(Entity::from_bits)
}

fn column(column: u16) -> ColumnManifest {
    ColumnManifest { column, stride: 8, place: Place::Inline }
}

fn part() -> PartManifest {
    let mut archetype = vec![POSITION, VELOCITY];
    archetype.sort_unstable();
    PartManifest {
        source: PartSource::Query,
        number: 0,
        archetype,
        first_row: 0,
        rows: 3,
        entities: Some(Place::Inline),
        columns: vec![column(0), column(1)],
        changed: 0,
    }
}

fn floats(values: [f32; 6]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn job() -> Vec<Bytes> {
    let manifest = JobManifest {
        system: "integrate".to_owned(),
        node: 1,
        seed: 7,
        time: WireTime { tick: 300, dt: 0.5, elapsed: 150.0 },
        shared: None,
        jobs: Jobs::one(vec![part()]),
        keep: None,
        chunk_bytes: 24576,
        deadline_ms: None,
        traceparent: None,
    };
    let mut writer = ParcelWriter::new(prefix(ChunkKind::Job), ChunkSizes::default(), &manifest).unwrap();
    let positions = floats([0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    let velocities = floats([0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
    let columns = [
        OutColumn { column: 0, data: ColumnData::Entities(&entities()) },
        OutColumn { column: 0, data: ColumnData::Plain { bytes: &positions, stride: 8 } },
        OutColumn { column: 1, data: ColumnData::Plain { bytes: &velocities, stride: 8 } },
    ];
    writer.part(0, 3, &columns).unwrap();
    let chunks = writer.finish().unwrap();
    let parcel = Parcel::of_chunks(chunks.clone(), Limits::default()).unwrap();
    Expect::input(&[part()], &[]).verify(&parcel).unwrap();
    chunks
}

fn result() -> Vec<Bytes> {
    let mut commands = CommandBuffer::default();
    commands.despawn(Entity::from_bits(12));
    let commands = commands.into_bytes();
    let effects = JobEffects { job: 0, commands_bytes: commands.len() as u64, events: Vec::new() };
    let manifest = ResultManifest { compute_ns: 900, wait_ns: 40, rest_ns: 0, jobs: vec![effects], mapped: Vec::new() };
    let mut writer = ParcelWriter::new(prefix(ChunkKind::Result), ChunkSizes::default(), &manifest).unwrap();
    let positions = floats([0.0, 0.0, 2.0, 1.0, 2.0, 2.0]);
    let mut dirty = BitRows::new(3);
    dirty.set(1);
    let data = ColumnData::DirtyPlain { bytes: &positions, stride: 8, dirty: &dirty };
    writer.part(0, 3, &[OutColumn { column: 0, data }]).unwrap();
    writer.stream(0, 0, &commands).unwrap();
    let chunks = writer.finish().unwrap();
    let parcel = Parcel::of_chunks(chunks.clone(), Limits::default()).unwrap();
    Expect::result(&[part()], |_, column| column == 0, vec![commands.len() as u64]).verify(&parcel).unwrap();
    chunks
}

/// Bytes, a value a line, each with its offset and its meaning.
struct Dump<'a> {
    bytes: &'a [u8],
    at: usize,
    text: String,
}

impl Dump<'_> {
    fn of(bytes: &[u8]) -> String {
        let mut dump = Dump { bytes, at: 0, text: String::new() };
        dump.prefix();
        dump.value(0, "");
        while dump.at < bytes.len() {
            dump.section();
        }
        dump.text
    }

    fn line(&mut self, length: usize, meaning: &str) {
        for (index, row) in self.bytes[self.at..self.at + length].chunks(16).enumerate() {
            let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let meaning = if index == 0 { meaning } else { "" };
            let line = format!("{:4}  {:<47}  {meaning}", self.at + index * 16, hex.join(" "));
            writeln!(self.text, "{}", line.trim_end()).unwrap();
        }
        self.at += length;
    }

    fn prefix(&mut self) {
        let (prefix, _) = ChunkPrefix::decode(self.bytes).unwrap();
        let ChunkPrefix { kind, attempt, job, epoch, tick, chunk, chunks, instance } = prefix;
        self.line(1, &format!("kind {} ({kind:?})", kind as u8));
        self.line(1, &format!("version {}", self.bytes[1]));
        self.line(2, &format!("attempt {attempt}"));
        self.line(4, &format!("job {job}"));
        self.line(8, &format!("epoch {epoch}"));
        self.line(8, &format!("tick {tick}"));
        self.line(2, &format!("chunk {chunk}"));
        self.line(2, &format!("of {chunks}"));
        self.line(4, &format!("instance {instance}"));
        assert_eq!(self.at, PREFIX_BYTES);
    }

    fn section(&mut self) {
        let fields = ["kind ", "part ", "column ", "first row ", "rows ", "pad, ", "data, ", "bitmap, "];
        let count = usize::from(self.bytes[self.at] & 15);
        self.line(1, &format!("section: list of {count}"));
        fields[..count].iter().for_each(|field| self.value(1, field));
    }

    /// A MessagePack value of the kinds that the examples hold.
    fn value(&mut self, depth: usize, what: &str) {
        let head = self.bytes[self.at];
        let be =
            |width: usize| self.bytes[self.at + 1..=self.at + width].iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        let say = |text: String| format!("{}{what}{text}", "  ".repeat(depth));
        match head {
            0x00..=0x7f => self.line(1, &say(head.to_string())),
            0x80..=0x8f => {
                self.line(1, &say(format!("map of {}", head & 15)));
                (0..head & 15).for_each(|_| {
                    self.value(depth + 1, "");
                    self.value(depth + 2, "");
                });
            }
            0x90..=0x9f => {
                self.line(1, &say(format!("list of {}", head & 15)));
                (0..head & 15).for_each(|_| self.value(depth + 1, ""));
            }
            0xa0..=0xbf => {
                let length = usize::from(head & 31);
                let text = String::from_utf8(self.bytes[self.at + 1..=self.at + length].to_vec()).unwrap();
                self.line(1 + length, &say(format!("\"{text}\"")));
            }
            0xc0 => self.line(1, &say("nil".to_owned())),
            0xc2 | 0xc3 => self.line(1, &say((head == 0xc3).to_string())),
            0xc4..=0xc6 => {
                let width = 1 << (head - 0xc4);
                let length = be(width) as usize;
                self.line(1 + width, &say(format!("{length} byte{}", if length == 1 { "" } else { "s" })));
                self.line(length, "");
            }
            0xca => self.line(5, &say(format!("{:?}", f32::from_bits(be(4) as u32)))),
            0xcb => self.line(9, &say(format!("{:?}", f64::from_bits(be(8))))),
            0xcc..=0xcf => {
                let width = 1 << (head - 0xcc);
                let number = if width == 8 { format!("{:016x} (hexadecimal)", be(8)) } else { be(width).to_string() };
                self.line(1 + width, &say(number));
            }
            other => panic!("{other:x}"),
        }
    }
}

#[test]
fn the_examples_are_the_encoders_bytes() {
    let missing = Missing { of: 1, chunks: vec![2, 5] };
    let missing = control::encode(&prefix(ChunkKind::Missing), ChunkKind::Missing, &missing);
    let mut text = document();
    for (info, payload) in
        [("text example-job", &job()[0]), ("text example-result", &result()[0]), ("text example-missing", &missing)]
    {
        let (dump, place) = (Dump::of(payload), block(&text, info));
        if std::env::var_os("ENGINE_BLESS").is_some() {
            text.replace_range(place, &dump);
            std::fs::write(path(), &text).unwrap();
        } else {
            assert_eq!(&text[place], dump, "{info}: ENGINE_BLESS=1 writes it anew");
        }
    }
}

#[test]
fn the_ids_in_the_document_are_right() {
    let text = document();
    let mut archetype = [POSITION, VELOCITY];
    archetype.sort_unstable();
    for line in [
        format!("`physics.Position` has the id `{POSITION}`"),
        format!("`physics.Velocity` has the id `{VELOCITY}`"),
        format!("the archetype of both has the id `{}`", ArchetypeId::of(&archetype)),
    ] {
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn the_table_names_every_message() {
    let text = document();
    for (name, version, limit) in messages::table() {
        let cell = format!("| `{name}.{version}` | {} KiB |", limit / 1024);
        assert!(text.contains(&cell), "{cell}");
    }
}

#[test]
fn every_field_of_every_message_occurs() {
    let text = document();
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files =
        vec![source.join("descriptor.rs"), source.join("parcel/manifest.rs"), source.join("parcel/control.rs")];
    let messages = std::fs::read_dir(source.join("messages")).unwrap().map(|file| file.unwrap().path());
    files.extend(messages);
    for file in files {
        let code = std::fs::read_to_string(&file).unwrap();
        for line in code.lines() {
            let Some(field) = line.trim_start().strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) else {
                continue;
            };
            if field.0.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                assert!(text.contains(&format!("`{}`", field.0)), "`{}` of {}", field.0, file.display());
            }
        }
    }
}

#[test]
fn the_json_of_descriptors_and_schemas_is_what_travels() {
    let text = document();
    let json = |info| -> serde_json::Value { serde_json::from_str(&text[block(&text, info)]).unwrap() };
    let mut descriptor = SystemDescriptor::new("integrate");
    let access = |component, write| ColumnAccess { component, write, optional: false };
    descriptor.queries.push(QueryDescriptor {
        columns: vec![access(POSITION, true), access(VELOCITY, false)],
        filter: Filter::All(vec![Filter::Without(ComponentId::of_name("physics.Asleep"))]),
        entity: true,
    });
    let expected = serde_json::to_value(&descriptor).unwrap();
    assert_eq!(json("json example-descriptor"), expected, "{expected:#}");
    let schema: Schema = serde_json::from_value(json("json example-schema")).unwrap();
    assert_eq!(json("json example-schema"), serde_json::to_value(&schema).unwrap());
    let packed = strict::encode(&schema);
    assert_eq!(strict::decode::<Schema>(&packed, 1 << 16).unwrap(), schema);
}
