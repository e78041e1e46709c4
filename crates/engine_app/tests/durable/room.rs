//! A log that has no room: the world waits and says so, nothing is lost, and what can be removed is.

use std::time::Duration;

use engine_net::messages::status::{SimState, Status};
use serde_json::json;

use crate::place::{Outside, Place, one};

const SMALL: [&str; 2] = ["--log-mib", "1"];

fn waits_for(status: &Status, part: &str) -> Option<String> {
    match &status.state {
        SimState::Waiting { what } if what.contains(part) => Some(what.clone()),
        _ => None,
    }
}

/// Sets the room of the log, whatever it holds.
fn limit(place: &Place, bytes: u64) {
    let log = place.streams(1).names().log();
    place.raw(async |client| {
        let answer = client.request(format!("$JS.API.STREAM.INFO.{log}"), "".into()).await.unwrap();
        let mut config = serde_json::from_slice::<serde_json::Value>(&answer.payload).unwrap()["config"].take();
        config["max_bytes"] = json!(bytes);
        let update = format!("$JS.API.STREAM.UPDATE.{log}");
        let answer = client.request(update, config.to_string().into()).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer.payload).contains("\"error\""), "{answer:?}");
    });
}

/// Ten times what the log has room for.
#[test]
fn a_log_is_shortened_behind_its_keyframes_before_it_is_full() {
    let place = Place::new();
    let mut leader = place.lead(&[&SMALL[..], &["--ticks", "12000"]].concat());
    let (_, hash) = leader.wait_for_tick(12_000);
    let streams = place.streams(1);
    leader.finish();
    let sequences: Vec<u64> = place.records(&streams).iter().map(|(seq, _)| *seq).collect();
    assert_eq!(sequences[0], 1, "the epoch record stays");
    assert!(sequences[1] > 11_000 && sequences.last() == Some(&12_001), "{sequences:?}");
    assert!(streams.list_keyframes().unwrap().len() <= 5);
    let mut later = place.lead(&[&SMALL[..], &["--ticks", "12000"]].concat());
    later.wait_for("12000");
    assert_eq!(place.outside().status().hash.to_string(), hash);
}

/// As when the disk is full: not even what is behind the newest keyframe fits.
#[test]
fn a_full_log_lets_the_world_wait_and_go_on() {
    let place = Place::new();
    let mut leader = place.lead(&[&SMALL[..], &["--rate", "200", "--time", "dilate", "--log-lag", "4"]].concat());
    leader.wait_for_tick(20);
    let outside = place.outside();
    let before = outside.spawn("before");
    limit(&place, 1000);
    let what = outside.until("the world waits", |status| waits_for(status, "the stream is full"));
    assert!(what.contains("--log-mib"), "{what}");
    let said = String::from_utf8(place.engine(&["status"]).output().unwrap().stdout).unwrap();
    assert!(said.contains("the stream is full"), "{said}");
    let stands = outside.status().tick;
    let unheard = outside.try_act("meanwhile", one(), Duration::from_millis(300));
    assert!(unheard.is_none(), "{unheard:?}");
    assert!(outside.status().tick <= stands + 5, "it waits");
    limit(&place, 1 << 20);
    leader.wait_for_tick(stands + 20);
    let meanwhile = outside.spawn("meanwhile");
    drop(leader);
    let _later = place.lead(&SMALL);
    assert!(outside.is_there(before) && outside.is_there(meanwhile));
}

/// The records since the keyframe are as much as fits, when nobody looked: a coordinator that starts makes room.
#[test]
fn a_coordinator_finds_a_full_log_and_begins_in_it() {
    let place = Place::new();
    let leader = place.lead(&[&SMALL[..], &["--ticks", "2000"]].concat());
    let outside = place.outside();
    outside.until("the last tick", |status| (status.tick == 2000).then_some(()));
    leader.finish();
    let streams = place.streams(1);
    let tail = streams.tail().unwrap();
    let newest = streams.list_keyframes().unwrap()[0].tick;
    assert!(newest < 2000 && tail.first < tail.last - (2000 - newest) - 1, "{newest}: {tail:?}");
    // Room for what is behind the newest keyframe and a little more, and no longer for what is there.
    limit(&place, (2000 - newest + 60) * 800);
    let args = ["--log-mib", "1", "--ticks", "2020"];
    // A coordinator would raise the limit to what it is told; so it is told what is there.
    drop(streams);
    let mut later = place.lead(&args);
    later.wait_for_tick(2020);
}

/// Makes a world of more and more entities, until it waits for something; what that is.
fn crowd(outside: &Outside, part: &str) -> String {
    for number in 0..1000 {
        let entities = vec![engine_net::messages::value::Components::new(); 1000];
        let spawn = engine_net::messages::command::Action::Spawn { entities };
        let done = outside.try_act(&format!("crowd-{number}"), spawn, Duration::from_millis(500));
        if done.is_none()
            && let Some(what) = waits_for(&outside.status(), part)
        {
            return what;
        }
    }
    panic!("it never waits");
}

#[test]
fn keyframes_without_room_stop_the_world_before_the_log_is_full() {
    let place = Place::new();
    let more = [&SMALL[..], &["--rate", "100", "--time", "dilate", "--keyframe-mib", "1"]].concat();
    let mut leader = place.lead(&more);
    leader.wait_for_tick(10);
    let outside = place.outside();
    let what = crowd(&outside, "no keyframe can be stored");
    assert!(what.contains("--keyframe-mib"), "{what}");
    let waits = outside.status();
    drop(leader);
    let enough = [&SMALL[..], &["--rate", "100", "--time", "dilate", "--keyframe-mib", "64"]].concat();
    let mut later = place.lead(&enough);
    later.wait_for_tick(waits.tick + 200);
    assert!(outside.status().entities >= waits.entities && waits.entities > 50_000, "{waits:?}");
}

#[test]
fn who_is_told_to_stop_ends_with_the_reason() {
    let place = Place::new();
    let mut leader = place.lead(&[&SMALL[..], &["--log-stuck", "stop", "--rate", "100", "--time", "dilate"]].concat());
    leader.wait_for_tick(10);
    limit(&place, 1000);
    let (code, error) = leader.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("stood still for 30 s: the stream is full"), "{error}");
}

#[test]
fn who_is_told_to_stop_ends_when_there_is_no_server() {
    let mut place = Place::new();
    let mut leader = place.lead(&["--log-stuck", "stop", "--rate", "100", "--time", "dilate"]);
    leader.wait_for_tick(10);
    place.server.kill();
    let (code, error) = leader.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("nobody could lead for 30 s"), "{error}");
}

/// Nobody may believe that the last ticks are kept.
#[test]
fn who_ends_while_the_log_is_full_says_what_may_be_lost() {
    let place = Place::new();
    let mut leader = place.lead(&[&SMALL[..], &["--rate", "100", "--time", "dilate"]].concat());
    leader.wait_for_tick(10);
    limit(&place, 1000);
    place.outside().until("the world waits", |status| waits_for(status, "the stream is full"));
    leader.signal(libc::SIGTERM);
    let (code, error) = leader.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("stopped before it had acknowledged what is behind tick"), "{error}");
    assert!(error.contains("the stream is full"), "{error}");
}
