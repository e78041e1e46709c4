//! Every message survives its encoding, and none survives a change that matters.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use engine_component::{Entity, WorldHash};
use engine_net::messages::command::{Action, Command, CommandReply, Done};
use engine_net::messages::commit::Commit;
use engine_net::messages::entities::{Created, CreatedBatch, Destroyed};
use engine_net::messages::heartbeat::{Heartbeat, InstanceState, Versions};
use engine_net::messages::hello::Hello;
use engine_net::messages::query::{Comparison, FieldFilter, QueryPage, QueryReply, QueryRequest, QueryRow};
use engine_net::messages::register::{Leave, LeaveReply, Leaving, Register};
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::snapshot::{Snapshot, SnapshotReply, SnapshotRequest};
use engine_net::messages::status::{InstanceStatus, LogStatus, SimState, Status, StatusReply, SystemStatus};
use engine_net::messages::tick::Tick;
use engine_net::messages::trace::TraceRequest;
use engine_net::messages::value::Components;
use engine_net::messages::watch::{FrameKind, Region, WatchAck, WatchFrame, WatchOpen, WatchRequest};
use engine_net::messages::{self, Message, Problem, Reply};
use proptest::prelude::*;
use serde_json::json;

fn travels<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    let payload = message.encode();
    assert_eq!(&M::decode(&payload).unwrap(), message);
    for end in 0..payload.len() {
        assert!(M::decode(&payload[..end]).is_err(), "{} cut at {end}", M::TYPE);
    }
    let mut long = payload;
    long.push(0xc0);
    assert!(M::decode(&long).is_err(), "{} with a byte more", M::TYPE);
    assert!(M::is_named_by(Some(&M::message_type())) && M::is_named_by(None));
    assert!(!M::is_named_by(Some("other.1")) && !M::is_named_by(Some(&format!("{}.999", M::TYPE))));
}

fn components() -> Components {
    [("physics.Position".to_owned(), json!({"x": 1.5, "y": -2.0})), ("arena.Red".to_owned(), json!({}))].into()
}

fn row() -> QueryRow {
    QueryRow { entity: Entity::from_bits(u64::MAX >> 1), components: components(), versions: BTreeMap::new() }
}

fn query() -> QueryRequest {
    QueryRequest {
        with: vec!["physics.Position".to_owned()],
        without: vec!["arena.Red".to_owned()],
        fields: vec!["physics.Position.x".to_owned()],
        filters: vec![FieldFilter { field: "physics.Position.x".to_owned(), op: Comparison::AtLeast, value: json!(3) }],
        entities: vec![Entity::from_bits(1)],
        page_rows: 10,
        versions: true,
        cursor: Some(vec![1, 2, 3].into()),
    }
}

#[test]
fn messages_of_the_coordinator_travel() {
    let hash = WorldHash(1 << 100);
    travels(&Hello { epoch: 1, tick: 2, protocol: 1, coordinator: "c".to_owned() });
    travels(&Tick { epoch: 1, tick: 2, dt: 0.5, elapsed: 3.5 });
    travels(&Commit { epoch: 1, tick: 2, hash, entities: 3 });
    travels(&Rejected {
        epoch: 1,
        tick: 2,
        job: 3,
        attempt: 4,
        reason: RejectReason::Claimed,
        message: "m".to_owned(),
    });
    let entities = vec![Entity::from_bits(1), Entity::from_bits(u64::MAX)];
    travels(&Created {
        epoch: 1,
        tick: 2,
        batches: vec![CreatedBatch { archetype: vec![], entities: entities.clone() }],
    });
    travels(&Destroyed { epoch: 1, tick: 2, entities });
}

#[test]
fn messages_of_instances_travel() {
    travels(&Heartbeat {
        instance: "i".to_owned(),
        slot: 1,
        epoch: 2,
        tick: 3,
        state: InstanceState::Ready,
        load: 0.5,
        queue: 1,
        queue_bytes: 2,
        jobs: 3,
        compute_ns: 4,
        asked_again: 5,
        refused: 6,
        memory_bytes: 7,
        versions: Some(Versions { engine: "0.1.0".to_owned(), protocol: 1, adapted: 2 }),
    });
    let register = Register {
        instance: "i".to_owned(),
        nonce: 77,
        protocol: engine_net::PROTOCOL,
        engine: "0.1.0".to_owned(),
        host: "h".to_owned(),
        pid: 1,
        systems: vec![engine_net::descriptor::SystemDescriptor::new("steer")],
        schemas: vec![],
        max_payload: 1 << 20,
        keep_bytes: 1 << 20,
    };
    travels(&register);
    assert_eq!(register.check(), Ok(()));
    let mut bad = register.clone();
    bad.instance = "i.*".to_owned();
    assert_eq!(bad.check().unwrap_err().code, "bad_name");
    let mut bad = register;
    bad.protocol = 1;
    assert_eq!(bad.check().unwrap_err().code, "protocol");
    travels(&Leave { instance: "i".to_owned(), slot: 1, epoch: 2 });
    travels::<LeaveReply>(&Reply::Ok(Leaving { open_jobs: 3 }));
}

