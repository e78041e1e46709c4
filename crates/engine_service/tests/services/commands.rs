//! Commands count once for each id.

use engine_net::messages::{Problem, Reply};
use engine_net::strict;
use engine_service::ServiceError;
use engine_service::command::{Client, Patience, code};
use engine_service::envelope::{Content, Envelope};
use futures_util::StreamExt;

use crate::chest::{Count, Fill, chest};
use crate::place::{Deposit, bank, link, run, server, stored, until, with_server};

#[test]
fn a_repeated_id_gets_the_same_answer_and_has_no_second_effect() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let first = bank(&link);
        let client = Client::new(&link);
        let envelope = client.envelope::<Deposit>();
        assert_eq!(client.command_as(&envelope, &Deposit::of("ada", 5)).await.unwrap(), 5);
        assert_eq!(client.command(&Deposit::of("ada", 7)).await.unwrap(), 12);
        assert_eq!(client.command_as(&envelope, &Deposit::of("ada", 5)).await.unwrap(), 5, "as the first time");
        // Another handler, which has nothing in memory.
        first.abort();
        let _second = bank(&link);
        assert_eq!(client.command_as(&envelope, &Deposit::of("ada", 5)).await.unwrap(), 5, "read from the history");
        assert_eq!(client.command(&Deposit::of("ada", 1)).await.unwrap(), 13);
        assert_eq!(stored(&link).await, 3);
    });
}

/// JetStream answers where it is told to, with what somebody stored: by permissions of the domain's own stream.
#[test]
fn a_message_out_of_a_stream_is_no_command() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        let client = Client::new(&link);
        assert_eq!(client.command(&Deposit::of("ada", 4)).await.unwrap(), 4);
        let (headers, payload) = (client.envelope::<Deposit>().headers(), strict::encode(&Deposit::of("ada", 9)));
        let stored = link.jet().publish_with_headers(link.names().event("bank.Forged"), headers, payload.into()).await;
        let question = format!("{{\"seq\":{}}}", stored.unwrap().await.unwrap().sequence);
        let command = link.names().subjects().command("bank", "account", "deposit");
        let mut commands = link.client().subscribe(command.clone()).await.unwrap();
        let asked = format!("$JS.API.DIRECT.GET.{}", link.names().events("bank"));
        link.client().publish_with_reply(asked, command, question.into()).await.unwrap();
        commands.next().await.expect("it comes to where commands are given");
        assert_eq!(client.command(&Deposit::of("ada", 1)).await.unwrap(), 5);
    });
}

#[test]
fn several_handlers_of_one_aggregate_never_lose_a_command() {
    with_server(|config| async move {
        // Links of their own, as processes have.
        let (one, two, three) = (link(&config, "a").await, link(&config, "b").await, link(&config, "c").await);
        let _handlers = [bank(&one), bank(&two), bank(&three)];
        let client = Client::new(&link(&config, "t").await);
        let all = (0..300).map(|_| {
            let client = client.clone();
            async move { client.command(&Deposit::of("ada", 1)).await.unwrap() }
        });
        let mut sums = futures_util::future::join_all(all).await;
        sums.sort_unstable();
        assert_eq!(sums, (1..=300).collect::<Vec<u64>>(), "each saw all before it");
        assert_eq!(stored(&one).await, 300);
    });
}

#[test]
fn a_long_history_is_read_whole() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let first = bank(&link);
        let client = Client::new(&link);
        for number in 1..=700 {
            assert_eq!(client.command(&Deposit::of("ada", 1)).await.unwrap(), number);
        }
        first.abort();
        let _second = bank(&link);
        assert_eq!(client.command(&Deposit::of("ada", 1)).await.unwrap(), 701);
    });
}

