//! Commands: read, applied when a tick begins, answered when their record is made.

use bytes::Bytes;
use engine_component::ComponentId;
use engine_net::handled::{self, Head};
use engine_net::headers::Headers;
use engine_net::messages::command::{Action, Command, CommandReply, DOMAIN, Done, Expected, MAX_ID, MAX_SPAWNED};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;
use engine_system::planted::{self, Bug};

use super::remembered::{Answer, Memory, Settled, beginning_of};
use super::{Coordinator, Output};
use crate::record::Input;

/// Commands that wait for the next tick, at the most.
const MAX_WAITING: usize = 16 * 1024;
/// Bytes of those commands, at the most. What is read of them takes up to 32 times as much.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// A command that waits: for the tick that applies it, or for that one's commit.
pub(super) struct Waiting {
    pub(super) reply: Option<String>,
    /// The id of the command, as it is remembered; empty of a query.
    pub(super) id: String,
    /// Who asked for it, if it said so.
    pub(super) by: Option<String>,
    /// Of its payload, while it holds what is to be done.
    pub(super) bytes: usize,
    pub(super) state: WaitState,
}

pub(super) enum WaitState {
    /// To be applied when the next tick begins.
    Queued { action: Action, expect: Expected },
    /// To be given to its system when the next tick begins.
    Given { command: ComponentId, head: Head, row: Vec<u8> },
    /// Its system was given it, with this number, and did not run since.
    Asked { command: ComponentId, number: u64 },
    /// Applied: answered when so many records are made.
    Applied { result: Result<Settled, Problem>, records: u64 },
    /// Steps that are to be run first: answered at this tick.
    Steps(u64),
    /// A query that came in the middle of a tick: answered when it is committed, since half of a tick is no
    /// state of the world, and its systems write to the rows. With the time at which it came.
    Query(Bytes, u64),
}

/// A line for those who keep logs longer than the world's own goes back: `--log warn,audit=info`.
fn audit(id: &str, by: Option<&str>, tick: u64, action: &Action, refused: Option<&Problem>) {
    let (aggregate, word) = action.subject();
    let entity = action.entity().map(engine_component::Entity::to_bits);
    let refused = refused.map(|problem| problem.code.as_str());
    tracing::info!(target: "audit", command = id, by, tick, aggregate, action = word, entity, refused, "a command");
}

fn audit_given(id: &str, by: Option<&str>, tick: u64, name: &str) {
    tracing::info!(target: "audit", command = id, by, tick, action = name, "a command");
}

impl Coordinator {
    pub(super) fn command(
        &mut self,
        reply: Option<&str>,
        by: Option<&str>,
        subject: (&str, &str, &str),
        headers: &Headers,
        payload: &[u8],
    ) {
        let accepted = match subject.0 {
            DOMAIN => self.world_command(reply, by, subject, payload),
            _ => self.handled_command(reply, by, subject, headers, payload),
        };
        if let Err(problem) = accepted {
            tracing::debug!(tick = self.tick, code = %problem.code, why = problem.message, "a command is not accepted");
            self.figures.count(format!("refused.{}", problem.code));
            self.answer::<CommandReply>(reply, &Reply::Error(problem));
        }
    }

    fn world_command(
        &mut self,
        reply: Option<&str>,
        by: Option<&str>,
        subject: (&str, &str, &str),
        payload: &[u8],
    ) -> Result<(), Problem> {
        let Command { id, action, expect } = self.read_command(subject, by, payload)?;
        // Nobody's ids are in the way of somebody else's, or get their answers.
        let id = by.map_or(id.clone(), |by| format!("{by}/{id}"));
        match self.known(&id) {
            None => self.accept_command(reply, by, id, WaitState::Queued { action, expect }, payload.len()),
            Some(memory) => {
                self.repeat(reply, &id, memory);
                Ok(())
            }
        }
    }

