//! Which stream holds what, and on which subjects.
//!
//! | stream | subjects | holds |
//! | --- | --- | --- |
//! | `ENGINE_LOG_<world>` | `engine_log.<world>.epoch`, `.tick`, `.part` | epochs, the ticks' records, and parts of long ones |
//! | `ENGINE_KEY_<world>` | `engine_key.<world>.<epoch>.<tick>.<writer>.<n>`, `….manifest` | keyframes |
//! | `ENGINE_LEASE_<world>` | `engine_lease.<world>` | who leads |
//! | `ENGINE_MARK_<world>` | `engine_mark.<world>` | how far the log was acknowledged |
//!
//! The roots are fixed and none of them is `engine.`: a user who may talk to the engine may not write here.

use engine_net::name::{self, NameError};

/// What a record of the log is; its subject's last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The beginning of a reign. Never purged: every append is guarded by the last of these.
    Epoch,
    /// What a tick was given.
    Tick,
    /// A part of what didn't fit into a tick's record.
    Part,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Epoch, Self::Tick, Self::Part];

    fn token(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Tick => "tick",
            Self::Part => "part",
        }
    }
}

/// The names of one world's streams and subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    world: String,
}

impl Names {
    /// Checks the world's name, which becomes part of all of them.
    pub fn new(world: &str) -> Result<Self, NameError> {
        name::token("world", world)?;
        Ok(Self { world: world.to_owned() })
    }

    /// The world.
    #[must_use]
    pub fn world(&self) -> &str {
        &self.world
    }

    /// The stream of the log.
    #[must_use]
    pub fn log(&self) -> String {
        format!("ENGINE_LOG_{}", self.world)
    }

    /// The stream of keyframes.
    #[must_use]
    pub fn keys(&self) -> String {
        format!("ENGINE_KEY_{}", self.world)
    }

    /// The stream of the lease.
    #[must_use]
    pub fn leases(&self) -> String {
        format!("ENGINE_LEASE_{}", self.world)
    }

    /// The stream of the high-water mark.
    #[must_use]
    pub fn marks(&self) -> String {
        format!("ENGINE_MARK_{}", self.world)
    }

    /// Where records of this kind are published.
    #[must_use]
    pub fn record(&self, kind: Kind) -> String {
        format!("engine_log.{}.{}", self.world, kind.token())
    }

    /// What a subject of the log holds.
    #[must_use]
    pub fn kind_of(&self, subject: &str) -> Option<Kind> {
        let token = subject.strip_prefix("engine_log.")?.strip_prefix(self.world.as_str())?.strip_prefix('.')?;
        Kind::ALL.into_iter().find(|kind| kind.token() == token)
    }

    /// What all subjects of keyframes begin with, the dot included.
    #[must_use]
    pub fn key_root(&self) -> String {
        format!("engine_key.{}.", self.world)
    }

    /// Where the lease is.
    #[must_use]
    pub fn lease(&self) -> String {
        format!("engine_lease.{}", self.world)
    }

    /// Where the high-water mark is.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("engine_mark.{}", self.world)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_tells_its_kind_and_its_world() {
        let names = Names::new("arena").unwrap();
        for kind in Kind::ALL {
            assert_eq!(names.kind_of(&names.record(kind)), Some(kind));
        }
        for foreign in ["engine_log.arena2.tick", "engine_log.arena.ticks", "engine_log.arena", "engine.arena.tick"] {
            assert_eq!(names.kind_of(foreign), None, "{foreign}");
        }
        for subject in [names.record(Kind::Tick), names.key_root(), names.lease(), names.mark()] {
            assert!(engine_net::subject::is_of_a_log(&subject), "{subject}");
        }
        assert!(
            ["engine.arena.query", "_INBOX.a.engine_log"].iter().all(|other| !engine_net::subject::is_of_a_log(other))
        );
        assert!(Names::new("a.b").is_err() && Names::new("*").is_err());
    }
}
