//! Who computes: instances register, say that they are alive, and leave. They join between ticks.

use engine_component::schema::Schema;
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::register::{Accepted, KnownComponent, Leave, LeaveReply, Leaving, Register, RegisterReply};
use engine_net::messages::rejected::RejectReason;
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;
use engine_net::subject::Sender;

use super::Coordinator;
use super::jobs::Gone;
use crate::members::MemberState;
use crate::receive::Rejection;

/// Instances, at the most.
const MAX_MEMBERS: usize = 4096;
/// How often a heartbeat is expected.
const HEARTBEAT_MS: u32 = 1000;
/// Who was heard of so recently, in nanoseconds, keeps its name.
const ALIVE: u64 = 2_500_000_000;
/// Registrations that wait for the end of a tick, at the most.
const MAX_JOINS: usize = 1024;
/// Systems and schemas of those registrations, at the most: what they hold in memory.
const MAX_JOINING: usize = 64 * 1024;

impl Coordinator {
    pub(super) fn register(&mut self, now: u64, reply: Option<&str>, from: Sender<'_>, payload: &[u8]) {
        let problem = match strict::decode::<Register>(payload, Register::LIMIT) {
            Ok(register) => match register.check().and_then(|()| register.check_sender(from)) {
                Ok(()) => {
                    // The same instance asks again while its first request waits: the answer goes to the last.
                    let is_same = |other: &Register| {
                        other.instance == register.instance && other.systems_token() == register.systems_token()
                    };
                    self.joins.retain(|(_, other)| !is_same(other));
                    // Who brings nothing new may come in the middle of a tick, past those who have to wait for
                    // its end: perhaps it is what the tick waits for.
                    if self.may_change_systems() || self.brings_nothing_new(&register) {
                        self.take_in(now, reply, &register);
                        return;
                    }
                    if !self.is_crowded(&register) {
                        self.joins.push((reply.map(str::to_owned), register));
                        return;
                    }
                    Problem::new("overloaded", "too many registrations at once: try again")
                }
                Err(problem) => problem,
            },
            Err(error) => Problem::new("bad_request", format_args!("the registration can't be read: {error}")),
        };
        self.refuse_registration(reply, problem);
    }

    /// Whether all systems that it runs, and all types that it names, are known.
    fn brings_nothing_new(&self, register: &Register) -> bool {
        let is_known = |schema: &Schema| {
            let known = self.world.schema(schema.id()).is_some();
            known && self.restricted_by(schema, register.names(schema.id())).is_none()
        };
        register.systems.iter().all(|system| self.systems.iter().any(|entry| entry.descriptor() == system))
            && register.schemas.iter().all(is_known)
    }

    fn is_crowded(&self, register: &Register) -> bool {
        let size = |register: &Register| register.systems.len() + register.schemas.len();
        let waiting: usize = self.joins.iter().map(|(_, other)| size(other)).sum();
        self.joins.len() >= MAX_JOINS || waiting + size(register) > MAX_JOINING
    }

    fn refuse_registration(&mut self, reply: Option<&str>, problem: Problem) {
        tracing::warn!(code = problem.code, why = problem.message, "a registration is refused");
        self.figures.count(format!("refused.{}", problem.code));
        self.answer::<RegisterReply>(reply, &Reply::Error(problem));
    }

    /// Takes in those who registered.
    pub(super) fn accept_joins(&mut self, now: u64) {
        for (reply, register) in std::mem::take(&mut self.joins) {
            if self.may_change_systems() || self.brings_nothing_new(&register) {
                self.take_in(now, reply.as_deref(), &register);
            } else {
                self.joins.push((reply, register));
            }
        }
    }

    /// Types and systems come between ticks, so that a tick has the same throughout; and not into a world that
    /// is being recovered, where records say when they come.
    fn may_change_systems(&self) -> bool {
        self.running.is_none() && !self.recovering
    }

    fn take_in(&mut self, now: u64, reply: Option<&str>, register: &Register) {
        match self.accept(now, register) {
            Ok(accepted) => self.answer::<RegisterReply>(reply, &Reply::Ok(accepted)),
            Err(problem) => self.refuse_registration(reply, problem),
        }
    }

