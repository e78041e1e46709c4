//! The keeper's thread: what it is told belongs to one reign, and is done in order.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine_app::log::chain::Position;
use engine_app::log::jet::Streams;
use engine_app::log::keeper::{Keeper, KeeperSettings, LogEvent};
use engine_app::log::keyframe::Keyframe;
use engine_app::log::lease::LeaseSettings;
use engine_app::log::pace::Pace;
use engine_app::log::record::EpochBody;
use engine_app::log::recovery::{Found, Wanted, recover};
use engine_app::log::writer::{Begin, Limits};
use engine_app::record::TickRecord;
use engine_app::{App, Settings};
use engine_component::WorldHash;
use engine_component::image::Snapshot;
use engine_net::strict;

use crate::place::{Place, SOON};

fn start(streams: &Arc<Streams>) -> Keeper {
    let settings = KeeperSettings { name: "one".into(), lease: LeaseSettings::default(), keep: 2 };
    let keeper = Keeper::start(streams.clone(), settings, || {}).unwrap();
    until(&keeper, |event| matches!(event, LogEvent::Leading).then_some(()));
    keeper
}

fn until<T>(keeper: &Keeper, mut fits: impl FnMut(LogEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = fits(keeper.events().recv_deadline(deadline).expect("it happens in time")) {
            return found;
        }
    }
}

fn begin(position: Position) -> Begin {
    let body = EpochBody { host: "north".into(), pid: 1, format: 1, wall_ms: 0 };
    let epoch = position.epoch + 1;
    Begin { position, last_seq: position.seq, epoch, nonce: u128::from(epoch), body }
}

fn record(tick: u64) -> Bytes {
    let record = TickRecord::empty(1, tick, WorldHash(0));
    strict::encode(&record).into()
}

fn keyframe() -> Keyframe {
    let app = App::new("empty");
    let options = app.option_values(&[]);
    let (mut coordinator, _) = app.into_coordinator(Settings::default(), &options, |_| true, 1).unwrap();
    let (state, hash) = (coordinator.state().unwrap(), coordinator.committed().1);
    Keyframe { state, snapshot: Snapshot::capture(coordinator.world_mut().unwrap()), hash }
}

#[test]
fn a_keyframe_is_of_the_world_behind_all_records_before_it() {
    let place = Place::new();
    let streams = Arc::new(place.streams(1024));
    let keeper = start(&streams);
    keeper.begin(begin(Position::GENESIS), Limits::default(), None);
    // More than the writer takes at once.
    let limit = Limits::default().queued as u64;
    let before = limit * 4;
    until(&keeper, |event| matches!(event, LogEvent::Began { .. }).then_some(()));
    for tick in 1..=before {
        keeper.append(tick, record(tick));
    }
    keeper.store(keyframe(), Pace::fastest());
    for tick in before + 1..=before + 10 {
        keeper.append(tick, record(tick));
    }
    let (mut stored, mut durable) = (None, 0);
    until(&keeper, |event| {
        match event {
            LogEvent::Stored { tick, result, .. } => stored = Some((tick, result.is_ok())),
            LogEvent::Durable { records } => durable = records,
            LogEvent::Deposed(why) | LogEvent::Damaged(why) => panic!("{why}"),
            _ => {}
        }
        (stored.is_some() && durable == before + 10).then_some(())
    });
    assert_eq!(stored, Some((before, true)));
    let Found::World(world) = recover(&*streams, Wanted::Newest, |_| {}).unwrap() else { panic!("a world") };
    assert_eq!(world.head.position.tick, before);
    assert_eq!(world.records.first().map(|record| record.tick), Some(before + 1));
    assert_eq!(world.records.len(), 10);
}

/// Events of its ticks have to be kept first.
#[test]
fn a_keyframe_that_waits_is_written_when_it_is_allowed() {
    let place = Place::new();
    let streams = Arc::new(place.streams(1024));
    let keeper = start(&streams);
    // Of an earlier reign: it allows nothing in this one.
    keeper.allow(7);
    keeper.begin(begin(Position::GENESIS), Limits::default(), None);
    until(&keeper, |event| matches!(event, LogEvent::Began { .. }).then_some(()));
    keeper.append(1, record(1));
    keeper.store_later(keyframe(), Pace::fastest());
    keeper.append(2, record(2));
    until(&keeper, |event| match event {
        LogEvent::Stored { .. } => panic!("nobody has allowed it"),
        LogEvent::Durable { records } => (records == 2).then_some(()),
        _ => None,
    });
    keeper.allow(0);
    keeper.append(3, record(3));
    until(&keeper, |event| match event {
        LogEvent::Stored { .. } => panic!("it is of a later tick"),
        LogEvent::Durable { records } => (records == 3).then_some(()),
        _ => None,
    });
    assert!(streams.list_keyframes().unwrap().is_empty());
    keeper.allow(1);
    let stored = until(&keeper, |event| match event {
        LogEvent::Stored { tick, result, .. } => Some((tick, result.is_ok())),
        _ => None,
    });
    assert_eq!(stored, (1, true));
}

#[test]
fn who_does_not_lead_begins_no_reign() {
    let place = Place::new();
    let streams = Arc::new(place.streams(1024));
    let keeper = start(&streams);
    keeper.release();
    until(&keeper, |event| matches!(event, LogEvent::Released).then_some(()));
    keeper.begin(begin(Position::GENESIS), Limits::default(), None);
    let why = until(&keeper, |event| match event {
        LogEvent::Deposed(why) => Some(why),
        LogEvent::Began { .. } => panic!("it reigns without a lease"),
        _ => None,
    });
    assert!(why.contains("while the world was being recovered"), "{why}");
    assert_eq!(streams.tail().unwrap().last, 0, "nothing was written");
}

#[test]
fn a_lease_is_given_back_before_that_is_said() {
    let place = Place::new();
    let streams = Arc::new(place.streams(1024));
    for _ in 0..10 {
        // It would be waited for otherwise: it lives for three seconds.
        let started = Instant::now();
        let keeper = start(&streams);
        assert!(started.elapsed().as_millis() < 2_500, "the lease was still held");
        keeper.release();
        until(&keeper, |event| matches!(event, LogEvent::Released).then_some(()));
    }
}
