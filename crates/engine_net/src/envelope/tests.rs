//! Envelopes: written as read, and what is refused.

use proptest::prelude::*;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn full() -> Vec<(&'static str, String)> {
    let envelope = Envelope {
        time: Some(OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()),
        subject: Some("player/ada".into()),
        schema: SchemaRef::parse("urn:engine:schema:shop.Purchased:2:000102030405060708090a0b0c0d0e0f"),
        content: Content::Json,
        correlation: Some("begin".into()),
        causation: Some("before".into()),
        trace: Trace::read(PARENT, Some("a=1")),
        ..Envelope::new("shop", "shop.Purchased")
    };
    envelope.lines()
}

fn read(lines: &[(&str, String)]) -> Result<Envelope, EnvelopeError> {
    Envelope::read(lines.iter().map(|(name, value)| (*name, value.as_str())))
}

fn with(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let mut lines = full();
    lines.iter_mut().filter(|line| line.0 == name).for_each(|line| line.1 = value.to_owned());
    lines
}

#[test]
fn a_time_beyond_the_years_that_can_be_written_is_refused() {
    for text in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:30:00+01:00"] {
        let refused = read(&with(header::TIME, text)).unwrap_err();
        assert!(matches!(refused, EnvelopeError::Bad { name: header::TIME, .. }), "{text}: {refused}");
    }
    for text in ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59+01:00"] {
        let envelope = read(&with(header::TIME, text)).unwrap();
        let time = envelope.lines().into_iter().find(|line| line.0 == header::TIME);
        assert!(time.is_some_and(|time| time.1.ends_with('Z')), "{text}");
    }
}

#[test]
fn an_envelope_is_read_as_it_was_written() {
    let lines = full();
    let read_back = read(&lines).unwrap();
    assert_eq!(read_back.lines().len(), 12);
    let mut backwards = lines.clone();
    backwards.reverse();
    assert_eq!(read(&backwards).unwrap(), read_back, "in any order");
    assert_eq!(read_back.lines(), lines);
    assert_eq!(Envelope::of_headers(Some(&read_back.headers())).unwrap(), read_back);
}

#[test]
fn what_has_to_be_there_is_asked_for() {
    for name in [header::ID, header::SOURCE, header::TYPE, header::SPEC] {
        let lines: Vec<_> = full().into_iter().filter(|line| line.0 != name).collect();
        assert_eq!(read(&lines), Err(EnvelopeError::Missing(name)));
    }
    assert_eq!(Envelope::of_headers(None), Err(EnvelopeError::Missing(header::SPEC)));
}

#[test]
fn nothing_is_there_twice() {
    for (name, value) in full() {
        let mut lines = full();
        lines.push((name, value));
        assert_eq!(read(&lines), Err(EnvelopeError::Twice(name)));
    }
}

#[test]
fn long_invisible_and_wrong_values_are_refused() {
    for (name, _) in full().into_iter().filter(|line| !line.0.starts_with("trace")) {
        for bad in ["", "a\r\nb", "ä", "\0", &"x".repeat(600)] {
            assert!(matches!(read(&with(name, bad)), Err(EnvelopeError::Bad { .. })), "{name}: {bad}");
        }
    }
    for (name, bad) in [
        (header::SPEC, "0.3"),
        (header::TYPE, "shop.>"),
        (header::TYPE, "two words"),
        (header::TIME, "yesterday"),
        (header::CONTENT, "text/html"),
    ] {
        assert!(matches!(read(&with(name, bad)), Err(EnvelopeError::Bad { .. })), "{name}: {bad}");
    }
}

#[test]
fn other_headers_are_skipped_but_not_without_end() {
    let mut lines = full();
    lines.push(("ce-other", "ä".into()));
    assert!(read(&lines).is_ok());
    lines.extend((0..64).map(|_| ("x", "y".into())));
    assert_eq!(read(&lines), Err(EnvelopeError::TooMany));
}

#[test]
fn a_bad_trace_is_dropped_and_the_message_stays() {
    for bad in ["", "ä", "nonsense"] {
        assert_eq!(read(&with(header::TRACE_PARENT, bad)).unwrap().trace, None);
    }
}

#[test]
fn an_id_has_one_spelling() {
    let envelope = Envelope::new("a", "b");
    assert!(envelope.uuid().is_some());
    for other in [envelope.id.to_uppercase(), envelope.id.replace('-', ""), format!("{{{}}}", envelope.id), "7".into()]
    {
        assert_eq!(envelope.clone().with_id(other).uuid(), None);
    }
}

proptest! {
    #[test]
    fn whatever_is_accepted_is_written_as_it_was_read(
        lines in proptest::collection::vec((0..KNOWN.len() + 1, "[ -~]{0,40}"), 0..20)
    ) {
        let mut all = full();
        for (at, value) in lines {
            let name = KNOWN.get(at).map_or("x-other", |known| known.0);
            match all.iter_mut().find(|line| line.0 == name) {
                Some(line) => line.1 = value,
                None => all.push((name, value)),
            }
        }
        if let Ok(envelope) = read(&all) {
            let again = read(&envelope.lines());
            prop_assert_eq!(again, Ok(envelope));
        }
    }

    #[test]
    fn schemas_have_one_spelling(text in "urn:engine:schema:[a-z.]{0,6}:[0-9]{0,11}:[0-9a-f]{30,33}") {
        if let Some(schema) = SchemaRef::parse(&text) {
            prop_assert_eq!(SchemaRef::parse(&schema.to_string()), Some(schema));
        }
    }
}
