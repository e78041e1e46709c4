//! Messages that are given up are kept, and come back to whom they were meant for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_service::dead::{Collector, DeadLetters, Letter};
use engine_service::envelope::{Content, Envelope};
use engine_service::publish::Publisher;
use engine_service::subscribe::{Durable, Verdict};
use engine_service::{Backoff, Link, Recorded};

use crate::place::{Closed, Deposited, bank, link, until, with_server};

type Seen = Arc<Mutex<Vec<(u64, u32)>>>;

/// A consumer that takes what it is allowed to, and notes what it took.
fn consumer(link: &Link, name: &str, verdict: Verdict, takes: &Arc<AtomicBool>) -> Seen {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(10) };
    let durable = Durable::new(link, name, "bank.Deposited").unwrap().backoff(backoff).max_deliver(3);
    let (seen, takes) = (Seen::default(), takes.clone());
    let noted = seen.clone();
    tokio::spawn(async move {
        let handle = move |event: Recorded| {
            let (verdict, takes, noted) = (verdict.clone(), takes.clone(), noted.clone());
            async move {
                if !takes.load(Ordering::Relaxed) {
                    return verdict;
                }
                let coins = event.read::<Deposited>().unwrap().coins;
                noted.lock().unwrap().push((coins, event.place.unwrap().delivered));
                Verdict::Done
            }
        };
        durable.run(handle).await
    });
    seen
}

fn collect(link: &Link) {
    let collector = Collector::new(link, "bank").unwrap();
    tokio::spawn(async move { collector.run().await });
}

async fn letters(link: &Link, count: usize) -> (DeadLetters, Vec<Letter>) {
    let dead = DeadLetters::open(link).await.unwrap();
    until(async || dead.list(0, 100).await.unwrap().len() >= count).await;
    let letters = dead.list(0, 100).await.unwrap();
    (dead, letters)
}

#[test]
fn poison_is_kept_with_its_reason_and_replayed_to_its_consumer_alone() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let (never, always) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let failing = consumer(&link, "failing", Verdict::poison("no such\r\naccount"), &never);
        let other = consumer(&link, "other", Verdict::Done, &always);
        collect(&link);
        Publisher::new(&link).publish(&Deposited::of("ada", 5)).await.unwrap();
        let (dead, letters) = letters(&link, 1).await;
        let letter = &letters[0];
        assert_eq!((letter.consumer.as_str(), letter.domain.as_str(), letter.sequence), ("failing", "bank", 1));
        assert!(letter.reason.starts_with("no such") && letter.subject.ends_with("event.bank.Deposited"), "{letter:?}");
        assert_eq!(letter.values()[0].1.as_ref().unwrap()["coins"], 5);
        never.store(true, Ordering::Relaxed);
        dead.replay(letter.number).await.unwrap();
        until(async || failing.lock().unwrap().len() == 1).await;
        assert_eq!(failing.lock().unwrap()[0], (5, 1), "as a new one");
        assert_eq!(dead.list(0, 10).await.unwrap().len(), 0);
        Publisher::new(&link).publish(&Deposited::of("ada", 6)).await.unwrap();
        until(async || other.lock().unwrap().len() == 2).await;
        assert_eq!(*other.lock().unwrap(), [(5, 1), (6, 1)], "nothing came twice");
    });
}

#[test]
fn what_fails_too_often_is_given_up() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        consumer(&link, "failing", Verdict::retry("the other side is down"), &Arc::default());
        Publisher::new(&link).publish(&Deposited::of("ada", 5)).await.unwrap();
        Publisher::new(&link).publish(&Deposited::of("ada", 6)).await.unwrap();
        // Advisories wait for whoever collects.
        until(async || {
            let advisories = link.jet().get_stream(link.names().advisories("bank")).await.unwrap();
            advisories.cached_info().state.messages == 2
        })
        .await;
        collect(&link);
        collect(&link);
        let (dead, letters) = letters(&link, 2).await;
        assert_eq!(letters[0].reason, "given up after 3 deliveries: the other side is down");
        assert_eq!(letters[0].deliveries, 3);
        dead.drop(letters[0].number).await.unwrap();
        assert!(dead.get(letters[0].number).await.is_err());
        assert_eq!(dead.list(letters[0].number, 10).await.unwrap().len(), 1);
        assert!(dead.drop(letters[0].number).await.is_err());
    });
}

#[test]
fn a_consumer_that_dies_with_a_message_is_not_given_it_for_ever() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        collect(&link);
        let durable =
            Durable::new(&link, "dying", "bank.>").unwrap().max_deliver(2).ack_wait(Duration::from_millis(150));
        Publisher::new(&link).publish(&Closed).await.unwrap();
        for _ in 0..2 {
            // It never says what became of the message, and is dropped with it.
            let (sender, mut got) = tokio::sync::mpsc::channel(1);
            let durable = durable.clone();
            let dying = tokio::spawn(async move {
                let handle = move |_: Recorded| {
                    let sender = sender.clone();
                    async move {
                        let _ = sender.send(()).await;
                        std::future::pending().await
                    }
                };
                durable.run(handle).await
            });
            got.recv().await.unwrap();
            dying.abort();
        }
        // The server notices when somebody asks for more.
        tokio::spawn(async move { durable.run(|_: Recorded| async { Verdict::Done }).await });
        let (_, letters) = letters(&link, 1).await;
        assert_eq!(letters[0].reason, "given 2 times, and never acknowledged");
    });
}

#[test]
fn a_submitted_command_that_means_nothing_is_kept() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        link.ensure_domain("bank").await.unwrap();
        let mut envelope = Envelope::new("t", "bank.account.deposit");
        envelope.content = Content::Json;
        let subject = link.names().submit("bank", "account", "deposit");
        let sent = link.jet().publish_with_headers(subject.clone(), envelope.headers(), r#"{"coins":1}"#.into()).await;
        sent.unwrap().await.unwrap();
        let (dead, letters) = letters(&link, 1).await;
        assert!(letters[0].reason.starts_with("bad_request") && letters[0].reason.contains("account"), "{letters:?}");
        assert_eq!(letters[0].subject, subject);
        // It is no better the second time.
        dead.replay(letters[0].number).await.unwrap();
        until(async || dead.list(0, 10).await.unwrap().iter().any(|letter| letter.number > letters[0].number)).await;
    });
}

/// With the reason it is longer than any message may be.
#[test]
fn a_letter_that_can_not_be_kept_keeps_none_behind_it() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        consumer(&link, "failing", Verdict::poison("never"), &Arc::default());
        let advisories = async |count| {
            until(async || {
                let advisories = link.jet().get_stream(link.names().advisories("bank")).await.unwrap();
                advisories.cached_info().state.messages == count
            })
            .await;
        };
        let longest = vec![0; link.client().max_payload() - 100];
        let subject = link.names().event("bank.Deposited");
        link.jet().publish(subject, longest.into()).await.unwrap().await.unwrap();
        advisories(1).await;
        Publisher::new(&link).publish(&Deposited::of("ada", 5)).await.unwrap();
        advisories(2).await;
        collect(&link);
        let (_, letters) = letters(&link, 1).await;
        assert_eq!((letters[0].sequence, letters.len()), (2, 1));
        // It may be possible later: the server was given another limit, for one.
        advisories(1).await;
    });
}
