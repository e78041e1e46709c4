//! What arrives: which message goes where, and what is not even read.

use bytes::Bytes;
use engine_net::headers::Headers;
use engine_net::messages::command::Command;
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::query::QueryRequest;
use engine_net::messages::register::{Leave, Register};
use engine_net::messages::schemas::SchemasRequest;
use engine_net::messages::snapshot::SnapshotRequest;
use engine_net::messages::trace::TraceRequest;
use engine_net::messages::watch::{WatchAck, WatchRequest};
use engine_net::messages::{Problem, Reply};
use engine_net::strict;
use engine_net::subject::{COORDINATOR, Subject};

use super::{Coordinator, Output};

impl Coordinator {
    /// A message without headers arrived; see [`Self::message_with`].
    pub fn message(&mut self, now: u64, subject: &str, reply: Option<&str>, payload: Bytes) {
        self.message_with(now, subject, reply, &Headers::default(), payload);
    }

    /// A message arrived. `now` is the driver's clock, in nanoseconds.
    pub fn message_with(&mut self, now: u64, subject: &str, reply: Option<&str>, headers: &Headers, payload: Bytes) {
        let subjects = self.subjects.clone();
        // An answer is published with the coordinator's rights: nobody may choose one of the server's own
        // subjects for it, one that the engine listens to, or one of a log.
        if reply.is_some_and(|reply| !subjects.may_be_answered(reply)) {
            self.figures.count("refused.reply_subject");
            tracing::warn!(subject, reply, "a request asks for its answer where none may go");
            return self.advance(now);
        }
        let subject = subjects.parse(subject);
        if !subject.as_ref().is_none_or(|subject| is_readable(subject, headers)) {
            self.refuse_version(reply, headers);
            return self.advance(now);
        }
        match subject {
            Some(Subject::Changed { epoch, from }) => self.result_chunk(now, epoch, from, payload),
            Some(Subject::Register(from)) => self.register(now, reply, from, &payload),
            Some(Subject::Heartbeat(from)) => self.heartbeat(now, from, &payload),
            Some(Subject::Leave(from)) => self.leave(now, reply, from, &payload),
            Some(Subject::Query) => self.query(reply, &payload),
            Some(Subject::Schemas) => self.schemas_request(reply, &payload),
            Some(Subject::Snapshot) => self.snapshot_request(reply, &payload),
            Some(Subject::Trace) => self.trace_request(reply, &payload),
            Some(Subject::WatchRequest { by }) => self.watch_request(now, reply, by, &payload),
            Some(Subject::WatchAck { by, id }) => self.watch_ack(now, by, id, &payload),
            Some(Subject::Command { domain, aggregate, action, by }) => {
                self.command(reply, by, (domain, aggregate, action), headers, &payload);
            }
            Some(Subject::Health { service: COORDINATOR } | Subject::Discovery { .. }) => {
                self.status_request(now, reply);
            }
            _ => self.figures.count("refused.unknown_subject"),
        }
        self.advance(now);
    }

    /// A message of another version may mean something else by the same words.
    fn refuse_version(&mut self, reply: Option<&str>, headers: &Headers) {
        let version = headers.msg_type.as_deref().unwrap_or_default();
        self.figures.count("refused.version");
        tracing::warn!(version, "a message of a type or version that does not belong there");
        let Some(reply) = reply else { return };
        let text = format!("`{}` is not what is read on this subject: use the same engine", version.escape_debug());
        let answer: Reply<()> = Reply::Error(Problem::new("version", text));
        let (subject, payload) = (reply.to_owned(), strict::encode(&answer).into());
        self.out.push_back(Output::Send { lane: 0, subject, token: None, headers: None, payload });
    }
}

/// Whether the headers, when there are any, name the message that belongs to the subject.
fn is_readable(subject: &Subject<'_>, headers: &Headers) -> bool {
    match subject {
        Subject::Register(_) => headers.is::<Register>(),
        Subject::Heartbeat(_) => headers.is::<Heartbeat>(),
        Subject::Leave(_) => headers.is::<Leave>(),
        Subject::Query => headers.is::<QueryRequest>(),
        Subject::Schemas => headers.is::<SchemasRequest>(),
        Subject::Snapshot => headers.is::<SnapshotRequest>(),
        Subject::Trace => headers.is::<TraceRequest>(),
        Subject::WatchRequest { .. } => headers.is::<WatchRequest>(),
        Subject::WatchAck { .. } => headers.is::<WatchAck>(),
        Subject::Command { .. } => headers.is::<Command>(),
        _ => true,
    }
}
