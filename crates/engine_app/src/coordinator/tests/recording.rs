//! Ticks are recorded while somebody wants to know, and no longer.

use std::sync::{Arc, Mutex};

use engine_net::messages::trace::{MAX_TICKS, TickTrace, TracePage, TraceReply, TraceRequest};
use engine_net::messages::{Message, Reply};
use engine_net::strict;

use super::script::{Script, app, drift, settings, undisturbed};
use crate::phases::Phase;
use crate::tool::trace::spans::Spans;

fn ask(script: &mut Script, from: Option<u64>, ticks: u32) -> Result<TracePage, String> {
    let subject = script.coordinator.subjects().trace();
    let answers = script.request(&subject, strict::encode(&TraceRequest { from, ticks }));
    match TraceReply::decode(&answers[0]).unwrap() {
        Reply::Ok(page) => Ok(page),
        Reply::Error(problem) => Err(problem.code),
    }
}

/// A tick in which each result is computed for ten milliseconds, as far as the coordinator can see.
fn slow_tick(script: &mut Script) {
    script.begin();
    while script.coordinator.is_running() {
        script.pass(10);
        let job = ["a", "b"].into_iter().find_map(|name| Some((name, script.held(name).first()?.0)));
        let (name, job) = job.unwrap();
        script.deliver(name, job);
    }
}

#[test]
fn what_is_asked_for_is_recorded_and_nothing_else() {
    let mut script = Script::with(app(drift), settings(), &["a", "b"]);
    script.tick();
    assert_eq!(script.coordinator.recordings.kept(), (0, 0));
    let page = ask(&mut script, None, 2).unwrap();
    assert_eq!((page.epoch, page.ticks.len(), page.next), (7, 0, Some(2)));
    slow_tick(&mut script);
    script.tick();
    script.tick();
    assert_eq!(script.coordinator.recordings.kept().0, 2, "no more than was asked for");
    let page = ask(&mut script, Some(2), 2).unwrap();
    assert_eq!((page.ticks.iter().map(|tick| tick.tick).collect::<Vec<_>>(), page.next), (vec![2, 3], None));
    let slow = &page.ticks[0];
    assert_eq!(slow.nodes.iter().map(|node| node.system.as_str()).collect::<Vec<_>>(), ["drift", "turn"]);
    assert_eq!((slow.batches.len(), slow.left_out, slow.nodes[1].waits_for.clone()), (8, 0, vec![0]));
    assert!(slow.took_ns >= 80_000_000, "{}", slow.took_ns);
    for batch in &slow.batches {
        assert!(batch.at.is_sorted() && batch.at[6] <= slow.took_ns, "{batch:?}");
    }
    let path = Spans::of(slow).critical_path();
    assert_eq!(path.iter().map(|segment| segment.to - segment.from).sum::<u64>(), slow.took_ns);
    let ways = script.coordinator.measures().systems[0].1.phases;
    assert!(ways.of(Phase::Ship) + ways.of(Phase::Return) >= 40_000_000, "{ways:?}");
    assert_eq!(script.coordinator.committed(), (4, undisturbed(4)), "the same world");
}

#[test]
fn what_is_over_is_gone() {
    let mut script = Script::with(app(drift), settings(), &["a"]);
    script.tick();
    assert_eq!(ask(&mut script, Some(1), 1), Err("gone".into()));
    assert_eq!(ask(&mut script, Some(1 + u64::from(MAX_TICKS) + 1), 1), Err("bad_request".into()));
    for ticks in [0, MAX_TICKS + 1, u32::MAX] {
        assert_eq!(ask(&mut script, None, ticks), Err("bad_request".into()));
    }
    assert_eq!(ask(&mut script, Some(u64::MAX), 1), Err("bad_request".into()));
    ask(&mut script, None, 500).unwrap();
    script.tick();
    script.look_around("a");
    assert_eq!(script.coordinator.recordings.kept().0, 1);
    script.pass(31_000);
    assert_eq!(script.coordinator.recordings.kept(), (0, 0), "nobody has asked for long");
}

#[test]
fn a_page_is_bounded_and_so_is_what_is_kept() {
    let mut script = Script::with(app(drift), settings(), &["a"]);
    ask(&mut script, None, 3).unwrap();
    (0..3).for_each(|_| script.tick());
    let tick = ask(&mut script, Some(1), 3).unwrap().ticks[0].clone();
    let many = |number| TickTrace { tick: number, batches: vec![tick.batches[0]; 8192], ..tick.clone() };
    for number in 1..=100 {
        script.coordinator.recordings.keep(many(number));
    }
    let (kept, bytes) = script.coordinator.recordings.kept();
    assert!(kept < 100 && bytes <= 32 << 20, "{kept} {bytes}");
    let (all, small) = (script.coordinator.recordings.page(100, 101, 1 << 20), 20_000);
    assert_eq!((all.len(), all[0].batches.len(), all[0].left_out), (1, 8192, 0));
    let cut = &script.coordinator.recordings.page(100, 101, small)[0];
    assert!(strict::encode(cut).len() <= small && cut.left_out as usize + cut.batches.len() == 8192);
}

#[test]
fn samples_are_every_so_many_ticks() {
    let mut script = Script::with(app(drift), settings(), &["a"]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    script.coordinator.sample_ticks(3, Box::new(move |epoch, tick| sink.lock().unwrap().push((epoch, tick.tick))));
    (0..7).for_each(|_| script.tick());
    assert_eq!(*seen.lock().unwrap(), [(7, 3), (7, 6)]);
    assert_eq!(script.coordinator.recordings.kept(), (0, 0));
}