#[test]
fn a_command_survives_the_death_of_the_server() {
    let mut server = server();
    run(async move {
        let link = link(&server.config(), "t").await;
        let _bank = bank(&link);
        let client = Client::new(&link);
        let envelope = client.envelope::<Deposit>();
        assert_eq!(client.command_as(&envelope, &Deposit::of("ada", 5)).await.unwrap(), 5);
        server.kill();
        let asked = tokio::spawn({
            let client = client.clone();
            async move { client.command(&Deposit::of("ada", 2)).await }
        });
        server.restart().unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), 7);
        assert_eq!(client.command_as(&envelope, &Deposit::of("ada", 5)).await.unwrap(), 5);
        assert_eq!(stored(&link).await, 2);
    });
}

#[test]
fn a_submitted_command_waits_for_its_handler_and_counts_once() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        link.ensure_domain("bank").await.unwrap();
        let client = Client::new(&link);
        let id = client.submit(&Deposit::of("ada", 5)).await.unwrap();
        // The same again, and once as a request.
        let envelope = client.envelope::<Deposit>().with_id(id);
        client.submit_as(&envelope, &Deposit::of("ada", 5)).await.unwrap();
        let _bank = bank(&link);
        assert_eq!(client.command_as(&envelope, &Deposit::of("ada", 5)).await.unwrap(), 5);
        until(async || {
            let commands = link.jet().get_stream(link.names().commands("bank")).await.unwrap();
            commands.cached_info().state.messages == 0
        })
        .await;
        assert_eq!(stored(&link).await, 1);
    });
}

#[test]
fn commands_that_mean_nothing_are_refused_at_both_ends() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        let client = Client::new(&link);
        // Here, before anything is sent.
        let error = client.command(&Deposit::of("ada", 0)).await.unwrap_err();
        assert!(error.to_string().contains("nothing is deposited"), "{error}");
        assert!(client.command(&Deposit::of("a.b", 1)).await.is_err(), "no key");
        assert_eq!(client.command(&Deposit::of("ada", 1)).await.unwrap(), 1);
        // There, from somebody who doesn't look.
        let good = client.envelope::<Deposit>();
        let json = Envelope { content: Content::Json, ..good.clone() };
        for (envelope, payload, word) in [
            (None, "{}", code::BAD_REQUEST),
            (Some(Envelope { id: "7".into(), ..json.clone() }), r#"{"account":"ada","coins":1}"#, code::BAD_REQUEST),
            (Some(Envelope { kind: "bank.account.rob".into(), ..json.clone() }), "{}", code::BAD_REQUEST),
            (Some(json.clone()), r#"{"account":"ada"}"#, code::BAD_REQUEST),
            (Some(json.clone()), r#"{"account":"ada","coins":1"#, code::BAD_REQUEST),
            (Some(json.clone()), r#"{"account":"a b","coins":1}"#, code::BAD_REQUEST),
            (Some(json.clone()), r#"{"account":"ada","coins":0}"#, code::INVALID),
            (Some(good), "\u{1}", code::BAD_REQUEST),
        ] {
            let headers = envelope.map(|envelope| envelope.headers()).unwrap_or_default();
            let subject = "engine.main.command.bank.account.deposit";
            let asked = link.client().request_with_headers(subject, headers, payload.to_owned().into()).await.unwrap();
            let Reply::Error(Problem { code, message }) = strict::decode::<Reply<u64>>(&asked.payload, 10_000).unwrap()
            else {
                panic!("{payload} was accepted")
            };
            assert_eq!(code, word, "{payload}: {message}");
        }
        let unknown = link.client().request_with_headers(
            "engine.main.command.bank.account.rob",
            Envelope::new("t", "bank.account.rob").headers(),
            "{}".into(),
        );
        let answer = unknown.await.unwrap();
        assert!(String::from_utf8_lossy(&answer.payload).contains("no command of this name"));
        assert_eq!(stored(&link).await, 1);
    });
}

#[test]
fn an_answer_goes_nowhere_where_it_does_harm() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let _bank = bank(&link);
        let client = Client::new(&link);
        client.command(&Deposit::of("ada", 1)).await.unwrap();
        let mut victim = link.client().subscribe("engine.main.event.bank.Closed").await.unwrap();
        let mut mine = link.client().subscribe("mine").await.unwrap();
        let subject = "engine.main.command.bank.account.deposit";
        for reply in ["engine.main.event.bank.Closed", "mine"] {
            let headers = client.envelope::<Deposit>().headers();
            link.client().publish_with_reply_and_headers(subject, reply, headers, "junk".into()).await.unwrap();
        }
        futures_util::StreamExt::next(&mut mine).await.unwrap();
        link.client().flush().await.unwrap();
        let there = futures_util::FutureExt::now_or_never(futures_util::StreamExt::next(&mut victim));
        assert!(there.is_none(), "an answer among the events");
    });
}

