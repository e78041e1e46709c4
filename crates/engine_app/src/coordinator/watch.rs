//! Live queries: a keyframe, then what changed, for as long as somebody acknowledges.
//!
//! A watch is leased and on credit. At most two frames are on their way unacknowledged; when the reader is
//! ready again it gets one delta to the newest state, and never what lay between. What a reader was shown is
//! kept as a digest per row, so a delta is exact however long it waited. Nothing is computed while the world
//! has the hash that the last frame saw.

use std::collections::BTreeMap;

use engine_component::{Entity, World, WorldHash};
use engine_net::messages::query::{Comparison, FieldFilter, QueryRequest, QueryRow};
use engine_net::messages::value::Value;
use engine_net::messages::watch::{
    FrameKind, Region, WatchAccepted, WatchAck, WatchFrame, WatchOpen, WatchReply, WatchRequest,
};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;
use xxhash_rust::xxh3::xxh3_64;

use super::Coordinator;
use crate::ask;

/// Watches, at the most.
const MOST: usize = 256;
/// Rows that a watch shows, at the most.
const MOST_ROWS: usize = 4096;
/// Frames on their way without an acknowledgement.
const CREDIT: u64 = 2;
/// How long a watch lives without one, in milliseconds.
const LEASE_MS: u32 = 10_000;
/// Frames a second, at the most, whatever is asked for.
const MOST_HZ: f32 = 120.0;
/// Removed entities in one part of a frame.
const MOST_REMOVED: usize = 32 * 1024;

/// An open watch.
#[derive(Debug)]
struct Watch {
    query: QueryRequest,
    interval: u64,
    next_at: u64,
    lease_until: u64,
    sequence: u64,
    acknowledged: u64,
    /// The next frame shows everything.
    keyframe: bool,
    /// A digest of each row that the reader was shown.
    shown: BTreeMap<Entity, u64>,
    /// The hash of the world when the last frame was made.
    seen: Option<WorldHash>,
}

/// All watches, by their ids.
#[derive(Debug, Default)]
pub(super) struct Watches {
    open: BTreeMap<String, Watch>,
    opened: u64,
}

