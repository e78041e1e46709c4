//! The virtual server of the log: the stream, the lease, keyframes, and the high-water mark; and what it is asked
//! and answers. Everything goes over the virtual network.

use std::rc::Rc;

use bytes::Bytes;
use engine_app::log::chain::Position;
use engine_app::log::jet::{self, JetError, KeyframeId, Kind, Mark, Tail};
use engine_app::log::lease::{Created, Entry, LeaseToken, Renewed};
use engine_app::log::recovery::Source;
use engine_app::log::virtual_store::VirtualStore;
use engine_app::log::virtual_stream::VirtualStream;
use engine_app::log::writer::{Publish, Refusal, Subject, Token};

use crate::truth::Truth;

/// What is said between a coordinator and the log's server.
#[derive(Clone, Debug)]
pub(crate) enum Jet {
    Publish(Publish),
    Acked(Token, u64),
    Refused(Token, Refusal),
    Read(Token, u64),
    ReadEpoch(Token),
    Found(Token, Option<Bytes>),
    Create(LeaseToken, String),
    Created(LeaseToken, Created),
    Replace(LeaseToken, String, u64),
    Renew(LeaseToken, String, u64),
    Renewed(LeaseToken, Renewed),
    Release(u64),
    ReadLease(LeaseToken),
    LeaseIs(LeaseToken, Option<Entry>),
    /// Read everything that a world is recovered from, as one does who asks for so many at a time.
    Recover(u64),
    Stored(u64, Rc<Image>),
    Mark(Mark),
    Keyframe(Rc<Keyframe>),
    KeyframeStored(KeyframeId),
    Retain(usize),
    /// Records before this sequence go.
    Truncate(u64),
    /// Where the log ends.
    AskEnd,
    End(u64),
}

impl std::fmt::Display for Jet {
    /// In a few words, for people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publish(publish) => {
                write!(
                    f,
                    "publish {:?} behind {}, guard {}",
                    publish.subject, publish.expected_last_seq, publish.guard_seq
                )
            }
            Self::Acked(_, seq) => write!(f, "acknowledged at {seq}"),
            Self::Refused(_, refusal) => write!(f, "refused: {refusal:?}"),
            Self::Read(_, seq) => write!(f, "read {seq}"),
            Self::Found(_, found) => write!(f, "found {}", if found.is_some() { "something" } else { "nothing" }),
            Self::Renewed(_, renewed) => write!(f, "renewed: {renewed:?}"),
            Self::Created(_, created) => write!(f, "created: {created:?}"),
            Self::LeaseIs(_, entry) => write!(f, "the lease is {entry:?}"),
            Self::Keyframe(keyframe) => write!(f, "keyframe {}", keyframe.id),
            Self::KeyframeStored(id) => write!(f, "keyframe {id} is stored"),
            Self::Truncate(seq) => write!(f, "forget what is before {seq}"),
            Self::Stored(number, _) => write!(f, "what is stored, for {number}"),
            Self::Mark(mark) => write!(f, "mark {}", mark.index),
            Self::ReadEpoch(_) => f.write_str("read the last epoch record"),
            Self::Create(_, name) => write!(f, "create the lease for {name}"),
            Self::Replace(_, name, revision) => write!(f, "replace the lease of revision {revision} for {name}"),
            Self::Renew(_, name, revision) => write!(f, "renew the lease of {name}, revision {revision}"),
            Self::Release(revision) => write!(f, "release the lease, revision {revision}"),
            Self::ReadLease(_) => f.write_str("read the lease"),
            Self::Recover(number) => write!(f, "read all, {number}"),
            Self::Retain(keep) => write!(f, "keep {keep} keyframes"),
            Self::AskEnd => f.write_str("where is the end?"),
            Self::End(end) => write!(f, "the end is {end}"),
        }
    }
}

/// A complete keyframe.
#[derive(Debug)]
pub(crate) struct Keyframe {
    pub(crate) id: KeyframeId,
    pub(crate) position: Position,
    pub(crate) head: Bytes,
    pub(crate) parts: Vec<Bytes>,
}

/// All that is stored at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) stream: VirtualStream,
    keyframes: Vec<Rc<Keyframe>>,
    mark: Option<Mark>,
    /// What was done to it: a record that is missing.
    pub(crate) damaged: bool,
}

/// See the module's text.
pub(crate) struct Log {
    pub(crate) stream: VirtualStream,
    pub(crate) store: VirtualStore,
    keyframes: Vec<Rc<Keyframe>>,
    mark: Option<Mark>,
    pub(crate) truth: Truth,
    /// The next recovery reads a log that lacks a record.
    pub(crate) damages_next: bool,
}

impl Log {
    pub(crate) fn new(truth: Truth, stream: VirtualStream, store: VirtualStore) -> Self {
        Self { stream, store, keyframes: Vec::new(), mark: None, truth, damages_next: false }
    }

