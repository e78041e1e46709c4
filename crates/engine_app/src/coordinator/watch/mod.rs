//! Live queries: a keyframe, then what changed, for as long as somebody acknowledges.
//!
//! A watch is leased and on credit. At most two frames are on their way unacknowledged; when the reader is
//! ready again it gets one delta to the newest state, and never what lay between. Nothing is looked at while
//! the world has the hash that the last frame saw, and in one go only as much as doesn't hold up the world:
//! then the others have their turn after the next tick.

mod look;

use std::collections::BTreeMap;
use std::ops::Bound;

use engine_component::{Entity, World, WorldHash};
use engine_net::messages::query::{Comparison, FieldFilter, QueryRequest, QueryRow};
use engine_net::messages::value::Value;
use engine_net::messages::watch::{
    FrameKind, Region, WatchAccepted, WatchAck, WatchFrame, WatchOpen, WatchReply, WatchRequest,
};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::name::token;
use engine_net::strict;

use super::Coordinator;
use crate::ask;
use look::{Look, News};

/// Watches, at the most.
const MOST: usize = 256;
/// Frames on their way without an acknowledgement.
const CREDIT: u64 = 2;
/// How long a watch lives without one, in milliseconds.
const LEASE_MS: u32 = 10_000;
/// Frames a second, at the most, whatever is asked for.
const MOST_HZ: f32 = 120.0;
/// Rows that are looked at in one go; the watch that passes it is the last one.
const MOST_LOOKED_AT: usize = 500_000;
/// Bytes of one part of a frame that are aimed at, and what is in it besides rows and entities.
const PART_BYTES: usize = 128 << 10;
const PART_HEAD: usize = 1024;

/// An open watch.
#[derive(Debug)]
struct Watch {
    look: Look,
    interval: u64,
    next_at: u64,
    lease_until: u64,
    sequence: u64,
    acknowledged: u64,
    /// The next frame shows everything.
    keyframe: bool,
    /// The hash of the world when the last frame was made.
    seen: Option<WorldHash>,
}

impl Watch {
    fn is_due(&self, now: u64, hash: WorldHash) -> bool {
        let has_credit = self.sequence - self.acknowledged < CREDIT;
        now >= self.next_at && has_credit && (self.keyframe || self.seen != Some(hash))
    }
}

/// All watches, by their [place]s.
#[derive(Debug, Default)]
pub(super) struct Watches {
    open: BTreeMap<String, Watch>,
    opened: u64,
    /// Who was looked after last: the next one begins.
    last: String,
}

impl Watches {
    /// All places, beginning behind the last one.
    fn in_turn(&self) -> Vec<String> {
        let behind = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
        let before = (Bound::Unbounded, Bound::Included(self.last.as_str()));
        let in_turn = self.open.range::<str, _>(behind).chain(self.open.range::<str, _>(before));
        in_turn.map(|(id, _)| id.clone()).collect()
    }
}

impl Coordinator {
    pub(super) fn watch_request(&mut self, now: u64, reply: Option<&str>, by: Option<&str>, payload: &[u8]) {
        let answer = match strict::decode::<WatchRequest>(payload, WatchRequest::LIMIT) {
            // Nobody would learn its id.
            Ok(WatchRequest::Open(_)) if reply.is_none() => return self.figures.count("refused.bad_request"),
            Ok(WatchRequest::Open(open)) => self.open_watch(now, by, *open),
            Ok(WatchRequest::Close { id }) => {
                // A dot would make it somebody else's.
                if token("watch", &id).is_ok() {
                    self.watches.open.remove(&place(by, &id));
                }
                Ok(WatchAccepted { id, lease_ms: 0 })
            }
            Err(error) => Err(Problem::new("bad_request", error)),
        };
        let answer = answer.map_or_else(Reply::Error, Reply::Ok);
        if let Reply::Error(problem) = &answer {
            self.figures.count(format!("refused.{}", problem.code));
        }
        self.answer::<WatchReply>(reply, &answer);
    }

