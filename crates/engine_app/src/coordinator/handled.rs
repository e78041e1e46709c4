//! Commands of programs outside that systems of this world answer.
//!
//! One is an event to its system: accepted, recorded when the next tick begins, read when the system runs. What that
//! answers is taken out of what it sends, and goes to whoever gave the command when the tick is durable. The answer is a
//! function of the world, so a coordinator that repeats the tick comes to the same one, and remembers it.

use std::collections::BTreeMap;

use engine_component::schema::Schema;
use engine_component::{ComponentId, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::envelope::{Content, Envelope, MAX_PAYLOAD};
use engine_net::handled::{self, Answer, Head, code};
use engine_net::headers::Headers;
use engine_net::messages::Problem;
use engine_net::messages::rejected::RejectReason;
use engine_net::strict;
use engine_system::EventBatch;

use super::commands::WaitState;
use super::remembered::{Memory, Settled};
use super::{Coordinator, CoordinatorError};
use crate::receive::{Effects, Rejection};
use crate::system_entry::SystemEntry;

/// A type of command that a system answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handled {
    /// `domain.aggregate.action`
    pub(super) name: String,
    command: ComponentId,
    head: ComponentId,
    answer: ComponentId,
    system: String,
}

/// What systems answered, by the command and its place among those that were given.
pub(super) type Answers = BTreeMap<(ComponentId, u32), Result<Vec<u8>, Problem>>;

