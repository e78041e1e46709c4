//! Spans as OTLP wants them, in its JSON encoding: ids are hexadecimal, and 64-bit numbers are text.

use serde_json::{Value, json};

use super::ids::{SpanId, TraceId};

/// Something that took time, of some process.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What it is.
    pub name: String,
    /// The tick.
    pub trace: TraceId,
    /// Itself.
    pub id: SpanId,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// Nanoseconds since 1970.
    pub from: u64,
    /// Not before that.
    pub to: u64,
    /// What else is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

fn attribute((key, value): &(&'static str, Attribute)) -> Value {
    let value = match value {
        Attribute::Number(number) => json!({ "intValue": number.to_string() }),
        Attribute::Text(text) => json!({ "stringValue": text }),
    };
    json!({ "key": key, "value": value })
}

fn span(span: &Span) -> Value {
    let mut value = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": 1,
        "startTimeUnixNano": span.from.to_string(),
        "endTimeUnixNano": span.to.to_string(),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
    });
    if let Some(parent) = span.parent {
        value["parentSpanId"] = parent.to_string().into();
    }
    value
}

/// The body of a request, of a process with these attributes.
pub(super) fn body(resource: &[(&'static str, Attribute)], spans: &[Span]) -> Vec<u8> {
    let body = json!({
        "resourceSpans": [{
            "resource": { "attributes": resource.iter().map(attribute).collect::<Vec<_>>() },
            "scopeSpans": [{
                "scope": { "name": "engine", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans.iter().map(span).collect::<Vec<_>>(),
            }],
        }],
    });
    body.to_string().into_bytes()
}
