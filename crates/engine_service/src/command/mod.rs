//! Commands: what is asked of one aggregate, and answered when it is durable; exactly once for each id.
//!
//! ```text
//!  client ── request, id ──> one handler of the group
//!                               1  the aggregate's history is read up to its end (or is in memory)
//!                               2  is the id in it? then the answer is the one that is stored
//!                               3  else decide: an answer, and what happened
//!                               4  append both as ONE message: "only if the history still ends where I read it"
//!  client <── answer ───────    5  when the stream says that it has it
//! ```
//!
//! The history of an aggregate is a subject of its domain's event stream, and the message is the *outcome* of the command:
//! its answer and its events. That is all there is to store, so there is no moment in which a kill leaves half of it.
//!
//! * Two handlers on one aggregate: the second append is refused, its handler reads what came before and begins again at 2.
//! * A lost acknowledgement: nobody knows whether it is stored. The history is read again; begin at 2.
//! * A repeated id, be it years later and at another handler: it is in the history. There is no window.
//! * A kill at any point: before 4 nothing happened, and the client asks again; behind it everything did, see 2.
//!
//! The price: a handler keeps the ids of the aggregates that it has in memory, 24 bytes for each command, and reads the
//! whole history of one that it hasn't.

mod aggregates;
mod client;
mod decision;
mod handler;
mod history;
mod intake;

pub use client::{Client, Patience};
pub use decision::Decision;
pub use handler::{Aggregate, CommandHandler, Handler, Limits};
pub(crate) use intake::later;

/// The queue group of all handlers, and the durable consumer that they share.
pub(crate) const GROUP: &str = "handler";

/// Words that programs know refusals by.
pub mod code {
    /// The command is no command: it won't be another time either.
    pub const BAD_REQUEST: &str = "bad_request";
    /// Its type says that it means nothing.
    pub const INVALID: &str = "invalid";
    /// The handler has too much to do; ask again.
    pub const OVERLOADED: &str = "overloaded";
    /// The streams can't be reached; ask again.
    pub const UNAVAILABLE: &str = "unavailable";
    /// The aggregate has as many outcomes as a handler keeps.
    pub const FULL: &str = "full";
    /// The handler is wrong.
    pub const INTERNAL: &str = "internal";

    /// Whether the same command may be answered otherwise soon.
    #[must_use]
    pub fn passes(code: &str) -> bool {
        matches!(code, OVERLOADED | UNAVAILABLE)
    }
}
