//! Keyframes that somebody asked for: whoever keeps the log stores them, and says when it is done.

use engine_net::messages::snapshot::{Snapshot, SnapshotReply, SnapshotRequest};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;

use super::Coordinator;

/// Requests that wait, at the most.
const MAX_ASKED: usize = 256;

/// Who waits for a keyframe.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// For the next one.
    asked: Vec<String>,
    /// For the one that is being stored.
    begun: Vec<String>,
}

impl Coordinator {
    pub(super) fn snapshot_request(&mut self, reply: Option<&str>, payload: &[u8]) {
        let Some(reply) = reply else { return };
        match self.accept_snapshot(payload) {
            Ok(()) => self.snapshots.asked.push(reply.to_owned()),
            Err(problem) => {
                self.figures.count(format!("refused.{}", problem.code));
                self.answer::<SnapshotReply>(Some(reply), &Reply::Error(problem));
            }
        }
    }

    fn accept_snapshot(&self, payload: &[u8]) -> Result<(), Problem> {
        strict::decode::<SnapshotRequest>(payload, SnapshotRequest::LIMIT)
            .map_err(|error| Problem::new("bad_request", error))?;
        if !self.keeps_log() {
            let text = "this world has no log to store it in: start its coordinator with --durability server";
            return Err(Problem::new("no_log", text));
        }
        if self.recovering {
            return Err(Problem::new("unavailable", "the world is being recovered from its log: try again"));
        }
        if self.snapshots.asked.len() + self.snapshots.begun.len() >= MAX_ASKED {
            return Err(Problem::new("overloaded", "too many wait for a keyframe: try again later"));
        }
        Ok(())
    }

    /// Whether somebody waits for a keyframe that is not being stored yet.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        !self.snapshots.asked.is_empty()
    }

    /// A keyframe of the world as it is now is being stored.
    pub fn snapshot_begins(&mut self) {
        self.snapshots.begun.append(&mut self.snapshots.asked);
    }

    /// It is stored, or is not, for this reason: whoever waits for it is told.
    pub fn snapshot_ends(&mut self, stored: Result<Snapshot, String>) {
        let answer: SnapshotReply = match stored {
            Ok(snapshot) => Reply::Ok(snapshot),
            Err(why) => Reply::Error(Problem::new("not_stored", why)),
        };
        for reply in std::mem::take(&mut self.snapshots.begun) {
            self.answer(Some(&reply), &answer);
        }
    }
}
