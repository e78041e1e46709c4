//! Publishing and subscribing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_component::{Data, Entity, Event};
use engine_net::messages::Message as _;
use engine_net::messages::event::Events;
use engine_net::streams::StreamError;
use engine_service::envelope::Content;
use engine_service::publish::Publisher;
use engine_service::subscribe::{Durable, Live, StartAt, Verdict};
use engine_service::{Backoff, Link, Recorded, ServiceError};

use crate::chest::{Fill, Filled, chest};
use crate::place::{Closed, Deposit, Deposited, bank, link, stored, until, with_server};

type Seen = Arc<Mutex<Vec<u64>>>;

/// Runs a subscription in the background, noting the coins.
fn collect(durable: Durable, seen: &Seen) -> tokio::task::JoinHandle<Result<(), ServiceError>> {
    let seen = seen.clone();
    tokio::spawn(async move {
        let note = move |event: Recorded| {
            let seen = seen.clone();
            async move {
                let deposited = event.read::<Deposited>().unwrap();
                seen.lock().unwrap().push(deposited.coins);
                Verdict::Done
            }
        };
        durable.run(note).await
    })
}

async fn have(seen: &Seen, wanted: &[u64]) {
    until(async || {
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert!(seen.len() <= wanted.len(), "{seen:?}");
        seen == wanted
    })
    .await;
}

async fn publish(link: &Link, coins: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    let events: Vec<_> = coins.map(|coins| Deposited::of("ada", coins)).collect();
    let stored = Publisher::new(link).publish_all(&events).await;
    stored.into_iter().map(|stored| stored.unwrap().sequence).collect()
}

#[test]
fn events_of_all_makers_are_seen_live_by_name_and_by_wildcard() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        engine_service::command::Client::new(&link).command(&Deposit::of("bob", 1)).await.unwrap();
        let mut all = Live::open(&link, "bank.>").await.unwrap();
        let mut typed = Live::open(&link, "bank.Deposited").await.unwrap();
        let publisher = Publisher::new(&link).with_content(Content::Json);
        publisher.show(&Closed).await.unwrap();
        publisher.publish(&Deposited::of("ada", 3)).await.unwrap();
        engine_service::command::Client::new(&link).command(&Deposit::of("ada", 4)).await.unwrap();
        let mut names = vec![];
        for _ in 0..3 {
            names.push(all.next().await.unwrap().name().to_owned());
        }
        names.sort();
        assert_eq!(names, ["bank.Closed", "bank.Deposited", "bank.Deposited"]);
        let mut coins = vec![];
        for _ in 0..2 {
            let (event, deposited) = typed.next_of::<Deposited>().await.unwrap().unwrap();
            assert_eq!(event.envelope.source, "t");
            coins.push(deposited.coins);
        }
        coins.sort_unstable();
        assert_eq!(coins, [3, 4]);
    });
}

#[test]
fn an_event_of_a_command_names_its_cause() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        let mut events = Live::open(&link, "bank.*").await.unwrap();
        let client = engine_service::command::Client::new(&link);
        let mut envelope = client.envelope::<Deposit>();
        envelope.correlation = Some("a-long-story".into());
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        envelope.trace = engine_service::envelope::Trace::read(parent, None);
        client.command_as(&envelope, &Deposit::of("ada", 4)).await.unwrap();
        let event = events.next().await.unwrap().envelope;
        assert_eq!(event.id, format!("{}.0", envelope.id));
        assert_eq!(
            (event.causation.as_deref(), event.correlation.as_deref()),
            (Some(envelope.id.as_str()), Some("a-long-story"))
        );
        let trace = event.trace.unwrap().parent();
        assert!(trace.starts_with(&parent[..36]) && trace != parent, "{trace}");
    });
}

#[test]
fn a_sent_again_event_is_kept_once() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let publisher = Publisher::new(&link);
        let event = publisher.prepare(&Deposited::of("ada", 3)).unwrap().with_id("night-7").about("ada");
        let first = publisher.send(event.clone()).await.unwrap();
        let again = publisher.send(event).await.unwrap();
        assert!(!first.duplicate && again.duplicate);
        assert_eq!((first.sequence, stored(&link).await, publisher.depth()), (again.sequence, 1, 0));
        assert!(publisher.prepare(&Deposited::of("ada", 0)).is_err(), "it means nothing");
    });
}

#[test]
fn a_consumer_begins_where_it_is_told() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let sequences = publish(&link, 1..=3).await;
        let between = time_of(&link, sequences[1]).await;
        let durable = |name: &str, start| Durable::new(&link, name, "bank.>").unwrap().start_at(start);
        let new = durable("new", StartAt::New);
        new.prepare().await.unwrap();
        let seen: Vec<Seen> = (0..4).map(|_| Seen::default()).collect();
        collect(durable("all", StartAt::Beginning), &seen[0]);
        collect(durable("third", StartAt::Sequence(sequences[2])), &seen[1]);
        collect(durable("second", StartAt::Time(between)), &seen[2]);
        collect(new, &seen[3]);
        publish(&link, 4..=4).await;
        for (seen, wanted) in seen.iter().zip([&[1, 2, 3, 4][..], &[3, 4], &[2, 3, 4], &[4]]) {
            have(seen, wanted).await;
        }
    });
}

