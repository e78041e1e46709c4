//! A second aggregate: what it is asked for says how much there is to store.

use engine_component::{Command, Event};
use engine_service::command::{Aggregate, CommandHandler, Decision, Handler};
use engine_service::{Link, ReadError, Recorded};
use serde::{Deserialize, Serialize};

/// One event for each length. Answered with how many there were before.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(name = "bank.chest.fill", document, answer = u64)]
pub(crate) struct Fill {
    #[command(key)]
    pub(crate) chest: String,
    pub(crate) lengths: Vec<u64>,
}

impl Fill {
    pub(crate) fn of(chest: &str, lengths: &[u64]) -> Self {
        Self { chest: chest.into(), lengths: lengths.into() }
    }
}

/// Nothing happens.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(name = "bank.chest.count", document, answer = u64)]
pub(crate) struct Count {
    #[command(key)]
    pub(crate) chest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "bank.Filled", document)]
pub(crate) struct Filled {
    pub(crate) text: String,
}

pub(crate) struct Chest;

impl Aggregate for Chest {
    const DOMAIN: &'static str = "bank";
    const NAME: &'static str = "chest";
    type State = u64;

    fn apply(&self, count: &mut u64, event: &Recorded) -> Result<(), ReadError> {
        event.read::<Filled>()?;
        *count += 1;
        Ok(())
    }
}

impl CommandHandler<Fill> for Chest {
    fn handle(&self, count: &u64, fill: &Fill) -> Decision<u64> {
        let event = |length: &u64| Filled { text: "x".repeat(*length as usize) };
        fill.lengths.iter().map(event).fold(Decision::answer(*count), |decision, event| decision.event(&event))
    }
}

impl CommandHandler<Count> for Chest {
    fn handle(&self, count: &u64, _: &Count) -> Decision<u64> {
        Decision::answer(*count)
    }
}

/// A handler at work in the background.
pub(crate) fn chest(link: &Link) {
    let handler = Handler::new(link, Chest).on::<Fill>().on::<Count>();
    tokio::spawn(async move { panic!("a handler ended: {:?}", handler.run().await) });
}
