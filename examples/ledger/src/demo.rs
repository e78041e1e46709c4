//! All parts at work, a line a second.

use std::time::Duration;

use anyhow::Result;
use engine::service::Link;
use engine::service::projection::View;
use engine::service::query;
use engine::service::subscribe::Durable;

use crate::balance::{BUCKET, Balance, HowIs};
use crate::hook::CONSUMER;
use crate::house::House;
use crate::{journal, tally};

pub(crate) fn run(seconds: u64) -> Result<()> {
    let house = House::open()?;
    println!("two shops, balances, a webhook with a flaky receiver, and a buyer, on {}", house.server.url());
    println!(
        "{:>6} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "second", "purchases", "in balance", "webhook", "waiting", "player-0"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let link = Link::open(&house.config(), "demo").await?;
        let view = View::<Balance>::open(&link, BUCKET).await?;
        let events = Durable::new(&link, CONSUMER, "shop.>")?;
        for second in 1..=seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let done = journal::read(&house.journal())?.values().filter(|want| want.bought.is_some()).count();
            let folded: u64 = view.all().await?.values().map(|balance| balance.purchases + balance.refused).sum();
            let waiting = events.depth().await.map(|depth| depth.pending + depth.unacknowledged as u64);
            let asked = query::ask(&link, &HowIs { player: "player-0".into() }, Duration::from_secs(2)).await;
            let spent =
                asked.ok().flatten().map_or_else(|| "?".to_owned(), |balance| format!("spent {}", balance.spent));
            let waiting = waiting.map_or_else(|_| "?".to_owned(), |waiting| waiting.to_string());
            let taken = tally::taken(&house)?.len();
            println!("{second:>6} {done:>10} {folded:>10} {taken:>10} {waiting:>10} {spent:>12}");
        }
        Ok(())
    })
}