    /// What is known of a command that comes again.
    pub(super) fn known(&self, id: &str) -> Option<Memory> {
        self.remembered.get(id).filter(|_| !planted::is(Bug::ApplyRepeatedCommand)).cloned()
    }

    /// A command that is known: it is not applied again.
    pub(super) fn repeat(&mut self, reply: Option<&str>, id: &str, memory: Memory) {
        self.figures.count("repeated_commands");
        match memory {
            // It may have been answered just now, and not be durable yet.
            Memory::Answered(answer) => self.finally(|core| core.answer_command(reply, answer)),
            // Who asks again doesn't wait for the first answer any more.
            Memory::Open => {
                if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
                    waiting.reply = reply.map(str::to_owned);
                }
            }
        }
    }

    pub(super) fn accept_command(
        &mut self,
        reply: Option<&str>,
        by: Option<&str>,
        id: String,
        state: WaitState,
        bytes: usize,
    ) -> Result<(), Problem> {
        self.check_room(bytes)?;
        let state = match state {
            WaitState::Queued { action, .. } if action.is_control() => self.begin_control(&id, by, action)?,
            state => Some(state),
        };
        self.figures.count("commands");
        self.remembered.open(&id);
        match state {
            Some(state) => {
                let (reply, by) = (reply.map(str::to_owned), by.map(str::to_owned));
                self.waiting.push(Waiting { reply, id, by, bytes, state });
            }
            None => {
                let answer = Reply::Ok(Settled { tick: self.tick, ..Settled::default() });
                self.remembered.answered(&id, &answer);
                self.answer_command(reply, answer);
            }
        }
        Ok(())
    }

    fn check_room(&self, bytes: usize) -> Result<(), Problem> {
        if self.recovering {
            return Err(Problem::new("unavailable", "the world is being recovered from its log: try again"));
        }
        self.check_held()?;
        let waiting: usize = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        if self.waiting.len() >= MAX_WAITING || waiting + bytes > MAX_WAITING_BYTES {
            return Err(Problem::new("overloaded", "too many commands wait for the next tick: try again later"));
        }
        Ok(())
    }

    fn read_command(
        &self,
        (_, aggregate, action): (&str, &str, &str),
        by: Option<&str>,
        payload: &[u8],
    ) -> Result<Command, Problem> {
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
        if by.is_none() && command.id.contains('/') {
            // It would be the id of somebody with a name.
            return Err(Problem::new("bad_request", "the id of a command without an identity has no `/`"));
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
        if !command.expect.is_empty() && command.action.entity().is_none() {
            return Err(Problem::new("bad_request", "`expect` is for commands about one entity"));
        }
        self.check_access(&command.action)?;
        Ok(command)
    }

    /// Control takes effect at once, changes of the world when the next tick begins. None: it is done.
    fn begin_control(&mut self, id: &str, by: Option<&str>, action: Action) -> Result<Option<WaitState>, Problem> {
        let until = self.control(&action)?;
        audit(id, by, self.tick, &action, None);
        let (pauses, runs) = (matches!(action, Action::Pause {}), self.running.is_some());
        if self.keeps_log() {
            self.inputs.push(Input::Command { id: id.to_owned(), by: by.map(str::to_owned), action });
        }
        Ok(match until {
            Some(tick) => Some(WaitState::Steps(tick)),
            // The record of the tick that runs is closed: it is in the one after that.
            None if self.keeps_log() => Some(self.done_in(self.records + 1 + u64::from(runs))),
            // Answered when the world stands still.
            None if pauses && runs => Some(self.done_in(self.records + 1)),
            None => None,
        })
    }

    fn done_in(&self, records: u64) -> WaitState {
        WaitState::Applied { result: Ok(Settled::default()), records }
    }

    /// Pauses, goes on, and steps; the tick until which steps go.
    pub(super) fn control(&mut self, action: &Action) -> Result<Option<u64>, Problem> {
        match *action {
            Action::Pause {} => self.sim.paused = true,
            Action::Resume {} => (self.sim.paused, self.sim.steps) = (false, 0),
            Action::Speed { factor } if factor.is_finite() && (0.0..=1000.0).contains(&factor) => {
                self.sim.speed = factor;
                // The next tick is not to wait for what was slower.
                self.next_tick_at = self.next_tick_at.min(self.now.saturating_add(self.interval()));
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
            Action::Step { .. } if self.is_finished() && !self.recovering => {
                return Err(Problem::new("unavailable", "the world has had its last tick"));
            }
            Action::Step { ticks } if ticks > 0 => {
                self.sim.steps = self.sim.steps.saturating_add(ticks);
                let open = u64::from(self.running.is_some());
                return Ok(Some(self.tick.saturating_add(self.sim.steps).saturating_add(open)));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Does again what a record says; the answer is remembered when the tick is committed.
    pub(super) fn repeat_input(&mut self, id: String, action: Action) -> Result<(), Problem> {
        let state = if action.is_control() {
            match self.control(&action)? {
                Some(until) => WaitState::Steps(until),
                None => self.done_in(0),
            }
        } else {
            WaitState::Applied { result: Ok(self.apply(action)?.into()), records: 0 }
        };
        self.remembered.open(&id);
        self.waiting.push(Waiting { reply: None, id, by: None, bytes: 0, state });
        Ok(())
    }

    /// A record says that a system was given this command: its answer comes when that has run.
    pub(super) fn wait_for_system(&mut self, id: String, bytes: usize, (command, number): (ComponentId, u64)) {
        self.remembered.open(&id);
        let state = WaitState::Asked { command, number };
        self.waiting.push(Waiting { reply: None, id, by: None, bytes, state });
    }

    /// Remembers what a record says was refused.
    pub(super) fn repeat_refusal(&mut self, id: String, problem: Problem) {
        self.remembered.open(&id);
        let state = WaitState::Applied { result: Err(problem), records: 0 };
        self.waiting.push(Waiting { reply: None, id, by: None, bytes: 0, state });
    }

    /// Whether no tick begins until somebody does something.
    fn stands_still(&self) -> bool {
        (self.sim.paused && self.sim.steps == 0) || self.is_finished() || self.waits_for().is_some()
    }

    /// Between two ticks: a world that stands still has no next tick soon, so what waits for it is applied at
    /// once. The next tick sees the same as if it had begun with it.
    pub(super) fn apply_while_standing(&mut self) {
        let queued = |waiting: &Waiting| matches!(waiting.state, WaitState::Queued { .. });
        if self.recovering || self.replayed.is_some() {
            // Inputs that wait are those of a record, whose tick waits for an instance: they are in the log already.
            return;
        }
        let unrecorded = self.keeps_log() && !self.inputs.is_empty();
        if !(unrecorded || self.waiting.iter().any(queued)) || !self.stands_still() || self.log_lags() {
            return;
        }
        self.apply_commands();
        self.hash = self.whole_hash();
        self.record_standing();
        self.finally(|core| {
            core.announce_entities();
            core.answer_waiting();
        });
    }

    /// Applies what waits for this tick, in the order in which it came.
    pub(super) fn apply_inputs(&mut self) {
        self.apply_commands();
        self.give_commands();
    }

    /// Gives systems the commands that wait for them.
    fn give_commands(&mut self) {
        for index in 0..self.waiting.len() {
            let WaitState::Given { command, head, row } = &mut self.waiting[index].state else { continue };
            let (command, head, row) = (*command, std::mem::take(head), std::mem::take(row));
            let Some(name) = self.world.schema(command).map(|schema| schema.name.clone()) else { continue };
            let number = self.give(command, &head, &row);
            let Waiting { id, by, state, .. } = &mut self.waiting[index];
            *state = WaitState::Asked { command, number };
            audit_given(id, by.as_deref(), self.tick, &name);
            self.inputs.push(Input::Given { id: id.clone(), by: by.clone(), command: name, row: row.into() });
        }
    }

    /// Applies the engine's own commands that wait.
    fn apply_commands(&mut self) {
        for index in 0..self.waiting.len() {
            if let WaitState::Queued { action, expect } = &self.waiting[index].state {
                let Waiting { id, by, .. } = &self.waiting[index];
                let (id, by, action) = (id.clone(), by.clone(), action.clone());
                // A replay doesn't ask again: what the log says was applied had what it expected.
                let as_expected = self.check_expected(action.entity(), expect);
                let result = as_expected.and_then(|()| self.apply(action.clone()));
                audit(&id, by.as_deref(), self.tick, &action, result.as_ref().err());
                let mut records = 0;
                if self.keeps_log() && !planted::is(Bug::AcknowledgeBeforeCommit) {
                    records = self.records + 1;
                }
                let tick = self.tick + 1;
                match &result {
                    Ok(_) => tracing::debug!(tick, command = id, "a command is applied"),
                    Err(problem) => {
                        self.figures.count(format!("refused.{}", problem.code));
                        tracing::info!(tick, command = id, code = %problem.code, why = problem.message, "a command is refused");
                    }
                }
                match &result {
                    Ok(_) => self.inputs.push(Input::Command { id, by, action }),
                    // Whoever leads next must not apply what its sender was told is refused.
                    Err(problem) if self.keeps_log() => {
                        self.inputs.push(Input::Refused { id, by, problem: beginning_of(problem) });
                    }
                    Err(_) => {}
                }
                self.waiting[index].state = WaitState::Applied { result: result.map(Settled::from), records };
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
        for mut waiting in std::mem::take(&mut self.waiting) {
            let answer = match waiting.state {
                WaitState::Applied { result, records } if records <= self.records => match result {
                    Ok(settled) => Reply::Ok(Settled { tick, ..settled }),
                    Err(problem) => Reply::Error(problem),
                },
                WaitState::Steps(until) if until <= tick || over => Reply::Ok(Settled { tick, ..Settled::default() }),
                WaitState::Query(payload, since) => {
                    self.answer_query(waiting.reply.as_deref(), &payload, since);
                    continue;
                }
                // Nobody was given it: whoever leads this world on may be asked again.
                WaitState::Given { .. } if over => {
                    self.remembered.forget(&waiting.id);
                    Reply::Error(self.over())
                }
                state => {
                    if over && matches!(state, WaitState::Asked { .. }) {
                        self.answer_command(waiting.reply.take().as_deref(), Reply::Error(self.over()));
                    }
                    self.waiting.push(Waiting { state, ..waiting });
                    continue;
                }
            };
            self.remembered.answered(&waiting.id, &answer);
            self.answer_command(waiting.reply.as_deref(), answer);
        }
        self.remembered.tidy();
    }

    /// Why no system answers any more.
    pub(super) fn over(&self) -> Problem {
        if self.sim.stopping {
            Problem::new("unavailable", "the coordinator is being ended: try again")
        } else {
            Problem::new("finished", "the world has had its last tick: no system runs any more")
        }
    }

    /// Tells whoever gave a command what it came to: of one that a system answered, what that said and nothing else.
    fn answer_command(&mut self, reply: Option<&str>, answer: Answer) {
        match answer {
            Reply::Ok(Settled { answer: Some(answer), .. }) => {
                let Some(subject) = reply.map(str::to_owned) else { return };
                let headers = Some(Headers::default().epoch(self.epoch).tick(self.current_tick()));
                let payload = handled::wrapped(answer.as_ref()).into();
                self.out.push_back(Output::Send { lane: 0, subject, token: None, headers, payload });
            }
            Reply::Ok(Settled { tick, entities, .. }) => {
                self.answer::<CommandReply>(reply, &Reply::Ok(Done { tick, entities }));
            }
            Reply::Error(problem) => self.answer::<CommandReply>(reply, &Reply::Error(problem)),
        }
    }
}
