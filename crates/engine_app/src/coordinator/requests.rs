//! What the outside asks for: commands, queries, the status.

use bytes::Bytes;
use engine_component::commands::CommandBuffer;
use engine_component::schema::{FieldType, Schema};
use engine_component::{ComponentId, Entity, StorageKind, WorldError, msgpack};
use engine_net::messages::command::{Action, Command, CommandReply, DOMAIN, Done, MAX_ID, MAX_SPAWNED, SceneEntity};
use engine_net::messages::query::{QueryReply, QueryRequest};
use engine_net::messages::status::{InstanceStatus, SimState, Status, StatusReply, SystemStatus};
use engine_net::messages::value::Components;
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;
use engine_system::planted::{self, Bug};

use super::Coordinator;
use super::remembered::Memory;
use crate::ask;
use crate::members::MemberState;
use crate::record::Input;

/// Commands that wait for the next tick, at the most.
const MAX_WAITING: usize = 16 * 1024;
/// Bytes of those commands, at the most. What is read of them takes up to 32 times as much.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Queries that wait for the end of the open tick, at the most.
const MAX_QUERIES: usize = 256;

/// A command that waits: for the tick that applies it, or for that one's commit.
pub(super) struct Waiting {
    reply: Option<String>,
    /// The id of the command; empty of a query.
    id: String,
    /// Of its payload, while it holds what is to be done.
    bytes: usize,
    state: WaitState,
}

enum WaitState {
    /// To be applied when the next tick begins.
    Queued(Action),
    /// Applied: answered when the tick is committed.
    Applied(Result<Done, Problem>),
    /// Steps that are to be run first: answered at this tick.
    Steps(u64),
    /// A query that came in the middle of a tick: answered when it is committed, since half of a tick is no
    /// state of the world, and its systems write to the rows.
    Query(Bytes),
}

impl Coordinator {
    pub(super) fn command(&mut self, reply: Option<&str>, domain: &str, aggregate: &str, action: &str, payload: &[u8]) {
        let accepted = self.read_command(domain, aggregate, action, payload).and_then(|Command { id, action }| {
            let known = self.remembered.get(&id).filter(|_| !planted::is(Bug::ApplyRepeatedCommand));
            let Some(memory) = known.cloned() else {
                return self.accept_command(reply, id, action, payload.len());
            };
            self.repeat(reply, &id, memory);
            Ok(())
        });
        if let Err(problem) = accepted {
            self.figures.count(format!("refused.{}", problem.code));
            self.answer::<CommandReply>(reply, &Reply::Error(problem));
        }
    }

