//! All that a coordinator is sent: results above all, honest, damaged and made up, and every other message.

use bytes::Bytes;
use engine_component::{ComponentId, Data, Entity};
use engine_net::envelope::{Content, Envelope};
use engine_net::handled::{answer_schema, write_answer};
use engine_net::headers::Headers;
use engine_net::messages::Reply;
use engine_net::messages::command::{Action, Command};
use engine_net::messages::query::QueryRequest;
use engine_net::messages::register::Leave;
use engine_net::messages::schemas::SchemasRequest;
use engine_net::messages::watch::{WatchAck, WatchOpen, WatchRequest};
use engine_net::parcel::{ChunkSizes, ColumnData, EventManifest, JobEffects, OutColumn, ParcelWriter, ResultManifest};
use engine_net::{ChunkKind, ChunkPrefix, name, strict};
use serde_json::json;

use crate::app::{Bell, Hit, SYSTEMS, Tale, Tell};
use crate::cluster::Cluster;
use crate::script::{Script, Writer};
use crate::{Seeds, bits};

const MOST_STEPS: usize = 48;

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut cluster = Cluster::new(2);
    let honest = honest_messages();
    for _ in 0..MOST_STEPS {
        if script.is_over() {
            break;
        }
        step(&mut cluster, &mut script, &honest);
    }
    bits::check(cluster.coordinator.world());
    let failure = cluster.coordinator.take_failure();
    assert!(failure.is_none(), "nothing that arrives stops the world: {failure:?}");
}

fn step(cluster: &mut Cluster, script: &mut Script<'_>, honest: &[(String, Vec<u8>)]) {
    match script.byte() % 10 {
        0 => cluster.step(),
        1 => cluster.pass(u64::from(script.byte())),
        2 => cluster.deliver_all(),
        3 => {
            if let Some((from, payload)) = pick(cluster, script) {
                cluster.chunk(from, payload);
            }
        }
        4 => {
            if let Some((from, payload)) = pick(cluster, script) {
                let damaged = script.damaged(&payload);
                cluster.chunk(from, damaged);
            }
        }
        5 => {
            if let Some((from, payload)) = pick(cluster, script) {
                let mut made_up = payload[..payload.len().min(32)].to_vec();
                made_up.extend(script.block());
                cluster.chunk(from, made_up.into());
            }
        }
        6 => {
            if let Some((from, payload)) = pick(cluster, script) {
                forge(&payload, script).into_iter().for_each(|chunk| cluster.chunk(from, chunk));
            }
        }
        7 => {
            let (subject, payload) = script.choose(honest);
            let payload = script.damaged(payload);
            say(cluster, subject, payload);
        }
        8 => {
            let (subject, _) = script.choose(honest);
            let payload = Bytes::copy_from_slice(script.block());
            say(cluster, subject, payload);
        }
        _ => {
            let number = script.below(2);
            cluster.look_around(number);
        }
    }
}

fn say(cluster: &mut Cluster, subject: &str, payload: Bytes) {
    // What a system answers has an envelope; in which the payload is read either way.
    let headers = match subject.strip_prefix("command.") {
        Some(name) if name == Tell::NAME => Headers::default().envelope(envelope(&payload)),
        _ => Headers::default(),
    };
    let subject = format!("{}.{subject}", cluster.coordinator.subjects().root());
    cluster.say_with(&subject, Some("_INBOX.outside"), &headers, payload);
    let (_, reason) = cluster.coordinator.refusals();
    assert_ne!(reason, "unknown_subject", "{subject} is one that a coordinator reads");
}

fn envelope(payload: &[u8]) -> Envelope {
    let content = if payload.first() == Some(&b'{') { Content::Json } else { Content::MessagePack };
    let id = format!("00000000-0000-7000-8000-{:012x}", payload.len());
    Envelope { content, ..Envelope::new("fuzz", Tell::NAME).with_id(id) }
}

fn pick(cluster: &mut Cluster, script: &mut Script<'_>) -> Option<(usize, Bytes)> {
    let count = cluster.held.len();
    (count > 0).then(|| cluster.held.remove(script.below(count)))
}

/// The type of answers to commands of programs outside.
fn answers() -> ComponentId {
    answer_schema(Tell::NAME).id()
}

