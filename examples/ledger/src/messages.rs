//! What is said in this house: one command, its answer, two events.

use engine::component::{Command, Event, Invalid};
use serde::{Deserialize, Serialize};

/// A player wants something.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(name = "shop.player.purchase", document, answer = Receipt, validate = Purchase::check)]
pub(crate) struct Purchase {
    #[command(key)]
    pub(crate) player: String,
    pub(crate) item: String,
    pub(crate) price: u64,
}

impl Purchase {
    fn check(&self) -> Result<(), Invalid> {
        let fine = self.price > 0 && self.price <= 1_000_000 && self.item.len() <= 64;
        if fine { Ok(()) } else { Err(Invalid::new("a purchase has an item and a price up to a million")) }
    }
}

/// What the player is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) bought: bool,
    /// What the player has spent so far.
    pub(crate) spent: u64,
}

/// A player has bought something.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(name = "shop.Purchased", document)]
pub(crate) struct Purchased {
    pub(crate) player: String,
    pub(crate) item: String,
    pub(crate) price: u64,
}

/// A player can't afford it.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(name = "shop.Refused", document)]
pub(crate) struct Refused {
    pub(crate) player: String,
    pub(crate) item: String,
}
