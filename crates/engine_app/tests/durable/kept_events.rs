//! Events that are kept: each is in its stream once and in order, whoever is killed, stopped or full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::jetstream;
use engine_app::App;
use engine_component::Event;
use engine_net::messages::status::Status;
use engine_net::server::ServerOptions;
use engine_service::Recorded;
use engine_service::upcast::Upcasters;
use engine_system::runner::{InstanceOptions, run_instance};
use engine_system::{EventWriter, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::place::{Leader, Place};

const STREAM: &str = "ENGINE_EVENT_main_told";
/// What somebody else publishes.
const FOREIGN: &[u8] = b"foreign";
const KEEPS: [&str; 4] = ["--keep-events", "told", "--expect", "tell"];
const SLOW: [&str; 4] = ["--rate", "200", "--time", "dilate"];

#[derive(Event, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[event(name = "told.Count")]
struct Count {
    tick: u64,
    number: u64,
}

#[derive(Event, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[event(name = "told.Said", document)]
struct Said {
    tick: u64,
    text: String,
}

/// Up to three of one type a tick, and in every second one a document.
fn tell(time: Time, mut counts: EventWriter<Count>, mut said: EventWriter<Said>) {
    for number in 0..=time.tick % 3 {
        counts.send(Count { tick: time.tick, number });
    }
    if time.tick.is_multiple_of(2) {
        said.send(Said { tick: time.tick, text: "x".repeat(100) });
    }
}

/// The system, wherever the coordinator is.
struct Teller {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    fn start(place: &Place) -> Self {
        let systems = App::new("told").add_system("tell", tell).into_systems().unwrap();
        let (config, stop) = (place.config.clone(), Arc::new(AtomicBool::new(false)));
        let options = InstanceOptions { name: Some("one".into()), stop: stop.clone(), ..InstanceOptions::default() };
        let thread = std::thread::spawn(move || run_instance(&config, systems, options).unwrap());
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// As fast as it can, unless it is told otherwise.
fn lead(place: &Place, more: &[&str]) -> Leader {
    place.lead(&[&KEEPS[..], more].concat())
}

/// Everything that the stream has, as programs around the world read it.
fn stored(place: &Place) -> Vec<Recorded> {
    place.raw(async |client| {
        let mut stream = jetstream::new(client).get_stream(STREAM).await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        let mut all = Vec::new();
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.unwrap();
            if message.payload == *FOREIGN {
                continue;
            }
            let of = Recorded::of_message(Some(&message.headers), &message.payload, &Arc::new(Upcasters::default()));
            all.extend(of.unwrap());
        }
        all
    })
}

/// Each event of each tick up to this one, once, in order, with an id of its own.
fn check(place: &Place, last: u64) {
    let all = stored(place);
    let counts: Vec<Count> = all.iter().filter_map(|one| one.read().ok()).collect();
    let wanted = (1..=last).flat_map(|tick| (0..=tick % 3).map(move |number| Count { tick, number }));
    let wanted: Vec<Count> = wanted.collect();
    assert_eq!(first_difference(&counts, &wanted), None);
    let said: Vec<u64> = all.iter().filter_map(|one| one.read::<Said>().ok()).map(|said| said.tick).collect();
    let wanted: Vec<u64> = (1..=last).filter(|tick| tick.is_multiple_of(2)).collect();
    assert_eq!(first_difference(&said, &wanted), None);
    let mut ids: Vec<&str> = all.iter().map(|one| one.envelope.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all.len(), "two have one id");
}

fn first_difference<T: PartialEq + Clone>(found: &[T], wanted: &[T]) -> Option<(usize, Option<T>, Option<T>)> {
    let most = found.len().max(wanted.len());
    let at = (0..most).find(|at| found.get(*at) != wanted.get(*at))?;
    Some((at, found.get(at).cloned(), wanted.get(at).cloned()))
}

/// Runs the world up to a tick that it ends with, and reads what is stored.
fn finish_and_check(place: &Place, last: u64) {
    let ticks = last.to_string();
    lead(place, &["--ticks", &ticks, "--exit"]).ends_well();
    check(place, last);
}

#[test]
fn what_is_kept_is_stored_once_however_often_the_coordinator_is_killed() {
    let place = Place::new();
    let _teller = Teller::start(&place);
    let mut reached = 0;
    for round in 0..8 {
        let mut leader = lead(&place, &SLOW);
        // At another point of a tick each time, and now and then just after it began to lead.
        reached = leader.wait_for_tick(reached + if round % 3 == 2 { 1 } else { 40 + 7 * round }).0;
        drop(leader);
    }
    finish_and_check(&place, reached + 100);
}

#[test]
fn what_is_kept_is_stored_once_though_servers_are_killed() {
    let mut place = Place::new();
    let _teller = Teller::start(&place);
    let mut leader = lead(&place, &SLOW);
    let mut reached = leader.wait_for_tick(50).0;
    know_ids_for(&place, FORGETS);
    for _ in 0..3 {
        place.server.kill();
        place.server.restart().unwrap();
        reached = leader.wait_for_tick(reached + 60).0;
    }
    place.server.kill();
    drop(leader);
    place.server.restart().unwrap();
    know_ids_for(&place, REMEMBERS);
    finish_and_check(&place, reached + 100);
}

#[test]
fn who_was_deposed_stores_nothing_any_more() {
    let place = Place::new();
    let _teller = Teller::start(&place);
    let mut leads = lead(&place, &[&SLOW[..], &["--standby"]].concat());
    let mut reached = leads.wait_for_tick(50).0;
    let mut stands_by = lead(&place, &[&SLOW[..], &["--standby"]].concat());
    stands_by.wait_for("standing by");
    know_ids_for(&place, FORGETS);
    for _ in 0..3 {
        leads.signal(libc::SIGSTOP);
        reached = stands_by.wait_for_tick(reached + 60).0;
        leads.signal(libc::SIGCONT);
        leads.wait_for("standing by");
        std::mem::swap(&mut leads, &mut stands_by);
    }
    drop((leads, stands_by));
    know_ids_for(&place, REMEMBERS);
    finish_and_check(&place, reached + 100);
}

#[test]
fn others_that_publish_under_the_name_of_a_worlds_event_do_no_harm() {
    let place = Place::new();
    let _teller = Teller::start(&place);
    let mut reached = 0;
    for _ in 0..3 {
        let mut leader = lead(&place, &SLOW);
        for _ in 0..5 {
            reached = leader.wait_for_tick(reached + 10).0;
            place.raw(async |client| {
                client.publish("engine.main.event.told.Count", FOREIGN.into()).await.unwrap();
            });
        }
        drop(leader);
        // Now it is the newest one, whatever was on its way.
        place.raw(async |client| client.publish("engine.main.event.told.Count", FOREIGN.into()).await.unwrap());
    }
    finish_and_check(&place, reached + 100);
}

#[test]
fn what_is_stored_is_found_behind_any_number_of_others() {
    let place = Place::new();
    let _teller = Teller::start(&place);
    let reached = lead(&place, &[]).wait_for_tick(20).0;
    place.raw(async |client| {
        for _ in 0..11_000 {
            client.publish("engine.main.event.told.Other", FOREIGN.into()).await.unwrap();
        }
        client.publish("engine.main.event.told.Count", FOREIGN.into()).await.unwrap();
        client.flush().await.unwrap();
    });
    finish_and_check(&place, reached + 20);
}

/// The server hardly knows what it stored: so it is not by its ids alone that a message counts once.
const FORGETS: Duration = Duration::from_millis(100);
/// What a coordinator asks of a stream when it starts.
const REMEMBERS: Duration = Duration::from_secs(120);

/// For so long the stream knows the ids of what it stored.
fn know_ids_for(place: &Place, window: Duration) {
    place.raw(async |client| {
        let jet = jetstream::new(client);
        let mut config = jet.get_stream(STREAM).await.unwrap().cached_info().config.clone();
        config.duplicate_window = window;
        jet.update_stream(config).await.unwrap();
    });
}

/// Sets the room of the stream, whatever it holds.
fn limit(place: &Place, max_bytes: i64) {
    place.raw(async |client| {
        let jet = jetstream::new(client);
        let mut config = jet.get_stream(STREAM).await.unwrap().cached_info().config.clone();
        config.max_bytes = max_bytes;
        jet.update_stream(config).await.unwrap();
    });
}

fn waits_for_room(status: &Status) -> Option<String> {
    status.kept.as_ref()?.trouble.clone().filter(|why| why.contains("has no room"))
}

#[test]
fn a_full_stream_lets_the_world_wait_and_nothing_is_lost() {
    let place = Place::new();
    let _teller = Teller::start(&place);
    let mut leader = lead(&place, &[]);
    leader.wait_for_tick(50);
    limit(&place, 1000);
    let outside = place.outside();
    let why = outside.until("it says so", waits_for_room);
    assert!(why.contains(&format!("nats stream edit {STREAM}")), "{why}");
    // As many ticks as may wait, and then it is the world that does.
    let stands = outside.until("the world waits", |status| {
        let full = status.kept.as_ref().is_some_and(|kept| kept.ticks >= 1024);
        (full && matches!(&status.state, engine_net::messages::status::SimState::Waiting { .. })).then_some(status.tick)
    });
    let said = String::from_utf8(place.engine(&["status"]).output().unwrap().stdout).unwrap();
    assert!(said.contains("events that are to be kept wait") && said.contains("has no room"), "{said}");
    assert!(outside.status().tick <= stands + 1);
    // Who comes next finds the same, and begins with what the log has.
    drop(leader);
    let leader = lead(&place, &SLOW);
    outside.until("it says so", |status| (status.epoch == 2).then(|| waits_for_room(status)).flatten());
    limit(&place, 1 << 30);
    let reached = outside.until("it goes on", |status| (status.tick > stands + 100).then_some(status.tick));
    leader.finish();
    finish_and_check(&place, reached + 1000);
}

#[test]
fn who_ends_while_a_stream_is_full_says_what_is_not_kept_yet() {
    let place = Place::new();
    let _teller = Teller::start(&place);
    let mut leader = lead(&place, &SLOW);
    let reached = leader.wait_for_tick(50).0;
    limit(&place, 1000);
    place.outside().until("it says so", waits_for_room);
    leader.signal(libc::SIGTERM);
    let (code, error) = leader.end();
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("are kept when the world is led again"), "{error}");
    limit(&place, 1 << 30);
    finish_and_check(&place, reached + 3000);
}

#[test]
fn a_new_world_refuses_the_events_of_another_one_of_its_name() {
    let place = Place::new();
    let teller = Teller::start(&place);
    lead(&place, &["--ticks", "20", "--exit"]).ends_well();
    drop(teller);
    place.raw(async |client| {
        for stream in ["ENGINE_LOG_main", "ENGINE_KEY_main", "ENGINE_MARK_main"] {
            let _ = client.request(format!("$JS.API.STREAM.DELETE.{stream}"), "".into()).await.unwrap();
        }
    });
    for _ in 0..2 {
        let error = place.refuses(&KEEPS);
        assert!(error.contains(STREAM) && error.contains("delete the stream"), "{error}");
    }
}

#[test]
fn streams_that_are_not_as_they_must_be_are_refused_and_so_is_a_world_without_a_log() {
    let place = Place::new();
    let config = json!({ "name": STREAM, "subjects": ["engine.main.event.told.>"], "storage": "memory" });
    place.raw(async |client| {
        let create = format!("$JS.API.STREAM.CREATE.{STREAM}");
        let answer = client.request(create, config.to_string().into()).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer.payload).contains("\"error\""), "{answer:?}");
    });
    let error = place.refuses(&KEEPS);
    assert!(error.contains(STREAM) && error.contains("is needed"), "{error}");
    let error = place.refuses(&["--durability", "none", "--keep-events", "told"]);
    assert!(error.contains("--keep-events told needs a log") && error.contains("--durability server"), "{error}");
    let (code, error) = place.lead(&["--keep-events", "told.Count"]).end();
    assert!(code == Some(2) && error.contains("--keep-events"), "{error}");
}

/// The world's account has no JetStream: it is said, and what to do.
#[test]
fn the_worlds_account_needs_jetstream() {
    let place = Place::with(&ServerOptions { log_account: true, ..ServerOptions::default() });
    let error = place.refuses(&KEEPS);
    assert!(error.contains("events can't be kept") && error.contains("JetStream"), "{error}");
}
