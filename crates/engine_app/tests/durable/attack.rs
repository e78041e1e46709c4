//! Whoever may ask the coordinator must not reach the log by the subject that its answer goes to.

use engine_net::messages::command::{Action, Command};
use engine_net::messages::query::QueryRequest;
use engine_net::server::ServerOptions;
use engine_net::strict;

use crate::place::Place;

fn with_log_account() -> Place {
    Place::with(&ServerOptions { log_account: true, ..ServerOptions::default() })
}

fn evil() -> Vec<String> {
    let tails = ["log.main.tick", "log.main.epoch", "key.main.1.0.0.manifest", "lease.main", "mark.main"];
    let apis = ["STREAM.DELETE.ENGINE_LOG_main", "STREAM.PURGE.ENGINE_KEY_main", "STREAM.MSG.DELETE.ENGINE_LOG_main"];
    let tails = tails.iter().map(|tail| format!("engine_{tail}"));
    tails.chain(apis.iter().map(|api| format!("$JS.API.{api}"))).collect()
}

/// Asks everything that is answered, for an answer at each of these.
fn attack(place: &Place, replies: &[String]) -> u64 {
    let outside = place.outside();
    let subjects = &outside.subjects;
    let command = Command::new("evil", Action::Spawn { entities: Vec::new() });
    let requests = [
        (subjects.status(), Vec::new()),
        (subjects.query(), strict::encode(&QueryRequest::default())),
        (subjects.command("world", "entity", "spawn"), strict::encode(&command)),
        (subjects.command("world", "entity", "spawn"), b"nonsense".to_vec()),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = engine_net::client::connect(&place.config, "mallory").await.unwrap().client;
        for reply in replies {
            for (subject, payload) in &requests {
                client.publish_with_reply(subject.clone(), reply.clone(), payload.clone().into()).await.unwrap();
            }
        }
        client.flush().await.unwrap();
    });
    (replies.len() * requests.len()) as u64
}

#[test]
fn answers_never_go_to_the_log() {
    for place in [Place::new(), with_log_account()] {
        let mut leader = place.lead(&["--ticks", "30"]);
        leader.wait_for_tick(30);
        let outside = place.outside();
        let entity = outside.spawn("before");
        let streams = place.streams(1024);
        let before = streams.tail().unwrap();
        let asked = attack(&place, &evil());
        outside.until("all of it is refused", |status| {
            let refused = status.counters.get("refused.reply_subject").copied().unwrap_or(0);
            assert!(refused <= asked);
            (refused == asked).then_some(())
        });
        assert_eq!(streams.tail().unwrap(), before, "nothing was stored");
        drop(leader);
        let _later = place.lead(&["--ticks", "40"]);
        assert!(outside.is_there(entity));
    }
}

/// What is refused above could not do anything here, even if it were answered.
#[test]
fn a_log_in_an_account_of_its_own_is_out_of_reach() {
    let place = with_log_account();
    let mut leader = place.lead(&["--ticks", "30"]);
    leader.wait_for_tick(30);
    let streams = place.streams(1024);
    let before = streams.tail().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = engine_net::client::connect(&place.config, "mallory").await.unwrap().client;
        for subject in evil() {
            // Nobody listens; or the server says that JetStream is not for this account.
            let answer = client.request(subject.clone(), "damage".into()).await;
            let refused = answer.as_ref().map_or(true, |answer| {
                answer.payload.starts_with(b"{\"type\"") && {
                    String::from_utf8_lossy(&answer.payload).contains("JetStream not enabled for account")
                }
            });
            assert!(refused, "{subject}: {answer:?}");
        }
    });
    assert_eq!(streams.tail().unwrap(), before);
    leader.finish();
    let mut later = place.lead(&["--ticks", "40"]);
    later.wait_for_tick(40);
}

/// A server that maps a harmless subject to one of the log, in one account: nobody can see that before, so it is
/// seen after.
#[test]
fn a_mapped_subject_can_damage_a_log_in_the_same_account_and_is_found() {
    let extra = "\nmappings { \"harmless.inbox\": \"engine_log.main.tick\" }\n".to_owned();
    let place = Place::with(&ServerOptions { jetstream: true, extra, ..ServerOptions::default() });
    let mut leader = place.lead(&["--ticks", "30"]);
    leader.wait_for_tick(30);
    attack(&place, &["harmless.inbox".to_owned()]);
    let outside = place.outside();
    // It is found by the next record, or by whoever reads the log.
    let _ = outside.try_act("next", crate::place::one(), std::time::Duration::from_millis(500));
    let (code, error) = leader.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("the world log: what is stored at sequence 3"), "{error}");
    assert!(error.contains("this is no message of a world log"), "{error}");
    let error = place.refuses(&["--ticks", "40"]);
    assert!(error.contains("the log breaks") && error.contains("`--recover-at 30`"), "{error}");
}
