//! The four streams: made as they must be, and read back.
//!
//! A server that doesn't know a setting may drop it silently, and a stream may be there already, made by
//! somebody else. So every setting that a promise depends on is compared with what was asked for.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{JetError, JetSettings, Kind, Names, api::Api, error::code};

/// What the server tells of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    pub(super) config: Map<String, Value>,
    pub(super) state: State,
    pub(super) cluster: Option<Cluster>,
    /// When it was made.
    #[serde(default)]
    pub(super) created: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    #[serde(default)]
    pub(super) messages: u64,
    /// Messages of each subject, where they were asked for.
    #[serde(default)]
    pub(super) subjects: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Cluster {
    pub(super) leader: Option<String>,
    #[serde(default)]
    pub(super) replicas: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    pub(super) name: String,
}

/// Makes or checks all of them; returns what the server tells of the log.
pub(super) async fn ensure(api: &Api, names: &Names, settings: &JetSettings) -> Result<Info, JetError> {
    for stream in [keys(names, settings), leases(names, settings), marks(names, settings)] {
        ensure_one(api, &stream).await?;
    }
    // The log comes last: while it is missing, nothing was ever promised.
    ensure_one(api, &log(names, settings)).await
}

fn log(names: &Names, settings: &JetSettings) -> Value {
    let subjects: Vec<_> = Kind::ALL.map(|kind| names.record(kind)).into();
    with(
        common(settings),
        json!({
            "name": names.log(), "subjects": subjects, "max_bytes": settings.log_bytes, "max_msgs_per_subject": -1,
            "deny_delete": true,
        }),
    )
}

fn keys(names: &Names, settings: &JetSettings) -> Value {
    with(
        common(settings),
        json!({
            "name": names.keys(), "subjects": [format!("{}>", names.key_root())], "max_bytes": settings.key_bytes,
            "max_msgs_per_subject": -1, "deny_delete": true,
        }),
    )
}

/// One message, which ends when its time to live is over.
fn leases(names: &Names, settings: &JetSettings) -> Value {
    with(
        common(settings),
        json!({
            "name": names.leases(), "subjects": [names.lease()], "max_bytes": 1 << 20, "max_msgs_per_subject": 1,
            "allow_msg_ttl": true, "deny_delete": true,
        }),
    )
}

/// One message in a stream of its own: what damages the log's files or rolls them back must leave it alone.
fn marks(names: &Names, settings: &JetSettings) -> Value {
    with(
        common(settings),
        json!({
            "name": names.marks(), "subjects": [names.mark()], "max_bytes": 1 << 20, "max_msgs_per_subject": 1,
            "deny_delete": true,
        }),
    )
}

/// `discard: new`: what is full refuses, and never drops what was acknowledged.
fn common(settings: &JetSettings) -> Value {
    json!({
        "retention": "limits", "storage": "file", "discard": "new", "num_replicas": settings.replicas,
        "max_msgs": -1, "max_age": 0, "max_consumers": -1, "max_msg_size": -1,
        "duplicate_window": settings.duplicate_window.as_nanos() as u64, "allow_direct": true,
    })
}

/// What may not be there, or only with this value.
const FORBIDDEN: [(&str, &[&str]); 11] = [
    // "async" acknowledges before anything is written.
    ("persist_mode", &["\"default\"", "\"\""]),
    ("sealed", &["false"]),
    ("no_ack", &["false"]),
    ("deny_purge", &["false"]),
    // Rollups and times to live would remove records behind the writer's back.
    ("allow_rollup_hdrs", &["false"]),
    ("allow_msg_ttl", &["false"]),
    ("discard_new_per_subject", &["false"]),
    ("mirror", &[]),
    ("sources", &["[]"]),
    ("subject_transform", &[]),
    // Its copies would show records outside of the log's account.
    ("republish", &[]),
];

fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { return Value::Null };
    base.extend(more);
    Value::Object(base)
}

async fn ensure_one(api: &Api, wanted: &Value) -> Result<Info, JetError> {
    let name = wanted["name"].as_str().unwrap_or_default();
    let what = format!("look at the stream {name}");
    let found = api.call::<Info>(&what, &format!("STREAM.INFO.{name}"), &Value::Null).await;
    let found = match found {
        Ok(found) => found,
        Err(JetError::Server { code: code::STREAM_NOT_FOUND, .. }) => {
            let what = format!("create the stream {name}");
            match api.call::<Info>(&what, &format!("STREAM.CREATE.{name}"), wanted).await {
                // Somebody else made it in the same moment.
                Err(JetError::Server { code: code::NAME_IN_USE, .. }) => {
                    api.call(&what, &format!("STREAM.INFO.{name}"), &Value::Null).await?
                }
                other => other?,
            }
        }
        Err(error) => return Err(error),
    };
    let found = grow(api, name, wanted, found).await?;
    check(name, wanted, &found.config)?;
    Ok(found)
}