    /// Does what is asked. What it answers, and what there is to tell.
    pub(crate) fn ask(&mut self, now: u64, asked: Jet) -> Result<(Option<Jet>, Option<String>), String> {
        let mut told = None;
        let answer = match asked {
            Jet::Publish(publish) => {
                let (token, last) = (publish.token, self.stream.last_seq());
                let answer = match self.stream.publish(&publish) {
                    Ok(seq) => {
                        if seq > last {
                            told = Some(self.truth.stored(now, seq, &publish.bytes)?);
                        }
                        Jet::Acked(token, seq)
                    }
                    Err(refusal) => {
                        told = Some(format!("refuses what belongs behind {}: {refusal:?}", publish.expected_last_seq));
                        Jet::Refused(token, refusal)
                    }
                };
                Some(answer)
            }
            Jet::Read(token, seq) => Some(Jet::Found(token, self.stream.read(seq).map(|stored| stored.bytes.clone()))),
            Jet::ReadEpoch(token) => {
                Some(Jet::Found(token, self.stream.read_epoch().map(|stored| stored.bytes.clone())))
            }
            Jet::Create(token, name) => Some(Jet::Created(
                token,
                match self.store.create(&name, now) {
                    Ok(revision) => {
                        told = Some(format!("gives the lease to {name}"));
                        Created::Ok(revision)
                    }
                    Err(entry) => Created::Exists(entry),
                },
            )),
            Jet::Replace(token, name, revision) => Some(Jet::Created(
                token,
                match self.store.replace(&name, revision, now) {
                    Ok(revision) => {
                        told = Some(format!("gives the lease to {name}, since its time is over"));
                        Created::Ok(revision)
                    }
                    Err(entry) => entry.map_or(Created::Lost, Created::Exists),
                },
            )),
            Jet::Renew(token, name, revision) => {
                let renewed = self.store.renew(&name, revision, now).map_or(Renewed::Refused, Renewed::Ok);
                Some(Jet::Renewed(token, renewed))
            }
            Jet::Release(revision) => {
                self.store.release(revision, now);
                None
            }
            Jet::ReadLease(token) => Some(Jet::LeaseIs(token, self.store.read(now).cloned())),
            Jet::Recover(number) => Some(Jet::Stored(number, Rc::new(self.image()))),
            Jet::Mark(mark) => {
                self.mark = Some(mark);
                None
            }
            Jet::Keyframe(keyframe) => {
                let id = keyframe.id;
                told = Some(format!("stores the keyframe of tick {}, epoch {}", id.tick, id.epoch));
                if keyframe.position.index > self.truth.position().index {
                    told = Some(format!("stores a keyframe of tick {} that is ahead of the log", id.tick));
                }
                if self.keyframes.iter().all(|known| known.id != id) {
                    self.keyframes.push(keyframe);
                    self.keyframes.sort_by_key(|keyframe| std::cmp::Reverse(keyframe.id));
                }
                Some(Jet::KeyframeStored(id))
            }
            Jet::Retain(keep) => {
                self.keyframes.truncate(keep);
                None
            }
            Jet::Truncate(seq) => {
                told = Some(format!("forgets what is before {seq}"));
                self.stream.purge_before(seq);
                None
            }
            Jet::AskEnd => Some(Jet::End(self.stream.last_seq())),
            _ => None,
        };
        Ok((answer, told))
    }

    fn image(&mut self) -> Image {
        let mut image = Image {
            stream: self.stream.clone(),
            keyframes: self.keyframes.clone(),
            mark: self.mark.clone(),
            damaged: false,
        };
        if self.damages_next {
            image.damage();
        }
        self.damages_next &= !image.damaged;
        image
    }
}

impl Image {
    /// A record behind the newest keyframe goes missing, and the ones behind it take its place: what a server does
    /// that makes its index anew from a damaged file. One record is left behind it: what nobody can know is missing
    /// is missing at the end.
    fn damage(&mut self) {
        let from = self.keyframes.first().map_or(u64::MAX, |keyframe| keyframe.position.seq.saturating_add(1));
        let whole: Vec<_> = self.stream.from(from).map(|(seq, stored)| (seq, stored.clone())).collect();
        let lost = whole.iter().position(|(_, stored)| stored.subject == Subject::Tick);
        let Some(lost) = lost.filter(|lost| lost + 1 < whole.len()) else { return };
        self.damaged = self.stream.without(whole[lost].0).map(|stream| self.stream = stream).is_some();
    }
}

impl Source for Image {
    fn tail(&self) -> Result<Tail, JetError> {
        let epoch =
            self.stream.read_epoch().map(|stored| record(self.stream.epoch_seq(), stored.subject, &stored.bytes));
        let first = self.stream.from(1).map(|(seq, _)| seq).next().unwrap_or(self.stream.last_seq() + 1);
        Ok(Tail { first, last: self.stream.last_seq(), epoch })
    }

    fn mark(&self) -> Result<Option<Mark>, JetError> {
        Ok(self.mark.clone())
    }

    fn keyframes(&self) -> Result<Vec<KeyframeId>, JetError> {
        Ok(self.keyframes.iter().map(|keyframe| keyframe.id).collect())
    }

    fn records(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>> {
        (from..=to).map(|seq| match self.stream.read(seq) {
            Some(stored) => Ok(record(seq, stored.subject, &stored.bytes)),
            None => Err(JetError::Gap { stream: "the log".into(), sequence: seq }),
        })
    }

    fn present(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>> {
        let there = (from..=to).filter_map(|seq| Some((seq, self.stream.read(seq)?)));
        there.map(|(seq, stored)| Ok(record(seq, stored.subject, &stored.bytes)))
    }

    fn keyframe(&self, id: KeyframeId) -> Result<(Bytes, impl Iterator<Item = Result<Bytes, JetError>>), JetError> {
        let keyframe = self.keyframes.iter().find(|keyframe| keyframe.id == id);
        let keyframe = keyframe.ok_or_else(|| missing(format!("keyframe {id}")))?;
        Ok((keyframe.head.clone(), keyframe.parts.iter().cloned().map(Ok)))
    }
}

fn missing(what: String) -> JetError {
    JetError::Damaged { what, reason: "it is not there".into() }
}

fn record(sequence: u64, subject: Subject, payload: &Bytes) -> jet::Record {
    let kind = match subject {
        Subject::Epoch => Kind::Epoch,
        Subject::Tick => Kind::Tick,
        Subject::Part => Kind::Part,
    };
    jet::Record { sequence, kind, payload: payload.clone() }
}
