//! An event as it came: what it is, where it is kept, and its value when somebody asks for it.

use std::sync::Arc;

use bytes::Bytes;
use engine_component::{Event, Invalid};
use engine_net::messages::event::Events;
use engine_net::messages::{MESSAGE_TYPE, Message as _};

use crate::content::{self, ContentError};
use crate::envelope::{Content, Envelope, EnvelopeError, SchemaRef};
use crate::outcome::{self, Outcome};
use crate::upcast::Upcasters;

mod from_world;

/// Where a message is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its sequence.
    pub sequence: u64,
    /// The how-manieth delivery this is, from 1.
    pub delivered: u32,
    /// How many messages wait behind it.
    pub pending: u64,
}

/// Why an event can't be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Its headers are no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Its payload is no value of its type.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Its type says that it means nothing.
    #[error("`{name}` is refused: {reason}")]
    Invalid {
        /// The type.
        name: &'static str,
        /// Why.
        reason: Invalid,
    },
    /// Neither an event nor what holds some.
    #[error("the message is no event: {0}")]
    Malformed(String),
}

/// An event.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its envelope.
    pub envelope: Envelope,
    /// Where it is kept; `None` when it was only shown.
    pub place: Option<Place>,
    pub(crate) data: Data,
    pub(crate) upcasters: Arc<Upcasters>,
}

/// The payload.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// As its envelope says.
    Content(Bytes),
    /// A row of the world, with its schema.
    Row(Arc<engine_component::Schema>, Bytes),
}

impl Recorded {
    /// The declared name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.envelope.kind
    }

    /// Whether it is one of these.
    #[must_use]
    pub fn is<E: Event>(&self) -> bool {
        self.name() == E::NAME
    }

    /// Its value.
    ///
    /// # Errors
    /// When it is of another type, or no value of this one.
    pub fn read<E: Event>(&self) -> Result<E, ReadError> {
        if !self.is::<E>() {
            return Err(ContentError::Other { wanted: E::NAME, found: self.name().to_owned() }.into());
        }
        let value: E = match &self.data {
            Data::Content(bytes) => {
                content::decode(bytes, self.envelope.content, self.envelope.schema.as_ref(), &self.upcasters)?
            }
            Data::Row(schema, row) => from_world::decode(schema, row)?,
        };
        value.validate().map_err(|reason| ReadError::Invalid { name: E::NAME, reason })?;
        Ok(value)
    }

    /// Its value, for whoever was not compiled with its type.
    ///
    /// # Errors
    /// When the payload is not well-formed.
    pub fn value(&self) -> Result<serde_json::Value, ReadError> {
        Ok(match &self.data {
            Data::Content(bytes) => content::value(self.name(), bytes, self.envelope.content)?,
            Data::Row(schema, row) => schema.row_to_value(row).map_err(ContentError::from)?,
        })
    }

    /// The payload as an envelope of this content announces it.
    pub(crate) fn payload(&self) -> Result<(Content, Bytes), ReadError> {
        match &self.data {
            Data::Content(bytes) => Ok((self.envelope.content, bytes.clone())),
            Data::Row(..) => Ok((Content::Json, self.value()?.to_string().into_bytes().into())),
        }
    }

    /// All events of a message that somebody has read on his own.
    ///
    /// # Errors
    /// When it is no event, and holds none.
    pub fn of_message(
        headers: Option<&async_nats::HeaderMap>,
        payload: &Bytes,
        upcasters: &Arc<Upcasters>,
    ) -> Result<Vec<Self>, ReadError> {
        Self::all(headers, payload, None, upcasters)
    }

    /// All events of a message: one, or those of a command's outcome, or those of a tick.
    pub(crate) fn all(
        headers: Option<&async_nats::HeaderMap>,
        payload: &Bytes,
        place: Option<Place>,
        upcasters: &Arc<Upcasters>,
    ) -> Result<Vec<Self>, ReadError> {
        let kind = headers.and_then(|headers| headers.get(MESSAGE_TYPE)).map(async_nats::HeaderValue::as_str);
        if kind.is_some_and(|kind| kind == Events::message_type()) {
            return from_world::events(payload, place, upcasters);
        }
        let envelope = Envelope::of_headers(headers)?;
        if envelope.kind == outcome::KIND {
            let outcome = Outcome::decode(payload).map_err(|error| ReadError::Malformed(error.to_string()))?;
            return Ok(outcome.events(&envelope, place, upcasters));
        }
        Ok(vec![Self { envelope, place, data: Data::Content(payload.clone()), upcasters: upcasters.clone() }])
    }

    /// One that was made here.
    pub(crate) fn of(envelope: Envelope, data: Bytes, place: Option<Place>, upcasters: &Arc<Upcasters>) -> Self {
        Self { envelope, place, data: Data::Content(data), upcasters: upcasters.clone() }
    }
}

/// The schema that a text names, if it is one of ours.
pub(crate) fn schema(text: &str) -> Option<SchemaRef> {
    SchemaRef::parse(text)
}
