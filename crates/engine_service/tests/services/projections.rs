//! Projections: each event counts once, wherever the runner stops.

use engine_component::Data;
use engine_service::command::Client;
use engine_service::projection::{Projection, Runner, View};
use engine_service::publish::Publisher;
use engine_service::{Link, ReadError, Recorded};
use futures_util::{FutureExt, StreamExt};

use crate::place::{Deposit, Deposited, bank, link, run, server, until, with_server};

/// Where a bucket's mark is.
const MARK: &str = ".=mark";

struct Coins;

impl Projection for Coins {
    const EVENTS: &'static str = "bank.>";
    type Value = Vec<u64>;

    fn key(&self, event: &Recorded) -> Result<Option<String>, ReadError> {
        let is_one = event.name() == Deposited::NAME;
        if is_one { Ok(Some(event.read::<Deposited>()?.account)) } else { Ok(None) }
    }

    fn fold(&self, coins: &mut Vec<u64>, event: &Recorded) -> Result<(), ReadError> {
        coins.push(event.read::<Deposited>()?.coins);
        Ok(())
    }
}

async fn publish(link: &Link, coins: std::ops::Range<u64>) {
    let event = |coins: u64| Deposited::of(&format!("account-{}", coins % 3), coins);
    let events: Vec<_> = coins.map(event).collect();
    // In order: the value shows it.
    for stored in Publisher::new(link).publish_all(&events).await {
        stored.unwrap();
    }
}

async fn check(link: &Link, bucket: &str, end: u64) {
    let view = View::<Vec<u64>>::open(link, bucket).await.unwrap();
    for account in 0..3 {
        let (coins, _) = view.get(&format!("account-{account}")).await.unwrap().unwrap();
        assert_eq!(coins, (1..end).filter(|coins| coins % 3 == account).collect::<Vec<_>>());
    }
    assert_eq!(view.all().await.unwrap().len(), 3, "the mark is no value");
}

#[test]
fn events_of_publishers_and_commands_are_folded() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        Client::new(&link).command(&Deposit::of("ada", 4)).await.unwrap();
        Publisher::new(&link).publish(&Deposited::of("ada", 5)).await.unwrap();
        let mut runner = Runner::new(&link, "coins", Coins).unwrap();
        runner.catch_up().await.unwrap();
        runner.catch_up().await.unwrap();
        let view = View::<Vec<u64>>::open(&link, "coins").await.unwrap();
        assert_eq!(view.get("ada").await.unwrap().unwrap().0, [4, 5]);
        assert_eq!(view.get("bob").await.unwrap(), None);
    });
}

#[test]
fn a_runner_that_is_dropped_between_values_and_mark_counts_nothing_twice() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        publish(&link, 1..1500).await;
        // Every write is heard on the runner's own connection, before its acknowledgement.
        let mut writes = link.client().subscribe("$KV.coins.>").await.unwrap();
        let view = View::<Vec<u64>>::open(&link, "coins").await.unwrap();
        for _ in 0..5 {
            {
                let mut runner = Runner::new(&link, "coins", Coins).unwrap();
                let mut folding = std::pin::pin!(runner.run());
                loop {
                    tokio::select! {
                        biased;
                        write = writes.next() => if !write.unwrap().subject.ends_with(MARK) { break },
                        ended = &mut folding => panic!("it folds until it is dropped: {ended:?}"),
                    }
                }
            }
            // What it wrote is there, and is behind no mark: the next one folds the same messages again.
            until(|| async {
                let values = [0, 1, 2].map(|account| format!("account-{account}"));
                let mark = view.mark().await.unwrap();
                let mut written = 0;
                for account in values {
                    let sequence = view.get(&account).await.unwrap().map_or(0, |(_, sequence)| sequence);
                    written = sequence.max(written);
                }
                written > mark
            })
            .await;
            link.client().flush().await.unwrap();
            while writes.next().now_or_never().is_some() {}
        }
        Runner::new(&link, "coins", Coins).unwrap().catch_up().await.unwrap();
        check(&link, "coins", 1500).await;
    });
}

#[test]
fn two_runners_at_once_count_nothing_twice() {
    with_server(|config| async move {
        let (one, two) = (link(&config, "a").await, link(&config, "b").await);
        one.ensure_domain("bank").await.unwrap();
        for link in [&one, &two] {
            let mut runner = Runner::new(link, "coins", Coins).unwrap();
            tokio::spawn(async move { runner.run().await });
        }
        for round in 0..10 {
            publish(&one, (1 + round * 50).max(1)..1 + (round + 1) * 50).await;
        }
        Runner::new(&one, "coins", Coins).unwrap().catch_up().await.unwrap();
        check(&one, "coins", 501).await;
    });
}

