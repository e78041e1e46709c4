//! Which records of a log count, when something of it was damaged or given up.

use bytes::Bytes;
use engine_component::WorldHash;
use engine_net::strict;

use super::RecoveryError;
use super::scan::Scan;
use crate::log::chain::Position;
use crate::log::record::{Body, EpochBody, Record};
use crate::record::TickRecord;

/// Writes a log; a reign may follow any record.
struct Pen {
    messages: Vec<Bytes>,
    at: Position,
    /// Behind each record that was written.
    places: Vec<Position>,
}

impl Pen {
    fn new() -> Self {
        Self { messages: Vec::new(), at: Position::GENESIS, places: Vec::new() }.reign(Position::GENESIS)
    }

    fn write(mut self, tick: u64, body: Body) -> Self {
        let (index, epoch, prev) = (self.at.index + 1, self.at.epoch, self.at.chain);
        let begins = matches!(body, Body::Epoch(_));
        let record = Record { index, epoch, tick, nonce: u128::from(epoch), prev, body };
        let encoded = record.encode(1 << 20).unwrap();
        self.messages.push(encoded.last);
        let seq = self.messages.len() as u64;
        let epoch_seq = if begins { seq } else { self.at.epoch_seq };
        self.at = Position { seq, index, chain: encoded.chain, tick, epoch_seq, ..self.at };
        self.places.push(self.at);
        self
    }

    fn reign(mut self, after: Position) -> Self {
        let epoch = self.places.iter().map(|place| place.epoch).max().unwrap_or(0) + 1;
        self.at = Position { epoch, ..after };
        self.write(after.tick, Body::Epoch(EpochBody { host: "north".into(), pid: 1, format: 1, wall_ms: 0 }))
    }

    fn ticks(mut self, count: u64) -> Self {
        for _ in 0..count {
            let tick = self.at.tick + 1;
            let record = TickRecord {
                epoch: self.at.epoch,
                tick,
                inputs: Vec::new(),
                kept: Vec::new(),
                hash: WorldHash(self.at.epoch.into()),
            };
            self = self.write(tick, Body::Tick(strict::encode(&record).into()));
        }
        self
    }

    fn garbage(mut self) -> Self {
        self.messages.push(Bytes::from_static(b"rotten"));
        self
    }

    /// Behind the last record of a tick.
    fn behind(&self, tick: u64) -> Position {
        *self.places.iter().rfind(|place| place.tick == tick).unwrap()
    }

    fn scan_from(&self, keyframe: Position, is_there: impl Fn(u64) -> bool) -> Scan {
        let mut scan = Scan::new(keyframe, true);
        let messages = (1..).zip(&self.messages).skip(keyframe.seq as usize);
        messages.filter(|(seq, _)| is_there(*seq)).for_each(|(seq, bytes)| scan.feed(seq, bytes));
        scan.end(self.messages.len() as u64);
        scan
    }

    fn scan(&self) -> Scan {
        self.scan_from(Position::GENESIS, |_| true)
    }
}

/// The reign that computed each tick.
fn reigns(scan: Scan) -> Vec<(u64, u64)> {
    let scanned = scan.newest(None).unwrap();
    scanned.records.iter().map(|record| (record.tick, record.hash.0 as u64)).collect()
}

fn breaks(scan: Scan) -> (u64, u64) {
    match scan.newest(None).unwrap_err() {
        RecoveryError::Chain { index, tick, .. } => (index, tick),
        error => panic!("{error}"),
    }
}

#[test]
fn a_reign_that_follows_an_earlier_record_gives_up_what_is_between() {
    let damaged = Pen::new().ticks(3).garbage();
    assert_eq!(breaks(damaged.scan()), (4, 3));
    let at = damaged.behind(2);
    let mended = damaged.reign(at).ticks(2);
    assert_eq!(reigns(mended.scan()), [(1, 1), (2, 1), (3, 2), (4, 2)]);
    assert!(mended.scan().newest(None).unwrap().cut);
    // Once more, to before the first time; and on by a reign that gives up nothing.
    let at = mended.behind(1);
    let again = mended.reign(at).ticks(1);
    let end = again.at;
    let again = again.reign(end).ticks(1);
    assert_eq!(reigns(again.scan()), [(1, 1), (2, 3), (3, 4)]);
}

