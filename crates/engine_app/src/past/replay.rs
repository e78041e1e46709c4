//! Ticks of the log computed again, and every hash compared.

use std::time::{Duration, Instant};

use anyhow::bail;
use engine_component::WorldHash;

use super::repeat::{Done, Program, Repeat, restored};
use super::{Listed, Past};
use crate::app::Result;
use crate::coordinator::CoordinatorError;

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The tick of the keyframe that it began with.
    pub keyframe: u64,
    /// The first tick that was wanted.
    pub from: u64,
    /// The last tick that came to the same world.
    pub to: u64,
    /// Ticks that were computed, those before `from` among them.
    pub ticks: u64,
    /// Keyframes on the way that were compared.
    pub keyframes: u64,
    /// How long it took.
    pub took: Duration,
    /// The first tick that came to another world.
    pub diverged: Option<Diverged>,
}

/// A tick that came to another world than it did then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// The tick.
    pub tick: u64,
    /// The hash of then.
    pub recorded: WorldHash,
    /// The hash of now.
    pub replayed: WorldHash,
}

impl Replay {
    /// Ticks in a second.
    #[must_use]
    pub fn ticks_per_second(&self) -> f64 {
        self.ticks as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Computes the ticks `from` to `to` again: by default all that the log still has.
///
/// # Errors
/// When the log doesn't have them, is damaged, or the program is not the one that ran the world. A tick that comes
/// to another world is no error.
pub fn replay(
    past: &Past,
    program: &Program<'_>,
    from: Option<u64>,
    to: Option<u64>,
    mut tell: impl FnMut(u64, u64),
) -> Result<Replay> {
    let first = from.unwrap_or_else(|| past.oldest() + 1);
    let last = to.or_else(|| past.range().ok().flatten().map(|range| range.last)).unwrap_or(u64::MAX);
    if last < first && to.is_some() {
        bail!("tick {last} comes before tick {first}");
    }
    let id = past.before(first.saturating_sub(1))?;
    let mut on_the_way = Vec::new();
    for other in past.keyframes().iter().filter(|other| **other != id && (id.tick..=last).contains(&other.tick)) {
        on_the_way.extend(past.look(*other)?);
    }
    let mut repeat = Repeat::begin(past, program, id)?;
    let begun = Instant::now();
    let mut replay = Replay {
        keyframe: id.tick,
        from: first,
        to: id.tick,
        ticks: 0,
        keyframes: 0,
        took: Duration::ZERO,
        diverged: None,
    };
    loop {
        match repeat.next(last) {
            Ok(Some(done)) => {
                replay.ticks += u64::from(done.is_tick);
                replay.to = done.position.tick;
                tell(done.position.tick, last);
                for listed in on_the_way.iter().filter(|listed| is_at(listed, &done)) {
                    let (head, state, world) = past.read(listed.id)?;
                    // Its bytes come to its own hash, and that is the one of the repeated world.
                    restored(past.world(), program, &head, &state, world)?;
                    let (tick, replayed) = repeat.committed();
                    if head.hash != replayed {
                        replay.diverged = Some(Diverged { tick, recorded: head.hash, replayed });
                    }
                    replay.keyframes += 1;
                }
                if replay.diverged.is_some() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => match error.downcast_ref::<CoordinatorError>() {
                Some(CoordinatorError::Diverged { tick, recorded, found }) => {
                    replay.diverged = Some(Diverged { tick: *tick, recorded: *recorded, replayed: *found });
                    break;
                }
                _ => return Err(error),
            },
        }
    }
    replay.took = begun.elapsed();
    if let Some(to) = to.filter(|to| replay.diverged.is_none() && replay.to < *to) {
        bail!("the log of world `{}` ends with tick {}, before tick {to}", past.world(), replay.to);
    }
    Ok(replay)
}

fn is_at(listed: &Listed, done: &Done) -> bool {
    let (place, at) = (listed.head.position, done.position);
    (place.index, place.chain) == (at.index, at.chain)
}
