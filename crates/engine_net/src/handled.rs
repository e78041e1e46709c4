//! Commands of programs outside that systems answer: what a handler is given beside them, and what it gives back.
//!
//! To a system such a command is an event of its own type, `domain.aggregate.action`. Two types belong to it, that have
//! its name and a word more, and lie in the same order:
//!
//! ```text
//! <command>.head     {id, by}             an event that the handler reads, one for each command
//! <command>.answer   {to, ok | error}     an event that it sends; `to` counts the commands that it was given
//! ```

use engine_component::schema::{Access, Field, FieldType, Schema};
use engine_component::{StorageKind, msgpack};
use serde::{Deserialize, Serialize};

use crate::envelope::MAX_PAYLOAD;
use crate::messages::command::DOMAIN;
use crate::messages::{Problem, Reply};
use crate::{name, strict};

/// Words that programs know refusals by.
pub mod code {
    /// The command can't be read.
    pub const BAD_REQUEST: &str = "bad_request";
    /// Its type says that it means nothing.
    pub const INVALID: &str = "invalid";
    /// The handler is wrong.
    pub const INTERNAL: &str = "internal";
    /// The handler ran, and nothing of it answered.
    pub const UNANSWERED: &str = "unanswered";
    /// The handler did not run on all of its rows, and nothing of it answered.
    pub const NOT_RUN: &str = "not_run";
    /// Refused, with a word that is none.
    pub const REFUSED: &str = "refused";
}

/// Bytes of the word of a refusal, at the most: letters, digits, `_` and `-`.
pub const MAX_CODE: usize = 64;
/// Bytes of its text, at the most: what is behind them is cut off.
pub const MAX_TEXT: usize = 256;

/// A refusal that may be sent, kept and counted: its word is one, and its text is short.
#[must_use]
pub fn refusal(code: &str, reason: impl std::fmt::Display) -> Problem {
    let code = if is_code(code) { code } else { code::REFUSED };
    let mut problem = Problem::new(code, reason);
    problem.message.truncate(problem.message.floor_char_boundary(MAX_TEXT));
    problem
}

fn is_code(code: &str) -> bool {
    code.len() <= MAX_CODE && name::is_token(code)
}

/// What is known of a command beside what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The id that its sender gave it.
    pub id: String,
    /// The identity of who gave it, where the server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Domain, aggregate and action of a command that systems may answer; `None` when this is no such name.
#[must_use]
pub fn command_name(name: &str) -> Option<[&str; 3]> {
    let mut tokens = name.split('.');
    let name = [tokens.next()?, tokens.next()?, tokens.next()?];
    (tokens.next().is_none() && name[0] != DOMAIN).then_some(name)
}

/// The type of the heads of a command.
#[must_use]
pub fn head_schema(command: &str) -> Schema {
    document(format!("{command}.head"), &[("id", "String"), ("by", "Option<String>")])
}

/// The type of its answers.
#[must_use]
pub fn answer_schema(command: &str) -> Schema {
    document(format!("{command}.answer"), &[("to", "u32"), ("ok", "Option<Answer>"), ("error", "Option<Problem>")])
}

fn document(name: String, fields: &[(&str, &str)]) -> Schema {
    let field = |(name, ty): &(&str, &str)| Field {
        name: (*name).to_owned(),
        ty: FieldType::Text((*ty).to_owned()),
        offset: 0,
        default: None,
        was: None,
    };
    Schema {
        name,
        version: 1,
        kind: StorageKind::Document,
        size: 0,
        align: 1,
        finite: false,
        access: Access::default(),
        fields: fields.iter().map(field).collect(),
    }
}

#[derive(Serialize)]
struct Row<'a, T> {
    to: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Problem>,
}

