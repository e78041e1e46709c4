//! The past of a world, for people: what its log holds, what it was at a tick, and other worlds that begin there.
//!
//! ```text
//! log of a world ──► keyframe at or before a tick ──► records behind it, repeated ──► the world at that tick
//!     │                      │                              │                             │
//!     └ keyframes: what      └ file: export, import         └ replay: every hash          ├ diff: what differs
//!       is there                                              compared                    └ branch: a world of its own
//! ```
//!
//! Nothing here writes to the log that it reads. Records can be repeated by a program that has the functions of
//! the world's systems; one without can still show, export and compare what is stored whole: keyframes.

pub mod args;
pub mod audit;
pub mod branch;
pub mod diff;
pub mod file;
pub mod repeat;
pub mod replay;

use anyhow::{Context, bail};
use engine_component::World;
use engine_net::config::ConnectionConfig;

use crate::app::Result;
use crate::log::jet::{JetError, KeyframeId, KeyframeParts, Streams, Tail};
use crate::log::keyframe::Head;
use crate::log::record::Message;
use crate::log::recovery::{ReadError, is_in_place, read_keyframe};

/// Questions that are under way at once.
pub(crate) const PARALLEL: usize = 8;

/// The log of a world, to be read.
#[derive(Debug)]
pub struct Past {
    world: String,
    streams: Streams,
    tail: Tail,
    /// The newest first.
    keyframes: Vec<KeyframeId>,
}

/// A keyframe, as it is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name in the log.
    pub id: KeyframeId,
    /// What it is of.
    pub head: Head,
    /// Bytes that it takes.
    pub bytes: u64,
}

/// What the records are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The tick of the first record that is still there.
    pub first: u64,
    /// The tick of the last one.
    pub last: u64,
}

impl Past {
    /// Looks for the log of a world.
    ///
    /// # Errors
    /// When there is no connection, or no log; each says what to do.
    pub fn open(config: &ConnectionConfig) -> Result<Self> {
        let streams = Streams::open_existing(config, &config.world)?;
        let tail = streams.tail()?;
        let keyframes = streams.list_keyframes()?;
        if keyframes.is_empty() {
            bail!(
                "the log of world `{}` has no keyframe yet: its first coordinator ended before it could store one",
                config.world
            );
        }
        Ok(Self { world: config.world.clone(), streams, tail, keyframes })
    }

    /// The name of the world.
    #[must_use]
    pub fn world(&self) -> &str {
        &self.world
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The keyframes, the newest first.
    #[must_use]
    pub fn keyframes(&self) -> &[KeyframeId] {
        &self.keyframes
    }

    /// What a keyframe is of, without its world. None when it was removed meanwhile: a running world removes old ones.
    ///
    /// # Errors
    /// When it is damaged, or the server doesn't give it.
    pub fn look(&self, id: KeyframeId) -> Result<Option<Listed>> {
        let (manifest, bytes) = match self.streams.read_manifest(id) {
            Ok(read) => read,
            Err(error) => {
                return if self.streams.list_keyframes()?.contains(&id) { Err(error.into()) } else { Ok(None) };
            }
        };
        let head = Head::decode(&manifest).with_context(|| format!("the keyframe of tick {}", id.tick))?;
        Ok(Some(Listed { id, head, bytes }))
    }

    /// Which ticks the records are of.
    ///
    /// # Errors
    /// When the server doesn't give them.
    pub fn range(&self) -> Result<Option<Range>> {
        let Some(epoch) = &self.tail.epoch else { return Ok(None) };
        let tick = |seq: u64| -> Result<Option<u64>> {
            let message = self.streams.read_range(seq, seq, 1).next().transpose()?;
            Ok(message.and_then(|message| Some(Message::decode(&message.payload).ok()?.head().tick)))
        };
        // The first record may be an epoch record far before all others.
        let oldest = self.keyframes.last().map_or(0, |id| id.tick);
        let first = tick(self.tail.first).unwrap_or_default().unwrap_or(oldest);
        let last = tick(self.tail.last)?.or(tick(epoch.sequence)?).unwrap_or(oldest);
        Ok(Some(Range { first, last }))
    }

    /// The keyframe from which a tick is reached soonest.
    ///
    /// # Errors
    /// When there is none before the tick.
    pub fn before(&self, tick: u64) -> Result<KeyframeId> {
        let found = self.keyframes.iter().find(|id| id.tick <= tick);
        found.copied().with_context(|| {
            format!(
                "tick {tick} is not there any more: the log of world `{}` begins with the keyframe of tick {}",
                self.world,
                self.oldest()
            )
        })
    }

    /// The keyframe of a tick itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_tick(&self, tick: u64) -> Result<KeyframeId> {
        let found = self.keyframes.iter().find(|id| id.tick == tick);
        found.copied().with_context(|| format!("there is no keyframe of tick {tick}; {}", self.ticks()))
    }

    /// The tick of the oldest keyframe.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.keyframes.iter().map(|id| id.tick).min().unwrap_or_default()
    }

    /// The ticks of the keyframes, for people.
    #[must_use]
    pub fn ticks(&self) -> String {
        let ticks: Vec<String> = self.keyframes.iter().map(|id| id.tick.to_string()).collect();
        format!("there are those of ticks {}", ticks.join(", "))
    }

    /// The messages of a keyframe, in their order.
    ///
    /// # Errors
    /// When there is no such keyframe.
    pub fn messages(&self, id: KeyframeId) -> Result<KeyframeParts> {
        Ok(self.streams.read_keyframe(id, PARALLEL)?.parts)
    }

    /// Reads a keyframe: every byte of it is checked, and that it belongs to this log.
    ///
    /// # Errors
    /// When it is damaged, of another log, or the server doesn't give it.
    pub fn read(&self, id: KeyframeId) -> Result<(Head, Vec<u8>, World)> {
        let read = match read_keyframe(&self.streams, id) {
            Ok(read) => read,
            Err(ReadError::Jet(error)) => return Err(error.into()),
            Err(ReadError::Damaged(error)) => {
                if !self.streams.list_keyframes()?.contains(&id) {
                    bail!("the keyframe of tick {} was removed meanwhile, as old ones are: try again", id.tick);
                }
                return Err(error).context(format!("the keyframe of tick {} (epoch {})", id.tick, id.epoch));
            }
        };
        let place = read.0.position;
        if !is_in_place(&self.streams, place, &self.tail)? {
            bail!(
                "the keyframe of tick {} belongs behind record {}, and another one stands there: the log was replaced, \
                 or what is behind an earlier tick was given up",
                place.tick,
                place.index
            );
        }
        Ok(read)
    }
}

/// Whether an error is that there is no log.
#[must_use]
pub(crate) fn is_no_log(error: &JetError) -> bool {
    matches!(error, JetError::NoLog { .. })
}