#[test]
fn what_is_damaged_behind_that_breaks_again() {
    let mended = Pen::new().ticks(3).garbage();
    let at = mended.behind(3);
    let mended = mended.reign(at).ticks(2).garbage();
    assert_eq!(breaks(mended.scan()), (7, 5));
}

#[test]
fn messages_that_are_missing_are_missed_also_at_the_end() {
    let log = Pen::new().ticks(4);
    assert_eq!(breaks(log.scan_from(Position::GENESIS, |seq| seq != 3)), (2, 1));
    assert_eq!(breaks(log.scan_from(Position::GENESIS, |seq| seq != 5)), (4, 3));
    // Unless they were given up.
    let at = log.behind(1);
    let mended = log.reign(at).ticks(1);
    assert_eq!(reigns(mended.scan_from(Position::GENESIS, |seq| seq != 4)), [(1, 1), (2, 2)]);
}

#[test]
fn a_keyframe_of_what_was_given_up_does_not_count() {
    let log = Pen::new().ticks(4);
    let (keyframe, at) = (log.behind(3), log.behind(2));
    assert!(!log.scan_from(keyframe, |_| true).is_given_up());
    let mended = log.reign(at).ticks(3);
    assert!(mended.scan_from(keyframe, |_| true).is_given_up());
    assert!(!mended.scan_from(at, |_| true).is_given_up());
}

#[test]
fn a_tick_is_looked_for_where_the_log_counts() {
    let log = Pen::new().ticks(5);
    let at = log.behind(2);
    let mended = log.reign(at).ticks(5);
    let scanned = mended.scan().up_to(4, None).unwrap();
    let found: Vec<_> = scanned.records.iter().map(|record| (record.tick, record.hash.0 as u64)).collect();
    assert_eq!(found, [(1, 1), (2, 1), (3, 2), (4, 2)]);
    assert_eq!(scanned.position, mended.behind(4));
    let damaged = mended.garbage();
    assert_eq!(damaged.scan().up_to(7, None).unwrap().position.tick, 7, "all that is good");
    assert!(damaged.scan().up_to(8, None).is_err(), "what is asked for is not there");
    assert!(mended_twice(&damaged).is_err());
}

/// As a supervisor does that starts a coordinator with the same flag each time.
fn mended_twice(damaged: &Pen) -> Result<(), RecoveryError> {
    let at = damaged.behind(7);
    let log = Pen { messages: damaged.messages.clone(), at, places: damaged.places.clone() }.reign(at);
    log.scan().up_to(7, Some(7)).expect("nothing would be lost");
    log.ticks(1).scan().up_to(7, Some(7)).map(drop)
}

#[test]
fn a_keyframe_of_another_log_counts_alone_or_where_a_reign_follows_it() {
    let log = Pen::new().ticks(5);
    let keyframe = log.behind(5);
    let rolled_back = || Pen { messages: log.messages[..3].to_vec(), at: log.places[2], places: log.places.clone() };
    let scan = |pen: &Pen| {
        let mut scan = Scan::new(keyframe, false);
        (1..).zip(&pen.messages).for_each(|(seq, bytes)| scan.feed(seq, bytes));
        scan.end(pen.messages.len() as u64);
        scan
    };
    assert!(matches!(scan(&rolled_back()).newest(None), Err(RecoveryError::OtherLog { tick: 5, .. })));
    assert!(scan(&rolled_back()).up_to(6, None).is_err());
    assert_eq!(scan(&rolled_back()).up_to(5, None).unwrap().position, keyframe);
    let mended = rolled_back().reign(keyframe).ticks(1);
    assert_eq!(reigns(scan(&mended)), [(6, 2)]);
}
