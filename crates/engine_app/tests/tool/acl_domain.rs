//! `engine acl` for programs around a world: a service and its clients do all of their work with it, and nothing else.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine_app::Stop;
use engine_component::{Command, Event};
use engine_net::client;
use engine_net::config::ConnectionConfig;
use engine_net::headers::Headers;
use engine_net::io::HeaderMap;
use engine_net::messages::command::Action;
use engine_net::messages::{Message as _, Problem};
use engine_service::command::{Aggregate, Client, CommandHandler, Decision, Handler, Patience};
use engine_service::dead::Collector;
use engine_service::projection::{Projection, Runner, View};
use engine_service::publish::Publisher;
use engine_service::query::{Answers, Question, ask};
use engine_service::subscribe::{Durable, Live, Verdict};
use engine_service::{Link, Presence, ReadError, Recorded, ServiceError};
use engine_system::runner::{InstanceOptions, run_instance};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::house::{House, NOBODY_PUBLISHES, NOBODY_SUBSCRIBES, tries, with};
use crate::world::{Process, app, engine, text, until};

const ARGUMENTS: [&str; 19] = [
    "coordinator",
    "standby",
    "system:drift",
    "operator:ann",
    "gateway:eu",
    "service:ledger@shop",
    "service:vault@bank",
    "client:till@shop",
    "client:eve@shop",
    "client:mallory@bank",
    "--bucket",
    "balances@shop",
    "--bucket",
    "accounts@bank",
    "--sink",
    "crm.events@shop",
    "--keep-events",
    "arena",
    "--world=main",
];

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(name = "shop.player.deposit", document, answer = u64)]
struct Deposit {
    #[command(key)]
    player: String,
    coins: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(name = "shop.Deposited", document)]
struct Deposited {
    player: String,
    coins: u64,
}

/// The same of another domain.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(name = "bank.account.take", document, answer = u64)]
struct Take {
    #[command(key)]
    account: String,
}

struct Shop;

impl Aggregate for Shop {
    const DOMAIN: &'static str = "shop";
    const NAME: &'static str = "player";
    type State = u64;

    fn apply(&self, coins: &mut u64, event: &Recorded) -> Result<(), ReadError> {
        *coins += event.read::<Deposited>()?.coins;
        Ok(())
    }
}

impl CommandHandler<Deposit> for Shop {
    fn handle(&self, coins: &u64, deposit: &Deposit) -> Decision<u64> {
        let event = Deposited { player: deposit.player.clone(), coins: deposit.coins };
        Decision::answer(coins + deposit.coins).event(&event)
    }
}

struct Balances;

impl Projection for Balances {
    const EVENTS: &'static str = "shop.>";
    type Value = u64;

    fn key(&self, event: &Recorded) -> Result<Option<String>, ReadError> {
        Ok(Some(event.read::<Deposited>()?.player))
    }

