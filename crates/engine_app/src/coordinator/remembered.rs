//! The commands of the last while, by their ids: one that is repeated, since its answer was lost, is not
//! applied again and gets the same answer.

use std::collections::{BTreeMap, VecDeque};

use engine_component::Entity;
use engine_net::messages::command::Done;
use engine_net::messages::value::{Blob, entity_numbers};
use engine_net::messages::{Problem, Reply};
use serde::{Deserialize, Serialize};

/// Ids that are remembered, at the most; the oldest are forgotten.
const MOST: usize = 16 * 1024;
/// Entities in remembered answers, at the most: 8 MB.
const MOST_ENTITIES: usize = 1 << 20;

/// Bytes of remembered answers of systems, at the most: an answer that was just given may have a megabyte.
const MOST_BYTES: usize = 16 << 20;

/// Bytes of the text of a remembered refusal, at the most.
const MOST_TEXT: usize = 512;

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Settled {
    /// The tick that it was part of.
    pub(super) tick: u64,
    /// Entities that it spawned, of a command of the engine's own.
    #[serde(with = "entity_numbers")]
    pub(super) entities: Vec<Entity>,
    /// What a system answered, as MessagePack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Blob>,
}

impl Settled {
    pub(super) fn answered(answer: Vec<u8>) -> Self {
        Self { answer: Some(answer.into()), ..Self::default() }
    }

    fn answer_bytes(&self) -> usize {
        self.answer.as_ref().map_or(0, |answer| answer.as_ref().len())
    }
}

impl From<Done> for Settled {
    fn from(Done { tick, entities }: Done) -> Self {
        Self { tick, entities, answer: None }
    }
}

/// What whoever gave it is told.
pub(super) type Answer = Reply<Settled>;

/// What is known of an id.
#[derive(Clone, Debug)]
pub(super) enum Memory {
    /// It waits for its tick.
    Open,
    /// It was answered.
    Answered(Answer),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    known: BTreeMap<String, Memory>,
    order: VecDeque<String>,
    entities: usize,
    bytes: usize,
}

impl Remembered {
    pub(super) fn get(&self, id: &str) -> Option<&Memory> {
        self.known.get(id)
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Commands that were answered, the oldest first.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&str, &Answer)> {
        self.order.iter().filter_map(|id| match self.known.get(id) {
            Some(Memory::Answered(answer)) => Some((id.as_str(), answer)),
            _ => None,
        })
    }

    /// A command was accepted.
    pub(super) fn open(&mut self, id: &str) {
        if self.known.insert(id.to_owned(), Memory::Open).is_none() {
            self.order.push_back(id.to_owned());
        }
        self.forget_the_oldest();
    }

    /// A command was answered. Refusals are remembered too: a copy that comes late must not be applied after its
    /// sender was told that it was not.
    pub(super) fn answered(&mut self, id: &str, reply: &Answer) {
        let Some(memory) = self.known.get_mut(id) else { return };
        let answer = match reply {
            Reply::Ok(done) => {
                self.entities += done.entities.len();
                self.bytes += done.answer_bytes();
                reply.clone()
            }
            Reply::Error(problem) => Reply::Error(beginning_of(problem)),
        };
        *memory = Memory::Answered(answer);
        self.forget_the_oldest();
    }

    /// A command that was accepted comes to nothing, and may be given again.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(Memory::Open) = self.known.get(id) {
            self.known.remove(id);
        }
    }

    /// Forgets their places too, of all that came to nothing.
    pub(super) fn tidy(&mut self) {
        if self.order.len() != self.known.len() {
            self.order.retain(|id| self.known.contains_key(id));
        }
    }

    fn forget_the_oldest(&mut self) {
        while self.order.len() > MOST || self.entities > MOST_ENTITIES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(Memory::Answered(Reply::Ok(done))) = self.known.remove(&oldest) {
                self.entities -= done.entities.len();
                self.bytes -= done.answer_bytes();
            }
        }
    }
}

/// So much of a refusal as is remembered: its text may name what a stranger sent.
pub(super) fn beginning_of(problem: &Problem) -> Problem {
    let text = problem.message.as_str();
    Problem::new(&problem.code, &text[..text.floor_char_boundary(MOST_TEXT)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(entities: usize) -> Answer {
        Reply::Ok(Done { tick: 1, entities: vec![Entity::NONE; entities] }.into())
    }

    #[test]
    fn answers_and_refusals_are_remembered() {
        let refused = |text: &str| Reply::Error(Problem::new("unknown_entity", text));
        let mut remembered = Remembered::default();
        for id in ["a", "b", "d"] {
            remembered.open(id);
        }
        remembered.answered("a", &done(3));
        remembered.answered("b", &refused("no"));
        remembered.answered("c", &done(1));
        remembered.answered("d", &refused(&"é".repeat(MOST_TEXT)));
        let is = |id: &str, answer: Answer| {
            assert!(matches!(remembered.get(id), Some(Memory::Answered(reply)) if *reply == answer), "{id}");
        };
        is("a", done(3));
        is("b", refused("no"));
        is("d", refused(&"é".repeat(MOST_TEXT / 2)));
        assert!(remembered.get("c").is_none(), "nobody asked for it");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut remembered = Remembered::default();
        for number in 0..=MOST {
            remembered.open(&number.to_string());
        }
        assert!(remembered.get("0").is_none() && matches!(remembered.get("1"), Some(Memory::Open)));
        remembered.answered("5", &done(MOST_ENTITIES));
        remembered.answered("9", &done(1));
        assert!(remembered.get("5").is_none() && remembered.get("9").is_some());
        assert_eq!((remembered.known.len(), remembered.entities), (remembered.order.len(), 1));
        for (id, bytes) in [("10", MOST_BYTES), ("11", 1)] {
            remembered.answered(id, &Reply::Ok(Settled::answered(vec![0; bytes])));
        }
        assert!(remembered.get("10").is_none() && remembered.get("11").is_some());
        assert_eq!((remembered.known.len(), remembered.bytes), (remembered.order.len(), 1));
    }
}
