//! Whether the server syncs before it acknowledges.
//!
//! A user of an account is not told. The system account is: `$SYS.REQ.SERVER.PING.VARZ` answers with
//! `jetstream.config.sync_always`. So either the log's account imports that one subject from it, or credentials
//! of the system account are given and used once. Every server that holds a copy must say yes.

use std::time::Duration;

use async_nats::StatusCode;
use bytes::Bytes;
use engine_net::{client, config::ConnectionConfig};
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::{
    JetError,
    api::{Api, Complaints},
    streams::Info,
};

const ASK: &str = "$SYS.REQ.SERVER.PING.VARZ";
/// Servers of a cluster answer one by one; when so long no other does, all have.
const QUIET: Duration = Duration::from_millis(300);

#[derive(Debug, Deserialize)]
struct Answer {
    server: Server,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Server {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    jetstream: Jetstream,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Jetstream {
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    sync_always: bool,
}

/// Verifies it, as the log's user or with credentials of the system account.
pub(super) async fn verify(api: &Api, config: &ConnectionConfig, log: &Info) -> Result<(), JetError> {
    let answers = match &config.log.system {
        None => ask(api).await?,
        Some(credentials) => {
            let config = ConnectionConfig { credentials: credentials.clone(), ..config.clone() };
            let complaints = Complaints::default();
            let heard = complaints.clone();
            let connection = client::connect_with(&config, "log-system", move |event| drop(heard.hear(&event))).await?;
            ask(&Api::new(connection.client, complaints, api.limit, &config)).await?
        }
    };
    judge(&answers, log)
}

async fn ask(api: &Api) -> Result<Vec<Answer>, JetError> {
    let unknown = |reason: String| JetError::SyncUnknown { reason };
    let inbox = api.client.new_inbox();
    let sent = async {
        let answers = api.client.subscribe(inbox.clone()).await.map_err(|error| error.to_string())?;
        let sent = api.client.publish_with_reply(ASK, inbox, Bytes::new()).await;
        sent.map(|()| answers).map_err(|error| error.to_string())
    };
    let mut answers = sent.await.map_err(unknown)?;
    let mut known = Vec::new();
    let mut limit = api.limit.min(Duration::from_secs(2));
    while let Ok(Some(message)) = tokio::time::timeout(limit, answers.next()).await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(unknown(format!("this user's account may not ask `{ASK}`")));
        }
        // An answer that can't be read doesn't say yes: its server will be missed, or nobody answered.
        if let Ok(answer) = serde_json::from_slice::<Answer>(&message.payload) {
            known.push(answer);
        }
        limit = QUIET;
    }
    if known.is_empty() { Err(unknown(format!("nobody answered `{ASK}`"))) } else { Ok(known) }
}

fn judge(answers: &[Answer], log: &Info) -> Result<(), JetError> {
    let with_jetstream = |answer: &&Answer| answer.data.jetstream.config.is_some();
    let synced = |answer: &Answer| answer.data.jetstream.config.as_ref().is_some_and(|config| config.sync_always);
    let holders: Vec<&str> = log.cluster.iter().flat_map(holders).collect();
    let matters = |answer: &&Answer| holders.is_empty() || holders.contains(&answer.server.name.as_str());
    if let Some(answer) = answers.iter().filter(with_jetstream).filter(matters).find(|answer| !synced(answer)) {
        return Err(JetError::NotSynced { server: answer.server.name.clone() });
    }
    let silent = holders.iter().find(|holder| !answers.iter().any(|answer| answer.server.name == **holder));
    if let Some(silent) = silent {
        return Err(JetError::SyncUnknown {
            reason: format!("the server {silent}, which holds a copy, doesn't answer"),
        });
    }
    if !answers.iter().any(synced) {
        return Err(JetError::SyncUnknown { reason: "no server that answers has JetStream".into() });
    }
    Ok(())
}

fn holders(cluster: &super::streams::Cluster) -> impl Iterator<Item = &str> {
    cluster.leader.as_deref().into_iter().chain(cluster.replicas.iter().map(|peer| peer.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, sync: Option<bool>) -> Answer {
        let jetstream = Jetstream { config: sync.map(|sync_always| Config { sync_always }) };
        Answer { server: Server { name: name.into() }, data: Data { jetstream } }
    }

    fn log(holders: &[&str]) -> Info {
        let cluster = serde_json::json!({"leader": holders.first(), "replicas": holders.iter().skip(1).map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>()});
        let cluster = if holders.is_empty() { serde_json::Value::Null } else { cluster };
        serde_json::from_value(
            serde_json::json!({"config": {}, "state": {"first_seq": 0, "last_seq": 0}, "cluster": cluster}),
        )
        .unwrap()
    }

    #[test]
    fn every_server_that_holds_a_copy_must_say_yes() {
        judge(&[answer("a", Some(true))], &log(&[])).unwrap();
        judge(&[answer("a", Some(true)), answer("b", None)], &log(&[])).unwrap();
        let no = |answers: &[Answer], holders: &[&str]| judge(answers, &log(holders)).unwrap_err().to_string();
        assert!(no(&[answer("a", Some(false))], &[]).contains("nats-server a acknowledges before it syncs"));
        assert!(no(&[answer("a", None)], &[]).contains("can't be verified"));
        assert!(no(&[], &[]).contains("can't be verified"));
        let two = [answer("a", Some(true)), answer("b", Some(false))];
        assert!(no(&two, &["a", "b"]).contains("nats-server b"));
        judge(&two, &log(&["a"])).unwrap();
        assert!(no(&two[..1], &["a", "c"]).contains("the server c, which holds a copy, doesn't answer"));
    }
}
