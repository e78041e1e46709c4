//! Messages of services: headers that may be an envelope, and payloads of events, outcomes and ticks.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use engine_component::{Data, Event};
use engine_service::Recorded;
use engine_service::content::{self, decode};
use engine_service::envelope::{Content, Envelope, SchemaRef, Trace, header};
use engine_service::names::Pattern;
use engine_service::upcast::Upcasters;
use serde::{Deserialize, Serialize};

use crate::Seeds;
use crate::script::{Script, Writer};

const NAMES: [&str; 14] = [
    header::ID,
    header::SOURCE,
    header::TYPE,
    header::SPEC,
    header::TIME,
    header::SUBJECT,
    header::SCHEMA,
    header::CORRELATION,
    header::CAUSATION,
    header::CONTENT,
    header::TRACE_PARENT,
    header::TRACE_STATE,
    "msg-type",
    "x-other",
];

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shop.Purchased", document)]
struct Purchased {
    player: String,
    price: u64,
}

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut lines = Vec::new();
    for _ in 0..script.below(20) {
        lines.push((*script.choose(&NAMES), script.text()));
    }
    let payload = Bytes::copy_from_slice(script.block());
    let all = || lines.iter().map(|(name, value)| (*name, value.as_str()));
    if let Ok(envelope) = Envelope::read(all()) {
        let again = envelope.lines();
        let again = Envelope::read(again.iter().map(|(name, value)| (*name, value.as_str())));
        assert_eq!(again.as_ref(), Ok(&envelope), "an envelope is written as it was read");
        if let Some(child) = envelope.trace.as_ref().map(Trace::child) {
            assert_eq!(Trace::read(&child.parent(), child.state()), Some(child));
        }
        events(&envelope.headers(), &payload);
    }
    let mut headers = HeaderMap::new();
    // A header of this library has no line breaks; the server's parser is asked for that.
    for (name, value) in all().filter(|(_, value)| !value.contains(['\r', '\n'])) {
        headers.insert(name, value);
    }
    events(&headers, &payload);
    let text = script.text();
    if let Ok(pattern) = Pattern::new(&text) {
        assert!(!pattern.domain().is_empty() && (text.contains(['*', '>']) || pattern.matches(&text)));
    }
    if let Some(schema) = SchemaRef::parse(&text) {
        assert_eq!(SchemaRef::parse(&schema.to_string()), Some(schema));
    }
}

fn events(headers: &HeaderMap, payload: &Bytes) {
    let upcasters = Arc::<Upcasters>::default();
    if let Ok(events) = Recorded::of_message(Some(headers), payload, &upcasters) {
        for event in events {
            let _ = event.value();
            if let Ok(purchased) = event.read::<Purchased>() {
                let bytes = content::encode(&purchased, Content::Json).expect("what was read can be written");
                let again: Purchased = decode(&bytes, Content::Json, None, &upcasters).expect("and read again");
                assert_eq!((again.player, again.price), (purchased.player, purchased.price));
            }
        }
    }
}

pub(super) fn seeds() -> Seeds {
    let seed = |kind: &str, content: &str, payload: &[u8]| {
        let schema = SchemaRef::of::<Purchased>().to_string();
        let lines = [(0, "7"), (1, "shop"), (2, kind), (3, "1.0"), (6, schema.as_str()), (9, content)];
        let script = Writer::default().byte(lines.len() as u8);
        let script = lines.iter().fold(script, |script, (name, value)| script.byte(*name).block(value));
        script.block(payload).block("shop.>").end()
    };
    let event = br#"{"player":"ada","price":3}"#;
    let outcome = serde_json::json!({ "command": "shop.player.purchase", "answer": [], "events": [] });
    let outcome = rmp_serde::to_vec_named(&outcome).expect("it is a map");
    vec![
        ("json", seed(Purchased::NAME, "application/json", event)),
        ("outcome", seed("engine.outcome", "application/msgpack", &outcome)),
    ]
}
