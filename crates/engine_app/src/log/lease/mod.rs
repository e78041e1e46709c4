//! Who may try to reign: an entry in a key-value store that vanishes unless its holder renews it.
//!
//! A lease keeps contenders apart and finds the next leader soon. It can't keep a deposed one from writing: between
//! looking at the clock and sending, a process may be stopped for any time. That is the log's part; here it is only
//! made rare.
//!
//! ```text
//!             the entry is free: created; or is one's own: renewed
//!   Standby ------------------------------------------------------> Leading
//!     ^ ^                                                            |   |
//!     | +---- not renewed in time · entry is another's · paused -----+   |
//!     |                                                                  |  fenced · released · demoted
//!     +---------- the lease that fenced it is over, the log idle ----- Resting
//! ```
//!
//! - A leader renews every third of the time to live, and believes in its lease for a sixteenth less than that time,
//!   counted from when the renewal was *sent*. As long as clocks run alike within 6 %, no two believe at once.
//! - A store may be late with removing an entry (JetStream looks at what has ended about once a second). So who stands
//!   by keeps time, too: an entry that has had one revision for all of its time to live, since it was first seen, is
//!   over, and is replaced if it still has that revision.
//! - When more than half of the time passed between two calls, the process was stopped: it stands by before anything
//!   else, whatever the call is about. So call [`Lease::clock`] right before sending anything as a leader.
//! - Who was fenced by the log rests: it stands by at least as long as a lease lives, and until nothing is appended
//!   any more. Otherwise it would take the next free lease at once, fence the other, and so on, back and forth.
//!
//! Each leadership is a new *term*: what was begun in an earlier one, the reign in the log above all, has to be begun
//! anew.

mod answers;

use std::collections::VecDeque;

use engine_component::Entity;
use engine_system::{EntityRng, Rng};

/// How long a lease lives, and how it is asked for. Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The store's time to live; at least a second in JetStream.
    pub ttl: u64,
    /// The longest time between two looks at who leads; an eighth of the time to live if that is less.
    pub poll: u64,
    /// Where jitter comes from: another one for each contender.
    pub seed: u64,
}

impl Default for LeaseSettings {
    /// 3 s, looked at every 100 ms.
    fn default() -> Self {
        Self { ttl: 3_000_000_000, poll: 100_000_000, seed: 0 }
    }
}

impl LeaseSettings {
    fn renew_every(&self) -> u64 {
        self.ttl / 3
    }

    /// After that, no answer is waited for any more.
    fn patience(&self) -> u64 {
        self.ttl / 8
    }

    /// How long the holder believes in it.
    fn belief(&self) -> u64 {
        self.ttl - self.ttl / 16
    }
}

/// Whose the lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name that the contender gave itself.
    pub holder: String,
    /// Grows with each change in the store.
    pub revision: u64,
    /// How long it lives, in nanoseconds; none when that isn't known.
    pub ttl: Option<u64>,
}

/// What a contender is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Waits for the lease to become free.
    Standby {
        /// Whose it was when it was looked at last.
        holder: Option<String>,
    },
    /// Holds the lease.
    Leading {
        /// Until then, if it isn't renewed.
        until: u64,
    },
    /// Was fenced, or gave up: doesn't try.
    Resting {
        /// At least until then, and until the log is idle.
        until: u64,
    },
}

/// Which request an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseToken(u64);

/// What is to be done in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutput {
    /// Create the entry, with the contender's name and the time to live; hand in [`Lease::created`].
    Create {
        /// Names the request in the answer.
        token: LeaseToken,
    },
    /// Put an entry with the contender's name and the time to live in the place of another's, if that has that
    /// revision: its time is over, and the store did not remove it yet. Hand in [`Lease::created`].
    Replace {
        /// Names the request in the answer.
        token: LeaseToken,
        /// The condition.
        revision: u64,
    },
    /// Put the entry again, with the time to live, if it has that revision; hand in [`Lease::renewed`].
    Renew {
        /// Names the request in the answer.
        token: LeaseToken,
        /// The condition.
        revision: u64,
    },
    /// Remove the entry if it has that revision. There is nothing to hand in.
    Release {
        /// The condition.
        revision: u64,
    },
    /// Read the entry, from the store's leader; hand in [`Lease::read`].
    Read {
        /// Names the request in the answer.
        token: LeaseToken,
    },
}