#[test]
fn nobody_answers_is_said_after_some_tries() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        let all = std::time::Duration::from_millis(300);
        let client = Client::new(&link).with_patience(Patience { all, ..Patience::default() });
        let error = client.command(&Deposit::of("ada", 1)).await.unwrap_err();
        assert!(matches!(error, ServiceError::NoAnswer { tries: 2.., .. }), "{error}");
        assert!(error.to_string().contains("nobody handles it"), "{error}");
    });
}

/// Where permissions are by name: it is the last token of the subject, and is noted.
#[test]
fn who_asks_is_noted_in_the_outcome() {
    with_server(|config| async move {
        let plain = link(&config, "t").await;
        let _bank = bank(&plain);
        let eve = engine_net::config::ConnectionConfig { identity: Some("eve".into()), ..config.clone() };
        let named = link(&eve, "e").await;
        assert_eq!(Client::new(&named).command(&Deposit::of("ada", 1)).await.unwrap(), 1);
        assert_eq!(Client::new(&plain).command(&Deposit::of("ada", 1)).await.unwrap(), 2);
        let stream = plain.jet().get_stream(plain.names().events("bank")).await.unwrap();
        let by = async |sequence| {
            let message = stream.get_raw_message(sequence).await.unwrap();
            message.headers.get("engine-asked-by").map(|by| by.as_str().to_owned())
        };
        assert_eq!((by(1).await.as_deref(), by(2).await), (Some("eve"), None));
    });
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ServiceError>) -> Problem {
    match answer.unwrap_err() {
        ServiceError::Refused { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// Each event is short enough, and so is the message for the server: but no handler could read it again.
#[test]
fn an_outcome_that_could_not_be_read_again_is_not_stored() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        chest(&link);
        let client = Client::new(&link);
        let problem = refused(client.command(&Fill::of("oak", &[500_000, 500_000])).await);
        assert_eq!(problem.code, code::INTERNAL, "{problem}");
        assert!(problem.message.contains("bank.chest.fill"), "{problem}");
        assert_eq!(stored(&link).await, 0);
        assert_eq!(client.command(&Fill::of("oak", &[10, 10])).await.unwrap(), 0);
        assert_eq!(client.command(&Count { chest: "oak".into() }).await.unwrap(), 2, "and it goes on");
    });
}

#[test]
fn an_id_is_that_of_one_command_and_counts_for_one_aggregate() {
    with_server(|config| async move {
        let link = link(&config, "t").await;
        chest(&link);
        let client = Client::new(&link);
        let fill = client.envelope::<Fill>();
        assert_eq!(client.command_as(&fill, &Fill::of("oak", &[1])).await.unwrap(), 0);
        let count = client.envelope::<Count>().with_id(fill.id.clone());
        let problem = refused(client.command_as(&count, &Count { chest: "oak".into() }).await);
        assert_eq!(problem.code, code::BAD_REQUEST, "{problem}");
        assert!(problem.message.contains("bank.chest.fill"), "{problem}");
        // Of another aggregate it is another one; submitted as well as asked for.
        assert_eq!(client.command_as(&fill, &Fill::of("elm", &[1])).await.unwrap(), 0);
        for key in ["ash", "fir"] {
            client.submit_as(&fill, &Fill::of(key, &[1])).await.unwrap();
            until(async || client.command(&Count { chest: key.into() }).await.unwrap() == 1).await;
        }
    });
}
