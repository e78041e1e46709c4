//! The critical path: who waited for whom, from the end of a tick back to its beginning.
//!
//! A span begins when the last of its causes is over. So from the span that ended last one goes to the cause that was over
//! last, from there to that one's, and so on. What lies between a cause and the beginning of who waited for it belongs to
//! nobody. The segments follow one another without a gap or an overlap: a tick took exactly as long as its path.

/// Something that took time, and whose ends it had to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Nanoseconds since the beginning of the tick.
    pub from: u64,
    /// Not before that.
    pub to: u64,
    /// Spans, by their places, any of which may have been the last that it waited for.
    pub causes: Vec<usize>,
}

/// A part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whose time it is; nobody's between two spans.
    pub span: Option<usize>,
    /// Nanoseconds since the beginning of the tick.
    pub from: u64,
    /// After that.
    pub to: u64,
}

/// The path from the beginning of the tick, 0, to the end of one of its spans, in order.
///
/// Spans may overlap those that they wait for, since some of their ends are estimates: the path leaves a span where its
/// cause ends. Causes that go round in a circle are followed once.
#[must_use]
pub fn critical_path(spans: &[Span], last: usize) -> Vec<Segment> {
    let Some(end) = spans.get(last).map(|span| span.to) else { return Vec::new() };
    let mut path = Vec::new();
    let mut add = |span, from, to| {
        if from < to {
            path.push(Segment { span, from, to });
        }
    };
    let mut visited = vec![false; spans.len()];
    let (mut current, mut cursor) = (last, end);
    loop {
        visited[current] = true;
        let span = &spans[current];
        let waits_for = span.causes.iter().copied().filter(|cause| visited.get(*cause) == Some(&false));
        // Of several that were over at once, the one that took the least is the one that was waited for.
        let cause = waits_for.max_by_key(|cause| (spans[*cause].to.min(cursor), spans[*cause].from));
        let over = cause.map_or(0, |cause| spans[cause].to.min(cursor));
        let from = if cause.is_some() { span.from.clamp(over, cursor) } else { span.from.min(cursor) };
        add(Some(current), from, cursor);
        add(None, over, from);
        cursor = over;
        match cause {
            Some(cause) => current = cause,
            None => break,
        }
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: u64, to: u64, causes: &[usize]) -> Span {
        Span { from, to, causes: causes.to_vec() }
    }

    fn segments(path: &[Segment]) -> Vec<(Option<usize>, u64, u64)> {
        path.iter().map(|segment| (segment.span, segment.from, segment.to)).collect()
    }

    #[test]
    fn the_path_goes_through_who_was_over_last() {
        // Plan, two batches, the merge of both, the commit.
        let spans =
            [span(0, 10, &[]), span(10, 40, &[0]), span(12, 70, &[0]), span(72, 80, &[1, 2]), span(80, 90, &[3])];
        let path = critical_path(&spans, 4);
        let expected =
            [(Some(0), 0, 10), (None, 10, 12), (Some(2), 12, 70), (None, 70, 72), (Some(3), 72, 80), (Some(4), 80, 90)];
        assert_eq!(segments(&path), expected);
    }

    #[test]
    fn who_began_before_its_cause_was_over_counts_from_there() {
        let spans = [span(5, 50, &[]), span(20, 90, &[0])];
        assert_eq!(segments(&critical_path(&spans, 1)), [(None, 0, 5), (Some(0), 5, 50), (Some(1), 50, 90)]);
    }

    #[test]
    fn a_cause_that_is_over_later_leaves_nothing_to_who_waited() {
        let spans = [span(0, 100, &[]), span(20, 90, &[0])];
        assert_eq!(segments(&critical_path(&spans, 1)), [(Some(0), 0, 90)]);
        assert_eq!(critical_path(&spans, 2), [], "there is no such span");
    }

    #[test]
    fn a_circle_is_followed_once() {
        let spans = [span(0, 10, &[1]), span(10, 20, &[0])];
        assert_eq!(segments(&critical_path(&spans, 1)), [(Some(0), 0, 10), (Some(1), 10, 20)]);
    }

    proptest! {
        #[test]
        fn a_tick_took_as_long_as_its_path(
            spans in proptest::collection::vec((0..1000_u64, 0..300_u64, proptest::collection::vec(0..40_usize, 0..4)), 1..40),
            last in 0..40_usize,
        ) {
            let spans: Vec<Span> = spans
                .into_iter()
                .map(|(from, took, causes)| Span { from, to: from + took, causes })
                .collect();
            let last = last % spans.len();
            let path = critical_path(&spans, last);
            let mut at = 0;
            for segment in &path {
                prop_assert_eq!(segment.from, at, "no gap, no overlap");
                prop_assert!(segment.to > segment.from);
                if let Some(span) = segment.span {
                    prop_assert!(spans[span].from <= segment.from && segment.to <= spans[span].to, "its own time");
                }
                at = segment.to;
            }
            prop_assert_eq!(at, spans[last].to);
            let total: u64 = path.iter().map(|segment| segment.to - segment.from).sum();
            prop_assert_eq!(total, spans[last].to);
        }
    }
}
