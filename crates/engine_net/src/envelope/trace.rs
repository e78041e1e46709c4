//! The place of a message in a trace, as the W3C's recommendation writes it: passed on, never interpreted.

/// Bytes of `traceparent`, at the most: those of the version that is known, and room for later ones.
pub(super) const MAX_PARENT: usize = 128;
/// Bytes of `tracestate`, at the most.
pub(super) const MAX_STATE: usize = 512;
/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// `traceparent` and `tracestate`.
///
/// ```
/// use engine_net::envelope::Trace;
///
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let child = Trace::read(parent, Some("vendor=1")).unwrap().child();
/// assert!(child.parent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && child.parent() != parent);
/// assert!(child.is_sampled());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    trace: u128,
    span: u64,
    flags: u8,
    state: Option<String>,
}

impl Trace {
    /// From the two headers; `None` when the first one can't be read: then there is no trace.
    #[must_use]
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let known = parent.get(..LENGTH)?;
        let mut parts = known.split('-');
        let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
        let (span, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
        let rest = &parent[LENGTH..];
        let ends_well = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        if parts.next().is_some() || version == 0xff || !ends_well || trace == 0 || span == 0 {
            return None;
        }
        let state = state.filter(|state| state.len() <= MAX_STATE).map(str::to_owned);
        Some(Self { trace, span: u64::try_from(span).ok()?, flags: u8::try_from(flags).ok()?, state })
    }

    /// A new place below this one.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn child(&self) -> Self {
        // The lower half of such an id is random but for two bits, and never 0 for those.
        let span = uuid::Uuid::now_v7().as_u64_pair().1;
        Self { span, ..self.clone() }
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn parent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }

    /// The value of `tracestate`.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Whether whoever began the trace wants it recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// Lower case digits, exactly so many.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fine = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if fine { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_passed_on_as_it_came() {
        let trace = Trace::read(PARENT, Some("a=1,b=2")).unwrap();
        assert_eq!((trace.parent().as_str(), trace.state()), (PARENT, Some("a=1,b=2")));
        let later = PARENT.replacen("00", "01", 1) + "-more";
        assert_eq!(Trace::read(&later, None).unwrap().parent(), PARENT);
    }

    #[test]
    fn what_is_no_trace_is_none() {
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let no_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let version = PARENT.replacen("00", "ff", 1);
        let capitals = PARENT.to_uppercase();
        for bad in [
            "",
            "00",
            &PARENT[1..],
            zeros,
            no_span,
            &version,
            &capitals,
            &format!("{PARENT}-x"),
            "ä".repeat(60).as_str(),
        ] {
            assert_eq!(Trace::read(bad, None), None, "{bad}");
        }
    }
}
