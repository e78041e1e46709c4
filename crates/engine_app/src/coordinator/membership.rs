//! Who computes: instances register, say that they are alive, and leave. They join between ticks.

use engine_component::ComponentId;
use engine_component::query::QueryDescriptor;
use engine_component::schema::{Fit, fit};
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::register::{Accepted, KnownComponent, Leave, LeaveReply, Leaving, Register, RegisterReply};
use engine_net::messages::rejected::RejectReason;
use engine_net::messages::{Message, Problem, Reply};
use engine_net::name::token;
use engine_net::strict;

use super::Coordinator;
use crate::members::MemberState;
use crate::receive::Rejection;
use crate::schedule::Registered;
use crate::system_entry::SystemEntry;

/// Instances, at the most.
const MAX_MEMBERS: usize = 4096;
/// Systems, at the most.
const MAX_SYSTEMS: usize = 1024;
/// How often a heartbeat is expected.
const HEARTBEAT_MS: u32 = 1000;
/// Who was heard of so recently, in nanoseconds, keeps its name.
const ALIVE: u64 = 2_500_000_000;
/// Registrations that wait for the end of a tick, at the most.
const MAX_JOINS: usize = 1024;

impl Coordinator {
    pub(super) fn register(&mut self, now: u64, reply: Option<&str>, payload: &[u8]) {
        let problem = match strict::decode::<Register>(payload, Register::LIMIT) {
            Ok(register) => match register.check() {
                Ok(()) if self.joins.len() >= MAX_JOINS => {
                    Problem::new("overloaded", "too many registrations at once: try again")
                }
                Ok(()) => {
                    // The same instance asks again while its first request waits: the answer goes to the last.
                    self.joins.retain(|(_, other)| other.instance != register.instance);
                    self.joins.push((reply.map(str::to_owned), register));
                    // Who brings nothing new may come in the middle of a tick: perhaps it is what the tick
                    // waits for.
                    if self.running.is_none() || self.brings_nothing_new() {
                        self.accept_joins(now);
                    }
                    return;
                }
                Err(problem) => problem,
            },
            Err(error) => Problem::new("bad_request", format_args!("the registration can't be read: {error}")),
        };
        self.refuse_registration(reply, problem);
    }

    /// Whether all who want to join run systems, and name types, that are known.
    fn brings_nothing_new(&self) -> bool {
        self.joins.iter().all(|(_, register)| {
            register.systems.iter().all(|system| self.systems.iter().any(|entry| entry.descriptor() == system))
                && register.schemas.iter().all(|schema| self.world.schema(schema.id()).is_some())
        })
    }

    fn refuse_registration(&mut self, reply: Option<&str>, problem: Problem) {
        tracing::warn!(code = problem.code, message = problem.message, "a registration is refused");
        self.figures.count(format!("refused.{}", problem.code));
        self.answer::<RegisterReply>(reply, &Reply::Error(problem));
    }

    /// Takes in those who registered. Only between ticks, so that a tick has the same systems throughout.
    pub(super) fn accept_joins(&mut self, now: u64) {
        for (reply, register) in std::mem::take(&mut self.joins) {
            match self.accept(now, &register) {
                Ok(accepted) => self.answer::<RegisterReply>(reply.as_deref(), &Reply::Ok(accepted)),
                Err(problem) => self.refuse_registration(reply.as_deref(), problem),
            }
        }
    }

