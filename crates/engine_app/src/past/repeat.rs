//! Records of the log, done again one by one.

use std::time::Instant;

use anyhow::{anyhow, bail};
use engine_component::World;
use engine_component::image::Snapshot;

use super::{PARALLEL, Past};
use crate::app::{Blueprint, Result};
use crate::coordinator::{Coordinator, CoordinatorError, Output, RestoreError};
use crate::log::chain::{Position, Verifier};
use crate::log::jet::{JetError, KeyframeId, Records};
use crate::log::keyframe::{Head, Keyframe};
use crate::log::record::Body;
use crate::pool::Pool;
use crate::record::TickRecord;
use crate::settings::Settings;

/// A program that may have the functions of the systems.
pub struct Program<'a> {
    /// What it is called, for errors.
    pub name: &'a str,
    /// What it is made of.
    pub blueprint: &'a Blueprint,
    /// Threads for systems; 0 is as many as there are cores.
    pub threads: usize,
}

impl std::fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A record that was done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Behind it.
    pub position: Position,
    /// Whether it was a tick, and not what was applied while the world stood still, or the beginning of a reign.
    pub is_tick: bool,
}

/// A world on its way from a keyframe to a later tick.
pub struct Repeat<'a> {
    past: &'a Past,
    keyframe: KeyframeId,
    program: &'a Program<'a>,
    // Declared before the coordinator: its threads end before the world that they work on goes.
    pool: Pool,
    coordinator: Coordinator,
    verifier: Verifier,
    records: Records,
    /// What was read and is behind what was asked for so far.
    next: Option<(Position, Body)>,
    begun: Instant,
}