    fn open_watch(&mut self, now: u64, by: Option<&str>, open: WatchOpen) -> Result<WatchAccepted, Problem> {
        if self.watches.open.len() >= MOST {
            return Err(Problem::new("too_many", format_args!("{MOST} watches are open already: close one")));
        }
        if !(open.max_hz.is_finite() && open.max_hz > 0.0) {
            return Err(Problem::new("bad_value", "max_hz is a number of frames a second, above 0"));
        }
        let mut query = QueryRequest { cursor: None, ..open.query };
        if let Some(region) = &open.region {
            query.filters.extend(inside(&self.world, region)?);
        }
        let look = Look::new(&self.world, query)?;
        self.watches.opened += 1;
        let id = format!("{}-{}", self.epoch, self.watches.opened);
        let watch = Watch {
            look,
            interval: (1e9 / f64::from(open.max_hz.min(MOST_HZ))) as u64,
            next_at: now,
            lease_until: now.saturating_add(u64::from(LEASE_MS) * 1_000_000),
            sequence: 0,
            acknowledged: 0,
            keyframe: true,
            seen: None,
        };
        self.watches.open.insert(place(by, &id), watch);
        Ok(WatchAccepted { id, lease_ms: LEASE_MS })
    }

    pub(super) fn watch_ack(&mut self, now: u64, by: Option<&str>, id: &str, payload: &[u8]) {
        let Ok(ack) = strict::decode::<WatchAck>(payload, WatchAck::LIMIT) else {
            return self.figures.count("refused.bad_request");
        };
        let place = place(by, id);
        let Some(watch) = self.watches.open.get_mut(&place) else {
            // Of another epoch, or its lease has run out: the reader opens it again.
            self.figures.count("refused.watch_ack");
            return self.say_that_it_ended(&place, ack.sequence, "there is no such watch (any more): open it again");
        };
        if ack.id != id || ack.sequence > watch.sequence {
            return self.figures.count("refused.watch_ack");
        }
        watch.acknowledged = watch.acknowledged.max(ack.sequence);
        watch.lease_until = now.saturating_add(u64::from(LEASE_MS) * 1_000_000);
        if ack.resync {
            (watch.keyframe, watch.acknowledged) = (true, watch.sequence);
        }
    }

    /// Sends the frames that are due. Only between ticks: half of a tick is no state of the world.
    pub(super) fn show_watches(&mut self, now: u64) {
        if !self.watches.open.is_empty() && self.running.is_none() && !self.recovering {
            self.finally(|core| core.show_open_watches(now));
        }
    }

    fn show_open_watches(&mut self, now: u64) {
        let (hash, mut cost, mut looked) = (self.hash, 0, false);
        for place in self.watches.in_turn() {
            let Some(watch) = self.watches.open.get_mut(&place) else { continue };
            if watch.lease_until <= now {
                let sequence = watch.sequence;
                self.watches.open.remove(&place);
                self.figures.count("watch_leases_ended");
                self.say_that_it_ended(&place, sequence + 1, "nobody acknowledged its frames");
                continue;
            }
            if !watch.is_due(now, hash) || cost > MOST_LOOKED_AT {
                continue;
            }
            (watch.seen, watch.next_at) = (Some(hash), now + watch.interval);
            self.watches.last.clone_from(&place);
            looked = true;
            match watch.look.look(&self.world, watch.keyframe) {
                Ok(news) => {
                    cost += news.cost;
                    self.send_frame(&place, news);
                }
                Err(problem) => self.end_watch(&place, &problem),
            }
        }
        if looked {
            // Whatever changes from now on is news.
            self.world.advance_version();
        }
    }

