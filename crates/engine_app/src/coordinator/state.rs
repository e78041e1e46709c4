//! A coordinator between two ticks as bytes, beside the image of its world; and a coordinator made of both.

use std::sync::Arc;

use engine_component::{ComponentId, World, WorldHash};
use engine_net::descriptor::SystemDescriptor;
use engine_net::strict;
use engine_system::System;
use serde::{Deserialize, Serialize};

use super::commands::{WaitState, Waiting};
use super::registration::MAX_SYSTEMS;
use super::remembered::Answer;
use super::run_time::{RunTime, RunTimeState};
use super::{Coordinator, CoordinatorError};
use crate::event_queue::{EventQueues, QueueState};
use crate::schedule::Registered;
use crate::settings::Settings;
use crate::system_entry::SystemEntry;

/// The format of the bytes.
const FORMAT: u32 = 1;
/// That of a world in which something was set while it ran: who doesn't know of it would get its time wrong.
const FORMAT_SET: u32 = 2;
/// Bytes of a state, at the most: events that wait and commands that are remembered make it large.
pub const MAX_STATE: usize = 512 << 20;

/// The tick of a world that still goes on, at the most.
const MAX_TICK: u64 = 1 << 62;

/// All of a coordinator but its world, and what concerns a connection only.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    tick: u64,
    /// Over the world and the events.
    hash: WorldHash,
    seed: u64,
    rate: f64,
    rows_per_shard: u64,
    paused: bool,
    steps: u64,
    speed: f64,
    systems: Vec<SystemState>,
    events: Vec<QueueState>,
    /// Answered commands, the oldest first.
    remembered: Vec<(String, Answer)>,
    /// Steps that are not all done, by the tick of the last.
    stepping: Vec<(String, u64)>,
    /// Commands that systems were given and did not look at yet: id, type, number and bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    asked: Vec<(String, ComponentId, u64, u64)>,
    /// Settings that took effect; none in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_time: Option<RunTimeState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SystemState {
    descriptor: SystemDescriptor,
    place: Option<u32>,
    trackers: Vec<(ComponentId, u32)>,
}

/// Why no coordinator can be made of what was stored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are no state, or one of another engine.
    #[error("the stored state of the coordinator can't be read: {0}")]
    Unreadable(String),
    /// The image or the state is damaged, or they don't belong together.
    #[error("the stored world of tick {tick} has the hash {found}, and should have {expected}")]
    Hash {
        /// The tick.
        tick: u64,
        /// The hash in the state.
        expected: WorldHash,
        /// The hash of what was restored.
        found: WorldHash,
    },
    /// Ticks would come to another world than when they were recorded.
    #[error(
        "system `{system}` {how}: a world goes on with the systems that it was recorded with. Start the build that \
         wrote the log, or begin a new world"
    )]
    System {
        /// The system.
        system: String,
        /// What is different.
        how: String,
    },
    /// The coordinator can't be made.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
}

impl Coordinator {
    /// The coordinator's state as bytes, to be stored with an image of its [`world`](Self::world). None while a
    /// tick runs, or while something was applied that is in no record yet: between two ticks there is a moment
    /// without either.
    #[must_use]
    pub fn state(&self) -> Option<Vec<u8>> {
        if self.running.is_some() || self.replayed.is_some() || !self.inputs.is_empty() {
            return None;
        }
        let systems = self.systems.iter().map(|entry| SystemState {
            descriptor: entry.descriptor().clone(),
            place: entry.registered.place,
            trackers: entry.trackers.iter().map(|(component, tracker)| (*component, *tracker as u32)).collect(),
        });
        let stepping = self.waiting.iter().filter_map(|waiting| match waiting.state {
            WaitState::Steps(until) => Some((waiting.id.clone(), until)),
            _ => None,
        });
        let asked = self.waiting.iter().filter_map(|waiting| match waiting.state {
            WaitState::Asked { command, number } => Some((waiting.id.clone(), command, number, waiting.bytes as u64)),
            _ => None,
        });
        let run_time = self.run_time.state();
        Some(strict::encode(&State {
            format: if run_time.is_some() { FORMAT_SET } else { FORMAT },
            tick: self.tick,
            hash: self.hash,
            seed: self.settings.seed,
            rate: self.settings.rate,
            rows_per_shard: self.settings.rows_per_shard as u64,
            paused: self.sim.paused,
            steps: self.sim.steps,
            speed: self.sim.speed,
            systems: systems.collect(),
            events: self.events.state(),
            remembered: self.remembered.answers().map(|(id, answer)| (id.to_owned(), answer.clone())).collect(),
            stepping: stepping.collect(),
            asked: asked.collect(),
            run_time,
        }))
    }

