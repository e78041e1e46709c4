//! What has to hold in the end: the log makes the world again, and whatever was answered or announced is in it.

use std::collections::BTreeMap;

use anyhow::Result;
use arena::Chronicle;
use bytes::Bytes;
use engine::app::coordinator::{Coordinator, Output};
use engine::app::record::{Input, TickRecord};
use engine::component::Entity;
use engine::component::query::Query;

use crate::client::{Answered, Answers, Deed, MARK};
use crate::log;
use crate::said::Said;
use crate::world::World;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) ticks: u64,
    pub(crate) epochs: u64,
    pub(crate) answered: u64,
    /// Answered commands that are not in the log.
    pub(crate) lost: u64,
    /// Commands that are in the log more than once.
    pub(crate) doubled: u64,
    /// The hash after the last tick.
    pub(crate) hash: String,
    /// Everything that should not be, in words.
    pub(crate) wrong: Vec<String>,
}

/// Verifies a log from its first record on. `end` is the tick and the hash that the world showed last.
pub(crate) fn judge(
    world: &World,
    messages: &[Bytes],
    answers: &Answers,
    said: &Said,
    end: Option<(u64, String)>,
) -> Result<Verdict> {
    let (records, epochs) = log::ticks(messages)?;
    let verdict = judge_records(world, &records, answers, said, end)?;
    Ok(Verdict { epochs, ..verdict })
}

fn judge_records(
    world: &World,
    records: &[TickRecord],
    answers: &Answers,
    said: &Said,
    end: Option<(u64, String)>,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.wrong.extend(said.contradictions.iter().cloned());
    verdict.commands(records, answers);
    verdict.announcements(records, said);
    let again = again(world, records)?;
    verdict.wrong.extend(again.wrong);
    let mut coordinator = again.coordinator;
    let (tick, hash) = coordinator.committed();
    (verdict.ticks, verdict.hash) = (tick, hash.to_string());
    if let Some(end) = end.filter(|end| (end.0, &end.1) != (tick, &verdict.hash)) {
        verdict.wrong.push(format!("the world ended as {end:?}, its log as {:?}", (tick, &verdict.hash)));
    }
    if let Some(hash) = undisturbed(world, records, tick)?
        && hash != verdict.hash
    {
        verdict.wrong.push(format!("tick {tick} has hash {}, and {hash} where nothing happens", verdict.hash));
    }
    verdict.entities(&mut coordinator, answers)?;
    Ok(verdict)
}

/// A world that was made again from its records.
struct Again {
    coordinator: Coordinator,
    wrong: Vec<String>,
}

/// All systems here, in one thread; each tick's hash is compared.
fn again(world: &World, records: &[TickRecord]) -> Result<Again> {
    let (mut coordinator, _) = arena::app().into_coordinator(world.settings(), &world.options(), |_| true, 0)?;
    coordinator.begin_recovery();
    let mut wrong = Vec::new();
    for record in records {
        if let Err(error) = coordinator.replay(record) {
            wrong.push(format!("the record of tick {} can't be replayed: {error}", record.tick));
            break;
        }
        coordinator.clock(1);
        run_here(&mut coordinator);
        if let Some(failure) = coordinator.take_failure() {
            wrong.push(failure.to_string());
            break;
        }
    }
    Ok(Again { coordinator, wrong })
}

fn run_here(coordinator: &mut Coordinator) {
    while let Some(output) = coordinator.next_output() {
        if let Output::Run(job) = output {
            let number = job.number();
            coordinator.local_done(1, number, job.run());
        }
    }
    while coordinator.next_commit().is_some() {}
}

/// The hash of a world that nobody gave commands to, as the plainest run has it; none when somebody did.
fn undisturbed(world: &World, records: &[TickRecord], ticks: u64) -> Result<Option<String>> {
    let changes = |input: &Input| matches!(input, Input::Command { action, .. } if !action.is_control());
    if records.iter().flat_map(|record| &record.inputs).any(changes) {
        return Ok(None);
    }
    let settings = engine::app::Settings { ticks: Some(ticks), ..world.settings() };
    let stop = engine::app::Stop::default();
    let outcome = arena::app().run_in_process(settings, &world.options(), &stop, |_, _| {})?;
    Ok(Some(outcome.hash.to_string()))
}

impl Verdict {
    /// Every answered command is in the log once, in the tick that was answered.
    fn commands(&mut self, records: &[TickRecord], answers: &Answers) {
        let mut logged: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for record in records {
            for input in &record.inputs {
                if let Input::Command { id, .. } = input {
                    logged.entry(id).or_default().push(record.tick);
                }
            }
        }
        for (id, ticks) in logged.iter().filter(|(_, ticks)| ticks.len() > 1) {
            self.doubled += 1;
            self.wrong.push(format!("command {id} was applied in ticks {ticks:?}"));
        }
        for Answered { id, done, .. } in answers.iter().flatten() {
            self.answered += 1;
            match logged.get(&id[..]) {
                None => {
                    self.lost += 1;
                    self.wrong.push(format!("command {id} was answered for tick {}, and is not in the log", done.tick));
                }
                Some(ticks) if ticks.contains(&done.tick) => {}
                Some(ticks) => {
                    self.wrong.push(format!("command {id} was answered for tick {}, and is in {ticks:?}", done.tick));
                }
            }
        }
    }

    /// Every announced tick is in the log, with the hash that was announced.
    fn announcements(&mut self, records: &[TickRecord], said: &Said) {
        let logged: BTreeMap<u64, Vec<String>> = records.iter().fold(BTreeMap::new(), |mut logged, record| {
            logged.entry(record.tick).or_insert_with(Vec::new).push(record.hash.to_string());
            logged
        });
        for (tick, hash) in &said.ticks {
            match logged.get(tick) {
                None if *tick == 0 => {}
                Some(hashes) if hashes.contains(hash) => {}
                hashes => self.wrong.push(format!("tick {tick} was announced as {hash}; the log has {hashes:?}")),
            }
        }
    }

