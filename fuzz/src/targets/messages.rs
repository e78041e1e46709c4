//! Control messages: the strict decoder, and every type of message that is decoded with it.

use engine_component::{ComponentId, Entity, WorldHash};
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::command::{Action, Command, CommandReply, Done};
use engine_net::messages::commit::Commit;
use engine_net::messages::entities::{Created, CreatedBatch, Destroyed};
use engine_net::messages::event::Events;
use engine_net::messages::heartbeat::{Heartbeat, InstanceState};
use engine_net::messages::hello::Hello;
use engine_net::messages::query::{Comparison, FieldFilter, QueryReply, QueryRequest};
use engine_net::messages::register::{Leave, LeaveReply, Register, RegisterReply};
use engine_net::messages::rejected::Rejected;
use engine_net::messages::schemas::{SchemasReply, SchemasRequest};
use engine_net::messages::snapshot::{SnapshotReply, SnapshotRequest};
use engine_net::messages::status::StatusReply;
use engine_net::messages::tick::Tick;
use engine_net::messages::trace::{TraceReply, TraceRequest};
use engine_net::messages::watch::{WatchAck, WatchFrame, WatchOpen, WatchReply, WatchRequest};
use engine_net::messages::{Message, Problem};
use engine_net::strict;

use crate::script::{Script, Writer};
use crate::{Seeds, bits, cluster};

macro_rules! kinds {
    ($($message:ident)*) => { &[$((<$message as Message>::TYPE, check::<$message>)),*] };
}

/// The name of a message, and what is done with its bytes.
type Kind = (&'static str, fn(&[u8]));

/// All of `engine_net::messages::table`.
const KINDS: &[Kind] = kinds! {
    Hello Tick Commit Register RegisterReply Leave LeaveReply Heartbeat Rejected Created Destroyed QueryRequest
    QueryReply SchemasRequest SchemasReply WatchRequest WatchReply WatchFrame WatchAck Command CommandReply Events
    StatusReply SnapshotRequest SnapshotReply TraceRequest TraceReply
};

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let (_, decode) = script.choose(KINDS);
    let payload = script.rest();
    if let Ok(length) = strict::measure(payload) {
        assert!(length <= payload.len());
        assert_eq!(strict::measure(&payload[..length]), Ok(length));
    }
    decode(payload);
}

fn check<M: Message>(payload: &[u8]) {
    let Ok(message) = M::decode(payload) else { return };
    let written = message.encode();
    if written.len() > M::LIMIT {
        return; // Fields that were left out are written with their names.
    }
    let again = M::decode(&written).expect("what was written can be read");
    assert_eq!(again.encode(), written, "and is the same");
    assert!(M::is_named_by(Some(&M::message_type())));
}

fn register() -> Register {
    let systems: Vec<SystemDescriptor> = cluster::systems().iter().map(|system| system.descriptor().clone()).collect();
    Register {
        instance: "i0".into(),
        nonce: 1,
        protocol: engine_net::PROTOCOL,
        engine: "0".into(),
        host: "north".into(),
        pid: 1,
        systems,
        schemas: bits::schemas().to_vec(),
        max_payload: 1 << 20,
        keep_bytes: 1 << 20,
    }
}

pub(super) fn seeds() -> Seeds {
    fn seed<M: Message>(message: &M) -> (&'static str, Vec<u8>) {
        let number = KINDS.iter().position(|(name, _)| *name == M::TYPE).expect("it is one of the kinds");
        (M::TYPE, Writer::default().byte(number as u8).bytes(&message.encode()).end())
    }
    assert_eq!(KINDS.len(), engine_net::messages::table().len(), "every message has its turn");
    let entities = vec![Entity::from_bits(1), Entity::from_bits(900)];
    let filter = FieldFilter { field: "a.B.x".into(), op: Comparison::AtMost, value: 5.into() };
    let query = QueryRequest { with: vec!["a.B".into()], filters: vec![filter], ..QueryRequest::default() };
    let batch = CreatedBatch { archetype: vec![ComponentId::from_bits(5)], entities: entities.clone() };
    vec![
        seed(&TraceRequest { from: Some(7), ticks: 3 }),
        seed(&Hello { epoch: 1, tick: 2, protocol: 1, coordinator: "c".into() }),
        seed(&Tick { epoch: 1, tick: 2, dt: 0.1, elapsed: 0.2 }),
        seed(&Commit { epoch: 1, tick: 2, hash: WorldHash(3), entities: 4 }),
        seed(&register()),
        seed(&RegisterReply::from(Problem::new("no", "so"))),
        seed(&Leave { instance: "i".into(), slot: 1, epoch: 1 }),
        seed(&Heartbeat {
            instance: "i".into(),
            slot: 1,
            epoch: 1,
            tick: 1,
            state: InstanceState::Ready,
            load: 0.5,
            queue: 1,
            queue_bytes: 1,
            jobs: 1,
            compute_ns: 1,
            asked_again: 0,
            refused: 0,
            memory_bytes: 1,
            versions: None,
        }),
        seed(&Created { epoch: 1, tick: 1, batches: vec![batch] }),
        seed(&Destroyed { epoch: 1, tick: 1, entities: entities.clone() }),
        seed(&query),
        seed(&SnapshotRequest {}),
        seed(&SchemasRequest { after: Some("a".into()) }),
        seed(&WatchRequest::Open(Box::new(WatchOpen { query, region: None, max_hz: 1.0 }))),
        seed(&WatchAck { id: "1".into(), sequence: 1, resync: true }),
        seed(&Command::new("1", Action::Despawn { entities: entities.clone() })),
        seed(&CommandReply::Ok(Done { tick: 1, entities })),
        seed(&Events {
            epoch: 1,
            tick: 1,
            first: 0,
            count: 1,
            schema: bits::schemas()[0].clone(),
            records: vec![0; 8].into(),
        }),
    ]
}
