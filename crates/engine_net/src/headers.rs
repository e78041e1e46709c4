//! The headers of control messages: what a receiver knows of a message without decoding it.

#[cfg(feature = "client")]
use crate::envelope::header;
use crate::envelope::{Envelope, EnvelopeError};
use crate::messages::{EPOCH, INSTANCE_ID, MESSAGE_TYPE, Message, TICK_ID};

/// What the headers of a control message say; all of it is optional.
///
/// ```
/// use engine_net::headers::Headers;
/// use engine_net::messages::heartbeat::Heartbeat;
///
/// let headers = Headers::of::<Heartbeat>().epoch(3).tick(70).instance("steer-1");
/// let lines: Vec<(&str, String)> = headers.lines().collect();
/// assert_eq!(lines[0], ("msg-type", "heartbeat.1".to_owned()));
/// assert_eq!(lines[3], ("instance-id", "steer-1".to_owned()));
/// assert!(headers.is::<Heartbeat>());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Type and version, as `heartbeat.1`.
    pub msg_type: Option<String>,
    /// The epoch.
    pub epoch: Option<u64>,
    /// The tick.
    pub tick: Option<u64>,
    /// The instance that the message is from, or for.
    pub instance: Option<String>,
    /// The envelope of a command or an event from a program outside, or what is wrong with it.
    pub envelope: Option<Box<Result<Envelope, EnvelopeError>>>,
}

impl Headers {
    /// Of a message, without more.
    #[must_use]
    pub fn of<M: Message>() -> Self {
        Self { msg_type: Some(M::message_type()), ..Self::default() }
    }

    /// With an epoch.
    #[must_use]
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// With a tick.
    #[must_use]
    pub fn tick(mut self, tick: u64) -> Self {
        self.tick = Some(tick);
        self
    }

    /// With an instance.
    #[must_use]
    pub fn instance(mut self, instance: &str) -> Self {
        self.instance = Some(instance.to_owned());
        self
    }

    /// Whether they name this message in this version, or none.
    #[must_use]
    pub fn is<M: Message>(&self) -> bool {
        M::is_named_by(self.msg_type.as_deref())
    }

    /// Name and value of each.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, String)> {
        let number = |name, value: Option<u64>| value.map(|value| (name, value.to_string()));
        let text = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        let lines = [
            text(MESSAGE_TYPE, &self.msg_type),
            number(EPOCH, self.epoch),
            number(TICK_ID, self.tick),
            text(INSTANCE_ID, &self.instance),
        ];
        lines.into_iter().flatten()
    }

    /// From a way to look them up. What is no number, where one belongs, is as good as not there: the message
    /// itself says it as well.
    pub fn read<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        let number = |name| get(name).and_then(|value| value.parse().ok());
        Self {
            msg_type: get(MESSAGE_TYPE).map(str::to_owned),
            epoch: number(EPOCH),
            tick: number(TICK_ID),
            instance: get(INSTANCE_ID).map(str::to_owned),
            envelope: None,
        }
    }

    /// With the envelope of a command.
    #[must_use]
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.envelope = Some(Box::new(Ok(envelope)));
        self
    }
}

/// Whether the server took a message out of a stream and published it, for somebody who asked JetStream for it or has a
/// stream that copies. It comes on whatever subject was named as that of the answer, and whoever named it needs no
/// permission there: so its subject says nothing about who it is from. The server adds the header; nobody can leave it
/// out.
#[cfg(feature = "client")]
#[must_use]
pub fn is_out_of_a_stream(headers: Option<&crate::io::HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(async_nats::header::NATS_STREAM).is_some())
}

#[cfg(feature = "client")]
impl From<&Headers> for crate::io::HeaderMap {
    fn from(headers: &Headers) -> Self {
        let mut map = Self::new();
        for (name, value) in headers.lines() {
            map.insert(name, value.as_str());
        }
        if let Some(Ok(envelope)) = headers.envelope.as_deref() {
            envelope.lines().into_iter().for_each(|(name, value)| map.insert(name, value));
        }
        map
    }
}

#[cfg(feature = "client")]
impl From<Option<&crate::io::HeaderMap>> for Headers {
    fn from(map: Option<&crate::io::HeaderMap>) -> Self {
        let Some(map) = map else { return Self::default() };
        let headers = Self::read(|name| map.get(name).map(async_nats::HeaderValue::as_str));
        // Messages of the engine's own have none, and are read more often.
        let has_envelope = map.get(header::SPEC).is_some() || map.get(header::ID).is_some();
        Self { envelope: has_envelope.then(|| Box::new(Envelope::of_headers(Some(map)))), ..headers }
    }
}