    /// A command that is known: it is not applied again.
    fn repeat(&mut self, reply: Option<&str>, id: &str, memory: Memory) {
        self.figures.count("repeated_commands");
        match memory {
            Memory::Answered(answer) => self.answer::<CommandReply>(reply, &answer),
            // Who asks again doesn't wait for the first answer any more.
            Memory::Open => {
                if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
                    waiting.reply = reply.map(str::to_owned);
                }
            }
        }
    }

    fn accept_command(&mut self, reply: Option<&str>, id: String, action: Action, bytes: usize) -> Result<(), Problem> {
        let state = self.begin_command(action, bytes)?;
        self.figures.count("commands");
        self.remembered.open(&id);
        match state {
            Some(state) => self.waiting.push(Waiting { reply: reply.map(str::to_owned), id, bytes, state }),
            None => {
                let answer = Reply::Ok(Done { tick: self.tick, entities: Vec::new() });
                self.remembered.answered(&id, &answer);
                self.answer::<CommandReply>(reply, &answer);
            }
        }
        Ok(())
    }

    fn read_command(&self, domain: &str, aggregate: &str, action: &str, payload: &[u8]) -> Result<Command, Problem> {
        if domain != DOMAIN {
            return Err(Problem::new("bad_subject", format_args!("nobody handles commands of the domain `{domain}`")));
        }
        let command: Command =
            strict::decode(payload, Command::LIMIT).map_err(|error| Problem::new("bad_request", error))?;
        if command.action.subject() != (aggregate, action) {
            let (is_aggregate, is_action) = command.action.subject();
            return Err(Problem::new(
                "bad_subject",
                format_args!("the command is `{is_aggregate}.{is_action}`, its subject says `{aggregate}.{action}`"),
            ));
        }
        if !(1..=MAX_ID).contains(&command.id.len()) {
            return Err(Problem::new("bad_request", format_args!("the id of a command has 1 to {MAX_ID} bytes")));
        }
        let spawned = match &command.action {
            Action::Spawn { entities } => entities.len(),
            Action::SceneLoad { entities } => entities.len(),
            _ => 0,
        };
        if spawned > MAX_SPAWNED {
            // Their numbers would not fit into the answer.
            let text = format!("{spawned} entities in one command, where at most {MAX_SPAWNED} are accepted");
            return Err(Problem::new("bad_request", text));
        }
        Ok(command)
    }

    /// Control takes effect at once, changes of the world when the next tick begins.
    fn begin_command(&mut self, action: Action, bytes: usize) -> Result<Option<WaitState>, Problem> {
        let waiting: usize = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        if self.waiting.len() >= MAX_WAITING || waiting + bytes > MAX_WAITING_BYTES {
            return Err(Problem::new("overloaded", "too many commands wait for the next tick: try again later"));
        }
        match action {
            Action::Pause {} => {
                self.sim.paused = true;
                if self.running.is_some() {
                    // Answered when the world stands still.
                    return Ok(Some(WaitState::Applied(Ok(Done::default()))));
                }
            }
            Action::Resume {} => (self.sim.paused, self.sim.steps) = (false, 0),
            Action::Speed { factor } if factor.is_finite() && (0.0..=1000.0).contains(&factor) => {
                self.sim.speed = factor;
            }
            Action::Speed { factor } => {
                return Err(Problem::new(
                    "bad_value",
                    format_args!("a speed of {factor}: 0 (as fast as possible) to 1000 are allowed"),
                ));
            }
            Action::Step { .. } if !self.sim.paused => {
                return Err(Problem::new("not_paused", "the world runs: pause it before you step"));
            }
            Action::Step { .. } if self.is_finished() => {
                return Err(Problem::new("unavailable", "the world has had its last tick"));
            }
            Action::Step { ticks: 0 } => {}
            Action::Step { ticks } => {
                self.sim.steps = self.sim.steps.saturating_add(ticks);
                let open = u64::from(self.running.is_some());
                return Ok(Some(WaitState::Steps(self.tick.saturating_add(self.sim.steps).saturating_add(open))));
            }
            change => return Ok(Some(WaitState::Queued(change))),
        }
        Ok(None)
    }

    /// Whether no tick begins until somebody does something.
    fn stands_still(&self) -> bool {
        (self.sim.paused && self.sim.steps == 0) || self.is_finished() || self.waits_for().is_some()
    }

    /// Between two ticks: a world that stands still has no next tick soon, so what waits for it is applied at
    /// once. The next tick sees the same as if it had begun with it.
    pub(super) fn apply_while_standing(&mut self) {
        let queued = |waiting: &Waiting| matches!(waiting.state, WaitState::Queued(_));
        if self.waiting.iter().any(queued) && self.stands_still() {
            self.apply_inputs();
            self.hash = self.whole_hash();
            self.announce_entities();
            self.answer_waiting();
        }
    }

    /// Applies the commands that wait for this tick, in the order in which they came.
    pub(super) fn apply_inputs(&mut self) {
        for index in 0..self.waiting.len() {
            if let WaitState::Queued(action) = &self.waiting[index].state {
                let (id, action) = (self.waiting[index].id.clone(), action.clone());
                let applied = self.apply(action.clone());
                if applied.is_ok() {
                    self.inputs.push(Input::Command { id, action });
                }
                self.waiting[index].state = WaitState::Applied(applied);
                self.waiting[index].bytes = 0;
            }
        }
        if planted::is(Bug::AcknowledgeBeforeCommit) {
            self.answer_waiting();
        }
    }

    /// Answers commands that are part of the committed tick.
    pub(super) fn answer_waiting(&mut self) {
        let (tick, over) = (self.tick, self.is_finished());
        for waiting in std::mem::take(&mut self.waiting) {
            let answer = match waiting.state {
                WaitState::Applied(Ok(done)) => Reply::Ok(Done { tick, ..done }),
                WaitState::Applied(Err(problem)) => {
                    self.figures.count(format!("refused.{}", problem.code));
                    Reply::Error(problem)
                }
                WaitState::Steps(until) if until <= tick || over => Reply::Ok(Done { tick, entities: Vec::new() }),
                WaitState::Query(payload) => {
                    self.answer_query(waiting.reply.as_deref(), &payload);
                    continue;
                }
                state => {
                    self.waiting.push(Waiting { state, ..waiting });
                    continue;
                }
            };
            self.remembered.answered(&waiting.id, &answer);
            self.answer::<CommandReply>(waiting.reply.as_deref(), &answer);
        }
    }

    pub(super) fn apply(&mut self, action: Action) -> Result<Done, Problem> {
        let entities = match action {
            Action::Spawn { entities } => {
                let scene = entities.into_iter().map(|components| SceneEntity { number: 0, components }).collect();
                self.spawn_scene(scene)?
            }
            Action::SceneLoad { entities } => self.spawn_scene(entities)?,
            Action::Despawn { entities } => self.despawn_all(&entities)?,
            Action::Set { entity, components } => {
                let values = self.merged_values(entity, components)?;
                self.insert_rows(entity, &values)?
            }
            Action::Insert { entity, components } => {
                let values = self.rows_of(&components)?;
                self.insert_rows(entity, &values)?
            }
            Action::Remove { entity, components } => {
                let ids = components.iter().map(|name| self.component(name)).collect::<Result<Vec<_>, _>>()?;
                self.world.remove_raw(entity, &ids).map_err(problem)?;
                Vec::new()
            }
            Action::Pause {} | Action::Resume {} | Action::Step { .. } | Action::Speed { .. } => Vec::new(),
        };
        Ok(Done { tick: self.tick, entities })
    }

    /// All or nothing: every value is checked before the first entity is spawned.
    fn spawn_scene(&mut self, scene: Vec<SceneEntity>) -> Result<Vec<Entity>, Problem> {
        let mut numbers = std::collections::BTreeMap::new();
        for (index, entity) in scene.iter().enumerate() {
            if entity.number != 0 && numbers.insert(entity.number, index as u32).is_some() {
                return Err(Problem::new(
                    "bad_request",
                    format_args!("the scene has two entities of number {}", entity.number),
                ));
            }
        }
        let mut record = CommandBuffer::default();
        for entity in &scene {
            let mut rows = self.rows_of(&entity.components)?;
            for (component, row) in &mut rows {
                if let Some(schema) = self.world.schema(*component) {
                    number_entities(schema, row, &numbers);
                }
            }
            let raw: Vec<(ComponentId, &[u8])> =
                rows.iter().map(|(component, row)| (*component, row.as_slice())).collect();
            record.spawn_raw(&raw);
        }
        self.world.apply(record.bytes()).map(|applied| applied.spawned).map_err(problem)
    }

    fn despawn_all(&mut self, entities: &[Entity]) -> Result<Vec<Entity>, Problem> {
        if let Some(missing) = entities.iter().find(|entity| !self.world.contains(**entity)) {
            return Err(problem(WorldError::NoEntity(*missing)));
        }
        for entity in entities {
            // One that is named twice is gone the second time.
            let _ = self.world.despawn(*entity);
        }
        Ok(Vec::new())
    }

    fn insert_rows(&mut self, entity: Entity, rows: &[(ComponentId, Vec<u8>)]) -> Result<Vec<Entity>, Problem> {
        let raw: Vec<(ComponentId, &[u8])> = rows.iter().map(|(component, row)| (*component, row.as_slice())).collect();
        self.world.insert_raw(entity, &raw).map_err(problem)?;
        Ok(Vec::new())
    }

    fn component(&self, name: &str) -> Result<ComponentId, Problem> {
        ask::component(&self.world, name)
    }

    fn rows_of(&self, components: &Components) -> Result<Vec<(ComponentId, Vec<u8>)>, Problem> {
        components
            .iter()
            .map(|(name, value)| {
                let id = self.component(name)?;
                let schema = self.world.schema(id).ok_or_else(|| problem(WorldError::UnknownComponent(id)))?;
                let row = schema.value_to_row(value).map_err(|error| Problem::new("bad_value", error))?;
                Ok((id, row))
            })
            .collect()
    }

    /// The rows of components that an entity has, with some fields replaced.
    fn merged_values(&self, entity: Entity, components: Components) -> Result<Vec<(ComponentId, Vec<u8>)>, Problem> {
        if !self.world.contains(entity) {
            return Err(problem(WorldError::NoEntity(entity)));
        }
        let mut whole = Components::new();
        for (name, change) in components {
            let id = self.component(&name)?;
            let Some(row) = self.world.get_raw(entity, id) else {
                return Err(problem(WorldError::NoComponent { entity, component: name }));
            };
            let schema = self.world.schema(id).ok_or_else(|| problem(WorldError::UnknownComponent(id)))?;
            let mut value = schema.row_to_value(row).map_err(|error| Problem::new("bad_value", error))?;
            change_fields(schema, &mut value, change);
            whole.insert(name, value);
        }
        self.rows_of(&whole)
    }

    pub(super) fn query(&mut self, reply: Option<&str>, payload: &Bytes) {
        self.figures.count("queries");
        if self.running.is_none() {
            return self.answer_query(reply, payload);
        }
        let waiting = self.waiting.iter().filter(|waiting| matches!(waiting.state, WaitState::Query(_))).count();
        if waiting >= MAX_QUERIES {
            let problem = Problem::new("unavailable", "too many queries wait for the end of the tick: try again");
            return self.answer::<QueryReply>(reply, &Reply::Error(problem));
        }
        let state = WaitState::Query(payload.clone());
        self.waiting.push(Waiting { reply: reply.map(str::to_owned), id: String::new(), bytes: 0, state });
    }

    fn answer_query(&mut self, reply: Option<&str>, payload: &[u8]) {
        let answer = strict::decode::<QueryRequest>(payload, QueryRequest::LIMIT)
            .map_err(|error| Problem::new("bad_request", error))
            .and_then(|request| ask::page(&self.world, self.tick, &request));
        let answer = match answer {
            Ok(page) => Reply::Ok(page),
            Err(problem) => {
                self.figures.count(format!("refused.{}", problem.code));
                Reply::Error(problem)
            }
        };
        self.answer::<QueryReply>(reply, &answer);
    }

    pub(super) fn status_request(&mut self, now: u64, reply: Option<&str>) {
        let status = self.status(now);
        self.answer::<StatusReply>(reply, &Reply::Ok(status));
    }

    /// How the world is.
    #[must_use]
    pub fn status(&self, now: u64) -> Status {
        let mut times: Vec<u64> = self.figures.tick_ns.iter().copied().collect();
        times.sort_unstable();
        let at = |share: f64| {
            times
                .get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
                .map_or(0.0, |ns| *ns as f64 / 1e6)
        };
        let state = match self.waits_for() {
            _ if self.is_finished() => SimState::Stopping,
            Some(what) => SimState::Waiting { what },
            None if self.sim.paused => SimState::Paused,
            None => SimState::Running,
        };
        let mut systems: Vec<SystemStatus> = self.systems.iter().map(|entry| self.system_status(now, entry)).collect();
        systems.sort_by(|a, b| a.name.cmp(&b.name));
        let in_last_second = self.figures.commits.iter().filter(|at| now.saturating_sub(**at) <= 1_000_000_000).count();
        Status {
            world: self.settings.world.clone(),
            epoch: self.epoch,
            tick: self.tick,
            hash: self.hash,
            entities: self.world.len() as u64,
            clock_ms: self.wall_clock_ms,
            tables: self.world.tables().len() as u64,
            world_bytes: self.world.heap_bytes() as u64,
            state,
            rate: self.settings.rate,
            actual_rate: in_last_second as f64,
            speed: self.sim.speed,
            budget_ms: self.interval() as f64 / 1e6,
            tick_ms_p50: at(0.5),
            tick_ms_p99: at(0.99),
            bytes_per_tick: self.figures.bytes_per_tick(),
            events: self.figures.events_last_tick,
            systems,
            counters: self.figures.counters.clone(),
            ambiguities: self
                .schedule
                .ambiguities
                .iter()
                .map(|pair| (pair.first.clone(), pair.second.clone()))
                .collect(),
        }
    }

    fn system_status(&self, now: u64, entry: &crate::system_entry::SystemEntry) -> SystemStatus {
        let run = &entry.last_run;
        let instances = self.members.iter().filter(|member| member.systems.iter().any(|name| name == entry.name()));
        SystemStatus {
            name: entry.name().to_owned(),
            local: entry.local.is_some(),
            every: entry.descriptor().options.every,
            jobs: run.jobs,
            shards: run.jobs,
            ms: run.took as f64 / 1e6,
            compute_ms: run.compute as f64 / 1e6,
            bytes_out: run.bytes_out,
            bytes_in: run.bytes_in,
            instances: instances
                .map(|member| InstanceStatus {
                    instance: member.name.clone(),
                    slot: member.slot,
                    host: member.host.clone(),
                    pid: member.pid,
                    state: if member.state == MemberState::Ready { "ready" } else { "leaving" }.into(),
                    load: member.load,
                    jobs: member.open_jobs,
                    silent_ms: now.saturating_sub(member.last_heard) / 1_000_000,
                })
                .collect(),
        }
    }
}

