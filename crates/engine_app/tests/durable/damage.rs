//! What is damaged is found, and named; and an operator can go back to before it.

use bytes::Bytes;
use engine_app::log::jet::Kind;
use engine_app::log::record::Body;

use crate::place::{Leader, Place};

const SHORT: [&str; 2] = ["--ticks", "200"];
/// Keyframes at about each 120th tick.
const KEYED: [&str; 4] = ["--ticks", "900", "--log-mib", "1"];

/// A world of 200 ticks and one keyframe, at its beginning; the coordinator is gone.
fn world() -> (Place, String) {
    let place = Place::new();
    let mut leader = place.lead(&SHORT);
    let (_, hash) = leader.wait_for_tick(200);
    leader.finish();
    (place, hash)
}

/// What an honest world of so many ticks comes to.
fn honest(ticks: &str) -> String {
    let place = Place::new();
    let mut leader = place.lead(&["--ticks", ticks]);
    leader.wait_for_tick(ticks.parse().unwrap()).1
}

/// Goes on from where it was gone back to, and once more without a word about it.
fn goes_on(place: &Place, at: &str) {
    let mut leader = place.lead(&["--ticks", "300", "--recover-at", at]);
    let (_, hash) = leader.wait_for_tick(300);
    assert_eq!(hash, honest("300"));
    leader.finish();
    // Whatever starts it again and again must not give up more each time.
    let error = place.refuses(&["--ticks", "400", "--recover-at", at]);
    assert!(error.contains("whole up to tick 300. Start without `--recover-at`"), "{error}");
    let mut later = place.lead(&["--ticks", "400"]);
    assert_eq!(later.wait_for_tick(400).1, honest("400"));
    later.finish();
}

fn publish(place: &Place, kind: Kind, payload: Vec<u8>) {
    let subject = place.streams(1024).names().record(kind);
    place.raw(async |client| {
        client.publish(subject, payload.into()).await.unwrap();
        client.flush().await.unwrap();
    });
}

fn flipped(bytes: &Bytes, at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 16;
    bytes
}

#[test]
fn a_flipped_bit_in_a_record_is_found_and_given_up_on_an_operators_word() {
    let (place, _) = world();
    let streams = place.streams(1024);
    let last = streams.tail().unwrap().last;
    let record = streams.read_range(last, last, 1).next().unwrap().unwrap();
    publish(&place, Kind::Tick, flipped(&record.payload, 100));
    let error = place.refuses(&SHORT);
    let names = [format!("sequence {}", last + 1), "record 201, tick 200".into(), "`--recover-at 200`".into()];
    assert!(names.iter().all(|name| error.contains(&name[..])), "{error}");
    assert_eq!(place.refuses(&SHORT), error, "nothing was changed by looking");
    goes_on(&place, "200");
}

#[test]
fn a_record_of_nobody_who_reigns_is_found() {
    let (place, _) = world();
    publish(&place, Kind::Tick, b"not a record at all".to_vec());
    let error = place.refuses(&SHORT);
    assert!(error.contains("sequence 202") && error.contains("`--recover-at 200`"), "{error}");
    goes_on(&place, "200");
}

#[test]
fn missing_records_are_found() {
    let (place, _) = world();
    let (names, first) = (place.streams(1024).names().clone(), 2);
    let delete = |subject: String, question: serde_json::Value| {
        place.raw(async |client| {
            let answer = client.request(subject, question.to_string().into()).await.unwrap();
            serde_json::from_slice::<serde_json::Value>(&answer.payload).unwrap()
        })
    };
    let log = names.log();
    let refused = delete(format!("$JS.API.STREAM.MSG.DELETE.{log}"), serde_json::json!({ "seq": 100 }));
    assert!(refused["error"]["description"].as_str().unwrap().contains("delete"), "{refused}");
    let question = serde_json::json!({ "filter": names.record(Kind::Tick), "seq": first + 50 });
    let purged = delete(format!("$JS.API.STREAM.PURGE.{log}"), question);
    assert_eq!(purged["purged"], 50, "{purged}");
    let error = place.refuses(&SHORT);
    assert!(error.contains("sequence 2 had to come") && error.contains("`--recover-at 0`"), "{error}");
    goes_on(&place, "0");
}