/// A result that is well formed, of values that somebody made up.
fn forge(honest: &Bytes, script: &mut Script<'_>) -> Vec<Bytes> {
    let Ok((prefix, _)) = ChunkPrefix::decode(honest) else { return Vec::new() };
    let commands = script.block();
    let mut events = Vec::new();
    let mut records = Vec::new();
    for _ in 0..script.byte() % 4 {
        let event = *script.choose(&[Hit::ID, Tale::ID, Bell::ID, answers(), ComponentId::from_bits(9)]);
        let bytes = script.block();
        let count = match script.byte() {
            255 => u32::MAX,
            count => u32::from(count),
        };
        events.push(EventManifest { event, count, bytes: bytes.len() as u64 });
        records.push(bytes);
    }
    let job = if script.byte() > 250 { u32::from(script.byte()) } else { 0 };
    let effects = JobEffects { job, commands_bytes: commands.len() as u64, events };
    let manifest = ResultManifest { compute_ns: 1, wait_ns: 1, rest_ns: 0, jobs: vec![effects], mapped: Vec::new() };
    let sizes = ChunkSizes { aim: 512, ..ChunkSizes::default() };
    let Ok(mut writer) = ParcelWriter::new(prefix.answer(ChunkKind::Result), sizes, &manifest) else {
        return Vec::new();
    };
    for _ in 0..script.byte() % 4 {
        let (part, column, rows) = (u16::from(script.byte() % 4), u16::from(script.byte() % 4), 1 + script.below(64));
        let stride = *script.choose(&[1_usize, 4, 8, 16, 24]);
        let mut bytes = script.take(rows * stride).to_vec();
        bytes.resize(rows * stride, 0);
        let data = ColumnData::Plain { bytes: &bytes, stride };
        if writer.part(part, rows, &[OutColumn { column, data }]).is_err() {
            return Vec::new();
        }
    }
    let streams = std::iter::once(commands).chain(records).enumerate();
    for (number, bytes) in streams {
        if writer.stream(number as u16, 0, bytes).is_err() {
            return Vec::new();
        }
    }
    writer.finish().unwrap_or_default()
}

/// Subjects without their root, and what belongs there.
fn honest_messages() -> Vec<(String, Vec<u8>)> {
    let systems = name::systems(SYSTEMS).expect("names of systems");
    let of_instance = |word: &str, instance: &str| format!("system.{word}.{systems}.{instance}");
    let entity = Entity::from_bits(3);
    let place = || [("fuzz.Place".to_owned(), json!({"at": {"x": 1.0, "y": 2.0}}))].into();
    let query = QueryRequest { with: vec!["fuzz.Place".into()], page_rows: 5, ..QueryRequest::default() };
    let command = |action: Action| strict::encode(&Command::new("one", action));
    let others = [
        ("command.world.entity.spawn", command(Action::Spawn { entities: vec![place()] })),
        ("command.world.entity.set", command(Action::Set { entity, components: place() })),
        ("command.world.entity.insert", command(Action::Insert { entity, components: place() })),
        ("command.world.entity.remove", command(Action::Remove { entity, components: vec!["fuzz.Link".into()] })),
        ("command.world.entity.despawn", command(Action::Despawn { entities: vec![entity] })),
        ("command.world.sim.step", command(Action::Step { ticks: 1 })),
        ("command.world.sim.resume", command(Action::Resume {})),
        ("command.world.sim.speed", command(Action::Speed { factor: 2.0 })),
        ("command.fuzz.story.tell", strict::encode(&Tell { of: Entity::from_bits(1), text: "so".into() })),
        ("query.request", strict::encode(&query)),
        ("query.schemas", strict::encode(&SchemasRequest::default())),
        (
            "watch.request",
            strict::encode(&WatchRequest::Open(Box::new(WatchOpen { query, region: None, max_hz: 30.0 }))),
        ),
        ("watch.ack.1", strict::encode(&WatchAck { id: "1".into(), sequence: 1, resync: false })),
        ("health.coordinator", Vec::new()),
    ];
    let of_instances = [
        (of_instance("leave", "i1"), strict::encode(&Leave { instance: "i1".into(), slot: 1, epoch: 7 })),
        (of_instance("register", "i5"), register()),
        (of_instance("heartbeat", "i1"), Vec::new()),
    ];
    others.into_iter().map(|(subject, payload)| (subject.to_owned(), payload)).chain(of_instances).collect()
}

fn register() -> Vec<u8> {
    let mut core = crate::cluster::instance(5);
    core.look_around(1);
    match core.next_answer() {
        Some(engine_system::runner::Answer::Register(payload)) => payload,
        _ => Vec::new(),
    }
}

pub(super) fn seeds() -> Seeds {
    let step = |writer: Writer| writer.byte(0).byte(2);
    let ticks = step(step(step(Writer::default())));
    let forged = Writer::default()
        .byte(0)
        .byte(6)
        .byte(0) // the first result that is held
        .block([])
        .byte(1)
        .byte(2) // bells
        .block([])
        .byte(3)
        .byte(1)
        .bytes(&[0, 0, 7, 2])
        .bytes(&[0; 64]);
    let mut asks = Writer::default();
    for number in 0..honest_messages().len() as u8 {
        asks = asks.byte(7).byte(number).byte(0);
    }
    let damaged = Writer::default().byte(0).byte(4).byte(0).byte(1).byte(0).short(40).byte(1).byte(2);
    // The answers of a system to what was told, and answers that somebody made up.
    let honest = honest_messages();
    let tell = honest.iter().position(|(subject, _)| subject.ends_with(Tell::NAME)).expect("it is one of them") as u8;
    let row = write_answer(0, &Reply::Ok(7));
    let answer = [(row.len() as u32).to_le_bytes().as_slice(), &row].concat();
    let forge = Writer::default().byte(7).byte(tell).byte(0).byte(0).byte(6).byte(0).block([]).byte(1).byte(3);
    let answered = step(forge.block(answer).byte(1).byte(0).byte(0));
    vec![
        ("ticks", ticks.end()),
        ("forged", forged.end()),
        ("asks", step(asks).end()),
        ("answered", answered.end()),
        ("damaged", damaged.end()),
    ]
}