    /// A coordinator as it was when its [`state`](Self::state) was stored, of the world of the same moment.
    /// Seed, rate and rows of a shard are those of then, whatever the settings say. It has the state's systems;
    /// those with a function are given as to [`Self::new`].
    ///
    /// # Errors
    /// When the state can't be read, the world is another one, or a system is declared otherwise now.
    pub fn restore(
        settings: Settings,
        world: World,
        systems: Vec<(Arc<dyn System>, bool)>,
        state: &[u8],
        epoch: u64,
    ) -> Result<Self, RestoreError> {
        let state = State::read(state)?;
        state.check_same(&systems)?;
        state.check_all(&systems)?;
        Self::of_state(settings, world, systems, state, epoch)
    }

    /// As [`Self::restore`], to [repeat](Self::replay) what was: systems run here, as far as their functions are
    /// given, also those that records bring. What the world had no system for is left out, and a system may lack
    /// its function ([`Self::remote_systems`]): then no tick of it can be repeated.
    ///
    /// # Errors
    /// When the state can't be read, the world is another one, or a system is declared otherwise now.
    pub fn restore_past(
        settings: Settings,
        world: World,
        functions: Vec<Arc<dyn System>>,
        state: &[u8],
    ) -> Result<Self, RestoreError> {
        let state = State::read(state)?;
        let systems: Vec<_> = functions.iter().map(|system| (system.clone(), true)).collect();
        state.check_same(&systems)?;
        let mut coordinator = Self::of_state(settings, world, systems, state, 0)?;
        coordinator.functions = functions;
        Ok(coordinator)
    }

    fn of_state(
        settings: Settings,
        world: World,
        systems: Vec<(Arc<dyn System>, bool)>,
        state: State,
        epoch: u64,
    ) -> Result<Self, RestoreError> {
        let settings = Settings {
            seed: state.seed,
            rate: state.rate,
            rows_per_shard: usize::try_from(state.rows_per_shard).unwrap_or(usize::MAX),
            ..settings
        };
        let mut coordinator = Self::new(settings, world, Vec::new(), epoch)?;
        for schema in systems.iter().flat_map(|(system, _)| system.schemas()) {
            // This program may say that a type is less open than the stored world knows it; one that is laid out otherwise
            // is adapted.
            if let Some(restricted) = coordinator.restricted_by(schema, true) {
                let known = coordinator.world.register_schema(restricted);
                known.map_err(|error| RestoreError::Unreadable(error.to_string()))?;
            }
        }
        for stored in state.systems {
            let function = systems.iter().find(|(system, _)| system.descriptor().name == stored.descriptor.name);
            let local = function.filter(|(_, local)| *local).map(|(system, _)| system.clone());
            coordinator.systems.push(stored.entry(local, &coordinator.world)?);
        }
        let world = &coordinator.world;
        coordinator.events = EventQueues::restored(state.events, |event| world.schema(event))
            .map_err(|error| RestoreError::Unreadable(error.to_string()))?;
        coordinator.find_handled()?;
        coordinator.reschedule()?;
        for (id, answer) in state.remembered {
            coordinator.remembered.open(&id);
            coordinator.remembered.answered(&id, &answer);
        }
        for (id, until) in state.stepping {
            coordinator.remembered.open(&id);
            coordinator.waiting.push(Waiting { reply: None, id, by: None, bytes: 0, state: WaitState::Steps(until) });
        }
        for (id, command, number, bytes) in state.asked {
            coordinator.wait_for_system(id, usize::try_from(bytes).unwrap_or(usize::MAX), (command, number));
        }
        coordinator.tick = state.tick;
        coordinator.run_time = state.run_time.map(RunTime::restored).unwrap_or_default();
        (coordinator.sim.paused, coordinator.sim.steps, coordinator.sim.speed) =
            (state.paused, state.steps, state.speed);
        coordinator.hash = coordinator.whole_hash();
        if coordinator.hash != state.hash {
            return Err(RestoreError::Hash { tick: state.tick, expected: state.hash, found: coordinator.hash });
        }
        Ok(coordinator)
    }
}

