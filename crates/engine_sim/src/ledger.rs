//! What clients asked for and were told, and whether the world and its records agree with it.

use std::collections::{BTreeMap, BTreeSet};

use engine_app::record::{Input, TickRecord};
use engine_component::{Data, Entity, World};
use engine_net::messages::Reply;
use engine_net::messages::command::{Action, Done};
use engine_net::strict;

use crate::scenario::{Mark, Order, Stamp, stamped};

/// A command of a client.
#[derive(Debug)]
struct Asked {
    wanted: Wanted,
    /// The number of what it spawns or stamps.
    number: u32,
    answer: Option<Reply<Told>>,
}

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Wanted {
    /// A command of the engine's own.
    Action(Action),
    /// One that a system answers, about a marked entity.
    Order { entity: Entity },
}

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// By the engine.
    Done(Done),
    /// By a system: the digest that the order has made.
    Digest(u32),
}

/// The id of an order, by its number.
pub(crate) fn order_id(number: u32) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

/// The client's id of a command that a record says was given to a system.
pub(crate) fn given_id(id: &str) -> Option<String> {
    let number = u32::from_str_radix(id.rsplit('-').next()?, 16).ok()?;
    let is_it = id == format!("{}/{}", Order::NAME, order_id(number));
    is_it.then(|| format!("{}-{}-{}", number / 10_000, number / 1000 % 10, number % 1000))
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    commands: BTreeMap<String, Asked>,
}

/// What a marked entity has to be.
#[derive(Debug)]
struct Expected {
    number: u32,
    count: u32,
    digest: u32,
    /// The stamp that is on it, and the tick that counts it.
    stamp: Option<(u64, u32)>,
}

impl Expected {
    /// A stamp is put on it. One that was there before the tick counted it is lost: that is what the command says.
    fn stamp(&mut self, tick: u64, number: u32) {
        self.count_before(tick);
        self.stamp = Some((tick, number));
    }

    /// An order is obeyed at the end of a tick: the digest after it.
    fn obey(&mut self, tick: u64, number: u32) -> u32 {
        self.count_before(tick + 1);
        self.count += 1;
        self.digest = stamped(self.digest, number);
        self.digest
    }

    fn count_before(&mut self, tick: u64) {
        if let Some((_, number)) = self.stamp.take_if(|(counted, _)| *counted < tick) {
            self.count += 1;
            self.digest = stamped(self.digest, number);
        }
    }
}

impl Ledger {
    /// How many commands were asked for.
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// How many of them were refused: those are not remembered, and may wait once more when they are repeated.
    pub(crate) fn refused(&self) -> usize {
        self.commands.values().filter(|asked| matches!(asked.answer, Some(Reply::Error(_)))).count()
    }

    /// A client asks for something, for the first time.
    pub(crate) fn ask(&mut self, id: &str, number: u32, wanted: Wanted) {
        self.commands.insert(id.to_owned(), Asked { wanted, number, answer: None });
    }

    /// A client was answered; whoever asks again gets the same answer, also of another coordinator.
    pub(crate) fn answered(&mut self, id: &str, answer: Reply<Told>) -> Result<(), String> {
        let Some(asked) = self.commands.get_mut(id) else {
            return Err(format!("exactly once: an answer to command {id}, which nobody gave"));
        };
        match &asked.answer {
            Some(before) if !is_same(before, &answer) => {
                Err(format!("exactly once: command {id} is answered with {before:?} first, then with {answer:?}"))
            }
            Some(_) => Ok(()),
            None => {
                asked.answer = Some(answer);
                Ok(())
            }
        }
    }

    /// Whether records agree with what clients were told, and whether the world is what follows.
    pub(crate) fn check(&self, records: &[TickRecord], world: &World) -> Result<(), String> {
        let applied = self.applied(records)?;
        self.check_answers(&applied)?;
        let last = records.last().map_or(0, |record| record.tick);
        check_world(&self.expected(&applied, last)?, world)
    }

    /// Ids of commands with the ticks that they were applied in, in order; each is there once.
    fn applied(&self, records: &[TickRecord]) -> Result<Vec<(u64, String)>, String> {
        // What was applied while the world stood still behind a tick takes effect in the next one.
        let before = std::iter::once(0).chain(records.iter().map(|record| record.tick));
        let recorded = records.iter().zip(before).flat_map(|(record, before)| {
            let tick = if record.tick == before { before + 1 } else { record.tick };
            record.inputs.iter().map(move |input| (tick, input))
        });
        let mut seen = BTreeSet::new();
        let mut applied = Vec::new();
        for (tick, input) in recorded {
            let id = match input {
                Input::Command { id, .. } => id.clone(),
                Input::Given { id, .. } => given_id(id).ok_or_else(|| format!("a command {id}, which nobody gave"))?,
                _ => continue,
            };
            if !seen.insert(id.clone()) {
                return Err(format!("exactly once: command {id} is applied again in tick {tick}"));
            }
            if self.commands.get(&id).is_none_or(|asked| !asked.is_given_by(input)) {
                return Err(format!("exactly once: command {id} is not what its client gave: {input:?}"));
            }
            applied.push((tick, id));
        }
        Ok(applied)
    }

