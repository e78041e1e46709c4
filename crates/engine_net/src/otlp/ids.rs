//! The ids of spans, and how a span in one process names its parent in another one.
//!
//! Both sides can derive them: the trace of a tick follows from world, epoch and tick, and a span from its trace and its
//! place in it. So nobody has to be told but that a tick is sampled.

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A trace: one tick.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TraceId(u128);

/// A span of a trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpanId(u64);

impl TraceId {
    /// The trace of a tick.
    #[must_use]
    pub fn of_tick(world: &str, epoch: u64, tick: u64) -> Self {
        let id = xxh3_128(format!("{world}.{epoch}.{tick}").as_bytes());
        Self(id.max(1)) // 0 is no trace.
    }

    /// The span of the tick itself.
    #[must_use]
    pub fn root(self) -> SpanId {
        self.span("tick", &[])
    }

    /// A span by its place in the trace.
    #[must_use]
    pub fn span(self, what: &str, numbers: &[u64]) -> SpanId {
        let mut bytes = self.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(what.as_bytes());
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        SpanId(xxh3_64(&bytes).max(1))
    }

    /// The span of an attempt at a batch.
    #[must_use]
    pub fn batch(self, job: u32, attempt: u16) -> SpanId {
        self.span("batch", &[job.into(), attempt.into()])
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A sampled span as W3C Trace Context names it to whoever works for it.
#[must_use]
pub fn traceparent(trace: TraceId, span: SpanId) -> String {
    format!("00-{trace}-{span}-01")
}

/// Reads what [`traceparent`] writes. None of what is not sampled, or not such a text.
#[must_use]
pub fn read_traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    if text.len() != 55 || !text.is_ascii() {
        return None;
    }
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    if !lengths || parts.next().is_some() || ![version, trace, span, flags].into_iter().all(is_hex) || version == "ff" {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
    let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    is_sampled.then_some((TraceId(trace), SpanId(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_derive_the_same_ids() {
        let trace = TraceId::of_tick("main", 7, 600);
        assert_eq!(trace, TraceId::of_tick("main", 7, 600));
        assert_ne!(trace, TraceId::of_tick("main", 7, 601));
        assert_ne!(trace, TraceId::of_tick("main", 76, 0), "places don't run together");
        assert_ne!(trace.batch(1, 0), trace.batch(0, 1));
        let text = traceparent(trace, trace.batch(4, 1));
        assert_eq!(read_traceparent(&text), Some((trace, trace.batch(4, 1))));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(read_traceparent(good).is_some());
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333+-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-1",
        ] {
            assert_eq!(read_traceparent(bad), None, "{bad}");
        }
    }
}