#[test]
fn a_lost_mark_or_an_older_one_changes_nothing() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        publish(&link, 1..100).await;
        Runner::new(&link, "coins", Coins).unwrap().catch_up().await.unwrap();
        let store = link.jet().get_key_value("coins").await.unwrap();
        store.delete("=mark").await.unwrap();
        publish(&link, 100..110).await;
        Runner::new(&link, "coins", Coins).unwrap().catch_up().await.unwrap();
        check(&link, "coins", 110).await;
    });
}

#[test]
fn a_rebuild_folds_everything_anew() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        publish(&link, 1..50).await;
        let mut runner = Runner::new(&link, "coins", Coins).unwrap();
        runner.catch_up().await.unwrap();
        // Somebody broke it.
        let store = link.jet().get_key_value("coins").await.unwrap();
        store.put("account-1", "broken".into()).await.unwrap();
        runner.rebuild().await.unwrap();
        check(&link, "coins", 50).await;
        // Or into another bucket, while readers have the first.
        Runner::new(&link, "coins2", Coins).unwrap().catch_up().await.unwrap();
        check(&link, "coins2", 50).await;
    });
}

#[test]
fn it_goes_on_when_the_server_comes_back() {
    let mut server = server();
    run(async move {
        let link = link(&server.config(), "t").await;
        link.ensure_domain("bank").await.unwrap();
        let mut runner = Runner::new(&link, "coins", Coins).unwrap();
        tokio::spawn(async move { runner.run().await });
        publish(&link, 1..10).await;
        let view = View::<Vec<u64>>::open(&link, "coins").await.unwrap();
        until(async || view.mark().await.unwrap() >= 9).await;
        server.restart().unwrap();
        // One after the other: of many at once, those whose acknowledgement was lost would be sent again behind others.
        for coins in 10..20 {
            publish(&link, coins..coins + 1).await;
        }
        until(async || view.mark().await.is_ok_and(|mark| mark >= 19)).await;
        check(&link, "coins", 20).await;
    });
}

#[test]
fn what_can_not_be_read_is_left_out_and_counted() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        link.jet().publish(link.names().event("bank.Deposited"), "junk".into()).await.unwrap().await.unwrap();
        publish(&link, 1..4).await;
        let mut runner = Runner::new(&link, "coins", Coins).unwrap();
        runner.catch_up().await.unwrap();
        assert_eq!(runner.refused(), 1);
        check(&link, "coins", 4).await;
    });
}

#[test]
fn a_value_that_is_none_stops_the_runner_and_says_which() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        publish(&link, 1..4).await;
        let mut runner = Runner::new(&link, "coins", Coins).unwrap();
        runner.catch_up().await.unwrap();
        let store = link.jet().get_key_value("coins").await.unwrap();
        store.put("account-1", "broken".into()).await.unwrap();
        publish(&link, 4..7).await;
        // One that has the value in memory notices when it writes, and reads it anew.
        for mut runner in [runner, Runner::new(&link, "coins", Coins).unwrap()] {
            let error = runner.catch_up().await.unwrap_err();
            assert!(!error.may_pass() && error.to_string().contains("account-1"), "{error}");
        }
        let view = View::<Vec<u64>>::open(&link, "coins").await.unwrap();
        assert!(!view.get("account-1").await.unwrap_err().may_pass());
    });
}

/// Grows without end.
struct Hoard;

impl Projection for Hoard {
    const EVENTS: &'static str = "bank.>";
    type Value = String;

    fn key(&self, _: &Recorded) -> Result<Option<String>, ReadError> {
        Ok(Some("all".into()))
    }

    fn fold(&self, value: &mut String, event: &Recorded) -> Result<(), ReadError> {
        *value += &"x".repeat(event.read::<Deposited>()?.coins as usize);
        Ok(())
    }
}

#[test]
fn a_value_that_could_not_be_read_again_is_not_written() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let mut runner = Runner::new(&link, "hoard", Hoard).unwrap();
        Publisher::new(&link).publish(&Deposited::of("ada", 400_000)).await.unwrap();
        runner.catch_up().await.unwrap();
        Publisher::new(&link).publish(&Deposited::of("ada", 200_000)).await.unwrap();
        let error = runner.catch_up().await.unwrap_err();
        assert!(!error.may_pass() && error.to_string().contains("keep all in the bucket hoard"), "{error}");
        let view = View::<String>::open(&link, "hoard").await.unwrap();
        assert_eq!(view.get("all").await.unwrap().unwrap().0.len(), 400_000, "as it was");
    });
}
