//! What is known of a message without decoding it: an envelope of headers, in the names that CloudEvents' binary mode
//! has over NATS and HTTP.
//!
//! Pure, and strict where it matters: every header is there at most once, of bounded length, of visible characters.
//! Whoever has an envelope can trust its fields as names and numbers, and write them into logs.

mod trace;

use engine_component::Data;
use engine_component::schema::SchemaHash;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub use trace::Trace;

use crate::{name, strict};

/// Bytes of an id, at the most.
pub const MAX_ID: usize = 128;
/// Bytes of a source, a subject or a schema, at the most.
pub const MAX_TEXT: usize = 256;
/// Headers of one message, at the most: others than these are skipped, but not without end.
pub const MAX_HEADERS: usize = 64;

/// What the headers are called.
pub mod header {
    /// The id of the message, unique together with its source.
    pub const ID: &str = "ce-id";
    /// Who made it.
    pub const SOURCE: &str = "ce-source";
    /// The declared name of its type.
    pub const TYPE: &str = "ce-type";
    /// Always `1.0`.
    pub const SPEC: &str = "ce-specversion";
    /// When it was made, as RFC 3339 writes it.
    pub const TIME: &str = "ce-time";
    /// What it is about.
    pub const SUBJECT: &str = "ce-subject";
    /// Which schema its payload has.
    pub const SCHEMA: &str = "ce-dataschema";
    /// What the whole chain of messages began with.
    pub const CORRELATION: &str = "ce-correlationid";
    /// Which message this one is a consequence of.
    pub const CAUSATION: &str = "ce-causationid";
    /// How the payload is written.
    pub const CONTENT: &str = "content-type";
    /// The place in a trace, as W3C writes it.
    pub const TRACE_PARENT: &str = "traceparent";
    /// More about the trace, of whoever traces.
    pub const TRACE_STATE: &str = "tracestate";
}

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// `application/msgpack`
    #[default]
    MessagePack,
    /// `application/json`
    Json,
}

impl Content {
    /// As the header says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessagePack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// What a header says; parameters behind a semicolon don't matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let kind = text.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/msgpack" | "application/x-msgpack" => Some(Self::MessagePack),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Bytes of a payload, at the most: below the limit that servers have by default, with room for headers.
pub const MAX_PAYLOAD: usize = 960 * 1024;

impl Content {
    /// A payload as a value that describes itself, whatever type it is of.
    ///
    /// # Errors
    /// When it is not well-formed, or too long.
    pub fn value(self, bytes: &[u8]) -> Result<Value, String> {
        match self {
            Self::MessagePack => strict::decode(bytes, MAX_PAYLOAD).map_err(|error| error.to_string()),
            // Its parser refuses what is nested deeper than 128 levels, and what follows the value.
            Self::Json if bytes.len() <= MAX_PAYLOAD => {
                serde_json::from_slice(bytes).map_err(|error| error.to_string())
            }
            Self::Json => Err(format!("{} bytes, where {MAX_PAYLOAD} are the most", bytes.len())),
        }
    }
}

/// Which schema a payload has: name, version, and the hash of its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRef {
    /// The declared name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// The hash.
    pub hash: SchemaHash,
}

impl SchemaRef {
    /// Of a type of this build.
    #[must_use]
    pub fn of<T: Data>() -> Self {
        let schema = T::schema();
        Self { name: schema.name.clone(), version: schema.version, hash: schema.hash() }
    }

    /// `urn:engine:schema:<name>:<version>:<hash>`; `None` when it is another URI.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("urn:engine:schema:")?.split(':');
        let (name, version, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hash = hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_number = version.len() <= 10 && version.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some() || !is_hash || !is_number || !name::is_dotted(name) {
            return None;
        }
        let hash = SchemaHash(u128::from_str_radix(hash, 16).ok()?);
        Some(Self { name: name.to_owned(), version: version.parse().ok()?, hash })
    }
}

impl std::fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "urn:engine:schema:{}:{}:{}", self.name, self.version, self.hash)
    }
}

