//! The shop: whether a player may buy something, by what the player has bought before.

use anyhow::Result;
use engine::component::Data;
use engine::service::command::{Aggregate, CommandHandler, Decision, Handler};
use engine::service::{Link, Presence, ReadError, Recorded};

use crate::messages::{Purchase, Purchased, Receipt, Refused};

/// What each player may spend.
pub(crate) const BUDGET: u64 = 50_000;

pub(crate) struct Shop;

/// A player, to the shop.
#[derive(Default)]
pub(crate) struct Player {
    spent: u64,
}

impl Aggregate for Shop {
    const DOMAIN: &'static str = "shop";
    const NAME: &'static str = "player";
    type State = Player;

    fn apply(&self, player: &mut Player, event: &Recorded) -> Result<(), ReadError> {
        if event.name() == Purchased::NAME {
            player.spent += event.read::<Purchased>()?.price;
        }
        Ok(())
    }
}

impl CommandHandler<Purchase> for Shop {
    fn handle(&self, player: &Player, purchase: &Purchase) -> Decision<Receipt> {
        let Purchase { player: name, item, price } = purchase.clone();
        let spent = player.spent.saturating_add(price);
        if spent > BUDGET {
            let refused = Refused { player: name, item };
            return Decision::answer(Receipt { bought: false, spent: player.spent }).event(&refused);
        }
        Decision::answer(Receipt { bought: true, spent }).event(&Purchased { player: name, item, price })
    }
}

pub(crate) async fn run(link: &Link) -> Result<()> {
    let handler = Handler::new(link, Shop).on::<Purchase>();
    let presence = Presence::new(link, env!("CARGO_PKG_VERSION"), "sells to players").with(handler.gauge());
    tokio::select! {
        ended = handler.run() => ended?,
        ended = presence.run() => ended?,
    }
    Ok(())
}
