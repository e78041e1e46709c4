//! Players who buy: what the journal wants and has no answer for first, then more, until SIGTERM.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use engine::service::command::{Client, Patience};
use engine::service::{Link, ServiceError};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::journal::{self, Journal};
use crate::messages::{Purchase, Receipt};

/// Who buys.
const PLAYERS: u64 = 12;
/// How many of them at a time.
const AT_A_TIME: usize = 6;

struct Buyer {
    client: Client,
    journal: Journal,
}

impl Buyer {
    /// Asks until there is an answer: with the same id, so that it is bought once.
    async fn buy(&self, id: &str, player: &str, price: u64) -> Result<Receipt> {
        let purchase = Purchase { player: player.to_owned(), item: "sword".into(), price };
        let envelope = self.client.envelope::<Purchase>().with_id(id);
        loop {
            match self.client.command_as(&envelope, &purchase).await {
                Ok(receipt) => {
                    self.journal.done(id, receipt.bought)?;
                    return Ok(receipt);
                }
                Err(ServiceError::NoAnswer { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

pub(crate) async fn run(link: &Link, path: &Path) -> Result<()> {
    let patience = Patience { one: Duration::from_millis(800), ..Patience::default() };
    let buyer = Arc::new(Buyer { client: Client::new(link).with_patience(patience), journal: Journal::open(path)? });
    let wants = journal::read(path)?;
    let begun = wants.len() as u64;
    let open = wants.into_iter().filter(|(_, want)| want.bought.is_none());
    let again = open.map(|(id, want)| {
        let buyer = buyer.clone();
        async move { buyer.buy(&id, &want.player, want.price).await }
    });
    stream::iter(again).buffer_unordered(AT_A_TIME).try_for_each(|_| async { Ok(()) }).await?;

    let (ends, number) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(begun));
    let mut told = signal(SignalKind::terminate())?;
    let flag = ends.clone();
    tokio::spawn(async move {
        told.recv().await;
        flag.store(true, Ordering::Relaxed);
    });
    let players = (0..AT_A_TIME).map(async |_| {
        while !ends.load(Ordering::Relaxed) {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let (player, price) = (format!("player-{}", number % PLAYERS), 1 + number % 97);
            let id = buyer.client.envelope::<Purchase>().id;
            buyer.journal.want(&id, &player, price)?;
            buyer.buy(&id, &player, price).await?;
            // Players think for a moment, so that the webhook can follow.
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        Ok::<_, anyhow::Error>(())
    });
    futures_util::future::try_join_all(players).await?;
    Ok(())
}
