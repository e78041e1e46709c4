//! Queries, and being seen as a service.

use std::time::Duration;

use engine_net::messages::Problem;
use engine_service::command::Handler;
use engine_service::query::{Answers, Question, ask};
use engine_service::{Gauge, Presence, ServiceError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::place::{Bank, Deposit, link, until, with_server};

#[derive(Serialize, Deserialize)]
struct Half {
    of: u64,
}

impl Question for Half {
    const SERVICE: &'static str = "sums";
    const NAME: &'static str = "half";
    type Answer = u64;
}

const SECOND: Duration = Duration::from_secs(5);

#[test]
fn a_question_is_answered_or_refused_by_one_of_the_group() {
    with_server(|config| async move {
        let link = link(&config, "sums").await;
        let nobody = ask(&link, &Half { of: 4 }, SECOND).await.unwrap_err();
        assert!(matches!(nobody, ServiceError::NoAnswer { .. }), "{nobody}");
        let mut gauges = Vec::new();
        for _ in 0..2 {
            let answers = Answers::new(&link, "sums").unwrap().on(|half: Half| async move {
                if half.of.is_multiple_of(2) { Ok(half.of / 2) } else { Err(Problem::new("odd", "it has no half")) }
            });
            gauges.push(answers.gauge());
            tokio::spawn(answers.run());
        }
        until(async || ask(&link, &Half { of: 4 }, SECOND).await.is_ok()).await;
        let before: u64 = gauges.iter().map(Gauge::done).sum();
        assert_eq!(ask(&link, &Half { of: 8 }, SECOND).await.unwrap(), 4);
        let odd = ask(&link, &Half { of: 7 }, SECOND).await.unwrap_err();
        assert!(odd.to_string().contains("it has no half"), "{odd}");
        let junk = link.client().request("engine.main.query.sums.half", "junk".into()).await.unwrap();
        assert!(String::from_utf8_lossy(&junk.payload).contains("bad_request"));
        let unknown = link.client().request("engine.main.query.sums.third", "".into()).await.unwrap();
        assert!(String::from_utf8_lossy(&unknown.payload).contains("no query of this name"));
        assert_eq!(gauges.iter().map(Gauge::done).sum::<u64>() - before, 4, "each by one of them");
    });
}

#[test]
fn a_service_is_found_and_its_figures_are_told() {
    with_server(|config| async move {
        let link = link(&config, "bank").await;
        let handler = Handler::new(&link, Bank).on::<Deposit>();
        let presence = Presence::new(&link, "1.2.3", "keeps coins").with(handler.gauge());
        tokio::spawn(handler.run());
        tokio::spawn(presence.run());
        let client = engine_service::command::Client::new(&link);
        client.command(&Deposit::of("ada", 3)).await.unwrap();
        let json = async |subject: &str| -> Value {
            let answer = link.client().request(subject.to_owned(), "".into()).await.unwrap();
            serde_json::from_slice(&answer.payload).unwrap()
        };
        until(async || link.client().request("$SRV.PING.bank", "".into()).await.is_ok()).await;
        let info = json("$SRV.INFO.bank").await;
        assert_eq!((&info["version"], &info["description"]), (&"1.2.3".into(), &"keeps coins".into()));
        assert_eq!(info["endpoints"][0]["subject"], "engine.main.command.bank.account.*");
        let stats = json("$SRV.STATS.bank").await;
        assert_eq!(stats["endpoints"][0]["num_requests"], 1);
        assert_eq!(json("engine.main.health.bank").await["name"], "bank");
        assert_eq!(json("engine.main.discovery.bank").await["metadata"]["world"], "main");
    });
}
