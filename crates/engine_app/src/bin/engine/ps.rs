//! `engine ps`: which processes there are, of any world on this server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use engine_app::tool::table::Table;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Common;
use crate::link::Link;
use crate::output::{print, print_json};

/// Processes.
#[derive(Args, Debug)]
#[command(after_help = "\
They answer as services of NATS, so `nats micro ls`, `nats micro info NAME` and `nats micro stats NAME` show the same.
Who does not answer within a third of a second after the last one that did is not seen.

Examples:
  engine ps                     of the world of ENGINE_WORLD
  engine ps --all               of all worlds
  engine ps --json | jq -r '.[].id'")]
pub(crate) struct PsCommand {
    /// Of all worlds
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

/// What a process says of itself: the answers to INFO and STATS.
#[derive(Default)]
struct Process {
    info: Value,
    stats: Value,
}

impl PsCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let mut processes: BTreeMap<(String, String), Process> = BTreeMap::new();
        for answer in gather(&link, "$SRV.INFO", self.common.timeout).await? {
            let key = key(&answer);
            processes.entry(key).or_default().info = answer;
        }
        for answer in gather(&link, "$SRV.STATS", self.common.timeout).await? {
            // Who came in between is seen the next time.
            if let Some(process) = processes.get_mut(&key(&answer)) {
                process.stats = answer;
            }
        }
        let root = link.subjects.root().to_owned();
        let is_shown = |process: &Process| {
            // Services of others say nothing of a world.
            let of = field(&process.info["metadata"], "subjects");
            !of.is_empty() && (self.all || of == root)
        };
        processes.retain(|_, process| is_shown(process));
        if self.common.json {
            let all = processes.values().map(|process| {
                let Process { info, stats } = process;
                json!({
                    "name": info["name"], "id": info["id"], "version": info["version"], "metadata": info["metadata"],
                    "description": info["description"], "started": stats["started"], "endpoints": stats["endpoints"],
                })
            });
            return print_json(&all.collect());
        }
        if processes.is_empty() {
            let hint = if self.all { "" } else { "; --all shows those of other worlds" };
            return print(&format!("no process of `{root}` answers{hint}\n"));
        }
        let header = ["service", "id", "world", "version", "what", "started", "requests", "errors", "mean"];
        let mut table = Table::new(header);
        for Process { info, stats } in processes.values() {
            let sum = |key: &str| {
                stats["endpoints"].as_array().into_iter().flatten().filter_map(|end| end[key].as_u64()).sum::<u64>()
            };
            let (requests, errors) = (sum("num_requests"), sum("num_errors"));
            let mean = sum("processing_time").checked_div(requests).map(Duration::from_nanos);
            table.row([
                field(info, "name").trim_start_matches("engine-").to_owned(),
                field(info, "id"),
                field(&info["metadata"], "world"),
                field(info, "version"),
                field(info, "description"),
                field(stats, "started"),
                requests.to_string(),
                errors.to_string(),
                mean.map(|mean| format!("{mean:.1?}")).unwrap_or_default(),
            ]);
        }
        print(&table.take())
    }
}

fn key(answer: &Value) -> (String, String) {
    (field(answer, "name"), field(answer, "id"))
}

/// What is said under a key, if it is text.
pub(crate) fn field(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// What everybody answers, until nobody does any more.
pub(crate) async fn gather(link: &Link, subject: &'static str, limit: Duration) -> anyhow::Result<Vec<Value>> {
    let client = &link.connection.client;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(subject, inbox, Vec::new().into()).await?;
    client.flush().await.context("the server can't be asked who is there")?;
    let end = Instant::now() + limit;
    let mut all = Vec::new();
    while all.len() < MOST {
        let quiet = (Instant::now() + QUIET).min(end);
        let Ok(Some(message)) = tokio::time::timeout_at(quiet, answers.next()).await else { break };
        if message.status.is_some() {
            break; // Nobody listens.
        }
        // What is no answer of a service is none of ours.
        all.extend(serde_json::from_slice::<Value>(&message.payload));
    }
    Ok(all)
}

/// How long one waits after the last one that answered.
const QUIET: Duration = Duration::from_millis(300);
/// Answers that are looked at, at the most.
const MOST: usize = 65_536;
