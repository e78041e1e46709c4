//! Which faults happen when: all of it follows from the seed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::random::Random;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    KillInstance,
    PauseInstance,
    KillLeader,
    PauseLeader,
    KillStandby,
    PauseStandby,
    KillServer,
    PauseServer,
    Cut,
    Stall,
    Delay,
    DiskFull,
}

impl Kind {
    pub(crate) const ALL: [(Self, &'static str); 12] = [
        (Self::KillInstance, "kill-instance"),
        (Self::PauseInstance, "pause-instance"),
        (Self::KillLeader, "kill-leader"),
        (Self::PauseLeader, "pause-leader"),
        (Self::KillStandby, "kill-standby"),
        (Self::PauseStandby, "pause-standby"),
        (Self::KillServer, "kill-server"),
        (Self::PauseServer, "pause-server"),
        (Self::Cut, "cut"),
        (Self::Stall, "stall"),
        (Self::Delay, "delay"),
        (Self::DiskFull, "disk-full"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(kind, _)| *kind)
    }
}

/// A fault, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    /// Chooses whom it hits, of those who are there then.
    pub(crate) pick: u64,
    pub(crate) lasts: Duration,
}

/// Faults of some kinds for so long, about every two seconds; one in four follows while the one before it is being
/// recovered from, and hits the same kind again.
pub(crate) fn faults(seed: u64, kinds: &[Kind], length: Duration, lease: Duration) -> VecDeque<Fault> {
    let mut random = Random::new(seed);
    // Leaders have the most to lose: what hits them comes twice as often.
    let leaders = kinds.iter().filter(|kind| matches!(kind, Kind::KillLeader | Kind::PauseLeader));
    let kinds: Vec<Kind> = kinds.iter().chain(leaders).copied().collect();
    let (mut at, mut faults) = (0, VecDeque::new());
    let mut last = None::<Fault>;
    while !kinds.is_empty() {
        let again = last.filter(|_| random.below(4) == 0);
        at += if again.is_some() { random.between(50, 900) } else { random.between(400, 3600) };
        if at >= length.as_millis() as u64 {
            break;
        }
        let kind = again.map_or_else(|| kinds[random.below(kinds.len() as u64) as usize], |fault| fault.kind);
        let pick = again.map_or_else(|| random.next(), |fault| fault.pick);
        let lasts = length_of(kind, &mut random, lease.as_millis() as u64);
        let fault = Fault { at: Duration::from_millis(at), kind, pick, lasts: Duration::from_millis(lasts) };
        faults.push_back(fault);
        last = Some(fault);
    }
    faults
}

/// Milliseconds. What stands still does so for less than a lease, or for longer.
fn length_of(kind: Kind, random: &mut Random, lease: u64) -> u64 {
    match kind {
        Kind::KillInstance | Kind::KillLeader | Kind::KillStandby => random.between(0, 1500),
        Kind::KillServer => random.between(50, 1500),
        Kind::Delay => random.between(500, 3000),
        Kind::DiskFull => random.between(1000, 3000),
        _ if random.below(2) == 0 => random.between(50, lease / 2),
        _ => random.between(lease * 5 / 4, lease * 5 / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let kinds: Vec<Kind> = Kind::ALL.iter().map(|(kind, _)| *kind).collect();
        let plan = |seed| faults(seed, &kinds, Duration::from_secs(600), Duration::from_secs(1));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        for kind in kinds.iter().copied() {
            assert!(plan(1).iter().any(|fault| fault.kind == kind), "{}", kind.name());
            assert_eq!(Kind::of(kind.name()), Some(kind));
        }
    }
}
