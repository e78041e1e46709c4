//! What became of a command: its answer and its events, one message in the history of its aggregate.
//!
//! That it is *one* message is what makes commands exact: either all of it is stored or nothing, and the server compares
//! the end of the history with what the handler had read, so that nothing comes between.

use std::sync::Arc;

use bytes::Bytes;
use engine_net::messages::value::Blob;
use engine_net::strict::{self, DecodeError};
use serde::{Deserialize, Serialize};

use crate::content::MAX_PAYLOAD;
use crate::envelope::{Content, Envelope};
use crate::recorded::{Place, Recorded, schema};
use crate::upcast::Upcasters;

/// What `ce-type` says of an outcome.
pub(crate) const KIND: &str = "engine.outcome";
/// Events of one outcome, at the most.
pub(crate) const MAX_EVENTS: usize = 64;

/// The payload, as MessagePack. The id of the message is that of the command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The name of the command.
    pub(crate) command: String,
    /// The answer: MessagePack.
    pub(crate) answer: Blob,
    /// What happened, in order.
    pub(crate) events: Vec<OutcomeEvent>,
}

/// One of the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeEvent {
    /// The declared name.
    pub(crate) name: String,
    /// The schema, as `ce-dataschema` has it.
    pub(crate) schema: String,
    /// The value: MessagePack.
    pub(crate) data: Blob,
}

impl Outcome {
    /// Refuses what [`decode`](Self::decode) would: a history must not have an end that nobody can read.
    pub(crate) fn encode(&self) -> Result<Bytes, DecodeError> {
        let bytes = strict::encode(self);
        let length = bytes.len();
        if length > MAX_PAYLOAD { Err(DecodeError::TooLong { length, limit: MAX_PAYLOAD }) } else { Ok(bytes.into()) }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let outcome: Self = strict::decode(bytes, MAX_PAYLOAD)?;
        let names = outcome.events.iter().map(|event| event.name.as_str());
        let is_fine = outcome.events.len() <= MAX_EVENTS
            && names.chain([outcome.command.as_str()]).all(engine_net::name::is_dotted);
        if is_fine { Ok(outcome) } else { Err(DecodeError::Malformed("too many events, or one without a name".into())) }
    }

    /// Its events, each with an envelope of its own: the id is that of the command and a number.
    pub(crate) fn events(self, of: &Envelope, place: Option<Place>, upcasters: &Arc<Upcasters>) -> Vec<Recorded> {
        let event = |(number, event): (usize, OutcomeEvent)| {
            let envelope = Envelope {
                id: format!("{}.{number}", of.id),
                kind: event.name,
                schema: schema(&event.schema),
                content: Content::MessagePack,
                causation: Some(of.id.clone()),
                correlation: Some(of.correlation.as_ref().unwrap_or(&of.id).clone()),
                ..of.clone()
            };
            Recorded::of(envelope, event.data.0, place, upcasters)
        };
        self.events.into_iter().enumerate().map(event).collect()
    }
}

impl OutcomeEvent {
    pub(crate) fn of<E: engine_component::Event>(event: &E) -> Result<Self, String> {
        event.validate().map_err(|invalid| invalid.to_string())?;
        let data = crate::content::encode(event, Content::MessagePack).map_err(|error| error.to_string())?;
        let schema = crate::content::known::<E>().reference.to_string();
        Ok(Self { name: E::NAME.to_owned(), schema, data: Blob(data) })
    }
}