fn problem(error: WorldError) -> Problem {
    let code = match &error {
        WorldError::NoEntity(_) => "unknown_entity",
        WorldError::UnknownComponent(_) | WorldError::NoComponent { .. } => "unknown_component",
        _ => "bad_value",
    };
    Problem::new(code, error)
}

/// Replaces the fields that a change names. Structs inside of Plain values are changed field by field too;
/// what documents hold is replaced whole, since a map without a key means something.
fn change_fields(schema: &Schema, value: &mut serde_json::Value, change: serde_json::Value) {
    let fields = schema.fields.iter().map(|field| (field.name.as_str(), &field.ty));
    put_fields(&fields.collect::<Vec<_>>(), value, change);
}

fn put_fields(known: &[(&str, &FieldType)], value: &mut serde_json::Value, change: serde_json::Value) {
    match (value, change) {
        (serde_json::Value::Object(fields), serde_json::Value::Object(changes)) => {
            for (name, change) in changes {
                let ty = known.iter().find(|(known, _)| *known == name).map(|(_, ty)| *ty);
                match (ty, fields.get_mut(&name)) {
                    (Some(FieldType::Struct(inner)), Some(old)) => {
                        let inner: Vec<_> = inner.iter().map(|field| (field.name.as_str(), &field.ty)).collect();
                        put_fields(&inner, old, change);
                    }
                    _ => drop(fields.insert(name, change)),
                }
            }
        }
        (value, change) => *value = change,
    }
}

/// Entities of a scene name each other by numbers of the scene: they become provisional entities.
fn number_entities(schema: &Schema, row: &mut [u8], numbers: &std::collections::BTreeMap<u64, u32>) {
    let provisional = |number: u64| numbers.get(&number).map(|index| Entity::provisional(*index));
    if schema.kind == StorageKind::Document {
        msgpack::for_each_entity(row, |entity| provisional(entity.to_bits()).unwrap_or(entity));
    }
    for offset in schema.entity_offsets() {
        let at = offset as usize;
        let Some(field) = row.get_mut(at..at + 8) else { continue };
        let number = field.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        if let Some(entity) = provisional(number) {
            field.copy_from_slice(&entity.to_bits().to_le_bytes());
        }
    }
}