    fn fold(&self, coins: &mut u64, event: &Recorded) -> Result<(), ReadError> {
        *coins += event.read::<Deposited>()?.coins;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct WhoIs {
    player: String,
}

impl Question for WhoIs {
    const SERVICE: &'static str = "ledger";
    const NAME: &'static str = "who";
    type Answer = String;
}

fn deposit(player: &str, coins: u64) -> Deposit {
    Deposit { player: player.into(), coins }
}

/// Everything that a service may be, at work in the background until the runtime ends.
async fn serve(link: Link) {
    let handler = Handler::new(&link, Shop).on::<Deposit>();
    // Thirteen is bad luck, once.
    let audit = Durable::new(&link, "audit", "shop.>").unwrap();
    let met = Arc::new(AtomicBool::new(false));
    let judge = move |event: Recorded| {
        let is_bad = event.read::<Deposited>().unwrap().coins == 13 && !met.swap(true, Ordering::Relaxed);
        async move { if is_bad { Verdict::poison("bad luck") } else { Verdict::Done } }
    };
    let collector = Collector::new(&link, "shop").unwrap();
    let mut balances = Runner::new(&link, "balances", Balances).unwrap();
    balances.rebuild().await.unwrap();
    let answers = Answers::new(&link, "ledger").unwrap();
    let answers = answers.on(|who: WhoIs| async move { Ok::<_, Problem>(who.player.to_uppercase()) });
    let presence = Presence::new(&link, "1.0.0", "a shop").with(handler.gauge()).with(audit.gauge());
    let ended: Result<(), ServiceError> = tokio::select! {
        ended = handler.run() => ended,
        ended = audit.run(judge) => ended,
        ended = collector.run() => ended,
        ended = balances.run() => ended,
        ended = answers.run() => ended,
        ended = presence.run() => ended,
    };
    panic!("the service ended: {ended:?}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One question of somebody, and whether it is answered.
async fn is_answered(config: &ConnectionConfig, subject: &str) -> bool {
    let asker = client::connect(config, "somebody").await.unwrap().client;
    let asked = asker.request(subject.to_owned(), "".into());
    matches!(tokio::time::timeout(Duration::from_secs(10), asked).await, Ok(Ok(_)))
}

/// What the server refused so far, of all its users.
fn violations(house: &House) -> BTreeSet<String> {
    house.server.log().lines().filter(|line| line.contains("iolation")).map(str::to_owned).collect()
}

#[test]
fn a_service_and_its_clients_run_with_these_permissions() {
    let house = House::of(&ARGUMENTS);
    let runtime = runtime();
    let on = |future: std::pin::Pin<Box<dyn Future<Output = bool> + '_>>| runtime.block_on(future);
    let link = |user: &str, source: &'static str| {
        let config = house.config(user);
        runtime.block_on(async move { Link::open(&config, source).await.unwrap() })
    };
    let service = link("main-service-shop-ledger", "ledger");
    let till = link("main-client-shop-till", "till");
    let mut live = runtime.block_on(Live::open(&till, "shop.>")).unwrap();
    runtime.spawn(serve(service.clone()));

    // Commands, answered and submitted.
    let shop = Client::new(&till);
    assert_eq!(runtime.block_on(shop.command(&deposit("ada", 5))).unwrap(), 5);
    runtime.block_on(shop.submit(&deposit("ada", 2))).unwrap();
    let heard =
        |live: &mut Live| runtime.block_on(async { live.next_of::<Deposited>().await.unwrap().unwrap().1.coins });
    assert_eq!([heard(&mut live), heard(&mut live)], [5, 2]);
    // A gateway gives commands of any domain, and is answered.
    let gateway = link("main-gateway-eu", "gate");
    assert_eq!(runtime.block_on(Client::new(&gateway).command(&deposit("bob", 1))).unwrap(), 1);
    // Events of the service itself.
    let own = Deposited { player: "eve".into(), coins: 13 };
    runtime.block_on(Publisher::new(&service).publish(&own)).unwrap();
    // What is folded from them is read by whoever may.
    let view = || runtime.block_on(View::<u64>::open(&till, "balances"));
    until("all is folded", || {
        let view = view().unwrap();
        on(Box::pin(async move { view.all().await.is_ok_and(|all| all.values().sum::<u64>() == 21) }))
    });
    assert_eq!(runtime.block_on(view().unwrap().get("ada")).unwrap().map(|(coins, _)| coins), Some(7));
    // Queries, and how it is.
    let who = WhoIs { player: "ada".into() };
    assert_eq!(runtime.block_on(ask(&till, &who, Duration::from_secs(10))).unwrap(), "ADA");
    for subject in ["engine.main.health.ledger", "engine.main.discovery.ledger", "$SRV.STATS.ledger"] {
        assert!(runtime.block_on(is_answered(&house.config("main-gateway-eu"), subject)), "{subject}");
    }
    // Dead letters: collected by the service, judged by the operator, taken by who gave them up.
    let letters = || house.says("main-operator-ann", &["dlq", "list"]);
    until("it is collected", || house.run("main-operator-ann", &["dlq", "list"]).status.success());
    until("it is there", || letters().contains("shop/audit"));
    house.says("main-operator-ann", &["dlq", "show", "1"]);
    house.says("main-operator-ann", &["dlq", "replay", "1"]);
    assert_eq!(letters(), "no dead letters\n");
    until("it is taken", || {
        let audit = Durable::new(&service, "audit", "shop.>").unwrap();
        on(Box::pin(
            async move { audit.depth().await.is_ok_and(|depth| depth.pending + depth.unacknowledged as u64 == 0) },
        ))
    });
    // Nobody tried anything else.
    assert_eq!(violations(&house), BTreeSet::new());
    // That is not so because nobody looks: commands of another domain are refused by the server.
    let patience = Patience { one: Duration::from_millis(200), all: Duration::from_millis(300), ..Patience::default() };
    let take = Take { account: "ada".into() };
    runtime.block_on(Client::new(&till).with_patience(patience).command(&take)).unwrap_err();
    until("the server says so", || {
        violations(&house).iter().any(|line| line.contains("engine.main.command.bank.account.take.till"))
    });
}

/// What neither a service nor its client may do, in its own domain or elsewhere.
const AROUND_NEVER: [&str; 36] = [
    // As the coordinator, a system or an editor.
    "engine.main.coord.hello",
    "engine.main.coord.commit",
    "engine.main.system.schedule.drift.i",
    "engine.main.system.register.drift.i",
    "engine.main.component.changed.7.drift.i",
    "engine.main.watch.frame.ann.1-1",
    "engine.main.entity.create",
    "engine.main.command.world.entity.spawn",
    "engine.main.command.world.entity.spawn.till",
    "engine.main.snapshot.request",
    "engine.main.discovery.announce",
    // In another domain, or in nobody's.
    "engine.main.event.bank.Taken",
    "engine.main.outcome.bank.account.ada",
    "engine.main.dead.bank.audit.e1",
    "engine.main.submit.bank.account.take",
    "engine.main.command.bank.account.take.till",
    "engine.main.command.shop.player.deposit",
    "engine.main.again.shop.audit",
    "$KV.accounts.ada",
    "$JS.API.STREAM.CREATE.ENGINE_EVENT_main_bank",
    "$JS.API.STREAM.CREATE.KV_accounts",
    "$JS.API.STREAM.INFO.ENGINE_EVENT_main_bank",
    "$JS.API.DIRECT.GET.KV_accounts.$KV.accounts.ada",
    "$JS.API.CONSUMER.CREATE.ENGINE_EVENT_main_bank",
    "$JS.API.CONSUMER.MSG.NEXT.ENGINE_COMMAND_main_bank.handler-account",
    "$JS.ACK.ENGINE_EVENT_main_bank.audit.1.1.1.1.1",
    // What would lose something.
    "$JS.API.STREAM.DELETE.ENGINE_EVENT_main_shop",
    "$JS.API.STREAM.PURGE.ENGINE_EVENT_main_shop",
    "$JS.API.STREAM.UPDATE.ENGINE_EVENT_main_shop",
    "$JS.API.STREAM.MSG.DELETE.ENGINE_EVENT_main_shop",
    "$JS.API.STREAM.MSG.DELETE.ENGINE_DLQ_main",
    "$JS.API.STREAM.MSG.GET.ENGINE_DLQ_main",
    "$JS.API.STREAM.PURGE.ENGINE_DLQ_main",
    "$JS.API.CONSUMER.DELETE.ENGINE_EVENT_main_shop.audit",
    // The log.
    "$JS.API.STREAM.CREATE.ENGINE_LOG_main",
    "$KV.ENGINE_SETTINGS_main.rate",
];
const AROUND_NEVER_HEARD: [&str; 16] = [
    "engine.main.command.>",
    "engine.main.command.bank.*.*",
    "engine.main.command.world.>",
    "engine.main.event.>",
    "engine.main.event.bank.>",
    "engine.main.outcome.bank.*.*",
    "engine.main.submit.shop.>",
    "engine.main.dead.>",
    "engine.main.query.request",
    "engine.main.query.vault.*",
    "engine.main.health.vault",
    "engine.main.discovery.coordinator",
    "engine.main.system.schedule.drift.i",
    "$SRV.PING.vault",
    "$JS.API.>",
    "$KV.accounts.*",
];

#[test]
fn the_server_refuses_what_is_another_domains() {
    let house = House::of(&ARGUMENTS);
    let may = |user: &str, allowed: [&[&str]; 2], forbidden: [&[&str]; 2]| {
        let publish = with(&with(forbidden[0], &AROUND_NEVER), &NOBODY_PUBLISHES);
        let subscribe = with(&with(forbidden[1], &AROUND_NEVER_HEARD), &NOBODY_SUBSCRIBES);
        tries(&house.config(user), allowed, [&publish, &subscribe]);
    };
    may(
        "main-service-shop-ledger",
        [
            &[
                "engine.main.event.shop.Deposited",
                "engine.main.outcome.shop.player.ada",
                "engine.main.dead.shop.audit.e1",
                "$JS.API.STREAM.CREATE.ENGINE_EVENT_main_shop",
                "$JS.API.CONSUMER.CREATE.ENGINE_COMMAND_main_shop.handler-player.engine.main.submit.shop.player.*",
                "$JS.ACK.ENGINE_EVENT_main_shop.audit.1.1.1.1.1",
                "$KV.balances.ada",
                "crm.events.shop.Deposited",
                "_INBOX.main.client.shop.till.x",
            ],
            &["engine.main.command.shop.*.*", "engine.main.query.ledger.*", "_INBOX.main.service.shop.ledger.>"],
        ],
        [
            &[
                "engine.main.command.shop.player.deposit.ledger",
                "engine.main.submit.shop.player.deposit",
                "engine.main.health.ledger",
                "crm.events.bank.Taken",
                "engine.main.query.ledger.who",
                "_INBOX.main.client.bank.mallory.x",
                "_INBOX.main.service.bank.vault.x",
                "_INBOX.main.coordinator.one.x",
                "_INBOX.main.system.drift.x",
            ],
            &["_INBOX.main.client.shop.till.>", "_INBOX.main.service.bank.vault.>", "engine.main.coord.tick"],
        ],
    );
    may(
        "main-client-shop-till",
        [
            &[
                "engine.main.command.shop.player.deposit.till",
                "engine.main.submit.shop.player.deposit",
                "engine.main.query.ledger.who",
                "$JS.API.DIRECT.GET.KV_balances.$KV.balances.ada",
            ],
            &["engine.main.event.shop.>", "engine.main.outcome.shop.*.*", "_INBOX.main.client.shop.till.>"],
        ],
        [
            &[
                "engine.main.command.shop.player.deposit.eve",
                "engine.main.query.vault.who",
                "engine.main.query.request",
                "engine.main.event.shop.Deposited",
                "engine.main.outcome.shop.player.ada",
                "engine.main.dead.shop.audit.e1",
                "$JS.API.STREAM.CREATE.ENGINE_EVENT_main_shop",
                "$JS.API.STREAM.CREATE.KV_balances",
                "$JS.API.STREAM.PURGE.KV_balances",
                "$JS.API.CONSUMER.CREATE.ENGINE_EVENT_main_shop",
                "$JS.API.CONSUMER.MSG.NEXT.ENGINE_COMMAND_main_shop.handler-player",
                "$JS.API.DIRECT.GET.ENGINE_EVENT_main_shop",
                "$KV.balances.ada",
                "_INBOX.main.client.shop.eve.x",
                "_INBOX.main.service.shop.ledger.x",
            ],
            &["engine.main.command.shop.*.*", "_INBOX.main.client.shop.eve.>", "_INBOX.main.service.shop.ledger.>"],
        ],
    );
}

#[test]
fn an_operator_decides_about_dead_letters_and_touches_no_other_stream() {
    let house = House::of(&ARGUMENTS);
    tries(
        &house.config("main-operator-ann"),
        [
            &[
                "$JS.API.STREAM.INFO.ENGINE_DLQ_main",
                "$JS.API.STREAM.MSG.DELETE.ENGINE_DLQ_main",
                "engine.main.again.shop.audit",
                "engine.main.submit.bank.account.take",
            ],
            &[],
        ],
        [
            &[
                "$JS.API.STREAM.DELETE.ENGINE_DLQ_main",
                "$JS.API.STREAM.PURGE.ENGINE_DLQ_main",
                "$JS.API.STREAM.MSG.GET.ENGINE_EVENT_main_shop",
                "$JS.API.STREAM.MSG.DELETE.ENGINE_EVENT_main_shop",
                "engine.main.dead.shop.audit.e1",
                "engine.main.event.shop.Deposited",
                "engine.main.again.casino.audit",
            ],
            &["engine.main.dead.>"],
        ],
    );
}

#[test]
fn a_coordinator_keeps_the_events_of_the_domains_that_it_was_given() {
    let house = House::of(&ARGUMENTS);
    for user in ["main-coordinator", "main-standby"] {
        let calls = ["STREAM.INFO.", "STREAM.CREATE.", "STREAM.MSG.GET."]
            .map(|verb| format!("$JS.API.{verb}ENGINE_EVENT_main_"));
        let of = |domain: &str| calls.iter().map(|call| format!("{call}{domain}")).collect::<Vec<_>>();
        let (arena, shop) = (of("arena"), of("shop"));
        let (arena, shop): (Vec<_>, Vec<_>) =
            (arena.iter().map(String::as_str).collect(), shop.iter().map(String::as_str).collect());
        let never = [
            "$JS.API.STREAM.DELETE.ENGINE_EVENT_main_arena",
            "$JS.API.STREAM.PURGE.ENGINE_EVENT_main_arena",
            "$JS.API.STREAM.UPDATE.ENGINE_EVENT_main_arena",
            "$JS.API.CONSUMER.CREATE.ENGINE_EVENT_main_arena",
            "$JS.API.DIRECT.GET.ENGINE_EVENT_main_arena",
            "$JS.API.STREAM.CREATE.ENGINE_LOG_main",
        ];
        let allowed = with(&arena, &["$JS.API.INFO", "engine.main.event.arena.Hit"]);
        tries(&house.config(user), [&allowed, &["engine.main.command.arena.>"]], [&with(&shop, &never), &[]]);
    }
    // It makes the stream, is told that an event is there, and finds the last one.
    let found = runtime().block_on(async {
        let client = client::connect(&house.config("main-coordinator"), "coordinator").await.unwrap().client;
        let jet = async_nats::jetstream::new(client);
        let config = async_nats::jetstream::stream::Config {
            name: "ENGINE_EVENT_main_arena".into(),
            subjects: vec!["engine.main.event.arena.>".into()],
            allow_direct: true,
            ..Default::default()
        };
        let stream = jet.create_stream(config).await.unwrap();
        jet.publish("engine.main.event.arena.Hit", "7".into()).await.unwrap().await.unwrap();
        stream.get_last_raw_message_by_subject("engine.main.event.arena.Hit").await.unwrap().payload
    });
    assert_eq!(&found[..], b"7");
}

/// JetStream answers on whatever subject it is told, and what it answers is what somebody stored: so a service may have
/// it say anything anywhere. Whoever hears it sees that it is out of a stream.
#[test]
fn a_message_out_of_a_stream_is_nobodys_command() {
    let house = House::of(&[&ARGUMENTS[..], &["editor:alice"]].concat());
    let runtime = runtime();
    let connect = |user: &str| {
        let config = house.config(user);
        runtime.block_on(async move { client::connect(&config, "somebody").await.unwrap().client })
    };
    let pause = "engine.main.command.world.sim.pause.alice";
    let payload = engine_net::messages::command::Command::new("forged", Action::Pause {}).encode();
    let headers = HeaderMap::from(&Headers::of::<engine_net::messages::command::Command>());
    let coordinator = ["coordinator", "--durability", "server", "--expect", "drift", "--rate", "200"];
    let _coordinator = Process(house.start("main-coordinator", &coordinator));
    let stop = Stop::default();
    let options = InstanceOptions { stop: stop.flag(), ..InstanceOptions::default() };
    let (config, systems) = (house.config("main-system-drift"), app().into_systems().unwrap());
    let config = ConnectionConfig { wait_for_server: true, ..config };
    let instance = std::thread::spawn(move || run_instance(&config, systems, options));
    until("the world runs", || text(&house.run("main-editor-alice", &["status"]).stdout).contains("running"));
    let state = || house.says("main-editor-alice", &["status"]);
    let alice = connect("main-editor-alice");
    // A service stores a command in its own stream, and asks for it there.
    let (witness, service) = (connect("main-coordinator"), connect("main-service-shop-ledger"));
    runtime.block_on(async {
        let mut commands = witness.subscribe(pause).await.unwrap();
        witness.flush().await.unwrap();
        let link = Link::open(&house.config("main-service-shop-ledger"), "ledger").await.unwrap();
        link.ensure_domain("shop").await.unwrap();
        let forged = ("engine.main.event.shop.Forged", headers.clone(), payload.clone().into());
        let stored = link.jet().publish_with_headers(forged.0, forged.1, forged.2).await.unwrap().await.unwrap();
        let question = format!("{{\"seq\":{}}}", stored.sequence);
        let asked = "$JS.API.DIRECT.GET.ENGINE_EVENT_main_shop";
        service.publish_with_reply(asked, pause, question.into()).await.unwrap();
        let heard =
            tokio::time::timeout(Duration::from_secs(30), commands.next()).await.expect("it is answered").unwrap();
        assert_eq!(
            (heard.subject.as_str(), &heard.payload[..]),
            (pause, &payload[..]),
            "where its sender may not publish"
        );
    });
    let figures = || {
        let asked = alice.request("$SRV.STATS.engine-coordinator", "".into());
        text(&runtime.block_on(asked).unwrap().payload)
    };
    until("it is refused", || figures().contains("out_of_a_stream"));
    // What alice says is behind it.
    house.says("main-editor-alice", &["spawn", "t.Position={\"at\":{\"x\":1,\"y\":2}}"]);
    assert!(state().contains("running"), "{}", state());
    // The same from herself counts.
    runtime.block_on(async {
        alice.publish_with_headers(pause, headers, payload.into()).await.unwrap();
        alice.flush().await.unwrap();
    });
    until("the world is paused", || state().contains("paused"));
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap().unwrap();
}

/// The account of a world has streams only where somebody needs them.
#[test]
fn jetstream_stays_where_it_is_needed() {
    let made = |arguments: &[&str]| {
        let output = engine(&ConnectionConfig::default(), &[&["acl", "coordinator"], arguments].concat());
        text(&output.stdout)
    };
    let accounts_with = |text: String| text.lines().filter(|line| line.trim() == "jetstream: enabled").count();
    let edits =
        |text: String| text.lines().filter(|line| line.starts_with("nsc edit account --name ENGINE_main ")).count();
    for (arguments, expected) in [
        (&["operator:ann", "gateway:eu"][..], 0),
        (&["service:ledger@shop"], 1),
        (&["client:till@shop"], 1),
        (&["--keep-events", "arena"], 1),
    ] {
        assert_eq!(accounts_with(made(arguments)), 1 + expected, "{arguments:?}");
        assert_eq!(edits(made(&[arguments, &["--format", "nsc"]].concat())), expected, "{arguments:?}");
    }
    // Where all streams are there nobody makes one, and all the rest stays.
    let (before, after) = (
        made(&["service:a@shop", "--bucket", "b@shop"]),
        made(&["service:a@shop", "--bucket", "b@shop", "--streams-are-made"]),
    );
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), after.lines().collect());
    let gone: Vec<&str> = before.difference(&after).map(|line| line.trim()).collect();
    let streams =
        ["ENGINE_ADVISORY_main_shop", "ENGINE_COMMAND_main_shop", "ENGINE_DLQ_main", "ENGINE_EVENT_main_shop", "KV_b"];
    assert_eq!(gone, streams.map(|stream| format!("\"$JS.API.STREAM.CREATE.{stream}\"")));
    assert!(after.is_subset(&before));
}

#[test]
fn names_that_would_be_taken_for_another_are_refused() {
    for (arguments, said) in [
        (&["service:drift@shop", "system:drift"][..], "answer for it"),
        (&["service:coordinator@shop"], "can't be called that"),
        (&["service:engine-instance@shop"], "can't be called that"),
        (&["service:a@world"], "the engine's own"),
        (&["service:a"], "ledger@shop"),
        (&["client:a@*"], "domain"),
        (&["client:a@b", "client:a@b"], "two of the roles"),
        (&["service:a@b", "--bucket", "x@b", "--bucket", "x@c"], "buckets of its own"),
        (&["service:a@b", "--sink", "engine.main.coord@b"], "can't publish below"),
        (&["service:a@main", "--sink", "engine@main"], "can't publish below"),
        (&["service:a@b", "--sink", "_INBOX.main@b"], "can't publish below"),
        (&["service:a@b", "--sink", "x.>@b"], "subject"),
    ] {
        let output = engine(&ConnectionConfig::default(), &[&["acl"], arguments].concat());
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{arguments:?}: {error}");
    }
}