impl Coordinator {
    pub(super) fn watch_request(&mut self, now: u64, reply: Option<&str>, payload: &[u8]) {
        let answer = match strict::decode::<WatchRequest>(payload, WatchRequest::LIMIT) {
            Ok(WatchRequest::Open(open)) => self.open_watch(now, *open),
            Ok(WatchRequest::Close { id }) => {
                self.watches.open.remove(&id);
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

    fn open_watch(&mut self, now: u64, open: WatchOpen) -> Result<WatchAccepted, Problem> {
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
        // Whatever is wrong with the query is said now, and not by silence.
        ask::page(&self.world, self.tick, &QueryRequest { page_rows: 1, ..query.clone() })?;
        self.watches.opened += 1;
        let id = format!("{}-{}", self.epoch, self.watches.opened);
        let watch = Watch {
            query,
            interval: (1e9 / f64::from(open.max_hz.min(MOST_HZ))) as u64,
            next_at: now,
            lease_until: now.saturating_add(u64::from(LEASE_MS) * 1_000_000),
            sequence: 0,
            acknowledged: 0,
            keyframe: true,
            shown: BTreeMap::new(),
            seen: None,
        };
        self.watches.open.insert(id.clone(), watch);
        Ok(WatchAccepted { id, lease_ms: LEASE_MS })
    }

    pub(super) fn watch_ack(&mut self, now: u64, id: &str, payload: &[u8]) {
        let Ok(ack) = strict::decode::<WatchAck>(payload, WatchAck::LIMIT) else {
            return self.figures.count("refused.bad_request");
        };
        let Some(watch) = self.watches.open.get_mut(id).filter(|watch| ack.id == id && ack.sequence <= watch.sequence)
        else {
            return self.figures.count("refused.watch_ack");
        };
        watch.acknowledged = watch.acknowledged.max(ack.sequence);
        watch.lease_until = now.saturating_add(u64::from(LEASE_MS) * 1_000_000);
        if ack.resync {
            (watch.keyframe, watch.acknowledged) = (true, watch.sequence);
        }
    }

    /// Sends the frames that are due. Only between ticks: half of a tick is no state of the world.
    pub(super) fn show_watches(&mut self, now: u64) {
        if self.watches.open.is_empty() || self.running.is_some() {
            return;
        }
        self.watches.open.retain(|_, watch| watch.lease_until > now);
        let hash = self.hash;
        let mut open = std::mem::take(&mut self.watches.open);
        open.retain(|id, watch| {
            let has_credit = watch.sequence - watch.acknowledged < CREDIT;
            let is_news = watch.keyframe || watch.seen != Some(hash);
            if now < watch.next_at || !has_credit || !is_news {
                return true;
            }
            watch.seen = Some(hash);
            watch.next_at = now + watch.interval;
            match self.frame(id, watch) {
                Ok(()) => true,
                Err(problem) => {
                    // A component went with its last row, or too many rows came: the reader asks again.
                    tracing::debug!(watch = id, code = problem.code, message = problem.message, "a watch ends");
                    self.figures.count(format!("refused.{}", problem.code));
                    false
                }
            }
        });
        self.watches.open = open;
    }

    /// Makes and sends one frame, in parts; nothing when nothing changed.
    fn frame(&mut self, id: &str, watch: &mut Watch) -> Result<(), Problem> {
        let pages = self.pages(&watch.query)?;
        let mut gone = if watch.keyframe { BTreeMap::new() } else { watch.shown.clone() };
        let mut shown = BTreeMap::new();
        let mut parts: Vec<Vec<QueryRow>> = Vec::new();
        for page in pages {
            let mut rows = Vec::new();
            for row in page {
                let digest = xxh3_64(&strict::encode(&row));
                let before = gone.remove(&row.entity);
                shown.insert(row.entity, digest);
                if before != Some(digest) {
                    rows.push(row);
                }
            }
            if !rows.is_empty() {
                parts.push(rows);
            }
        }
        let mut removed: Vec<Vec<Entity>> = Vec::new();
        let all_gone: Vec<Entity> = gone.into_keys().collect();
        removed.extend(all_gone.chunks(MOST_REMOVED).map(<[Entity]>::to_vec));
        let kind = if watch.keyframe { FrameKind::Keyframe } else { FrameKind::Delta };
        watch.shown = shown;
        if !watch.keyframe && parts.is_empty() && removed.is_empty() {
            return Ok(());
        }
        watch.keyframe = false;
        watch.sequence += 1;
        let count = parts.len().max(removed.len()).max(1);
        let (mut parts, mut removed) = (parts.into_iter(), removed.into_iter());
        for number in 1..=count {
            let frame = WatchFrame {
                id: id.to_owned(),
                sequence: watch.sequence,
                tick: self.tick,
                kind,
                more: number < count,
                rows: parts.next().unwrap_or_default(),
                removed: removed.next().unwrap_or_default(),
            };
            self.publish(self.subjects.watch_frame(id), &frame);
        }
        self.figures.count("watch_frames");
        Ok(())
    }

    /// All rows of a query, by pages.
    fn pages(&self, query: &QueryRequest) -> Result<Vec<Vec<QueryRow>>, Problem> {
        let (mut pages, mut cursor, mut rows) = (Vec::new(), None, 0);
        loop {
            let request = QueryRequest { cursor, page_rows: MOST_ROWS as u32, ..query.clone() };
            let page = ask::page(&self.world, self.tick, &request)?;
            rows += page.rows.len();
            if rows > MOST_ROWS {
                let text = format!("more than {MOST_ROWS} rows: narrow the query, or give a region");
                return Err(Problem::new("too_many", text));
            }
            pages.push(page.rows);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(pages),
            }
        }
    }
}

/// The conditions that put a position into a box.
fn inside(world: &World, region: &Region) -> Result<Vec<FieldFilter>, Problem> {
    let component = ask::component(world, &region.component)?;
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
