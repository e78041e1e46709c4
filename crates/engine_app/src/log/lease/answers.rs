//! What the store's answers mean to a contender.

use engine_system::planted::{self, Bug};

use super::{Created, Entry, Lease, LeaseToken, Pending, Renewed, Request, Role, Watched};

impl Lease {
    /// The answer to a [`LeaseOutput::Create`](super::LeaseOutput::Create) or
    /// [`LeaseOutput::Replace`](super::LeaseOutput::Replace).
    pub fn created(&mut self, token: LeaseToken, created: Created, now: u64) {
        let Some(pending) = self.take(token, now) else { return };
        match created {
            Created::Ok(revision) => self.lead(revision, pending, now),
            Created::Exists(entry) => self.seen(Some(entry), now),
            Created::Lost => self.next = now,
        }
    }

    /// The answer to a [`LeaseOutput::Renew`](super::LeaseOutput::Renew).
    pub fn renewed(&mut self, token: LeaseToken, renewed: Renewed, now: u64) {
        let Some(pending) = self.take(token, now) else { return };
        match renewed {
            Renewed::Ok(revision) => self.lead(revision, pending, now),
            Renewed::Lost => self.renewal_lost(now),
            // The entry that was refused may be one's own, put by a renewal whose answer was lost.
            Renewed::Refused if self.renewed_maybe => self.ask(Request::Read, now),
            Renewed::Refused => self.stand_by(None, now),
        }
    }

    /// The answer to a [`LeaseOutput::Read`](super::LeaseOutput::Read): the entry, if there is one.
    pub fn read(&mut self, token: LeaseToken, entry: Option<Entry>, now: u64) {
        if self.take(token, now).is_some() {
            self.seen(entry, now);
        }
    }

    /// A read has no answer, and won't.
    pub fn read_lost(&mut self, token: LeaseToken, now: u64) {
        if self.take(token, now).is_some() {
            self.ask_later(now);
        }
    }

    /// The entry changed. Watching makes a hand-over faster; without it everything is found by looking.
    pub fn watched(&mut self, watched: Watched, now: u64) {
        self.arrive(now);
        let (holder, revision) = match watched {
            Watched::Held(entry) => {
                self.ends_at(&entry, now);
                (Some(entry.holder), entry.revision)
            }
            Watched::Gone { revision } => (None, revision),
        };
        match &mut self.role {
            Role::Leading { .. } => {
                let later = self.revision.is_some_and(|own| revision > own);
                if later && holder.as_ref() != Some(&self.name) {
                    self.stand_by(holder, now);
                }
            }
            Role::Standby { holder: known } if holder.is_some() => *known = holder,
            Role::Standby { .. } => self.next = now,
            Role::Resting { .. } => {}
        }
        self.clock(now);
    }

    /// The request that the answer is about, if it is still waited for.
    fn take(&mut self, token: LeaseToken, now: u64) -> Option<Pending> {
        self.arrive(now);
        self.pending.take_if(|pending| pending.token == token)
    }

    /// The pending request has waited too long.
    pub(super) fn unanswered(&mut self, now: u64) {
        match self.pending.take().map(|pending| pending.request) {
            Some(Request::Renew) => self.renewal_lost(now),
            // What was created without an answer will be seen.
            Some(Request::Create | Request::Replace(_) | Request::Read) => self.next = now,
            None => {}
        }
    }

    fn renewal_lost(&mut self, now: u64) {
        self.renewed_maybe = true;
        self.next = now.saturating_add(self.settings.ttl / 32);
    }

    /// The entry is one's own since the request arrived, so at least from when it was sent.
    fn lead(&mut self, revision: u64, pending: Pending, now: u64) {
        let belief = if planted::is(Bug::EndlessLease) { u64::MAX } else { self.settings.belief() };
        let until = pending.sent.saturating_add(belief);
        #[cfg(test)]
        let until = match self.mistake {
            Some(super::LeaseMistake::FromTheAnswer) => now.saturating_add(self.settings.belief()),
            Some(super::LeaseMistake::Endless) => u64::MAX,
            _ => until,
        };
        if now >= until {
            return self.stand_by(None, now);
        }
        if !matches!(self.role, Role::Leading { .. }) {
            self.term += 1;
        }
        (self.revision, self.renewed_maybe) = (Some(revision), false);
        self.role = Role::Leading { until };
        self.next = pending.sent.saturating_add(self.settings.renew_every());
    }

    /// What is in the store.
    fn seen(&mut self, entry: Option<Entry>, now: u64) {
        let own = entry.as_ref().filter(|entry| entry.holder == self.name).map(|entry| entry.revision);
        match (&self.role, entry, own) {
            (Role::Resting { until }, entry, _) => {
                let until = *until;
                self.seen_at_rest(until, entry, now);
            }
            // Put by a renewal or creation whose answer was lost, or before this process was stopped.
            (_, _, Some(revision)) => self.ask_renew(revision, now),
            (Role::Leading { .. }, entry, None) => self.stand_by(entry.map(|entry| entry.holder), now),
            (Role::Standby { .. }, Some(entry), None) => {
                let end = self.ends_at(&entry, now);
                self.role = Role::Standby { holder: Some(entry.holder) };
                if now >= end {
                    return self.ask(Request::Replace(entry.revision), now);
                }
                self.ask_later(now);
                self.next = self.next.min(end);
            }
            (Role::Standby { .. }, None, None) => {
                self.role = Role::Standby { holder: None };
                self.ask(Request::Create, now);
            }
        }
    }

    /// When an entry of another is over unless it is renewed: it was put before it was first seen.
    fn ends_at(&mut self, entry: &Entry, now: u64) -> u64 {
        let since = match self.seen {
            Some((revision, since)) if revision == entry.revision => since,
            _ => now,
        };
        self.seen = Some((entry.revision, since));
        #[cfg(test)]
        if self.mistake == Some(super::LeaseMistake::ReplaceEarly) {
            return since.saturating_add(self.settings.ttl / 2);
        }
        entry.ttl.map_or(u64::MAX, |ttl| since.saturating_add(ttl))
    }

    /// Rest is over when its time is, and another holds the lease or nobody appends to the log.
    fn seen_at_rest(&mut self, until: u64, entry: Option<Entry>, now: u64) {
        let idle = self.log_moved.is_none_or(|moved| now.saturating_sub(moved) >= self.settings.ttl / 2);
        if now >= until && (entry.is_some() || idle) {
            self.role = Role::Standby { holder: None };
            return self.seen(entry, now);
        }
        self.ask_later(now);
    }
}
