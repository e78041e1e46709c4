//! Commands of programs outside as a parameter.

use std::cell::RefCell;
use std::ops::Deref;

use engine_component::schema::Schema;
use engine_component::{Command, DecodeError, Storage};
use engine_net::handled::{self, Head, code};
use engine_net::messages::{Problem, Reply};

use crate::declaration::{Declaration, short_name};
use crate::events::{EventBatch, EventSlice};
use crate::job_input::JobScope;
use crate::param::Param;
use crate::system::JobError;

/// Commands that programs outside gave since the system last ran, in the order in which the world accepted them. A
/// parameter of systems; one system of a world handles a type of command.
///
/// Every shard gets all of them. The first answer to a command counts, in the order of shards; one that nobody answers is
/// refused with the code `unanswered`. Whoever gave it is told when the tick is durable, and once: a command that comes
/// again gets the answer that it got before.
///
/// ```
/// use engine_component::query::Query;
/// use engine_component::{Command, Component};
/// use engine_system::{CommandHandler, IntoSystem};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Copy, Component)]
/// #[component(name = "doc.Purse")]
/// #[repr(C)]
/// struct Purse {
///     player: u64,
///     coins: u64,
/// }
///
/// #[derive(Serialize, Deserialize, Command)]
/// #[command(name = "doc.purse.pay", document, answer = u64)]
/// struct Pay {
///     #[command(key)]
///     player: u64,
///     price: u64,
/// }
///
/// fn pay(orders: CommandHandler<Pay>, mut purses: Query<&mut Purse>) {
///     for purse in &mut purses {
///         for order in orders.iter().filter(|order| order.player == purse.player) {
///             match purse.coins.checked_sub(order.price) {
///                 Some(left) => {
///                     purse.coins = left;
///                     orders.answer(order, left);
///                 }
///                 None => orders.refuse(order, "no_coins", format_args!("{} has {}", purse.player, purse.coins)),
///             }
///         }
///     }
/// }
///
/// let system = pay.into_system("pay").unwrap();
/// assert_eq!(system.descriptor().handles.len(), 1);
/// ```
#[derive(Debug)]
pub struct CommandHandler<'w, C: Command> {
    given: Vec<Given<C>>,
    answers: RefCell<Answers<'w>>,
}

/// Commands of one tick of which their senders are told why they can't be read, or mean nothing, at the most.
const MAX_UNREAD: usize = 64;

/// A command, and who gave it.
#[derive(Debug)]
pub struct Given<C> {
    number: u32,
    head: Head,
    command: C,
}

impl<C> Given<C> {
    /// The identity of who gave it, where its connection has one: the server vouches for it.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.head.by.as_deref()
    }

    /// The id that its sender gave it: a UUID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.head.id
    }
}

impl<C> Deref for Given<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.command
    }
}

#[derive(Debug)]
struct Answers<'w> {
    batch: &'w mut EventBatch,
    schema: Schema,
}

impl Answers<'_> {
    fn put<T: serde::Serialize>(&mut self, to: u32, answer: &Reply<T>) {
        self.batch.push_raw(&self.schema, &handled::write_answer(to, answer));
    }
}

impl<'w, C: Command> CommandHandler<'w, C> {
    /// A handler of these commands, with the head of each. What can't be read, or means nothing by its own type, is
    /// refused here, and no business of the system's.
    #[must_use]
    pub fn new(commands: EventSlice<'_>, heads: EventSlice<'_>, answers: &'w mut EventBatch) -> Self {
        let mut answers = Answers { batch: answers, schema: handled::answer_schema(C::NAME) };
        let mut given = Vec::new();
        let rows = if commands.holds::<C>() { commands } else { EventSlice::default() }.rows();
        let mut unread = 0;
        for (number, (row, head)) in (0..).zip(rows.zip(heads.rows())) {
            match read::<C>(row) {
                Ok(command) => given.push(Given { number, head: read_head(head), command }),
                // Every shard says the same: so not without end. Whoever is not told why is told that nobody answered.
                Err(problem) if unread < MAX_UNREAD => {
                    unread += 1;
                    answers.put(number, &Reply::<()>::Error(problem));
                }
                Err(_) => {}
            }
        }
        Self { given, answers: RefCell::new(answers) }
    }

    /// The commands.
    pub fn iter(&self) -> impl Iterator<Item = &Given<C>> {
        self.given.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Answers a command. The answer may name entities that the same job spawned.
    pub fn answer(&self, to: &Given<C>, answer: C::Answer) {
        self.answers.borrow_mut().put(to.number, &Reply::Ok(answer));
    }

    /// Refuses a command: with a word for programs (letters, digits, `_` and `-`, 64 bytes at the most), and the reason
    /// for people, of which 256 bytes are kept.
    pub fn refuse(&self, to: &Given<C>, code: &str, reason: impl std::fmt::Display) {
        self.answers.borrow_mut().put(to.number, &Reply::<()>::Error(handled::refusal(code, reason)));
    }
}

impl<'h, C: Command> IntoIterator for &'h CommandHandler<'_, C> {
    type Item = &'h Given<C>;
    type IntoIter = std::slice::Iter<'h, Given<C>>;

    fn into_iter(self) -> Self::IntoIter {
        self.given.iter()
    }
}

fn read<C: Command>(row: &[u8]) -> Result<C, Problem> {
    let unreadable = |error: DecodeError| handled::refusal(code::BAD_REQUEST, error);
    let command: C = C::Storage::decode(row).map_err(unreadable)?;
    command.validate().map_err(|invalid| handled::refusal(code::INVALID, invalid))?;
    Ok(command)
}

/// The coordinator writes them: one that can't be read is nobody's.
fn read_head(row: &[u8]) -> Head {
    engine_net::strict::decode(row, row.len()).unwrap_or_default()
}

impl<C: Command> Param for CommandHandler<'_, C> {
    type Item<'w> = CommandHandler<'w, C>;

    fn declare(declaration: &mut Declaration) {
        let text = format!("CommandHandler<{}>", short_name::<C>());
        declaration.handles_command(text, C::schema());
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        let (commands, heads) = (job.next_events()?, job.next_events()?);
        Ok(CommandHandler::new(commands, heads, job.next_sent()?))
    }
}