impl State {
    fn read(bytes: &[u8]) -> Result<Self, RestoreError> {
        let unreadable = |text: String| Err(RestoreError::Unreadable(text));
        let state: Self =
            strict::decode(bytes, MAX_STATE).map_err(|error| RestoreError::Unreadable(error.to_string()))?;
        if ![FORMAT, FORMAT_SET].contains(&state.format) {
            let text = format!("it has format {}, this engine reads {FORMAT} and {FORMAT_SET}", state.format);
            return unreadable(text);
        }
        if state.systems.len() > MAX_SYSTEMS {
            return unreadable(format!("{} systems, where {MAX_SYSTEMS} are the most", state.systems.len()));
        }
        if state.tick > MAX_TICK {
            return unreadable(format!("tick {}", state.tick));
        }
        if !(0.0..=1000.0).contains(&state.speed) {
            return unreadable(format!("a speed of {}", state.speed));
        }
        if let Some(Err(wrong)) = state.run_time.as_ref().map(|run_time| run_time.check(state.tick)) {
            return unreadable(wrong);
        }
        Ok(state)
    }

    fn stored(&self, system: &Arc<dyn System>) -> Option<&SystemState> {
        self.systems.iter().find(|stored| stored.descriptor.name == system.descriptor().name)
    }

    /// What is there on both sides is declared alike.
    fn check_same(&self, systems: &[(Arc<dyn System>, bool)]) -> Result<(), RestoreError> {
        let now = |(system, _): &(Arc<dyn System>, bool)| system.descriptor().clone();
        let pairs = systems.iter().filter_map(|system| Some((now(system), self.stored(&system.0)?)));
        match pairs.into_iter().find(|(now, stored)| stored.descriptor != *now) {
            None => Ok(()),
            Some((now, stored)) => {
                let how = format!("is declared otherwise\n- {:?}\n+ {now:?}\n", stored.descriptor);
                Err(RestoreError::System { system: now.name, how })
            }
        }
    }

    /// No system is there on one side only.
    fn check_all(&self, systems: &[(Arc<dyn System>, bool)]) -> Result<(), RestoreError> {
        let differs = |system: &str, how: String| Err(RestoreError::System { system: system.to_owned(), how });
        if let Some((unknown, _)) = systems.iter().find(|(system, _)| self.stored(system).is_none()) {
            return differs(&unknown.descriptor().name, "is not in the log".into());
        }
        let has_function = |name: &str| systems.iter().any(|(system, _)| system.descriptor().name == name);
        match self.systems.iter().find(|stored| stored.place.is_some() && !has_function(&stored.descriptor.name)) {
            Some(missing) => differs(&missing.descriptor.name, "of the log is not in this program".into()),
            None => Ok(()),
        }
    }
}

impl SystemState {
    fn entry(self, local: Option<Arc<dyn System>>, world: &World) -> Result<SystemEntry, RestoreError> {
        let name = self.descriptor.name.clone();
        let trackers = self.trackers.into_iter().map(|(component, tracker)| (component, tracker as usize)).collect();
        let registered = Registered { descriptor: self.descriptor, place: self.place };
        SystemEntry::with_trackers(registered, local, trackers, world)
            .map_err(|error| RestoreError::Unreadable(format!("system `{name}`: {error}")))
    }
}