/// A stream that may take more now. Less is never made of it: that could drop what it holds.
async fn grow(api: &Api, name: &str, wanted: &Value, found: Info) -> Result<Info, JetError> {
    let bytes = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(-1);
    let (more, less) = (bytes(wanted.get("max_bytes")), bytes(found.config.get("max_bytes")));
    if less < 0 || more <= less {
        return Ok(found);
    }
    let mut config = found.config;
    config.insert("max_bytes".into(), more.into());
    api.call(&format!("raise the limit of the stream {name}"), &format!("STREAM.UPDATE.{name}"), &config.into()).await
}

fn check(name: &str, wanted: &Value, found: &Map<String, Value>) -> Result<(), JetError> {
    let Value::Object(wanted) = wanted else { return Ok(()) };
    let differs = |setting, wanted: String, found: Option<&Value>| JetError::Setting {
        stream: name.to_owned(),
        setting,
        wanted,
        found: found.map_or_else(|| "nothing (is the server too old to know it?)".into(), Value::to_string),
        advice: match setting {
            "max_bytes" => "change the engine's setting, or the stream by `nats stream edit`",
            "num_replicas" => "change the stream by `nats stream edit --replicas`, or the engine's setting",
            "duplicate_window" => "change the stream by `nats stream edit --dupe-window`, or the engine's setting",
            _ => "it was made by somebody else: look what it holds, then remove it, or use another world's name",
        },
    };
    for (setting, value) in wanted {
        let same = match (found.get(setting), value) {
            (None, Value::Bool(false)) => true,
            (Some(Value::Array(found)), Value::Array(wanted)) => {
                found.len() == wanted.len() && wanted.iter().all(|subject| found.contains(subject))
            }
            (found, value) => found == Some(value),
        };
        if !same {
            return Err(differs(known(setting), value.to_string(), found.get(setting)));
        }
    }
    for (setting, allowed) in FORBIDDEN {
        let Some(value) = found.get(setting) else { continue };
        let text = value.to_string();
        let asked = wanted.get(setting) == Some(value);
        if !(asked || value.is_null() || allowed.contains(&text.as_str())) {
            return Err(differs(setting, allowed.first().unwrap_or(&"nothing").to_string(), Some(value)));
        }
    }
    Ok(())
}

/// The setting's name without the lifetime of a question.
fn known(setting: &str) -> &'static str {
    const KNOWN: [&str; 15] = [
        "name",
        "subjects",
        "max_bytes",
        "max_msgs_per_subject",
        "deny_delete",
        "allow_msg_ttl",
        "retention",
        "storage",
        "discard",
        "num_replicas",
        "max_msgs",
        "max_age",
        "max_consumers",
        "max_msg_size",
        "duplicate_window",
    ];
    KNOWN.into_iter().find(|known| *known == setting).unwrap_or("allow_direct")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), String> {
        let names = Names::new("w").unwrap();
        let wanted = log(&names, &JetSettings::default());
        let Value::Object(mut found) = wanted.clone() else { panic!("an object") };
        change(&mut found);
        check("ENGINE_LOG_w", &wanted, &found).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_that_differs_is_named_with_both_values() {
        checked(|_| {}).unwrap();
        checked(|found| drop(found.insert("sealed".into(), false.into()))).unwrap();
        let error = checked(|found| drop(found.insert("discard".into(), "old".into()))).unwrap_err();
        assert!(error.contains("ENGINE_LOG_w has `discard` = \"old\", but \"new\" is needed"), "{error}");
        let error = checked(|found| drop(found.remove("duplicate_window"))).unwrap_err();
        assert!(error.contains("`duplicate_window` = nothing"), "{error}");
        let error = checked(|found| drop(found.insert("persist_mode".into(), "async".into()))).unwrap_err();
        assert!(error.contains("`persist_mode` = \"async\", but \"default\""), "{error}");
        let error = checked(|found| drop(found.insert("allow_msg_ttl".into(), true.into()))).unwrap_err();
        assert!(error.contains("`allow_msg_ttl`"), "{error}");
        let error = checked(|found| drop(found.insert("mirror".into(), json!({"name": "x"})))).unwrap_err();
        assert!(error.contains("`mirror`"), "{error}");
    }
}