/// Why headers are no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It has to be there.
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    /// Which of them counts?
    #[error("the header `{0}` is there twice")]
    Twice(&'static str),
    /// Too long, or of other characters, or not what it has to be.
    #[error("the header `{name}` is no {what}")]
    Bad {
        /// Which.
        name: &'static str,
        /// What it has to be.
        what: &'static str,
    },
    /// More than anybody needs.
    #[error("more than {MAX_HEADERS} headers")]
    TooMany,
}

/// The envelope of a message.
///
/// ```
/// use engine_net::envelope::Envelope;
///
/// let order = Envelope::new("shop", "shop.Ordered");
/// let paid = Envelope::new("bank", "bank.Paid").caused_by(&order);
/// let read = Envelope::read(paid.lines().iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
/// assert_eq!(read, paid);
/// assert_eq!(read.correlation.as_deref(), Some(order.id.as_str()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The id: a UUID of version 7, where this crate made it.
    pub id: String,
    /// Who made the message.
    pub source: String,
    /// The declared name of the event or command.
    pub kind: String,
    /// When it was made.
    pub time: Option<OffsetDateTime>,
    /// What it is about.
    pub subject: Option<String>,
    /// The schema of the payload; `None` when it is not said, or not one of ours.
    pub schema: Option<SchemaRef>,
    /// How the payload is written.
    pub content: Content,
    /// The id of what the whole chain began with.
    pub correlation: Option<String>,
    /// The id of what this one is a consequence of.
    pub causation: Option<String>,
    /// The place in a trace.
    pub trace: Option<Trace>,
}

impl Envelope {
    /// A new message: a new id, now, the beginning of a chain.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn new(source: &str, kind: &str) -> Self {
        Self {
            id: new_id(),
            source: source.to_owned(),
            kind: kind.to_owned(),
            time: Some(OffsetDateTime::now_utc()),
            subject: None,
            schema: None,
            content: Content::default(),
            correlation: None,
            causation: None,
            trace: None,
        }
    }

    /// As a consequence of another message: in its chain, and a child in its trace.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn caused_by(mut self, cause: &Self) -> Self {
        self.causation = Some(cause.id.clone());
        self.correlation = Some(cause.correlation.as_ref().unwrap_or(&cause.id).clone());
        self.trace = cause.trace.as_ref().map(Trace::child);
        self
    }

    /// With an id of one's own: the same message may then be sent again and counts once.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Name and value of each header.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            (header::ID, self.id.clone()),
            (header::SOURCE, self.source.clone()),
            (header::TYPE, self.kind.clone()),
            (header::SPEC, "1.0".to_owned()),
            (header::CONTENT, self.content.as_str().to_owned()),
        ];
        lines.extend(self.time.and_then(|time| Some((header::TIME, time.format(&Rfc3339).ok()?))));
        lines.extend(self.schema.as_ref().map(|schema| (header::SCHEMA, schema.to_string())));
        let texts = [
            (header::SUBJECT, &self.subject),
            (header::CORRELATION, &self.correlation),
            (header::CAUSATION, &self.causation),
        ];
        lines.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        if let Some(trace) = &self.trace {
            lines.push((header::TRACE_PARENT, trace.parent()));
            lines.extend(trace.state().map(|state| (header::TRACE_STATE, state.to_owned())));
        }
        lines
    }

    /// From all headers of a message, in any order.
    ///
    /// # Errors
    /// When one that has to be there is missing, or one is there twice or is not what it should be. Only a trace that
    /// can't be read is dropped: its standard says so.
    pub fn read<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, EnvelopeError> {
        let found = Found::collect(lines)?;
        if found.need(header::SPEC)? != "1.0" {
            return Err(EnvelopeError::Bad { name: header::SPEC, what: "version of CloudEvents that is known (1.0)" });
        }
        let kind = found.need(header::TYPE)?;
        if !name::is_dotted(kind) {
            return Err(EnvelopeError::Bad { name: header::TYPE, what: "declared name" });
        }
        let time = found.get(header::TIME).map(|text| OffsetDateTime::parse(text, &Rfc3339)).transpose();
        let no_time = EnvelopeError::Bad { name: header::TIME, what: "time (RFC 3339)" };
        let time = time.map_err(|_| no_time.clone())?;
        // An offset may lead out of the years that can be written.
        let in_utc = |time: OffsetDateTime| {
            time.checked_to_offset(time::UtcOffset::UTC).filter(|time| time.year() >= 0).ok_or(no_time)
        };
        let time = time.map(in_utc).transpose()?;
        let content = match found.get(header::CONTENT) {
            None => Content::default(),
            Some(text) => Content::parse(text).ok_or(EnvelopeError::Bad {
                name: header::CONTENT,
                what: "content that is known (application/msgpack, application/json)",
            })?,
        };
        let trace =
            found.get(header::TRACE_PARENT).and_then(|parent| Trace::read(parent, found.get(header::TRACE_STATE)));
        let text = |name| found.get(name).map(str::to_owned);
        Ok(Self {
            id: found.need(header::ID)?.to_owned(),
            source: found.need(header::SOURCE)?.to_owned(),
            kind: kind.to_owned(),
            time,
            subject: text(header::SUBJECT),
            schema: found.get(header::SCHEMA).and_then(SchemaRef::parse),
            content,
            correlation: text(header::CORRELATION),
            causation: text(header::CAUSATION),
            trace,
        })
    }

    /// As headers of NATS.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn headers(&self) -> async_nats::HeaderMap {
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in self.lines() {
            map.insert(name, value);
        }
        map
    }

    /// From headers of NATS.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[cfg(feature = "client")]
    pub fn of_headers(headers: Option<&async_nats::HeaderMap>) -> Result<Self, EnvelopeError> {
        let lines = headers.into_iter().flat_map(async_nats::HeaderMap::iter);
        Self::read(lines.flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str()))))
    }

    /// What the server is to know the message by in its window of duplicates. An id alone is nobody's: two that make
    /// messages may choose the same.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}/{}/{}", self.source, self.kind, self.id)
    }

    /// The id as a UUID, which those of commands have to be.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        // One spelling only: an id in capitals would be another text for the same command.
        Uuid::try_parse(&self.id).ok().filter(|uuid| uuid.hyphenated().to_string() == self.id)
    }
}