/// The end of the log is gone, and nothing but the mark shows it.
#[test]
fn a_log_that_was_rolled_back_is_found() {
    let mut place = Place::new();
    let mut leader = place.lead(&SHORT);
    leader.wait_for_tick(200);
    leader.finish();
    place.server.stop().unwrap();
    let store = place.server.directory().join("store/jetstream");
    let log = find(&store, "ENGINE_LOG_main").expect("the stream's directory");
    let aside = tempfile::tempdir().unwrap();
    copy(&log, &aside.path().join("log"));
    place.server.restart().unwrap();
    let mut leader = place.lead(&["--ticks", "320"]);
    let (_, hash) = leader.wait_for_tick(320);
    leader.finish();
    let put_back = |place: &mut Place, from: &std::path::Path| {
        place.server.stop().unwrap();
        std::fs::remove_dir_all(&log).unwrap();
        copy(from, &log);
        place.server.restart().unwrap();
    };
    let newer = tempfile::tempdir().unwrap();
    place.server.stop().unwrap();
    copy(&log, &newer.path().join("log"));
    put_back(&mut place, &aside.path().join("log"));

    let error = place.refuses(&SHORT);
    assert!(error.contains("acknowledged ticks behind tick 200 are gone"), "{error}");
    assert!(error.contains("`--recover-at 200`"), "{error}");
    // Whoever has the newer copy loses nothing.
    put_back(&mut place, &newer.path().join("log"));
    let mut leader = place.lead(&["--ticks", "330"]);
    leader.wait_for_tick(330);
    leader.finish();
    assert!(!hash.is_empty());
    put_back(&mut place, &aside.path().join("log"));
    goes_on(&place, "200");
}