/// The commands that systems answer, in the order of their names.
///
/// # Errors
/// When two systems answer the same one, or another one reads or writes what belongs to it.
pub(super) fn find<'a>(
    systems: impl Iterator<Item = &'a SystemDescriptor> + Clone,
    schema: impl Fn(ComponentId) -> Option<&'a Schema>,
) -> Result<Vec<Handled>, String> {
    let mut all: Vec<Handled> = Vec::new();
    for system in systems.clone() {
        for command in &system.handles {
            let handled = one(system, *command, &schema)?;
            if let Some(other) = all.iter().find(|other| other.command == *command) {
                let (name, first, second) = (&handled.name, &other.system, &system.name);
                return Err(format!("`{name}` is answered by `{first}` and by `{second}`: a command has one handler"));
            }
            all.push(handled);
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for system in systems {
        let stolen = |handled: &&Handled| handled.system != system.name && handled.is_named_by(system);
        if let Some(handled) = all.iter().find(stolen) {
            let (name, owner, thief) = (&handled.name, &handled.system, &system.name);
            return Err(format!("system `{thief}` reads or writes what belongs to `{name}`, which `{owner}` answers"));
        }
    }
    Ok(all)
}

/// A type of command as a system declares it: with heads and answers that every engine knows.
fn one<'a>(
    system: &SystemDescriptor,
    command: ComponentId,
    schema: impl Fn(ComponentId) -> Option<&'a Schema>,
) -> Result<Handled, String> {
    let owner = &system.name;
    let of_command =
        schema(command).ok_or_else(|| format!("system `{owner}` answers {command}, without its schema"))?;
    let name = &of_command.name;
    if handled::command_name(name).is_none() {
        let rule = "domain, aggregate and action of a domain that is not the engine's own (`world`)";
        return Err(format!("system `{owner}` answers `{name}`, which is no name of a command: {rule}"));
    }
    let (head, answer) = (handled::head_schema(name), handled::answer_schema(name));
    for belongs in [&head, &answer] {
        // What programs outside may do with it is for each build to say.
        let known = schema(belongs.id()).map(|known| Schema { access: belongs.access, ..known.clone() });
        if known.as_ref() != Some(belongs) {
            return Err(format!("system `{owner}` answers `{name}`, and `{}` is not what belongs to it", belongs.name));
        }
    }
    let reads = system.reads_events.windows(2).any(|pair| pair == [command, head.id()]);
    if !reads || !system.writes_events.contains(&answer.id()) {
        return Err(format!("system `{owner}` answers `{name}` and does not declare to read it and to write answers"));
    }
    if system.writes_events.iter().any(|event| [command, head.id()].contains(event)) {
        return Err(format!("system `{owner}` answers `{name}` and writes such commands itself"));
    }
    Ok(Handled { name: name.clone(), command, head: head.id(), answer: answer.id(), system: owner.clone() })
}

impl Handled {
    fn is_named_by(&self, system: &SystemDescriptor) -> bool {
        [self.command, self.head, self.answer].into_iter().any(|id| system.names(id))
    }
}

impl Coordinator {
    /// Looks which commands the systems of this world answer.
    pub(super) fn find_handled(&mut self) -> Result<(), CoordinatorError> {
        let systems = self.systems.iter().map(SystemEntry::descriptor);
        self.handled = find(systems, |id| self.world.schema(id)).map_err(CoordinatorError::Handlers)?;
        Ok(())
    }

    /// The subjects on which commands come that systems answer. Their number tells whether there are new ones: systems
    /// stay in a world.
    pub fn handled_subjects(&self) -> impl ExactSizeIterator<Item = [String; 2]> {
        self.handled.iter().map(|handled| {
            let [domain, aggregate, action] = handled::command_name(&handled.name).unwrap_or_default();
            self.subjects.commands_named(domain, aggregate, action)
        })
    }

    /// A command that is not the engine's own.
    pub(super) fn handled_command(
        &mut self,
        reply: Option<&str>,
        by: Option<&str>,
        (domain, aggregate, action): (&str, &str, &str),
        headers: &Headers,
        payload: &[u8],
    ) -> Result<(), Problem> {
        let name = format!("{domain}.{aggregate}.{action}");
        let handled = self.handled.iter().find(|handled| handled.name == name).cloned();
        let handled = handled
            .ok_or_else(|| Problem::new("bad_subject", format_args!("no system of this world answers `{name}`")))?;
        let (id, row) = self.read_handled(&handled, headers, payload)?;
        let head = Head { id, by: by.map(str::to_owned) };
        // Each command has ids of its own, and so has each identity.
        let id = match by {
            Some(by) => format!("{by}/{name}/{}", head.id),
            None => format!("{name}/{}", head.id),
        };
        let is_over = self.is_finished() && !self.recovering;
        match self.known(&id) {
            Some(memory) if !(is_over && matches!(memory, Memory::Open)) => {
                self.repeat(reply, &id, memory);
                return Ok(());
            }
            _ if is_over => return Err(self.over()),
            _ => {}
        }
        let bytes = payload.len().max(row.len());
        self.accept_command(reply, by, id, WaitState::Given { command: handled.command, head, row }, bytes)
    }

    /// The id of a command, and its value as the world has it.
    fn read_handled(&self, handled: &Handled, headers: &Headers, payload: &[u8]) -> Result<(String, Vec<u8>), Problem> {
        let bad = |reason: &dyn std::fmt::Display| Problem::new(code::BAD_REQUEST, reason);
        let envelope = match headers.envelope.as_deref() {
            Some(Ok(envelope)) => envelope,
            Some(Err(error)) => return Err(bad(error)),
            None => {
                return Err(bad(&"a command has an envelope: the headers ce-id, ce-source, ce-type, ce-specversion"));
            }
        };
        let name = &handled.name;
        if envelope.kind != *name {
            return Err(bad(&format_args!("the subject says `{name}`, the envelope `{}`", envelope.kind)));
        }
        let id = envelope.uuid().ok_or_else(|| bad(&"the id of a command is a UUID, in small letters"))?;
        let schema = self.world.schema(handled.command).ok_or_else(|| bad(&"its type is not known"))?;
        Ok((id.hyphenated().to_string(), read_value(schema, envelope, payload)?))
    }

    /// Gives a command to its system: an event, with a number.
    pub(super) fn give(&mut self, command: ComponentId, head: &Head, row: &[u8]) -> u64 {
        let number = self.events.next(command);
        let head_type = self.handled.iter().find(|handled| handled.command == command).map(|handled| handled.head);
        for (event, row) in [(Some(command), row), (head_type, &strict::encode(head))] {
            let Some(event) = event else { continue };
            let Some(schema) = self.world.schema(event) else { continue };
            let mut batch = EventBatch::default();
            batch.push_raw(schema, row);
            self.events.append(event, batch);
        }
        number
    }

    /// Does again what a record says.
    pub(super) fn repeat_given(
        &mut self,
        id: &str,
        by: Option<String>,
        command: &str,
        row: &[u8],
    ) -> Result<(), Problem> {
        let found = self.handled.iter().find(|handled| handled.name == command).map(|handled| handled.command);
        let found = found.and_then(|id| Some((id, self.world.schema(id)?)));
        let (command, schema) =
            found.ok_or_else(|| Problem::new("bad_subject", format_args!("no system answers `{command}`")))?;
        schema.check_row(row).map_err(|error| Problem::new(code::BAD_REQUEST, error))?;
        let head = Head { id: id.rsplit('/').next().unwrap_or_default().to_owned(), by };
        let number = self.give(command, &head, row);
        self.wait_for_system(id.to_owned(), row.len(), (command, number));
        Ok(())
    }

    /// A system has run: the commands that it was given are answered by it, or by nobody.
    pub(super) fn settle_given(&mut self, system: usize, mut answers: Answers, has_run: bool) {
        let descriptor = self.systems[system].descriptor();
        if descriptor.handles.is_empty() {
            return;
        }
        let first = |command: &ComponentId| (*command, self.events.cursor(*command, &descriptor.name));
        let given: BTreeMap<ComponentId, u64> = descriptor.handles.iter().map(first).collect();
        let (mut by_system, mut unanswered) = (0, 0);
        let records = if self.keeps_log() && self.replayed.is_none() { self.records + 1 } else { 0 };
        for waiting in &mut self.waiting {
            let WaitState::Asked { command, number } = waiting.state else { continue };
            let Some(first) = given.get(&command) else { continue };
            let place = number.checked_sub(*first).and_then(|place| u32::try_from(place).ok());
            let result = match place.and_then(|place| answers.remove(&(command, place))) {
                Some(answer) => {
                    by_system += u64::from(answer.is_err());
                    answer.map(Settled::answered)
                }
                None => {
                    unanswered += 1;
                    Err(unanswered_by(&descriptor.name, has_run))
                }
            };
            (waiting.state, waiting.bytes) = (WaitState::Applied { result, records }, 0);
        }
        // Not by the words of systems, which may be any number.
        for (name, count) in [("refused.by_system", by_system), ("refused.unanswered", unanswered)] {
            if count > 0 {
                *self.figures.counters.entry(name.to_owned()).or_default() += count;
            }
        }
    }

    /// Whether the answers in a result are such, to commands that its system was given.
    pub(super) fn check_answers(&self, system: usize, effects: &[Effects]) -> Result<(), Rejection> {
        let descriptor = self.systems[system].descriptor();
        if descriptor.handles.is_empty() {
            return Ok(());
        }
        let refuse = |reason: &dyn std::fmt::Display| Err(Rejection::new(RejectReason::BadEvent, reason));
        for (event, batch) in effects.iter().flat_map(|effects| &effects.events) {
            let Some(handled) = self.handled.iter().find(|handled| handled.answer == *event) else { continue };
            let first = self.events.cursor(handled.command, &descriptor.name);
            let given = self.events.next(handled.command).saturating_sub(first);
            for row in batch.as_slice().rows() {
                match Answer::read(row) {
                    Ok(answer) if u64::from(answer.to) < given => {}
                    Ok(answer) => {
                        let (to, name) = (answer.to, &handled.name);
                        return refuse(&format_args!("an answer to command {to} of {given} of `{name}`"));
                    }
                    Err(reason) => return refuse(&reason),
                }
            }
        }
        Ok(())
    }
}

/// Takes the answers out of what a job sent, if that is what it is. The first one to a command counts.
pub(super) fn take_answers(all: &[Handled], event: ComponentId, batch: &EventBatch, answers: &mut Answers) -> bool {
    let Some(handled) = all.iter().find(|handled| handled.answer == event) else { return false };
    // What instances send was checked when it came.
    for Answer { to, result } in batch.as_slice().rows().filter_map(|row| Answer::read(row).ok()) {
        answers.entry((handled.command, to)).or_insert_with(|| result.map(<[u8]>::to_vec));
    }
    true
}

/// What whoever gave a command is told that a system left alone.
fn unanswered_by(system: &str, has_run: bool) -> Problem {
    if has_run {
        Problem::new(code::UNANSWERED, format_args!("system `{system}` ran, and nothing of it answered"))
    } else {
        let text = format_args!("system `{system}` did not run on all of its rows, and nothing of it answered");
        Problem::new(code::NOT_RUN, text)
    }
}

/// A payload as a value of the world's schema.
fn read_value(schema: &Schema, envelope: &Envelope, payload: &[u8]) -> Result<Vec<u8>, Problem> {
    let bad =
        |reason: &dyn std::fmt::Display| Problem::new(code::BAD_REQUEST, format_args!("`{}`: {reason}", schema.name));
    if payload.len() > MAX_PAYLOAD {
        return Err(bad(&format_args!("{} bytes, where {MAX_PAYLOAD} are the most", payload.len())));
    }
    if let Some(written) = &envelope.schema {
        if written.name != schema.name {
            return Err(bad(&format_args!("its schema is that of `{}`", written.name)));
        }
        if written.version != schema.version {
            let (written, known) = (written.version, schema.version);
            return Err(bad(&format_args!("it has version {written}, and the world's build has {known}")));
        }
    }
    let value = match (envelope.content, schema.kind) {
        // Entities in it are of a type that values for everybody don't have.
        (Content::MessagePack, StorageKind::Document) => schema.row_to_value(payload).map_err(|error| bad(&error))?,
        (content, _) => content.value(payload).map_err(|reason| bad(&reason))?,
    };
    schema.value_to_row(&value).map_err(|error| Problem::new(code::BAD_REQUEST, error))
}