/// A new id: UUIDs of version 7 sort by the time at which they were made.
#[cfg(feature = "client")]
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().hyphenated().to_string()
}

/// Which headers are looked at, and how long each may be.
const KNOWN: [(&str, usize); 12] = [
    (header::ID, MAX_ID),
    (header::SOURCE, MAX_TEXT),
    (header::TYPE, MAX_TEXT),
    (header::SPEC, 16),
    (header::TIME, 64),
    (header::SUBJECT, MAX_TEXT),
    (header::SCHEMA, MAX_TEXT),
    (header::CORRELATION, MAX_ID),
    (header::CAUSATION, MAX_ID),
    (header::CONTENT, MAX_TEXT),
    (header::TRACE_PARENT, trace::MAX_PARENT),
    (header::TRACE_STATE, trace::MAX_STATE),
];

/// The headers that are known, each at most once.
struct Found<'a>([Option<&'a str>; KNOWN.len()]);

impl<'a> Found<'a> {
    fn collect(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, EnvelopeError> {
        let mut found = [None; KNOWN.len()];
        for (count, (name, value)) in lines.enumerate() {
            if count == MAX_HEADERS {
                return Err(EnvelopeError::TooMany);
            }
            let Some(at) = KNOWN.iter().position(|(known, _)| *known == name) else { continue };
            let (name, longest) = KNOWN[at];
            if found[at].is_some() {
                return Err(EnvelopeError::Twice(name));
            }
            if value.is_empty() || value.len() > longest || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                // A trace that can't be read is no reason to refuse what it is about.
                if matches!(name, header::TRACE_PARENT | header::TRACE_STATE) {
                    continue;
                }
                return Err(EnvelopeError::Bad { name, what: "short text of visible characters" });
            }
            found[at] = Some(value);
        }
        Ok(Self(found))
    }

    fn get(&self, name: &'static str) -> Option<&'a str> {
        KNOWN.iter().position(|(known, _)| *known == name).and_then(|at| self.0[at])
    }

    fn need(&self, name: &'static str) -> Result<&'a str, EnvelopeError> {
        self.get(name).ok_or(EnvelopeError::Missing(name))
    }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