fn find(directory: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(directory).ok()?.map_while(Result::ok) {
        let path = entry.path();
        if entry.file_name() == name {
            return Some(path);
        }
        if let Some(found) = find(&path, name) {
            return Some(found);
        }
    }
    None
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A world with several keyframes, and their ticks, the newest first.
fn keyed() -> (Place, Vec<u64>) {
    let place = Place::new();
    let mut leader = place.lead(&KEYED);
    leader.wait_for_tick(900);
    leader.finish();
    let ticks = place.streams(1).list_keyframes().unwrap().iter().map(|id| id.tick).collect::<Vec<_>>();
    assert!(ticks.len() >= 3 && ticks.is_sorted_by(|newer, older| newer > older), "{ticks:?}");
    (place, ticks)
}

/// Removes the newest keyframe's manifest, or one of its parts; or writes a part again, otherwise.
fn harm_keyframe(place: &Place, end: &str, payload: Option<Vec<u8>>) {
    let streams = place.streams(1);
    let newest = streams.list_keyframes().unwrap()[0];
    let subject = format!("{}{newest}.{end}", streams.names().key_root());
    let purge = format!("$JS.API.STREAM.PURGE.{}", streams.names().keys());
    place.raw(async |client| {
        let question = serde_json::json!({ "filter": subject }).to_string();
        let answer = client.request(purge, question.into()).await.unwrap();
        assert!(String::from_utf8_lossy(&answer.payload).contains("\"purged\":1"), "{answer:?}");
        if let Some(payload) = payload {
            client.publish(subject, payload.into()).await.unwrap();
        }
    });
}

#[test]
fn a_keyframe_without_its_manifest_is_none() {
    let (place, _) = keyed();
    harm_keyframe(&place, "manifest", None);
    let mut leader = place.lead(&["--ticks", "1000", "--log-mib", "1"]);
    assert_eq!(leader.wait_for_tick(1000).1, honest("1000"));
}

#[test]
fn a_keyframe_that_lacks_a_part_is_named_and_an_older_one_will_do() {
    let (place, ticks) = keyed();
    // Another message with the same name, and one that does not fit, as bytes that rotted.
    harm_keyframe(&place, "0", Some(b"no part of a keyframe".to_vec()));
    let error = place.refuses(&KEYED);
    let newest = ticks[0];
    assert!(error.contains(&format!("the keyframe of tick {newest} (epoch 1) can't be used")), "{error}");
    assert!(error.contains(&format!("`--recover-at {newest}`")), "{error}");
    let at = newest.to_string();
    let more = ["--ticks", "1000", "--log-mib", "1"];
    let mut leader = place.lead(&[&more[..], &["--recover-at", &at]].concat());
    assert_eq!(leader.wait_for_tick(1000).1, honest("1000"));
    leader.finish();
    let mut later = place.lead(&["--ticks", "1100", "--log-mib", "1"]);
    assert_eq!(later.wait_for_tick(1100).1, honest("1100"));
}

#[test]
fn a_crash_before_the_new_keyframe_needs_no_second_word() {
    let (place, _) = world();
    publish(&place, Kind::Tick, b"damage".to_vec());
    let before = place.streams(1024).list_keyframes().unwrap().len();
    // It is killed as soon as its epoch record is there: perhaps its keyframe is, and perhaps it is not.
    for _ in 0..3 {
        let mut leader: Leader = place.lead(&["--ticks", "300", "--recover-at", "150", "--paused"]);
        leader.wait_for("epoch ");
        drop(leader);
    }
    let streams = place.streams(1024);
    let keyframes = streams.list_keyframes().unwrap();
    // The keyframes of these reigns are removed: so it is as if none had been completed.
    place.raw(async |client| {
        for id in keyframes.iter().take(keyframes.len() - before) {
            let question = serde_json::json!({ "filter": format!("{}{id}.*", streams.names().key_root()) });
            let subject = format!("$JS.API.STREAM.PURGE.{}", streams.names().keys());
            client.request(subject, question.to_string().into()).await.unwrap();
        }
    });
    assert_eq!(streams.list_keyframes().unwrap().len(), before);
    let mut leader = place.lead(&["--ticks", "300"]);
    let line = leader.wait_for("records up to tick");
    assert!(line.contains("150 records up to tick 150"), "{line}");
    assert_eq!(leader.wait_for_tick(300).1, honest("300"));
    leader.finish();
    let mut later = place.lead(&["--ticks", "400"]);
    assert_eq!(later.wait_for_tick(400).1, honest("400"));
}

#[test]
fn a_tick_that_no_keyframe_goes_back_to_is_refused() {
    let (place, ticks) = keyed();
    let before = ticks.last().unwrap() - 1;
    let error = place.refuses(&["--ticks", "1000", "--log-mib", "1", "--recover-at", &before.to_string()]);
    assert!(error.contains(&format!("no keyframe that can be read and is not behind tick {before}")), "{error}");
}

#[test]
fn a_log_without_its_keyframes_is_no_new_world() {
    let (place, _) = world();
    let keys = place.streams(1024).names().keys();
    place.raw(async |client| {
        client.request(format!("$JS.API.STREAM.PURGE.{keys}"), "".into()).await.unwrap();
    });
    let error = place.refuses(&SHORT);
    assert!(error.contains("the log has records, but no keyframe"), "{error}");
}

/// The log is gone altogether; the newest keyframe is not.
#[test]
fn a_keyframe_alone_is_a_world_on_an_operators_word() {
    let (place, ticks) = keyed();
    let log = place.streams(1).names().log();
    place.raw(async |client| {
        client.request(format!("$JS.API.STREAM.DELETE.{log}"), "".into()).await.unwrap();
    });
    let error = place.refuses(&KEYED);
    assert!(error.contains(&format!("`--recover-at {}`", ticks[0])), "{error}");
    let mut leader = place.lead(&["--ticks", "1000", "--log-mib", "1", "--recover-at", &ticks[0].to_string()]);
    assert_eq!(leader.wait_for_tick(1000).1, honest("1000"));
    leader.finish();
    let mut later = place.lead(&["--ticks", "1100", "--log-mib", "1"]);
    assert_eq!(later.wait_for_tick(1100).1, honest("1100"));
}

#[test]
fn a_second_reign_follows_the_first_in_the_log() {
    let (place, _) = world();
    let mut leader = place.lead(&["--ticks", "250"]);
    assert_eq!(leader.wait_for_tick(250).1, honest("250"));
    leader.finish();
    let streams = place.streams(1024);
    assert_eq!(place.epochs(&streams), [1, 2]);
    let records = place.records(&streams);
    assert_eq!(records.iter().filter(|(_, record)| matches!(record.body, Body::Tick(_))).count(), 250);
}