    fn accept(&mut self, now: u64, register: &Register) -> Result<Accepted, Problem> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(Problem::new("overloaded", format_args!("there are {MAX_MEMBERS} instances already")));
        }
        let known = self.members.get(&register.instance).map(|member| (member.nonce, member.slot, member.last_heard));
        if let Some((nonce, _, heard)) = known
            && nonce >> 16 != register.nonce >> 16
            && now.saturating_sub(heard) < ALIVE
        {
            let text = format!("another process calls itself `{}`: give each a name of its own", register.instance);
            return Err(Problem::new("taken", text));
        }
        // Whoever is refused leaves nothing behind: a system that nobody runs would stop the world.
        self.check_schemas(register)?;
        self.check_systems(register)?;
        let components = self.accept_schemas(register)?;
        self.accept_systems(register)?;
        if let Some((_, slot, _)) = known.filter(|(nonce, ..)| *nonce == register.nonce) {
            // The same request once more, since its answer was lost or is late.
            return Ok(self.accepted(slot, components));
        }
        self.lose_member(now, &register.instance, "it registers anew");
        let systems = register.systems.iter().map(|system| system.name.clone()).collect();
        let member =
            self.members.join(&register.instance, &register.host, register.pid, systems, self.settings.lanes, now);
        member.nonce = register.nonce;
        tracing::info!(
            instance = member.name,
            slot = member.slot,
            systems = member.systems.join(" "),
            "an instance joins"
        );
        let slot = member.slot;
        Ok(self.accepted(slot, components))
    }

    fn accepted(&self, slot: u32, components: Vec<KnownComponent>) -> Accepted {
        Accepted {
            epoch: self.epoch,
            slot,
            tick: self.tick,
            seed: self.settings.seed,
            dt: self.settings.dt(),
            rows_per_shard: self.settings.rows_per_shard as u32,
            chunk_bytes: self.settings.chunk_bytes as u32,
            keep_ticks: 2,
            heartbeat_ms: HEARTBEAT_MS,
            in_flight_bytes: self.settings.in_flight_bytes,
            components,
        }
    }

    /// A component that is laid out otherwise is the instance's to adapt, when it can be.
    fn check_schemas(&self, register: &Register) -> Result<(), Problem> {
        for (at, schema) in register.schemas.iter().enumerate() {
            schema.check().map_err(|error| Problem::new("bad_schema", format_args!("`{}`: {error}", schema.name)))?;
            let same_id = register.schemas[..at].iter().find(|other| other.id() == schema.id());
            let stored = self.world.schema(schema.id()).or(same_id);
            if let Some(other) = stored.filter(|stored| stored.name != schema.name) {
                let text = format!("`{}` has the id of `{}`: rename one of them", schema.name, other.name);
                return Err(Problem::new("collision", text));
            }
            if same_id.is_some() {
                return Err(Problem::new("bad_schema", format_args!("`{}` is given twice", schema.name)));
            }
            let refuse = |why: &dyn std::fmt::Display| {
                let text = format!(
                    "`{}` is another type in this world than instance `{}` offers:\n{why}",
                    schema.name, register.instance
                );
                Err(Problem::new("schema", text))
            };
            match stored.map(|stored| fit(stored, schema)) {
                None | Some(Fit::Exact) => {}
                Some(Fit::Incompatible(diff)) => return refuse(&diff),
                Some(Fit::Compatible(adapter)) => {
                    // Its events are always new values.
                    let sends = register.systems.iter().any(|system| system.writes_events.contains(&schema.id()));
                    if let Some(error) = adapter.check_make().err().filter(|_| sends) {
                        return refuse(&error);
                    }
                    tracing::info!(instance = register.instance, component = schema.name, "an instance adapts");
                }
            }
        }
        Ok(())
    }

    fn check_systems(&self, register: &Register) -> Result<(), Problem> {
        let mut new = 0;
        for (at, system) in register.systems.iter().enumerate() {
            if register.systems[..at].iter().any(|other| other.name == system.name) {
                return Err(Problem::new("bad_system", format_args!("system `{}` is given twice", system.name)));
            }
            match self.systems.iter().find(|entry| entry.name() == system.name) {
                None => new += 1,
                Some(known) if known.descriptor() == system => continue,
                Some(known) => {
                    let text = format!(
                        "system `{}` is declared otherwise by instance `{}` than by the one before it: start all of them from the same build\n- {:?}\n+ {:?}",
                        system.name,
                        register.instance,
                        known.descriptor(),
                        system
                    );
                    return Err(Problem::new("system", text));
                }
            }
            let is_known = |component: &ComponentId| {
                self.world.schema(*component).is_some()
                    || register.schemas.iter().any(|schema| schema.id() == *component)
            };
            let changed = system.queries.iter().chain(&system.views).flat_map(QueryDescriptor::changed);
            if let Some(stranger) = changed.into_iter().find(|component| !is_known(component)) {
                let text =
                    format!("system `{}` asks for changes of {stranger}, of which no schema is known", system.name);
                return Err(Problem::new("bad_system", text));
            }
        }
        if self.systems.len() + new > MAX_SYSTEMS {
            return Err(Problem::new("too_many", format_args!("{MAX_SYSTEMS} systems are accepted")));
        }
        Ok(())
    }

    /// Makes new schemas known; all of the instance's as the world has them.
    fn accept_schemas(&mut self, register: &Register) -> Result<Vec<KnownComponent>, Problem> {
        let mut components = Vec::with_capacity(register.schemas.len());
        for schema in &register.schemas {
            let stored = match self.world.schema(schema.id()) {
                Some(stored) => stored.clone(),
                None => {
                    self.world.register_schema(schema.clone()).map_err(|error| Problem::new("bad_schema", error))?;
                    schema.clone()
                }
            };
            components.push(KnownComponent { id: schema.id(), schema: stored });
        }
        Ok(components)
    }

    fn accept_systems(&mut self, register: &Register) -> Result<(), Problem> {
        for system in &register.systems {
            if self.systems.iter().any(|entry| entry.name() == system.name) {
                continue;
            }
            let registered = Registered { descriptor: system.clone(), place: None };
            let entry = SystemEntry::new(registered, None, &mut self.world)
                .map_err(|error| Problem::new("bad_system", error))?;
            for event in &system.reads_events {
                self.events.add_reader(*event, &system.name);
            }
            // The position must not depend on who came first.
            let place =
                self.systems.partition_point(|other| other.registered.place.is_some() || other.name() < entry.name());
            self.systems.insert(place, entry);
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, now: u64, payload: &[u8]) {
        let Ok(heartbeat) = strict::decode::<Heartbeat>(payload, Heartbeat::LIMIT) else {
            return self.figures.count("refused.heartbeat");
        };
        let Some(member) = self.members.get_mut(&heartbeat.instance).filter(|member| member.slot == heartbeat.slot)
        else {
            self.figures.count("refused.heartbeat");
            // It thinks that it is registered: this makes it do so.
            if heartbeat.epoch != 0 && token("instance", &heartbeat.instance).is_ok() {
                let text = format!("instance `{}` is not registered with slot {}", heartbeat.instance, heartbeat.slot);
                self.reject_whom(&heartbeat.instance, &Rejection::new(RejectReason::WrongInstance, text));
            }
            return;
        };
        member.last_heard = now;
        member.load = if heartbeat.load.is_finite() { heartbeat.load.clamp(0.0, 1.0) } else { 0.0 };
    }

    pub(super) fn leave(&mut self, now: u64, reply: Option<&str>, payload: &[u8]) {
        let leave = match strict::decode::<Leave>(payload, Leave::LIMIT) {
            Ok(leave) => leave,
            Err(error) => return self.answer::<LeaveReply>(reply, &Reply::Error(Problem::new("bad_request", error))),
        };
        let Some(member) = self.members.get_mut(&leave.instance).filter(|member| member.slot == leave.slot) else {
            return self.answer::<LeaveReply>(reply, &Reply::Ok(Leaving { open_jobs: 0 }));
        };
        member.state = MemberState::Draining;
        let name = member.name.clone();
        let open_jobs = self.running.as_ref().map_or(0, |running| {
            running
                .open
                .iter()
                .filter(|(job, open)| open.member == name && open.sent && running.run.is_open(**job))
                .count()
        });
        self.answer::<LeaveReply>(reply, &Reply::Ok(Leaving { open_jobs: open_jobs as u32 }));
        if open_jobs == 0 {
            self.lose_member(now, &name, "it leaves");
        }
    }
}