    fn check_answers(&self, applied: &[(u64, String)]) -> Result<(), String> {
        let ticks: BTreeMap<&str, u64> = applied.iter().map(|(tick, id)| (id.as_str(), *tick)).collect();
        let mut spawned = BTreeSet::new();
        for (id, asked) in &self.commands {
            match (&asked.answer, ticks.get(id.as_str())) {
                (Some(Reply::Ok(Told::Digest(_))), Some(_)) => {}
                (Some(Reply::Ok(Told::Digest(_))), None) => {
                    return Err(format!("lost: command {id} was answered by a system, and is gone"));
                }
                // Nothing of the entity answered.
                (Some(Reply::Error(problem)), Some(_)) if problem.code == "unanswered" => {}
                (Some(Reply::Ok(Told::Done(done))), Some(tick)) => {
                    // A world that stands still names the tick before the one that it takes effect in.
                    if done.tick != *tick && done.tick + 1 != *tick {
                        return Err(format!("command {id} is said to be of tick {}, and is of {tick}", done.tick));
                    }
                    if let Some(entity) = done.entities.iter().find(|entity| !spawned.insert(**entity)) {
                        return Err(format!("entity {entity} is spawned twice"));
                    }
                }
                (Some(Reply::Ok(Told::Done(done))), None) => {
                    return Err(format!("lost: command {id} was acknowledged, in tick {}, and is gone", done.tick));
                }
                (Some(Reply::Error(problem)), Some(tick)) => {
                    return Err(format!("command {id} was refused ({problem}), and applied in tick {tick}"));
                }
                (Some(Reply::Error(_)), _) => {}
                (None, _) => return Err(format!("command {id} was never answered")),
            }
        }
        Ok(())
    }

    /// What follows from the commands for each marked entity. A tick is: commands; stamps are counted; orders.
    fn expected(&self, applied: &[(u64, String)], last: u64) -> Result<BTreeMap<Entity, Expected>, String> {
        let mut expected = BTreeMap::<Entity, Expected>::new();
        for of_tick in applied.chunk_by(|a, b| a.0 == b.0) {
            let tick = of_tick[0].0;
            let asked = || of_tick.iter().map(|(_, id)| (id, &self.commands[id]));
            for (id, asked) in asked() {
                let Wanted::Action(action) = &asked.wanted else { continue };
                follow(&mut expected, tick, id, asked, action)?;
            }
            for (id, asked) in asked() {
                let Wanted::Order { entity } = &asked.wanted else { continue };
                let digest = expected.get_mut(entity).map(|marked| marked.obey(tick, asked.number));
                match (&asked.answer, digest) {
                    (Some(Reply::Ok(Told::Digest(told))), Some(digest)) if *told == digest => {}
                    (Some(Reply::Error(_)), None) => {}
                    (told, due) => {
                        return Err(format!("exactly once: order {id} was answered {told:?}, where {due:?} follows"));
                    }
                }
            }
        }
        expected.values_mut().for_each(|marked| marked.count_before(last + 1));
        Ok(expected)
    }
}

impl Asked {
    /// Whether a record has it as its client gave it.
    fn is_given_by(&self, input: &Input) -> bool {
        match (&self.wanted, input) {
            (Wanted::Action(wanted), Input::Command { action, .. }) => wanted == action,
            (Wanted::Order { entity }, Input::Given { row, .. }) => {
                let order = Order { mark: entity.to_bits(), number: self.number };
                strict::encode(&order) == row.as_ref()
            }
            _ => false,
        }
    }
}

/// A command of the engine's own takes effect.
fn follow(
    expected: &mut BTreeMap<Entity, Expected>,
    tick: u64,
    id: &str,
    asked: &Asked,
    action: &Action,
) -> Result<(), String> {
    match action {
        Action::Spawn { .. } => {
            let Some(Reply::Ok(Told::Done(done))) = &asked.answer else { return Ok(()) };
            let [entity] = done.entities[..] else {
                return Err(format!("command {id} spawns one entity, and its answer has {:?}", done.entities));
            };
            expected.insert(entity, Expected { number: asked.number, count: 0, digest: 0, stamp: None });
        }
        Action::Insert { entity, components } if components.contains_key("sim.Stamp") => {
            if let Some(marked) = expected.get_mut(entity) {
                marked.stamp(tick, asked.number);
            }
        }
        Action::Despawn { entities } => expected.retain(|entity, _| !entities.contains(entity)),
        _ => {}
    }
    Ok(())
}

/// Entities, and whether it was refused and why. The tick of a world that stood still is not recorded.
fn is_same(before: &Reply<Told>, again: &Reply<Told>) -> bool {
    match (before, again) {
        (Reply::Ok(Told::Digest(before)), Reply::Ok(Told::Digest(again))) => before == again,
        (Reply::Ok(Told::Done(before)), Reply::Ok(Told::Done(again))) => {
            before.entities == again.entities && before.tick.abs_diff(again.tick) <= 1
        }
        (Reply::Error(before), Reply::Error(again)) => before.code == again.code,
        _ => false,
    }
}

fn check_world(expected: &BTreeMap<Entity, Expected>, world: &World) -> Result<(), String> {
    for (entity, expected) in expected {
        let Some(mark) = world.get::<Mark>(*entity) else {
            return Err(format!("lost: entity {entity}, number {}, was acknowledged and is gone", expected.number));
        };
        let Mark { number, count, digest } = *mark;
        let stamp = world.get::<Stamp>(*entity).map(|stamp| stamp.number);
        let (is, due) = ((number, count, digest, stamp), expected.stamp.map(|(_, number)| number));
        if is != (expected.number, expected.count, expected.digest, due) {
            return Err(format!(
                "exactly once: entity {entity} is {is:?} where {expected:?} follows from its commands"
            ));
        }
    }
    let marks = world.tables().iter().filter(|table| table.column_index(Mark::ID).is_some());
    let marks: usize = marks.map(engine_component::Table::len).sum();
    if marks == expected.len() {
        Ok(())
    } else {
        Err(format!("{marks} marked entities, and {} spawned", expected.len()))
    }
}
