//! The commands of the last while, by their ids: one that is repeated, since its answer was lost, is not
//! applied again and gets the same answer.

use std::collections::{BTreeMap, VecDeque};

use engine_net::messages::Reply;
use engine_net::messages::command::CommandReply;

/// Ids that are remembered, at the most; the oldest are forgotten.
const MOST: usize = 16 * 1024;
/// Entities in remembered answers, at the most: 8 MB.
const MOST_ENTITIES: usize = 1 << 20;

/// What is known of an id.
#[derive(Clone, Debug)]
pub(super) enum Memory {
    /// It waits for its tick.
    Open,
    /// It was answered.
    Answered(CommandReply),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    known: BTreeMap<String, Memory>,
    order: VecDeque<String>,
    entities: usize,
}

impl Remembered {
    pub(super) fn get(&self, id: &str) -> Option<&Memory> {
        self.known.get(id)
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// A command was accepted.
    pub(super) fn open(&mut self, id: &str) {
        if self.known.insert(id.to_owned(), Memory::Open).is_none() {
            self.order.push_back(id.to_owned());
        }
        self.forget();
    }

    /// A command was answered. Who was refused may try again with the same id.
    pub(super) fn answered(&mut self, id: &str, reply: &CommandReply) {
        let Some(memory) = self.known.get_mut(id) else { return };
        if let Reply::Ok(done) = reply {
            self.entities += done.entities.len();
            *memory = Memory::Answered(reply.clone());
        } else {
            self.known.remove(id);
            if let Some(at) = self.order.iter().rposition(|other| other == id) {
                self.order.remove(at);
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        while self.order.len() > MOST || self.entities > MOST_ENTITIES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(Memory::Answered(Reply::Ok(done))) = self.known.remove(&oldest) {
                self.entities -= done.entities.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine_component::Entity;
    use engine_net::messages::Problem;
    use engine_net::messages::command::Done;

    use super::*;

    fn done(entities: usize) -> CommandReply {
        Reply::Ok(Done { tick: 1, entities: vec![Entity::NONE; entities] })
    }

    #[test]
    fn an_answer_is_remembered_and_a_refusal_is_not() {
        let mut remembered = Remembered::default();
        for id in ["a", "b"] {
            remembered.open(id);
        }
        remembered.answered("a", &done(3));
        remembered.answered("b", &Reply::Error(Problem::new("overloaded", "later")));
        remembered.answered("c", &done(1));
        assert!(matches!(remembered.get("a"), Some(Memory::Answered(reply)) if *reply == done(3)));
        assert!(remembered.get("b").is_none() && remembered.get("c").is_none());
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
    }
}
