//! Balances: purchases folded by player into a bucket, and a question about them.

use anyhow::Result;
use engine::component::Data;
use engine::net::messages::Problem;
use engine::service::projection::{Projection, Runner, View};
use engine::service::query::{Answers, Question};
use engine::service::{Link, Presence, ReadError, Recorded};
use serde::{Deserialize, Serialize};

use crate::messages::{Purchased, Refused};

/// The bucket.
pub(crate) const BUCKET: &str = "shop_balances";

pub(crate) struct Balances;

/// What a player has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) purchases: u64,
    pub(crate) spent: u64,
    pub(crate) refused: u64,
}

impl Projection for Balances {
    const EVENTS: &'static str = "shop.>";
    type Value = Balance;

    fn key(&self, event: &Recorded) -> Result<Option<String>, ReadError> {
        Ok(match event.name() {
            Purchased::NAME => Some(event.read::<Purchased>()?.player),
            Refused::NAME => Some(event.read::<Refused>()?.player),
            _ => None,
        })
    }

    fn fold(&self, balance: &mut Balance, event: &Recorded) -> Result<(), ReadError> {
        if event.name() == Purchased::NAME {
            balance.purchases += 1;
            balance.spent += event.read::<Purchased>()?.price;
        } else {
            balance.refused += 1;
        }
        Ok(())
    }
}

/// How is this player?
#[derive(Serialize, Deserialize)]
pub(crate) struct HowIs {
    pub(crate) player: String,
}

impl Question for HowIs {
    const SERVICE: &'static str = "balance";
    const NAME: &'static str = "player";
    type Answer = Option<Balance>;
}

pub(crate) async fn run(link: &Link) -> Result<()> {
    let mut runner = Runner::new(link, BUCKET, Balances)?;
    let view = View::<Balance>::open(link, BUCKET).await?;
    let answers = Answers::new(link, "balance")?.on(move |question: HowIs| {
        let view = view.clone();
        async move {
            let found = view.get(&question.player).await.map_err(|error| Problem::new("unavailable", error))?;
            Ok(found.map(|(balance, _)| balance))
        }
    });
    let presence = Presence::new(link, env!("CARGO_PKG_VERSION"), "knows what players have spent");
    let presence = presence.with(runner.gauge()).with(answers.gauge());
    tokio::select! {
        ended = runner.run() => ended?,
        ended = answers.run() => ended?,
        ended = presence.run() => ended?,
    }
    Ok(())
}
