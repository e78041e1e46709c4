//! The high-water mark: it finds a log that is shorter than it was.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use engine_app::log::jet::{Kind, Mark, Streams};
use engine_net::client;

use crate::place::{append, append_now, fill, log_user, open, open_with, server, server_with, small};

fn mark(sequence: u64) -> Mark {
    Mark { sequence, index: sequence, chain: Bytes::from_static(b"0123456789abcdef") }
}

/// Waits until the mark is written: it is, without anything else happening.
fn written(streams: &Streams, sequence: u64) {
    let deadline = std::time::Instant::now() + crate::place::SOON;
    while streams.read_mark().unwrap().is_none_or(|mark| mark.sequence < sequence) {
        assert!(std::time::Instant::now() < deadline, "it is never written");
        std::thread::yield_now();
    }
}

#[test]
fn it_is_written_now_and_then_and_when_closing_and_never_goes_back() {
    let server = server();
    let mut settings = small();
    (settings.mark_every, settings.mark_records) = (Duration::from_secs(3600), 10);
    let streams = open_with(&server, settings.clone());
    assert_eq!(streams.read_mark().unwrap(), None);
    streams.mark(mark(1)).unwrap();
    written(&streams, 1);
    streams.mark(mark(5)).unwrap();
    streams.mark(mark(11)).unwrap();
    written(&streams, 11);
    streams.mark(mark(12)).unwrap();
    drop(streams);
    let again = open_with(&server, settings);
    assert_eq!(again.read_mark().unwrap(), Some(mark(12)), "closing writes the last one");
    // One who was deposed and is behind changes nothing.
    again.mark(mark(7)).unwrap();
    drop(again);
    let last = open(&server);
    assert_eq!(last.read_mark().unwrap(), Some(mark(12)));
    last.forget_mark().unwrap();
    assert_eq!(last.read_mark().unwrap(), None);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let goal = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &goal);
        } else {
            fs::copy(entry.path(), goal).unwrap();
        }
    }
}

#[test]
fn an_old_copy_of_the_logs_files_is_found_out() {
    let store = tempfile::tempdir().unwrap();
    let mut server = server_with(|options| options.store = Some(store.path().into()));
    let streams = open(&server);
    let last = fill(&streams, 20, 100);
    streams.mark(mark(last)).unwrap();
    drop(streams);
    server.stop().unwrap();
    let log = store.path().join("jetstream/LOG/streams/ENGINE_LOG_w");
    let old = store.path().join("copy");
    copy(&log, &old);
    server.restart().unwrap();

    let streams = open(&server);
    let tail = streams.tail().unwrap();
    assert_eq!(Some(mark(tail.last)), streams.read_mark().unwrap(), "nothing is missing");
    let mut end = tail.last;
    for _ in 0..10 {
        end = append_now(&streams, append(Kind::Tick, "later", end, Some(1)));
    }
    streams.mark(mark(end)).unwrap();
    drop(streams);
    server.stop().unwrap();
    fs::remove_dir_all(&log).unwrap();
    copy(&old, &log);
    server.restart().unwrap();

    let streams = open(&server);
    assert_eq!(streams.tail().unwrap().last, last, "the server says nothing about it");
    assert_eq!(streams.read_mark().unwrap(), Some(mark(end)), "the mark does");
}

#[test]
fn a_log_that_was_deleted_is_found_out() {
    let server = server();
    let streams = open(&server);
    let last = fill(&streams, 20, 100);
    streams.mark(mark(last)).unwrap();
    drop(streams);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = client::connect(&log_user(&server), "vandal").await.unwrap();
        connection.client.request("$JS.API.STREAM.DELETE.ENGINE_LOG_w", "".into()).await.unwrap();
    });
    let streams = open(&server);
    assert_eq!(streams.tail().unwrap().last, 0);
    assert_eq!(streams.read_mark().unwrap(), Some(mark(last)));
}