/// What came of a [`LeaseOutput::Create`] or [`LeaseOutput::Replace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is there, with this revision.
    Ok(u64),
    /// Another is there.
    Exists(Entry),
    /// No answer.
    Lost,
}

/// What came of a [`LeaseOutput::Renew`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It lives on, with this revision.
    Ok(u64),
    /// It has another revision, or is gone.
    Refused,
    /// No answer.
    Lost,
}

/// What a watch of the entry tells, besides all answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// It was put.
    Held(Entry),
    /// It was removed, or its time is over.
    Gone {
        /// The revision of the removal.
        revision: u64,
    },
}

/// A contender for the lease. See the module's text.
#[derive(Debug)]
pub struct Lease {
    name: String,
    settings: LeaseSettings,
    rng: EntityRng,
    role: Role,
    term: u64,
    /// The last call.
    last: u64,
    /// Of the own entry.
    revision: Option<u64>,
    pending: Option<Pending>,
    tokens: u64,
    /// When something is to be asked next.
    next: u64,
    /// The last revision of another's entry that was seen, and when it was first.
    seen: Option<(u64, u64)>,
    /// A renewal had no answer: the entry may have a later revision that is one's own as well.
    renewed_maybe: bool,
    /// When the log was seen to move last, by others.
    log_moved: Option<u64>,
    outputs: VecDeque<LeaseOutput>,
    #[cfg(test)]
    pub(super) mistake: Option<LeaseMistake>,
}

/// What a contender must not do, so that tests can show that they would see it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseMistake {
    /// The lease is believed in from when the answer came.
    FromTheAnswer,
    /// The lease is believed in until it is refused.
    Endless,
    /// Who was fenced doesn't rest.
    NoRest,
    /// Another's entry is replaced when half of its time is over.
    ReplaceEarly,
}

/// A request without an answer yet; there is one at a time.
#[derive(Clone, Copy, Debug)]
struct Pending {
    token: LeaseToken,
    request: Request,
    sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Create,
    /// Instead of the entry with that revision.
    Replace(u64),
    Renew,
    Read,
}

impl Lease {
    /// A contender that stands by. Its name must be its own: no other process, not even its predecessor, may have it.
    #[must_use]
    pub fn new(name: String, settings: LeaseSettings, now: u64) -> Self {
        let rng = Rng::new(settings.seed, 0, &name).of(Entity::NONE);
        let mut lease = Self {
            name,
            settings,
            rng,
            role: Role::Standby { holder: None },
            term: 0,
            last: now,
            revision: None,
            pending: None,
            tokens: 0,
            next: now,
            seen: None,
            renewed_maybe: false,
            log_moved: None,
            outputs: VecDeque::new(),
            #[cfg(test)]
            mistake: None,
        };
        lease.clock(now);
        lease
    }

    /// What it calls itself in the store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was at the last call.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Counts its leaderships, the present one included.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whether it may act as the leader right now.
    #[must_use]
    pub fn leads(&self, now: u64) -> bool {
        matches!(self.role, Role::Leading { until } if now < until) && !self.was_stopped(now)
    }

    /// The next thing to be done. Ask again until there is nothing more, after every other call.
    pub fn output(&mut self) -> Option<LeaseOutput> {
        self.outputs.pop_front()
    }

