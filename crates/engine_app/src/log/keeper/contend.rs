//! The lease, over the streams.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::KeeperSettings;
use crate::log::jet::{self, JetEvent, LeaseAnswer, LeaseState, Streams};
use crate::log::lease::{Created, Entry, Lease, LeaseOutput, LeaseToken, Renewed, Role, Watched};

/// What was asked.
#[derive(Clone, Copy)]
enum Asked {
    Create,
    Renew,
    Read,
}

pub(super) struct Contender {
    lease: Lease,
    holder: Bytes,
    /// Seconds that the lease lives.
    seconds: u32,
    ttl: u64,
    tokens: BTreeMap<jet::Token, (LeaseToken, Asked)>,
    /// Who had it when that was told last.
    told: Option<Option<String>>,
    /// The last message of the log, and when it was looked at.
    log: Option<u64>,
    look_at: u64,
    /// The lease was given back, and the server did not confirm it yet.
    releasing: Option<jet::Token>,
}

impl Contender {
    pub(super) fn new(lease: Lease, settings: &KeeperSettings) -> Self {
        Self {
            lease,
            holder: Bytes::from(settings.name.clone()),
            seconds: u32::try_from(settings.lease.ttl.div_ceil(1_000_000_000)).unwrap_or(u32::MAX).max(1),
            ttl: settings.lease.ttl,
            tokens: BTreeMap::new(),
            told: None,
            log: None,
            look_at: 0,
            releasing: None,
        }
    }

    pub(super) fn clock(&mut self, now: u64) {
        self.lease.clock(now);
    }

    pub(super) fn wakes_at(&self) -> u64 {
        self.lease.wakes_at()
    }

    /// Until when this process leads.
    pub(super) fn leads_until(&self, now: u64) -> Option<u64> {
        match self.lease.role() {
            Role::Leading { until } if self.lease.leads(now) => Some(*until),
            _ => None,
        }
    }

    /// Who leads, when that is another one than was told.
    pub(super) fn new_holder(&mut self) -> Option<Option<String>> {
        let holder = match self.lease.role() {
            Role::Standby { holder } => holder.clone(),
            Role::Leading { .. } | Role::Resting { .. } => return None,
        };
        if self.told.as_ref() == Some(&holder) {
            return None;
        }
        self.told = Some(holder.clone());
        Some(holder)
    }

    pub(super) fn release(&mut self, now: u64, streams: &Streams) {
        self.lease.release(now);
        self.pump(streams, now);
    }

    pub(super) fn fenced(&mut self, now: u64, streams: &Streams) {
        self.lease.fenced(now);
        self.pump(streams, now);
    }

    /// Whoever rests goes on resting while somebody writes to the log.
    pub(super) fn watch_log(&mut self, streams: &Streams, now: u64) {
        if !matches!(self.lease.role(), Role::Resting { .. }) || now < self.look_at {
            return;
        }
        self.look_at = now + self.ttl / 4;
        if let Ok(tail) = streams.tail()
            && self.log.replace(tail.last).is_some_and(|before| before != tail.last)
        {
            self.lease.log_moved(now);
        }
    }

    pub(super) fn pump(&mut self, streams: &Streams, now: u64) {
        while let Some(output) = self.lease.output() {
            let (asked, token) = match output {
                LeaseOutput::Create { token } => {
                    (streams.lease_acquire(self.holder.clone(), self.seconds), (token, Asked::Create))
                }
                LeaseOutput::Replace { token, revision } => {
                    (streams.lease_renew(self.holder.clone(), self.seconds, revision), (token, Asked::Create))
                }
                LeaseOutput::Renew { token, revision } => {
                    (streams.lease_renew(self.holder.clone(), self.seconds, revision), (token, Asked::Renew))
                }
                LeaseOutput::Read { token } => (streams.lease_read(), (token, Asked::Read)),
                LeaseOutput::Release { revision } => {
                    match streams.lease_release(revision) {
                        Ok(token) => self.releasing = Some(token),
                        Err(error) => tracing::warn!(%error, "the lease is not given back: it runs out by itself"),
                    }
                    continue;
                }
            };
            match asked {
                Ok(jet) => drop(self.tokens.insert(jet, token)),
                Err(_) => self.lost(token, now),
            }
        }
    }

    fn lost(&mut self, (token, asked): (LeaseToken, Asked), now: u64) {
        match asked {
            Asked::Create => self.lease.created(token, Created::Lost, now),
            Asked::Renew => self.lease.renewed(token, Renewed::Lost, now),
            Asked::Read => self.lease.read_lost(token, now),
        }
    }

    /// Whether nothing has to be waited for before this process may end.
    pub(super) fn is_released(&self) -> bool {
        self.releasing.is_none()
    }

    /// Takes an answer; true when it says that the lease is given back.
    pub(super) fn answered(&mut self, event: JetEvent, now: u64) -> bool {
        if let JetEvent::Lease { token, .. } = &event
            && self.releasing == Some(*token)
        {
            self.releasing = None;
            return true;
        }
        self.take(event, now);
        false
    }

    fn take(&mut self, event: JetEvent, now: u64) {
        match event {
            JetEvent::Lease { token, answer } => {
                let Some((token, asked)) = self.tokens.remove(&token) else { return };
                match (asked, answer) {
                    (Asked::Create, LeaseAnswer::Held { revision }) => {
                        self.lease.created(token, Created::Ok(revision), now);
                    }
                    (Asked::Create, LeaseAnswer::Taken(state)) => match entry(&state) {
                        Some(entry) => self.lease.created(token, Created::Exists(entry), now),
                        None => self.lease.created(token, Created::Lost, now),
                    },
                    (Asked::Renew, LeaseAnswer::Held { revision }) => {
                        self.lease.renewed(token, Renewed::Ok(revision), now);
                    }
                    (Asked::Renew, LeaseAnswer::Taken(_) | LeaseAnswer::Released) => {
                        self.lease.renewed(token, Renewed::Refused, now);
                    }
                    (asked, _) => self.lost((token, asked), now),
                }
            }
            JetEvent::LeaseRead { token, state } => {
                let Some((token, asked)) = self.tokens.remove(&token) else { return };
                match state {
                    Ok(state) => self.lease.read(token, entry(&state), now),
                    Err(_) => self.lost((token, asked), now),
                }
            }
            JetEvent::LeaseSeen(state) => {
                let watched = match entry(&state) {
                    Some(entry) => Watched::Held(entry),
                    None => Watched::Gone { revision: state.revision },
                };
                self.lease.watched(watched, now);
            }
            _ => {}
        }
    }
}

fn entry(state: &LeaseState) -> Option<Entry> {
    let holder = state.holder.as_ref()?;
    let ttl = state.seconds.map(|seconds| u64::from(seconds) * 1_000_000_000);
    Some(Entry { holder: String::from_utf8_lossy(holder).into_owned(), revision: state.revision, ttl })
}