    /// What commands made is there, under the numbers that were answered, and nothing else is.
    fn entities(&mut self, coordinator: &mut Coordinator, answers: &Answers) -> Result<()> {
        let expected = expected(answers);
        let mut found = BTreeMap::new();
        let Some(world) = coordinator.world_mut() else {
            self.wrong.push("the world that was made again stands in the middle of a tick".into());
            return Ok(());
        };
        world.with_query(|fighters: Query<(Entity, &Chronicle)>| {
            for (entity, chronicle) in &fighters {
                if chronicle.name.starts_with(MARK) {
                    found.insert(entity, chronicle.name.clone());
                }
            }
        })?;
        for (entity, name) in &expected {
            if found.get(entity) != Some(name) {
                self.wrong.push(format!("{entity:?} should be `{name}`, and is {:?}", found.get(entity)));
            }
        }
        for (entity, name) in found.iter().filter(|(entity, _)| !expected.contains_key(entity)) {
            self.wrong.push(format!("{entity:?}, `{name}`, should not be there"));
        }
        Ok(())
    }
}

/// The entities that commands left, by what was answered.
fn expected(answers: &Answers) -> BTreeMap<Entity, String> {
    let mut entities = BTreeMap::new();
    for answered in answers.iter().flatten() {
        match &answered.deed {
            Deed::Spawned { name } => {
                entities.extend(answered.done.entities.iter().map(|entity| (*entity, name.clone())));
            }
            Deed::Renamed { entity, name } => {
                entities.insert(*entity, name.clone());
            }
            Deed::Removed { entity } => {
                entities.remove(entity);
            }
        }
    }
    entities
}

#[cfg(test)]
mod tests {
    use engine::component::WorldHash;
    use engine::net::messages::command::{Action, Done};
    use engine::net::messages::value::Components;

    use super::*;

    fn world() -> World {
        World { entities: 40, ..World::default() }
    }

    fn spawn(name: &str) -> Action {
        let chronicle = ("arena.Chronicle".to_owned(), serde_json::json!({"name": name, "hits": []}));
        Action::Spawn { entities: vec![Components::from([chronicle])] }
    }

    /// Ten ticks and a command, what was answered to it, and what was announced.
    fn story() -> (Vec<TickRecord>, Answers, Said) {
        let name = format!("{MARK}0-0");
        let mut plain = arena::app().into_coordinator(world().settings(), &world().options(), |_| true, 0).unwrap().0;
        let mut records = Vec::new();
        for tick in 1..=10 {
            let mut record = TickRecord::empty(1, tick, WorldHash(0));
            if tick == 4 {
                record.inputs.push(Input::Command { id: "0-0".into(), by: None, action: spawn(&name) });
            }
            plain.begin_recovery();
            plain.replay(&record).unwrap();
            plain.clock(1);
            run_here(&mut plain);
            // The hash was a guess.
            plain.take_failure();
            record.hash = plain.committed().1;
            records.push(record);
        }
        let mut entity = None;
        plain
            .world_mut()
            .unwrap()
            .with_query(|all: Query<(Entity, &Chronicle)>| {
                entity = all.iter().find(|(_, chronicle)| chronicle.name == name).map(|(entity, _)| entity);
            })
            .unwrap();
        let done = Done { tick: 4, entities: vec![entity.unwrap()] };
        let answered = Answered { id: "0-0".into(), action: spawn(&name), deed: Deed::Spawned { name }, done };
        let ticks = records.iter().map(|record| (record.tick, record.hash.to_string())).collect();
        (records, vec![vec![answered]], Said { ticks, ..Said::default() })
    }

    fn wrong(records: &[TickRecord], answers: &Answers, said: &Said) -> Verdict {
        judge_records(&world(), records, answers, said, None).unwrap()
    }

    #[test]
    fn a_good_story_is_believed() {
        let (records, answers, said) = story();
        let verdict = wrong(&records, &answers, &said);
        assert!(verdict.wrong.is_empty(), "{:?}", verdict.wrong);
        assert_eq!((verdict.ticks, verdict.answered, verdict.lost, verdict.doubled), (10, 1, 0, 0));
    }

    #[test]
    fn a_command_that_is_lost_or_doubled_is_missed() {
        let (mut records, answers, said) = story();
        let input = records[3].inputs.pop().unwrap();
        let verdict = wrong(&records, &answers, &said);
        assert_eq!((verdict.lost, verdict.doubled), (1, 0));
        assert!(!verdict.wrong.is_empty());
        records[3].inputs.push(input.clone());
        records[5].inputs.push(input);
        assert_eq!(wrong(&records, &answers, &said).doubled, 1);
    }

    #[test]
    fn another_hash_another_announcement_another_answer_are_noticed() {
        let (records, answers, said) = story();
        let mut other = records.clone();
        other[7].hash.0 ^= 1;
        assert!(!wrong(&other, &answers, &Said::default()).wrong.is_empty());
        let mut heard = Said { ticks: said.ticks.clone(), ..Said::default() };
        heard.ticks.insert(11, "aa".into());
        assert_eq!(wrong(&records, &answers, &heard).wrong.len(), 1);
        let mut told = answers.clone();
        told[0][0].done.entities = vec![Entity::from_bits(1)];
        assert_eq!(wrong(&records, &told, &said).wrong.len(), 2, "one is missing, one is too many");
        let end = Some((10, "bb".to_owned()));
        assert_eq!(judge_records(&world(), &records, &answers, &said, end).unwrap().wrong.len(), 1);
    }
}
