//! Queries: answered between ticks, since half of a tick is no state of the world.

use bytes::Bytes;
use engine_net::messages::query::{QueryReply, QueryRequest};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;

use super::Coordinator;
use super::commands::{WaitState, Waiting};
use crate::ask;

/// Queries that wait for the end of the open tick, at the most.
const MAX_QUERIES: usize = 256;

impl Coordinator {
    pub(super) fn query(&mut self, reply: Option<&str>, payload: &Bytes) {
        self.figures.count("queries");
        let refused = match self.check_held() {
            Err(problem) => Some(problem),
            Ok(()) if self.recovering => {
                Some(Problem::new("unavailable", "the world is being recovered from its log: try again"))
            }
            Ok(()) => None,
        };
        if let Some(problem) = refused {
            return self.answer::<QueryReply>(reply, &Reply::Error(problem));
        }
        if self.running.is_none() {
            let since = self.lap();
            return self.finally(|core| core.answer_query(reply, payload, since));
        }
        let waiting = self.waiting.iter().filter(|waiting| matches!(waiting.state, WaitState::Query(..))).count();
        if waiting >= MAX_QUERIES {
            let problem = Problem::new("unavailable", "too many queries wait for the end of the tick: try again");
            return self.answer::<QueryReply>(reply, &Reply::Error(problem));
        }
        let state = WaitState::Query(payload.clone(), self.lap());
        self.waiting.push(Waiting { reply: reply.map(str::to_owned), id: String::new(), by: None, bytes: 0, state });
    }

    pub(super) fn answer_query(&mut self, reply: Option<&str>, payload: &[u8], since: u64) {
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
        let took = self.lap().saturating_sub(since);
        self.figures.queries.note(took);
    }
}
