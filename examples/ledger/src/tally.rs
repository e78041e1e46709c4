//! Counting: each purchase in the journal against the stream, the balances and what the webhook took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use engine::service::Link;
use engine::service::projection::View;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::balance::{BUCKET, Balance};
use crate::house::House;
use crate::journal;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    /// Acknowledged and not in the stream, the balances or at the webhook.
    pub(crate) lost: usize,
    /// In the stream more than once, or counted more than once in a balance; or never wanted.
    pub(crate) doubled: usize,
    /// Posts that the webhook took more than once, which it can tell by their ids.
    pub(crate) posted_again: usize,
    pub(crate) problems: Vec<String>,
}

impl Tally {
    fn lost(&mut self, what: String) {
        self.lost += 1;
        self.problems.push(format!("lost: {what}"));
    }

    fn doubled(&mut self, what: String) {
        self.doubled += 1;
        self.problems.push(format!("doubled: {what}"));
    }
}

/// How often each id is in the stream, read message by message and without the machinery that is tested.
pub(crate) async fn in_stream(link: &Link) -> Result<(BTreeMap<String, usize>, u64)> {
    let stream = link.jet().get_stream(link.names().events("shop")).await?;
    let (first, last) = (stream.cached_info().state.first_sequence.max(1), stream.cached_info().state.last_sequence);
    let ids = stream::iter(first..=last).map(|sequence| {
        let stream = &stream;
        async move {
            let message = stream.get_raw_message(sequence).await?;
            let id = message.headers.get("ce-id").context("a message without an id")?;
            Ok::<_, anyhow::Error>(id.as_str().to_owned())
        }
    });
    let ids: Vec<String> = ids.buffered(64).try_collect().await?;
    let mut counts = BTreeMap::new();
    ids.into_iter().for_each(|id| *counts.entry(id).or_default() += 1);
    Ok((counts, last))
}

/// Waits until nothing is on its way any more, then compares.
pub(crate) async fn count(house: &House, within: Duration) -> Result<Tally> {
    let link = Link::open(&house.config(), "tally").await?;
    let wants = journal::read(&house.journal())?;
    let (counts, last) = in_stream(&link).await?;
    let view = View::<Balance>::open(&link, BUCKET).await?;
    let expected: BTreeSet<String> = counts.keys().map(|id| format!("{id}.0")).collect();
    let started = Instant::now();
    let mut taken = taken(house)?;
    while (view.mark().await? < last || taken.len() < expected.len()) && started.elapsed() < within {
        tokio::time::sleep(Duration::from_millis(100)).await;
        taken = self::taken(house)?;
    }
    let mut tally =
        Tally { acknowledged: wants.values().filter(|want| want.bought.is_some()).count(), ..Tally::default() };
    for id in wants.iter().filter(|(_, want)| want.bought.is_some()).map(|(id, _)| id) {
        match counts.get(id) {
            None => tally.lost(format!("{id} is not in the stream")),
            Some(1) if !taken.contains_key(&format!("{id}.0")) => tally.lost(format!("{id} is not at the webhook")),
            Some(_) => {}
        }
    }
    for (id, count) in &counts {
        if *count > 1 || !wants.contains_key(id) {
            tally.doubled(format!("{id} is {count} times in the stream"));
        }
    }
    for id in taken.keys().filter(|id| !expected.contains(*id)) {
        tally.doubled(format!("the webhook was told of {id}, which never happened"));
    }
    tally.posted_again = taken.values().map(|count| count - 1).sum();
    balances(&mut tally, &wants, view.all().await?);
    Ok(tally)
}

/// Folds the journal and compares it with the projection.
fn balances(tally: &mut Tally, wants: &BTreeMap<String, journal::Want>, found: BTreeMap<String, Balance>) {
    let mut expected: BTreeMap<String, Balance> = BTreeMap::new();
    for want in wants.values() {
        let balance = expected.entry(want.player.clone()).or_default();
        match want.bought {
            Some(true) => {
                balance.purchases += 1;
                balance.spent += want.price;
            }
            Some(false) => balance.refused += 1,
            None => tally.problems.push(format!("a purchase of {} has no answer", want.player)),
        }
    }
    for (player, wanted) in expected {
        let balance = found.get(&player).cloned().unwrap_or_default();
        let (want, have) = (wanted.purchases + wanted.refused, balance.purchases + balance.refused);
        if have < want {
            tally.lost(format!("{player}: {wanted:?} in the journal, {balance:?} in the bucket"));
        } else if balance != wanted {
            tally.doubled(format!("{player}: {wanted:?} in the journal, {balance:?} in the bucket"));
        }
    }
}

/// How often the webhook took each id.
pub(crate) fn taken(house: &House) -> Result<BTreeMap<String, usize>> {
    let text = std::fs::read_to_string(house.taken()).unwrap_or_default();
    let mut counts = BTreeMap::new();
    text.lines().for_each(|id| *counts.entry(id.to_owned()).or_default() += 1);
    Ok(counts)
}