async fn time_of(link: &Link, sequence: u64) -> time::OffsetDateTime {
    let stream = link.jet().get_stream(link.names().events("bank")).await.unwrap();
    stream.get_raw_message(sequence).await.unwrap().time
}

#[test]
fn members_of_a_group_share_the_work_and_a_restart_goes_on() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let seen = Seen::default();
        let durable = Durable::new(&link, "audit", "bank.Deposited").unwrap();
        let (one, two) = (collect(durable.clone(), &seen), collect(durable.clone(), &seen));
        publish(&link, 1..=40).await;
        have(&seen, &(1..=40).collect::<Vec<_>>()).await;
        until(async || durable.depth().await.unwrap().unacknowledged == 0).await;
        one.abort();
        two.abort();
        publish(&link, 41..=42).await;
        until(async || durable.depth().await.unwrap().pending == 2).await;
        collect(durable, &seen);
        have(&seen, &(1..=42).collect::<Vec<_>>()).await;
    });
}

#[test]
fn what_fails_is_given_again_after_a_pause() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(20) };
        let durable = Durable::new(&link, "audit", "bank.>").unwrap().backoff(backoff);
        let deliveries = Seen::default();
        let noted = deliveries.clone();
        tokio::spawn(async move {
            let handle = move |event: Recorded| {
                let delivered = event.place.unwrap().delivered;
                noted.lock().unwrap().push(u64::from(delivered));
                async move { if delivered < 4 { Verdict::retry("not yet") } else { Verdict::Done } }
            };
            durable.run(handle).await
        });
        publish(&link, 1..=1).await;
        have(&deliveries, &[1, 2, 3, 4]).await;
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Event)]
#[event(name = "arena.Damage")]
#[repr(C)]
struct Damage {
    target: Entity,
    amount: f64,
}

/// What a coordinator sends after a tick.
#[test]
fn events_of_a_world_are_typed() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let mut events = Live::open(&link, "arena.>").await.unwrap();
        let damage = Damage { target: Entity::from_bits(7), amount: 2.5 };
        let records = engine_component::bytemuck::bytes_of(&damage).repeat(2).into();
        let message = Events { epoch: 1, tick: 9, first: 0, count: 2, schema: Damage::schema(), records };
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("msg-type", Events::message_type());
        let subject = link.names().event("arena.Damage");
        for payload in [message.encode(), b"junk".to_vec(), message.encode()] {
            link.client().publish_with_headers(subject.clone(), headers.clone(), payload.into()).await.unwrap();
        }
        for _ in 0..4 {
            assert_eq!(events.next_of::<Damage>().await.unwrap().unwrap().1, damage);
        }
        assert_eq!(events.refused(), 1);
    });
}

#[test]
fn a_stream_of_somebody_else_is_refused_with_the_reason() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let theirs = async_nats::jetstream::stream::Config {
            name: link.names().events("bank"),
            subjects: vec!["something.else".into()],
            max_age: Duration::from_secs(60),
            ..Default::default()
        };
        link.jet().create_stream(theirs).await.unwrap();
        let error = link.ensure_domain("bank").await.unwrap_err();
        assert!(matches!(error, ServiceError::Stream(StreamError::Setting { .. })), "{error}");
    });
}

#[test]
fn one_bad_event_of_a_command_keeps_no_other_from_its_handler() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        chest(&link);
        let seen = Seen::default();
        let noted = seen.clone();
        let durable = Durable::new(&link, "audit", "bank.Filled").unwrap();
        tokio::spawn(async move {
            let handle = move |event: Recorded| {
                let length = event.read::<Filled>().unwrap().text.len() as u64;
                noted.lock().unwrap().push(length);
                async move { if length == 1 { Verdict::poison("too short") } else { Verdict::Done } }
            };
            durable.run(handle).await
        });
        engine_service::command::Client::new(&link).command(&Fill::of("oak", &[1, 2, 3])).await.unwrap();
        have(&seen, &[1, 2, 3]).await;
        // The message is a dead letter all the same.
        until(async || {
            let advisories = link.jet().get_stream(link.names().advisories("bank")).await.unwrap();
            advisories.cached_info().state.messages == 1
        })
        .await;
    });
}

#[test]
fn a_stream_that_forgets_ids_too_soon_is_refused() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let stream = link.jet().get_stream(link.names().events("bank")).await.unwrap();
        let mut config = stream.cached_info().config.clone();
        assert!(config.deny_purge && config.deny_delete, "what happened stays");
        config.duplicate_window = Duration::from_secs(600);
        link.jet().update_stream(&config).await.unwrap();
        link.ensure_domain("bank").await.expect("longer is as good");
        config.duplicate_window = Duration::from_secs(1);
        link.jet().update_stream(&config).await.unwrap();
        let error = link.ensure_domain("bank").await.unwrap_err().to_string();
        assert!(error.contains("duplicate_window") && error.contains("120s"), "{error}");
    });
}