    /// Sends a frame in parts; nothing when nothing changed.
    fn send_frame(&mut self, place: &str, news: News) {
        let Some(watch) = self.watches.open.get_mut(place) else { return };
        if !watch.keyframe && news.is_empty() {
            return;
        }
        let kind = if watch.keyframe { FrameKind::Keyframe } else { FrameKind::Delta };
        let limit = self.sizes.limit.min(WatchFrame::LIMIT) - PART_HEAD;
        if let Some((bytes, row)) = news.rows.iter().find(|(bytes, _)| *bytes > limit) {
            let text =
                format!("a row of {bytes} bytes (entity {}) fits into no message: ask for fewer fields", row.entity);
            return self.end_watch(place, &Problem::new("too_many", text));
        }
        watch.keyframe = false;
        watch.sequence += 1;
        let sequence = watch.sequence;
        let mut parts = parts(news, limit.min(PART_BYTES)).into_iter().peekable();
        while let Some((rows, removed)) = parts.next() {
            let more = parts.peek().is_some();
            let frame =
                WatchFrame { id: id_of(place), sequence, tick: self.tick, kind, more, rows, removed, ended: None };
            self.publish(self.subjects.frames_of(place), &frame);
        }
        self.figures.count("watch_frames");
    }

    fn end_watch(&mut self, place: &str, problem: &Problem) {
        let Some(watch) = self.watches.open.remove(place) else { return };
        tracing::debug!(watch = place, code = %problem.code, why = problem.message, "a watch ends");
        self.figures.count(format!("refused.{}", problem.code));
        self.say_that_it_ended(place, watch.sequence + 1, &problem.message);
    }

    /// Nobody is shown anything any more until he asks again.
    pub(super) fn end_watches(&mut self, why: &str) {
        for (place, watch) in std::mem::take(&mut self.watches.open) {
            self.say_that_it_ended(&place, watch.sequence + 1, why);
        }
    }

    fn say_that_it_ended(&mut self, place: &str, sequence: u64, why: &str) {
        let frame = WatchFrame {
            id: id_of(place),
            sequence,
            tick: self.tick,
            kind: FrameKind::Delta,
            more: false,
            rows: Vec::new(),
            removed: Vec::new(),
            ended: Some(why.to_owned()),
        };
        self.publish(self.subjects.frames_of(place), &frame);
    }
}

/// A watch belongs to whoever opened it, and to those who have no name if that one had none: its place among all of
/// them, and what the subject of its frames ends with.
fn place(by: Option<&str>, id: &str) -> String {
    by.map_or_else(|| id.to_owned(), |by| format!("{by}.{id}"))
}

fn id_of(place: &str) -> String {
    place.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Cuts rows and entities into parts of so many bytes; there is always one. A row is never cut.
fn parts(news: News, limit: usize) -> Vec<(Vec<QueryRow>, Vec<Entity>)> {
    let mut parts = vec![(Vec::new(), Vec::new())];
    let mut room = limit;
    for (bytes, row) in news.rows {
        if bytes > room && room < limit {
            parts.push((Vec::new(), Vec::new()));
            room = limit;
        }
        room = room.saturating_sub(bytes);
        if let Some(part) = parts.last_mut() {
            part.0.push(row);
        }
    }
    let mut removed = news.removed.as_slice();
    while !removed.is_empty() {
        let (now, later) = removed.split_at((room / 8).min(removed.len()));
        if let Some(part) = parts.last_mut() {
            part.1.extend_from_slice(now);
        }
        removed = later;
        if !removed.is_empty() {
            parts.push((Vec::new(), Vec::new()));
            room = limit;
        }
    }
    parts
}

/// The conditions that put a position into a box.
fn inside(world: &World, region: &Region) -> Result<Vec<FieldFilter>, Problem> {
    let component = ask::seen(world, &region.component)?;
    let coordinates = ask::coordinates(world, component).ok_or_else(|| {
        Problem::new("bad_value", format_args!("`{}` has no numbers to be a position", region.component))
    })?;
    let limits = region.min.iter().zip(&region.max);
    if limits.clone().any(|(min, max)| !min.is_finite() || !max.is_finite()) {
        return Err(Problem::new("bad_value", "a region has finite corners"));
    }
    let both = coordinates.into_iter().zip(limits).flat_map(|(path, (min, max))| {
        let field = format!("{}.{path}", region.component);
        [(Comparison::AtLeast, *min), (Comparison::AtMost, *max)].map(|(op, value)| FieldFilter {
            field: field.clone(),
            op,
            value: Value::from(value),
        })
    });
    Ok(both.collect())
}