    /// When [`clock`](Self::clock) is to be called at the latest.
    #[must_use]
    pub fn wakes_at(&self) -> u64 {
        let ask = match &self.pending {
            Some(pending) => pending.sent.saturating_add(self.settings.patience()),
            None => self.next,
        };
        match self.role {
            Role::Leading { until } => ask.min(until),
            _ => ask,
        }
    }

    /// Time goes on: stands by when it is over, and asks what is to be asked.
    pub fn clock(&mut self, now: u64) {
        self.arrive(now);
        if self.pending.is_some_and(|pending| now.saturating_sub(pending.sent) >= self.settings.patience()) {
            self.unanswered(now);
        }
        if self.pending.is_some() || now < self.next {
            return;
        }
        match (&self.role, self.revision) {
            (Role::Leading { .. }, Some(revision)) => self.ask_renew(revision, now),
            _ => self.ask(Request::Read, now),
        }
    }

    /// The log was taken over by another: gives the lease up and rests.
    pub fn fenced(&mut self, now: u64) {
        self.release(now);
    }

    /// Hands leadership over: the lease is free at once, and this contender rests.
    pub fn release(&mut self, now: u64) {
        self.arrive(now);
        let revision = self.revision.take();
        self.rest(now);
        self.outputs.extend(revision.map(|revision| LeaseOutput::Release { revision }));
    }

    /// Gives up without sending anything, and rests: the lease runs out by itself.
    pub fn demote(&mut self, now: u64) {
        self.arrive(now);
        self.rest(now);
    }

    /// Another appended to the log: whoever rests goes on resting.
    pub fn log_moved(&mut self, now: u64) {
        self.arrive(now);
        self.log_moved = Some(now);
    }

    fn rest(&mut self, now: u64) {
        self.outputs.clear();
        (self.pending, self.revision, self.renewed_maybe) = (None, None, false);
        self.role = Role::Resting { until: now.saturating_add(self.settings.ttl) };
        self.ask_later(now);
        #[cfg(test)]
        if self.mistake == Some(LeaseMistake::NoRest) {
            self.stand_by(None, now);
        }
    }

    fn stand_by(&mut self, holder: Option<String>, now: u64) {
        self.outputs.clear();
        (self.pending, self.revision, self.renewed_maybe) = (None, None, false);
        self.role = Role::Standby { holder };
        self.next = now;
    }

    fn was_stopped(&self, now: u64) -> bool {
        now.saturating_sub(self.last) > self.settings.ttl / 2
    }

    /// Before each call: what only time decides. A clock that goes back stands still.
    fn arrive(&mut self, now: u64) {
        let stopped = self.was_stopped(now);
        self.last = self.last.max(now);
        match self.role {
            Role::Leading { until } if stopped || now >= until => self.stand_by(None, now),
            _ if stopped => {
                // Whatever was asked is too old for its answer to count.
                self.outputs.clear();
                (self.pending, self.next) = (None, now);
            }
            _ => {}
        }
    }

    fn ask(&mut self, request: Request, now: u64) {
        self.tokens += 1;
        let token = LeaseToken(self.tokens);
        self.pending = Some(Pending { token, request, sent: now });
        self.outputs.push_back(match request {
            Request::Create => LeaseOutput::Create { token },
            Request::Replace(revision) => LeaseOutput::Replace { token, revision },
            Request::Renew => LeaseOutput::Renew { token, revision: self.revision.unwrap_or(0) },
            Request::Read => LeaseOutput::Read { token },
        });
    }

    fn ask_renew(&mut self, revision: u64, now: u64) {
        self.revision = Some(revision);
        self.ask(Request::Renew, now);
    }

    /// The next look: after about the poll time, never two contenders in step for long.
    fn ask_later(&mut self, now: u64) {
        let poll = self.settings.poll.min(self.settings.ttl / 8);
        let jitter = u64::from(self.rng.below(256));
        self.next = now.saturating_add(poll / 8 * 7 + poll / 4 * jitter / 256);
    }
}
