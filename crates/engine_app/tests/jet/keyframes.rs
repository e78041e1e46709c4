//! Keyframes: complete or not there.

use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::bounded;
use engine_app::log::jet::{JetError, JetEvent, KeyframeId, Streams, Token};

use crate::place::{open, removed, server, until};

fn parts(seed: u8, sizes: &[usize]) -> Vec<Bytes> {
    sizes.iter().enumerate().map(|(n, size)| Bytes::from(vec![seed.wrapping_add(n as u8); *size])).collect()
}

fn ended(streams: &Streams, mine: Token) -> (KeyframeId, Result<u64, JetError>) {
    until(streams, |event| match event {
        JetEvent::Keyframe { token, id, result } if token == mine => Some((id, result)),
        _ => None,
    })
}

fn write(streams: &Streams, tick: u64, epoch: u64, parts: Vec<Bytes>) -> KeyframeId {
    let token = streams
        .write_keyframe(tick, epoch, parts.into_iter(), move || Some(format!("manifest {tick}").into()))
        .unwrap();
    let (id, result) = ended(streams, token);
    result.unwrap();
    id
}

fn read(streams: &Streams, id: KeyframeId) -> (Bytes, Vec<Bytes>) {
    let reader = streams.read_keyframe(id, 3).unwrap();
    (reader.manifest, reader.parts.collect::<Result<_, _>>().unwrap())
}

#[test]
fn it_comes_back_as_it_was_written() {
    let server = server();
    let streams = open(&server);
    for sizes in [&[][..], &[1, 0, 70_000, 5], &[3_000_000, 17, 300_000, 300_000, 1_000_000]] {
        let parts = parts(1, sizes);
        let id = write(&streams, sizes.len() as u64, 1, parts.clone());
        assert!(streams.list_keyframes().unwrap().contains(&id));
        let (manifest, read) = read(&streams, id);
        assert_eq!(manifest, format!("manifest {}", sizes.len()));
        assert!(read == parts, "{sizes:?}");
    }
    let error = streams.read_keyframe(KeyframeId { epoch: 9, tick: 9, writer: 9 }, 1).unwrap_err();
    assert!(error.to_string().contains("keyframe 9.9.9 is damaged: it has no manifest"), "{error}");
    let token = streams.write_keyframe(1, 1, std::iter::empty(), move || Some(vec![0; 2 << 20].into())).unwrap();
    assert!(matches!(ended(&streams, token).1, Err(JetError::TooLarge { .. })));
}

#[test]
fn two_coordinators_at_once_never_mix() {
    let server = server();
    let (old, new) = (open(&server), open(&server));
    let sizes = [200_000; 30];
    let ones = old.write_keyframe(100, 1, parts(1, &sizes).into_iter(), move || Some("one".into())).unwrap();
    let twos = new.write_keyframe(100, 2, parts(101, &sizes).into_iter(), move || Some("two".into())).unwrap();
    let again = new.write_keyframe(100, 2, parts(201, &sizes).into_iter(), move || Some("again".into())).unwrap();
    let one = ended(&old, ones).0;
    let mut both = [twos, again].map(|_| {
        until(&new, |event| match event {
            JetEvent::Keyframe { id, result, .. } => Some((id, result.unwrap())),
            _ => None,
        })
        .0
    });
    both.sort_unstable();
    assert_eq!(streams_of(&new), [both[1], both[0], one], "the newest first");
    let contents: Vec<_> = [one, both[0], both[1]].into_iter().map(|id| read(&new, id)).collect();
    for (manifest, read) in contents {
        let seed = match &manifest[..] {
            b"one" => 1,
            b"two" => 101,
            _ => 201,
        };
        assert!(read == parts(seed, &sizes), "{manifest:?}");
    }
}

fn streams_of(streams: &Streams) -> Vec<KeyframeId> {
    streams.list_keyframes().unwrap()
}

/// Parts that come only when they are let.
fn slow(count: usize) -> (impl Iterator<Item = Bytes> + Send, crossbeam_channel::Sender<()>) {
    let (go, wait) = bounded::<()>(0);
    let parts = (0..count).map(move |n| {
        let _ = wait.recv();
        Bytes::from(vec![n as u8; 300_000])
    });
    (parts, go)
}

#[test]
fn one_that_was_never_completed_is_not_there_and_is_cleaned_up() {
    let server = server();
    let (old, new) = (open(&server), open(&server));
    let (parts, go) = slow(8);
    let token = old.write_keyframe(5, 1, parts, move || Some("never".into())).unwrap();
    for _ in 0..6 {
        go.send(()).unwrap();
    }
    // The same coordinator leaves alone what it is writing.
    assert_eq!(removed(&old, old.retain_keyframes(2, 1)), 0);
    assert_eq!(streams_of(&new), []);
    // A new one doesn't: and then the old one's manifest is refused.
    let cleaned = removed(&new, new.retain_keyframes(2, 2));
    assert!(cleaned > 0, "{cleaned}");
    drop(go);
    let (_, result) = ended(&old, token);
    assert!(matches!(result, Err(JetError::Server { code: 10071, .. })), "{result:?}");
    assert_eq!(streams_of(&new), []);
    // What it still wrote goes with the next cleaning.
    removed(&new, new.retain_keyframes(2, 2));
    assert_eq!(removed(&new, new.retain_keyframes(2, 2)), 0);
}

#[test]
fn a_coordinator_that_ends_leaves_no_half_keyframe() {
    let server = server();
    let streams = open(&server);
    let (parts, go) = slow(8);
    streams.write_keyframe(5, 1, parts, move || Some("never".into())).unwrap();
    for _ in 0..4 {
        go.send(()).unwrap();
    }
    drop(streams);
    // Its thread may go on with what it has, and ends.
    while go.send_timeout((), Duration::from_millis(50)).is_ok() {}
    let next = open(&server);
    assert_eq!(streams_of(&next), []);
}

#[test]
fn the_newest_are_kept() {
    let server = server();
    let streams = open(&server);
    let ids: Vec<_> = (1..=5).map(|tick| write(&streams, tick, 1, parts(tick as u8, &[100_000, 100]))).collect();
    assert!(removed(&streams, streams.retain_keyframes(2, 1)) >= 6);
    assert_eq!(streams_of(&streams), [ids[4], ids[3]]);
    removed(&streams, streams.delete_keyframe(ids[4]));
    assert_eq!(streams_of(&streams), [ids[3]]);
    assert_eq!(read(&streams, ids[3]).1, parts(4, &[100_000, 100]));
}

#[test]
fn a_keyframe_waits_for_a_server_that_restarts() {
    let mut server = server();
    let streams = open(&server);
    let (parts, go) = slow(6);
    let token = streams.write_keyframe(5, 1, parts, move || Some("whole".into())).unwrap();
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    server.restart().unwrap();
    drop(go);
    let (id, result) = ended(&streams, token);
    result.unwrap();
    let (manifest, parts) = read(&streams, id);
    assert_eq!((&manifest[..], parts.len()), (&b"whole"[..], 6));
    assert!(parts.iter().enumerate().all(|(n, part)| part.len() == 300_000 && part[0] == n as u8));
}