#[test]
fn messages_of_tools_travel() {
    travels(&TraceRequest { from: Some(u64::MAX), ticks: 60 });
    travels(&SnapshotRequest {});
    let stored = Snapshot { tick: 9, hash: WorldHash(u128::MAX - 5), entities: 3, bytes: 1 << 40, took_ms: 12 };
    assert_eq!(serde_json::to_value(&stored).unwrap()["hash"], "fffffffffffffffffffffffffffffffa");
    travels::<SnapshotReply>(&Reply::Ok(stored));
    travels::<SnapshotReply>(&Reply::Error(Problem::new("no_log", "what")));
    travels(&query());
    travels::<QueryReply>(&Reply::Ok(QueryPage { tick: 1, rows: vec![row()], next: None }));
    travels::<QueryReply>(&Reply::Error(Problem::new("bad_request", "what")));
    let region = Region { component: "physics.Position".to_owned(), min: [0.0; 3], max: [1.0; 3] };
    travels(&WatchRequest::Open(Box::new(WatchOpen { query: query(), region: Some(region), max_hz: 10.0 })));
    travels(&WatchRequest::Close { id: "w1".to_owned() });
    travels(&WatchFrame {
        id: "w1".to_owned(),
        sequence: 1,
        tick: 2,
        kind: FrameKind::Keyframe,
        more: false,
        rows: vec![row()],
        removed: vec![Entity::from_bits(3)],
        ended: Some("it is over".to_owned()),
    });
    travels(&WatchAck { id: "w1".to_owned(), sequence: 1, resync: true });
    travels::<CommandReply>(&Reply::Ok(Done { tick: 1, entities: vec![Entity::from_bits(3)] }));
    for action in [
        Action::Spawn { entities: vec![components()] },
        Action::Set { entity: Entity::from_bits(1), components: components() },
        Action::Remove { entity: Entity::from_bits(1), components: vec!["arena.Red".to_owned()] },
        Action::Despawn { entities: vec![Entity::from_bits(1)] },
        Action::Pause {},
        Action::Step { ticks: 3 },
        Action::Speed { factor: 0.5 },
    ] {
        travels(&Command::new("c1", action));
    }
}

#[test]
fn status_travels() {
    let instance = InstanceStatus {
        instance: "i".to_owned(),
        slot: 1,
        host: "h".to_owned(),
        pid: 2,
        state: "ready".to_owned(),
        load: 0.25,
        jobs: 3,
        silent_ms: 4,
        columns: "wire".into(),
    };
    let system = SystemStatus {
        name: "steer".to_owned(),
        local: false,
        every: 1,
        jobs: 1,
        shards: 1,
        ms: 1.5,
        compute_ms: 1.0,
        bytes_out: 1,
        bytes_in: 1,
        instances: vec![instance],
    };
    travels::<StatusReply>(&Reply::Ok(Status {
        world: "arena".to_owned(),
        epoch: 1,
        tick: 2,
        hash: WorldHash(5),
        entities: 3,
        clock_ms: None,
        tables: 1,
        world_bytes: 100,
        state: SimState::Waiting { what: "an instance of steer".to_owned() },
        rate: 60.0,
        actual_rate: 59.0,
        speed: 1.0,
        budget_ms: 16.7,
        tick_ms_p50: 1.0,
        tick_ms_p99: 2.0,
        bytes_per_tick: 10,
        events: 1,
        systems: vec![system],
        counters: [("rejected.garbage".to_owned(), 1)].into(),
        ambiguities: vec![("a".to_owned(), "b".to_owned())],
        log: Some(LogStatus { tick: 1, trouble: Some("the stream is full".to_owned()) }),
        settings: Vec::new(),
        refused_settings: Vec::new(),
        kept: None,
    }));
}

#[test]
fn commands_look_as_documented() {
    let command = Command::new("1", Action::Spawn { entities: vec![components()] });
    let as_json = serde_json::to_value(&command).unwrap();
    assert_eq!(
        as_json,
        json!({"id": "1", "action": {"spawn": {"entities": [
            {"arena.Red": {}, "physics.Position": {"x": 1.5, "y": -2.0}}
        ]}}})
    );
    let pause = Command::new("2", Action::Pause {});
    assert_eq!(serde_json::to_value(&pause).unwrap(), json!({"id": "2", "action": {"pause": {}}}));
    let reply: CommandReply = Reply::Ok(Done { tick: 4, entities: vec![] });
    assert_eq!(serde_json::to_value(&reply).unwrap(), json!({"ok": {"tick": 4, "entities": []}}));
    assert_eq!(serde_json::to_value(SimState::Running).unwrap(), json!("running"));
}

#[test]
fn unknown_fields_are_skipped_and_unknown_reasons_are_other() {
    let payload = engine_net::strict::encode(&json!({
        "epoch": 1, "tick": 2, "job": 3, "attempt": 0, "reason": "of_the_future", "message": "", "more": [1, {}]
    }));
    assert_eq!(Rejected::decode(&payload).unwrap().reason, RejectReason::Other);
    for reason in RejectReason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), json!(reason.word()));
    }
}

#[test]
fn types_are_unique() {
    let mut types: Vec<&str> = messages::table().into_iter().map(|(name, ..)| name).collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count);
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let mut payload = query().encode();
        let mut command = Command::new("1", Action::Spawn { entities: vec![components()] }).encode();
        for (at, value) in edits {
            let (a, b) = (at.index(payload.len()), at.index(command.len()));
            payload[a] = value;
            command[b] = value;
        }
        let _ = QueryRequest::decode(&payload);
        let _ = Command::decode(&command);
    }
}