    fn accept(&mut self, now: u64, register: &Register) -> Result<Accepted, Problem> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(Problem::new("overloaded", format_args!("there are {MAX_MEMBERS} instances already")));
        }
        let systems = register.systems_token().map_err(|error| Problem::new("bad_name", error))?;
        let member = self.members.get(&register.instance);
        let known = member.map(|member| (member.nonce, member.slot, member.last_heard));
        // Who may speak for other systems is another process, whatever it says.
        let is_same_process =
            member.is_some_and(|member| member.nonce >> 16 == register.nonce >> 16 && member.systems_token == systems);
        if known.is_some_and(|(_, _, heard)| !is_same_process && now.saturating_sub(heard) < ALIVE) {
            let text = format!("another process calls itself `{}`: give each a name of its own", register.instance);
            return Err(Problem::new("taken", text));
        }
        // All or nothing: a system that stayed behind, of a registration that was refused, would keep the
        // world waiting for an instance of it.
        let news = self.news_of(register)?;
        self.add(news)?;
        // As the world has them: the instance adapts to it.
        let known_schema = |schema: &Schema| {
            let schema = self.world.schema(schema.id()).unwrap_or(schema).clone();
            KnownComponent { id: schema.id(), schema }
        };
        let components = register.schemas.iter().map(known_schema).collect();
        if let Some((_, slot, _)) = known.filter(|(nonce, ..)| is_same_process && *nonce == register.nonce) {
            // The same request once more, since its answer was lost or is late.
            return Ok(self.accepted(slot, components));
        }
        let gone = if is_same_process { Gone::Anew } else { Gone::Replaced };
        self.lose_member(now, &register.instance, gone);
        let who = Sender { systems: &systems, instance: &register.instance };
        let member = self.members.join(who, &register.host, register.pid, self.settings.lanes, now);
        member.nonce = register.nonce;
        tracing::info!(
            tick = self.tick,
            instance = member.name,
            slot = member.slot,
            systems = member.systems.join(" "),
            "an instance joins"
        );
        let slot = member.slot;
        self.residents.join(slot, register.keep_bytes);
        self.journal(register)?;
        Ok(self.accepted(slot, components))
    }

    /// What its systems read will be sent to it, and then what changed: that is noted from now on.
    fn journal(&mut self, register: &Register) -> Result<(), Problem> {
        let queries = register.systems.iter().flat_map(|system| system.queries.iter().chain(&system.views));
        for column in queries.flat_map(|query| &query.columns).filter(|_| self.settings.keep) {
            self.world.keep_journal(column.component).map_err(|error| Problem::new("bad_schema", error))?;
        }
        Ok(())
    }

    fn accepted(&mut self, slot: u32, components: Vec<KnownComponent>) -> Accepted {
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
            memory: self.mapped.invite(slot),
        }
    }

    pub(super) fn heartbeat(&mut self, now: u64, from: Sender<'_>, payload: &[u8]) {
        let read = strict::decode::<Heartbeat>(payload, Heartbeat::LIMIT).ok();
        let Some(heartbeat) = read.filter(|heartbeat| heartbeat.instance == from.instance) else {
            return self.figures.count("refused.heartbeat");
        };
        let is_of_now = heartbeat.epoch == self.epoch;
        let Some(member) = self.members.of(from, heartbeat.slot).filter(|_| is_of_now) else {
            self.figures.count("refused.heartbeat");
            // It thinks that it is registered: this makes it do so.
            if heartbeat.epoch != 0 {
                let text = format!("instance `{}` is not registered with slot {}", from.instance, heartbeat.slot);
                self.reject_whom(from, &Rejection::new(RejectReason::WrongInstance, text));
            }
            return;
        };
        member.hear(now);
        member.load = if heartbeat.load.is_finite() { heartbeat.load.clamp(0.0, 1.0) } else { 0.0 };
    }

    pub(super) fn leave(&mut self, now: u64, reply: Option<&str>, from: Sender<'_>, payload: &[u8]) {
        let leave = match strict::decode::<Leave>(payload, Leave::LIMIT) {
            Ok(leave) => leave,
            Err(error) => {
                self.figures.count("refused.bad_request");
                return self.answer::<LeaveReply>(reply, &Reply::Error(Problem::new("bad_request", error)));
            }
        };
        // A farewell to an earlier coordinator may be late: slots are the same again in each epoch.
        let is_of_now = leave.epoch == self.epoch && leave.instance == from.instance;
        let Some(member) = self.members.of(from, leave.slot).filter(|_| is_of_now) else {
            return self.answer::<LeaveReply>(reply, &Reply::Ok(Leaving { open_jobs: 0 }));
        };
        member.state = MemberState::Draining;
        let name = member.name.clone();
        let open_jobs = self.running.as_ref().map_or(0, |running| {
            let batches = running.batches.iter();
            batches
                .filter(|(id, open)| open.member == name && running.run.is_open(id.job))
                .map(|(_, open)| open.jobs.len())
                .sum::<usize>()
        });
        self.answer::<LeaveReply>(reply, &Reply::Ok(Leaving { open_jobs: open_jobs as u32 }));
        if open_jobs == 0 {
            self.lose_member(now, &name, Gone::Leaves);
        }
    }
}