/// An answer as an event. One that can't be written, or that nobody could read, is a refusal.
#[must_use]
pub fn write_answer<T: Serialize>(to: u32, answer: &Reply<T>) -> Vec<u8> {
    let (ok, error) = match answer {
        Reply::Ok(ok) => (Some(ok), None),
        Reply::Error(problem) => (None, Some(refusal(&problem.code, &problem.message))),
    };
    let error = error.as_ref();
    let reason = match rmp_serde::to_vec_named(&Row { to, ok, error }) {
        Ok(row) if row.len() > MAX_PAYLOAD => format!("{} bytes, where {MAX_PAYLOAD} are the most", row.len()),
        Ok(row) => match msgpack::check_whole(&row, msgpack::MAX_DEPTH) {
            Ok(()) => return row,
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let problem = refusal(code::INTERNAL, format_args!("the handler's answer can't be sent: {reason}"));
    strict::encode(&Row::<()> { to, ok: None, error: Some(&problem) })
}

/// An answer, read from an event whose document is well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Which of the commands that the handler was given.
    pub to: u32,
    /// MessagePack, or a refusal.
    pub result: Result<&'a [u8], Problem>,
}

impl<'a> Answer<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// When the document is no answer.
    pub fn read(row: &'a [u8]) -> Result<Self, &'static str> {
        let read = |name: &str| msgpack::entry(row, name);
        let to =
            read("to").and_then(|to| strict::decode(to, 16).ok()).ok_or("an answer says which command it is to")?;
        let result = match (read("ok"), read("error")) {
            (Some(ok), None) if ok.len() <= MAX_PAYLOAD => Ok(ok),
            (Some(_), None) => return Err("an answer that is too long"),
            (None, Some(problem)) => {
                let problem: Problem =
                    strict::decode(problem, 1024).map_err(|_| "a refusal has a code and a short message")?;
                if !is_code(&problem.code) || problem.message.len() > MAX_TEXT {
                    return Err("the code of a refusal is a word, and its message is short");
                }
                Err(problem)
            }
            _ => return Err("an answer is either `ok` or `error`"),
        };
        Ok(Self { to, result })
    }
}

/// The message that whoever gave the command gets: `{"ok": answer}`, around an answer that is MessagePack already.
#[must_use]
pub fn wrapped(answer: &[u8]) -> Vec<u8> {
    [b"\x81\xa2ok", answer].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_commands() {
        assert_eq!(command_name("shop.player.purchase"), Some(["shop", "player", "purchase"]));
        for other in ["shop.player", "shop.player.purchase.head", "world.entity.spawn", ""] {
            assert_eq!(command_name(other), None, "{other}");
        }
        for schema in [head_schema("a.b.c"), answer_schema("a.b.c")] {
            schema.check().unwrap();
        }
    }

    #[test]
    fn answers_come_back_as_they_were_written() {
        let row = write_answer(7, &Reply::Ok(vec![1, 2]));
        answer_schema("a.b.c").check_row(&row).unwrap();
        let answer = Answer::read(&row).unwrap();
        assert_eq!((answer.to, answer.result.clone()), (7, Ok(&[0x92, 1, 2][..])));
        let reply: Reply<Vec<u8>> = strict::decode(&wrapped(answer.result.unwrap()), 100).unwrap();
        assert_eq!(reply, Reply::Ok(vec![1, 2]));
        let nothing = write_answer(0, &Reply::Ok(()));
        assert_eq!(Answer::read(&nothing).unwrap().result, Ok(&[0xc0][..]));
        let problem = Problem::new("no_coins", "ada has none");
        let refused = write_answer::<()>(u32::MAX, &Reply::Error(problem.clone()));
        assert_eq!(Answer::read(&refused), Ok(Answer { to: u32::MAX, result: Err(problem) }));
    }

    #[test]
    fn refusals_are_short_and_have_words() {
        let long = Problem::new("no word", "é".repeat(MAX_TEXT));
        let row = write_answer::<()>(1, &Reply::Error(long));
        let problem = Answer::read(&row).unwrap().result.unwrap_err();
        assert_eq!((problem.code.as_str(), problem.message), ("refused", "é".repeat(MAX_TEXT / 2)));
    }

    #[test]
    fn what_nobody_could_read_is_a_refusal() {
        let deep = (0..40).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        for answer in [deep, serde_json::json!("x".repeat(MAX_PAYLOAD))] {
            let row = write_answer(1, &Reply::Ok(answer));
            assert_eq!(Answer::read(&row).unwrap().result.unwrap_err().code, code::INTERNAL);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let row = |value: serde_json::Value| rmp_serde::to_vec_named(&value).unwrap();
        for bad in [
            serde_json::json!({}),
            serde_json::json!({"to": 1}),
            serde_json::json!({"to": -1, "ok": 1}),
            serde_json::json!({"to": "1", "ok": 1}),
            serde_json::json!({"to": 1, "ok": 1, "error": {"code": "a", "message": "b"}}),
            serde_json::json!({"to": 1, "error": 5}),
            serde_json::json!({"to": 1, "error": {"code": "not a word", "message": "b"}}),
            serde_json::json!({"to": 1, "error": {"code": "a".repeat(MAX_CODE + 1), "message": "b"}}),
            serde_json::json!({"to": 1, "error": {"code": "a", "message": "b".repeat(MAX_TEXT + 1)}}),
            serde_json::json!([1, 2]),
        ] {
            assert!(Answer::read(&row(bad.clone())).is_err(), "{bad}");
        }
        assert!(Answer::read(&[]).is_err() && Answer::read(&[0x81, 0xa2]).is_err());
    }
}
