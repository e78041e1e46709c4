//! Sinks: what the other side says decides, and a breaker keeps it from being asked too often.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_service::dead::{Collector, DeadLetters};
use engine_service::publish::Publisher;
use engine_service::sink::{BreakerSettings, NatsSink, SinkRunner, State, WebhookSettings, WebhookSink};
use engine_service::subscribe::Durable;
use engine_service::{Backoff, Link};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::place::{Deposit, Deposited, bank, link, until, with_server};

/// A web server that answers what it is told to.
#[derive(Default)]
struct Web {
    /// 0 means: never answer.
    status: AtomicU16,
    asked: AtomicU64,
    taken: Mutex<Vec<(String, String, String)>>,
}

impl Web {
    async fn start(status: u16) -> (Arc<Self>, String) {
        let web = Arc::new(Self { status: status.into(), ..Self::default() });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        let served = web.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let web = served.clone();
                let serve = service_fn(move |request| {
                    let web = web.clone();
                    async move { web.answer(request).await }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
            }
        });
        (web, address)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (id, kind) = (header("ce-id"), header("ce-type"));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let status = self.status.load(Ordering::Relaxed);
        if status == 0 {
            std::future::pending::<()>().await;
        }
        if status == 200 {
            self.taken.lock().unwrap().push((id, kind, String::from_utf8_lossy(&body).into_owned()));
        }
        Ok(Response::builder().status(status).body(Full::default()).unwrap())
    }
}

fn durable(link: &Link) -> Durable {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(20) };
    Durable::new(link, "webhook", "bank.>").unwrap().backoff(backoff).max_deliver(0).at_a_time(4)
}

fn runner(link: &Link, address: &str) -> Arc<SinkRunner<WebhookSink>> {
    let settings = WebhookSettings { timeout: Duration::from_millis(200), ..WebhookSettings::default() };
    let breaker =
        BreakerSettings { failures: 3, first: Duration::from_millis(50), longest: Duration::from_millis(100) };
    Arc::new(SinkRunner::new(durable(link), WebhookSink::new(address, settings).unwrap(), breaker))
}

fn start(runner: &Arc<SinkRunner<WebhookSink>>) {
    let runner = runner.clone();
    tokio::spawn(async move { runner.run().await });
}

#[test]
fn an_event_is_posted_as_a_cloud_event() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        let (web, address) = Web::start(200).await;
        start(&runner(&link, &address));
        let client = engine_service::command::Client::new(&link);
        let envelope = client.envelope::<Deposit>();
        client.command_as(&envelope, &Deposit::of("ada", 3)).await.unwrap();
        until(async || web.taken.lock().unwrap().len() == 1).await;
        let (id, kind, body) = web.taken.lock().unwrap()[0].clone();
        assert_eq!((id, kind.as_str()), (format!("{}.0", envelope.id), "bank.Deposited"));
        assert!(body.contains("ada"), "MessagePack with names: {body}");
    });
}

#[test]
fn while_the_other_side_is_down_events_wait_and_it_is_left_alone() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        // Down in three ways, one after the other: it says so, it hangs, it is not there.
        let (web, address) = Web::start(503).await;
        let runner = runner(&link, &address);
        start(&runner);
        let events: Vec<_> = (1..=30).map(|coins| Deposited::of("ada", coins)).collect();
        assert!(Publisher::new(&link).publish_all(&events).await.iter().all(Result::is_ok));
        until(async || runner.breaker().opened() >= 3).await;
        web.status.store(0, Ordering::Relaxed);
        let opened = runner.breaker().opened();
        until(async || runner.breaker().opened() > opened).await;
        let depth = runner.durable().depth().await.unwrap();
        assert_eq!(depth.pending + depth.unacknowledged as u64, 30, "nothing is lost, and nothing given up: {depth:?}");
        assert!(depth.unacknowledged <= 4, "{depth:?}");
        web.status.store(200, Ordering::Relaxed);
        until(async || web.taken.lock().unwrap().len() >= 30).await;
        until(async || runner.breaker().state() == State::Closed).await;
        let mut ids: Vec<_> = web.taken.lock().unwrap().iter().map(|taken| taken.0.clone()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 30);
    });
}

#[test]
fn what_the_other_side_will_never_take_is_a_dead_letter_and_no_fault_of_it() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let (web, address) = Web::start(422).await;
        let runner = runner(&link, &address);
        start(&runner);
        let collector = Collector::new(&link, "bank").unwrap();
        tokio::spawn(async move { collector.run().await });
        let events: Vec<_> = (1..=10).map(|coins| Deposited::of("ada", coins)).collect();
        Publisher::new(&link).publish_all(&events).await;
        let dead = DeadLetters::open(&link).await.unwrap();
        until(async || dead.list(0, 20).await.unwrap().len() == 10).await;
        assert!(dead.list(0, 1).await.unwrap()[0].reason.starts_with("422"));
        assert_eq!((runner.breaker().opened(), web.asked.load(Ordering::Relaxed)), (0, 10));
    });
}

#[test]
fn a_nats_sink_unpacks_outcomes_for_those_who_know_only_cloud_events() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        assert!(NatsSink::new(&link, "engine.main.event").is_err() && NatsSink::new(&link, "$JS.API").is_err());
        let mut house = link.client().subscribe("house.events.>").await.unwrap();
        let sink = NatsSink::new(&link, "house.events").unwrap();
        let runner = SinkRunner::new(durable(&link), sink, BreakerSettings::default());
        tokio::spawn(async move { runner.run().await });
        engine_service::command::Client::new(&link).command(&Deposit::of("ada", 3)).await.unwrap();
        let message = house.next().await.unwrap();
        assert_eq!(message.subject.as_str(), "house.events.bank.Deposited");
        let headers = message.headers.unwrap();
        assert_eq!(headers.get("ce-type").unwrap().as_str(), "bank.Deposited");
        assert_eq!(headers.get("content-type").unwrap().as_str(), "application/msgpack");
    });
}

/// Two aggregates, and a publisher who calls an event as somebody else does: none is taken for another one.
#[test]
fn kept_events_of_the_same_id_are_told_apart() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        let house = async_nats::jetstream::stream::Config {
            name: "HOUSE".into(),
            subjects: vec!["house.>".into()],
            ..Default::default()
        };
        link.jet().create_stream(house).await.unwrap();
        let client = engine_service::command::Client::new(&link);
        let envelope = client.envelope::<Deposit>();
        for account in ["ada", "bob"] {
            client.command_as(&envelope, &Deposit::of(account, 3)).await.unwrap();
        }
        for name in ["t", "other"] {
            let publisher = Publisher::new(&crate::place::link(&config, name).await);
            let event = publisher.prepare(&Deposited::of("eve", 3)).unwrap().with_id("night-7");
            assert!(!publisher.send(event).await.unwrap().duplicate, "{name}");
        }
        // Two that tell the same: what comes twice is stored once.
        for consumer in ["one", "two"] {
            let sink = NatsSink::new(&link, "house").unwrap().kept();
            let durable = Durable::new(&link, consumer, "bank.>").unwrap();
            let ended = SinkRunner::new(durable.clone(), sink, BreakerSettings::default());
            tokio::spawn(async move { ended.run().await });
            let is_done = |depth: engine_service::subscribe::Depth| depth.pending == 0 && depth.unacknowledged == 0;
            until(async || durable.depth().await.is_ok_and(is_done)).await;
        }
        let house = link.jet().get_stream("HOUSE").await.unwrap();
        assert_eq!(house.cached_info().state.messages, 4);
    });
}
