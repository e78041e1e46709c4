//! A recorded tick as spans for OpenTelemetry: tick → node → batch → its phases. An instance adds the span of what it
//! computed below the batch, by the `traceparent` that came with it.

use engine_net::messages::trace::{BatchTrace, TickTrace};
use engine_net::otlp::{Attribute, Span, SpanId, TraceId};

use crate::phases::Phase;
use crate::tool::trace::summary::step_name;

/// Whose tick it was, and when it began, in nanoseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) world: String,
    pub(crate) epoch: u64,
    pub(crate) began: u64,
}

/// The spans of a tick.
pub(crate) fn spans_of(origin: &Origin, tick: &TickTrace) -> Vec<Span> {
    let trace = TraceId::of_tick(&origin.world, origin.epoch, tick.tick);
    let at = |ns: u64| origin.began.saturating_add(ns);
    let span = |name: &str, id: SpanId, parent: Option<SpanId>, (from, to): (u64, u64)| Span {
        name: name.to_owned(),
        trace,
        id,
        parent,
        from: at(from),
        to: at(to.max(from)),
        attributes: Vec::new(),
    };
    let root = trace.root();
    let of_tick: Vec<(&'static str, Attribute)> = vec![
        ("engine.world", origin.world.as_str().into()),
        ("engine.epoch", origin.epoch.into()),
        ("engine.tick", tick.tick.into()),
        ("engine.batches.left_out", u64::from(tick.left_out).into()),
    ];
    let mut spans = vec![Span { attributes: of_tick, ..span("tick", root, None, (0, tick.took_ns)) }];
    for (number, step) in tick.steps.iter().enumerate() {
        spans.push(span(step_name(step.0), trace.span("step", &[number as u64]), Some(root), (step.1, step.2)));
    }
    let node_id = |number: usize| trace.span("node", &[number as u64]);
    for (number, node) in tick.nodes.iter().enumerate() {
        let attributes = vec![("engine.system", node.system.as_str().into())];
        let whole = (node.started, node.merged);
        spans.push(Span { attributes, ..span(&format!("node {}", node.system), node_id(number), Some(root), whole) });
    }
    for batch in &tick.batches {
        let id = trace.batch(batch.job, batch.attempt);
        let parent = node_id(batch.node as usize);
        let attributes = about(tick, batch);
        spans.push(Span { attributes, ..span("batch", id, Some(parent), (batch.at[0], batch.at[6])) });
        for phase in Phase::ALL {
            let (from, to) = (batch.at[phase as usize], batch.at[phase as usize + 1]);
            let of_phase = trace.span(phase.name(), &[batch.job.into(), batch.attempt.into()]);
            spans.push(span(phase.name(), of_phase, Some(id), (from, to)));
        }
    }
    spans
}

fn about(tick: &TickTrace, batch: &BatchTrace) -> Vec<(&'static str, Attribute)> {
    let system = tick.nodes.get(batch.node as usize).map_or("", |node| &node.system);
    let mut about: Vec<(&'static str, Attribute)> = vec![
        ("engine.system", system.into()),
        ("engine.job", u64::from(batch.job).into()),
        ("engine.attempt", u64::from(batch.attempt).into()),
        ("engine.jobs", u64::from(batch.jobs).into()),
    ];
    let instance = batch.instance.and_then(|place| tick.instances.get(place as usize));
    about.extend(instance.map(|instance| ("engine.instance", Attribute::from(instance.as_str()))));
    about
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tool::trace::spans::tests::tick;

    #[test]
    fn spans_nest_and_have_ids_of_their_own() {
        let origin = Origin { world: "main".into(), epoch: 7, began: 1_000_000 };
        let spans = spans_of(&origin, &tick());
        let by_id: BTreeMap<SpanId, &Span> = spans.iter().map(|span| (span.id, span)).collect();
        assert_eq!((by_id.len(), spans.len()), (spans.len(), 1 + 5 + 2 + 3 + 18));
        let roots: Vec<&Span> = spans.iter().filter(|span| span.parent.is_none()).collect();
        assert_eq!((roots.len(), roots[0].from, roots[0].to), (1, 1_000_000, 1_001_000));
        for span in spans.iter().filter(|span| span.parent.is_some()) {
            let parent = by_id[&span.parent.unwrap()];
            assert!(parent.from <= span.from && span.to <= parent.to, "{span:?} in {parent:?}");
            assert_eq!(span.trace, TraceId::of_tick("main", 7, 7));
        }
    }
}