impl std::fmt::Debug for Repeat<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repeat").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl<'a> Repeat<'a> {
    /// Begins with a keyframe.
    ///
    /// # Errors
    /// When it can't be read, or the program is not the one that ran the world.
    pub fn begin(past: &'a Past, program: &'a Program<'a>, id: KeyframeId) -> Result<Self> {
        let (head, state, world) = past.read(id)?;
        let coordinator = restored(past.world(), program, &head, &state, world)?;
        let records = past.streams().read_range(head.position.seq + 1, past.tail().last, PARALLEL);
        Ok(Self {
            past,
            keyframe: id,
            program,
            pool: Pool::new(program.threads),
            coordinator,
            verifier: Verifier::from(head.position),
            records,
            next: None,
            begun: Instant::now(),
        })
    }

    /// The world as it is now.
    #[must_use]
    pub fn world(&self) -> &World {
        self.coordinator.world()
    }

    /// The tick and the hash of the world as it is now.
    #[must_use]
    pub fn committed(&self) -> (u64, engine_component::WorldHash) {
        self.coordinator.committed()
    }

    /// Behind the last record that was done again.
    #[must_use]
    pub fn position(&self) -> Position {
        match &self.next {
            Some((before, _)) => *before,
            None => self.verifier.position(),
        }
    }

    /// Does the next record again, unless it is of a later tick than `last`, or there is none.
    ///
    /// # Errors
    /// When the log is damaged, when a system has no function here, or when the world comes to another hash
    /// ([`CoordinatorError::Diverged`]).
    pub fn next(&mut self, last: u64) -> Result<Option<Done>> {
        if self.next.is_none() {
            self.next = self.read()?;
        }
        let tick = self.verifier.position().tick;
        if tick > last {
            return Ok(None);
        }
        let Some((_, body)) = self.next.take() else { return Ok(None) };
        let before = self.coordinator.committed().0;
        if let Body::Tick(bytes) = body {
            let record = TickRecord::from_bytes(&bytes)
                .map_err(|error| anyhow!("the record of tick {tick} can't be read: {error}"))?;
            self.repeat(&record)?;
        }
        let is_tick = self.coordinator.committed().0 > before;
        Ok(Some(Done { position: self.verifier.position(), is_tick }))
    }

    /// Goes on to the end of a tick.
    ///
    /// # Errors
    /// As [`Self::next`]; and when the log ends before.
    pub fn run_to(&mut self, tick: u64, mut each: impl FnMut(u64)) -> Result<()> {
        while let Some(done) = self.next(tick)? {
            each(done.position.tick);
        }
        match self.committed().0 {
            reached if reached == tick => Ok(()),
            reached => bail!("the log of world `{}` ends with tick {reached}, before tick {tick}", self.past.world()),
        }
    }

    /// A keyframe of the world as it is now, and the place that it belongs to.
    ///
    /// # Errors
    /// When something was applied that is in no record.
    pub fn keyframe(&mut self) -> Result<(Keyframe, Position)> {
        let position = self.position();
        let state = self.coordinator.state().ok_or_else(|| anyhow!("the world is in the middle of a tick"))?;
        let hash = self.coordinator.committed().1;
        let world = self.coordinator.world_mut().ok_or_else(|| anyhow!("the world is in the middle of a tick"))?;
        Ok((Keyframe { state, snapshot: Snapshot::capture(world), hash }, position))
    }

    /// Reads on to the end of the next record; answers what it says, and the position before it.
    fn read(&mut self) -> Result<Option<(Position, Body)>> {
        let before = self.verifier.position();
        for message in self.records.by_ref() {
            let message = match message {
                Ok(message) => message,
                Err(error @ JetError::Gap { .. }) => {
                    let is_there = self.past.streams().list_keyframes()?.contains(&self.keyframe);
                    return Err(if is_there { error.into() } else { removed(self.keyframe.tick) });
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(record) = self.verifier.feed(message.sequence, &message.payload)? {
                return Ok(Some((before, record.body)));
            }
        }
        Ok(None)
    }

    fn repeat(&mut self, record: &TickRecord) -> Result<()> {
        self.coordinator.replay(record)?;
        let now = self.now();
        if record.tick > self.coordinator.committed().0 {
            let missing: Vec<&str> = self.coordinator.remote_systems().collect();
            if !missing.is_empty() {
                bail!("{}", no_functions(self.past.world(), self.program.name, record.tick, &missing));
            }
        }
        self.coordinator.clock(now);
        self.settle().map_err(Into::into)
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64 + 1
    }

    /// Computes until the tick is over.
    fn settle(&mut self) -> Result<(), CoordinatorError> {
        let mut open = 0_usize;
        loop {
            while let Some(output) = self.coordinator.next_output() {
                if let Output::Run(job) = output {
                    open += 1;
                    self.pool.start(job);
                }
            }
            while self.coordinator.next_commit().is_some() {}
            if let Some(failure) = self.coordinator.take_failure() {
                return Err(failure);
            }
            if self.coordinator.may_replay() {
                return Ok(());
            }
            if open == 0 {
                self.coordinator.clock(self.now());
                continue;
            }
            let done = if self.pool.work() { self.pool.done().try_recv().ok() } else { self.pool.done().recv().ok() };
            let mut next = done;
            while let Some((job, result)) = next {
                open -= 1;
                let now = self.now();
                self.coordinator.local_done(now, job, result);
                next = self.pool.done().try_recv().ok();
            }
        }
    }
}

/// A coordinator of what is in a keyframe, that only repeats.
pub(super) fn restored(
    name: &str,
    program: &Program<'_>,
    head: &Head,
    state: &[u8],
    world: World,
) -> Result<Coordinator> {
    let settings = Settings { world: name.to_owned(), threads: program.threads, ..Settings::default() };
    let restored = program.blueprint.past(settings, world, state);
    let mut coordinator = restored.map_err(|error| match error.downcast_ref::<RestoreError>() {
        Some(RestoreError::System { .. }) => error.context(format!(
            "`{}` is not the program that ran world `{name}` at tick {}",
            program.name, head.position.tick
        )),
        _ => error,
    })?;
    let found = coordinator.committed();
    if found != (head.position.tick, head.hash) {
        bail!(
            "the keyframe of tick {} is damaged: it holds tick {} with the hash {}, and says {}",
            head.position.tick,
            found.0,
            found.1,
            head.hash
        );
    }
    coordinator.begin_recovery();
    Ok(coordinator)
}

fn removed(tick: u64) -> anyhow::Error {
    anyhow!(
        "the records behind the keyframe of tick {tick} were removed meanwhile, as a running world does with old ones: \
         begin with a later tick, or keep more of them (`coordinator --keyframes`)"
    )
}

fn no_functions(world: &str, program: &str, tick: u64, missing: &[&str]) -> String {
    format!(
        "tick {tick} of world `{world}` can't be repeated: `{program}` has no function of the systems {}. Give the \
         same command to the program that has them (for instance `arena replay`); without it only keyframes can be \
         looked at (`engine snapshot list`)",
        missing.join(", ")
    )
}
