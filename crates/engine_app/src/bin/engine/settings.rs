//! `engine settings`: what may be changed while a world runs, and whether it is in effect.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use engine_app::log::jet::Bucket;
use engine_app::run_time::{Entry, Key};
use engine_app::tool::table::Table;
use engine_component::schema::nearest;
use engine_net::messages::status::Status;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Common;
use crate::link::Link;
use crate::output::{print, print_json};

/// How often is looked while something is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// Settings.
#[derive(Args, Debug)]
#[command(after_help = "\
rate        ticks a second; a tick is one part in so many of a second of simulated time from then on
paused      true: the world stands still; false: it goes on (the last change wins, also over `engine pause`)
log_level   what the coordinator logs: warn, info, info,engine_app=debug

They stand in the key-value bucket ENGINE_SETTINGS_<world>, in the account of the world's log, and take effect before a
tick. They are recorded: a coordinator that takes over has them too. A world without a log (--durability) has none.

Examples:
  engine settings list
  engine settings set rate 30
  engine settings watch
  nats kv put ENGINE_SETTINGS_arena rate 30      the same, without this program")]
pub(crate) struct SettingsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All of them: value, revision, and whether it is in effect, or why not
    List {
        #[command(flatten)]
        common: Common,
    },
    /// One of them
    Get {
        /// rate, log_level or paused
        key: String,
        #[command(flatten)]
        common: Common,
    },
    /// Change one, and wait until it is in effect
    Set {
        /// rate, log_level or paused
        key: String,
        /// Its value
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        common: Common,
    },
    /// Print each change, until Ctrl-C
    Watch {
        #[command(flatten)]
        common: Common,
    },
}

/// What is known of a setting.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    key: String,
    value: String,
    /// None when it is not in the bucket.
    revision: Option<u64>,
    state: String,
    in_effect: bool,
}

/// The bucket and its world.
struct Place {
    bucket: Bucket,
    link: Link,
}

impl SettingsCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::List { common } => {
                let rows = Place::open(&common).await?.rows().await?;
                if common.json { print_json(&rows.iter().map(Row::json).collect()) } else { print(&table(&rows)) }
            }
            What::Get { key, common } => get(&common, known(&key)?).await,
            What::Set { key, value, common } => set(&common, known(&key)?, &value).await,
            What::Watch { common } => watch(&common).await,
        }
    }
}

fn known(key: &str) -> anyhow::Result<Key> {
    Key::of(key).ok_or_else(|| match nearest(key, Key::ALL.into_iter().map(Key::name)) {
        Some(near) => anyhow!("there is no setting `{key}`; is `{near}` meant?"),
        None => anyhow!("there is no setting `{key}`; there are: {}", Key::known()),
    })
}

async fn get(common: &Common, key: Key) -> anyhow::Result<()> {
    let rows = Place::open(common).await?.rows().await?;
    let row = rows.iter().find(|row| row.key == key.name() && row.revision.is_some());
    let Some(row) = row else { bail!("`{}` was never set; {}", key.name(), key.means()) };
    if common.json { print_json(&row.json()) } else { print(&format!("{}\n", row.value)) }
}

async fn set(common: &Common, key: Key, value: &str) -> anyhow::Result<()> {
    // What would be refused is not put there in the first place.
    let entry = Entry { key: key.name().into(), revision: 0, value: value.to_owned().into() };
    entry.read().map_err(|wrong| anyhow!("{}: {wrong}", key.name()))?;
    let place = Place::open(common).await?;
    if place.bucket.entries().await?.is_none() {
        bail!("{}", place.missing().await);
    }
    let revision = place.bucket.put(key, value).await?;
    let end = Instant::now() + common.timeout;
    let row = loop {
        let rows = place.rows().await?;
        let row = rows.into_iter().find(|row| row.key == key.name() && row.revision >= Some(revision));
        match row {
            Some(row) if row.in_effect || Instant::now() >= end => break row,
            Some(row) if row.revision > Some(revision) => break row,
            None if Instant::now() >= end => bail!("`{}` was removed by somebody else meanwhile", key.name()),
            _ => tokio::time::sleep(LOOK).await,
        }
    };
    if common.json {
        return print_json(&row.json());
    }
    print(&format!("{} = {}, revision {revision}: {}\n", key.name(), row.value, row.state))
}

async fn watch(common: &Common) -> anyhow::Result<()> {
    let place = Place::open(common).await?;
    let mut before = Vec::new();
    loop {
        let rows = place.rows().await?;
        for row in rows.iter().filter(|row| !before.contains(*row)) {
            if common.json {
                print_json(&row.json())?;
            } else {
                let revision = row.revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
                print(&format!("{} = {}{revision}: {}\n", row.key, row.value, row.state))?;
            }
        }
        before = rows;
        tokio::time::sleep(LOOK * 5).await;
    }
}

impl Place {
    async fn open(common: &Common) -> anyhow::Result<Self> {
        let config = common.connection.resolve()?;
        let bucket = Bucket::connect(&config).await?;
        Ok(Self { bucket, link: Link::connect(&config, common.timeout).await? })
    }

    /// Why there is no bucket.
    async fn missing(&self) -> String {
        let (world, name) = (self.link.subjects.world(), self.bucket.name());
        match self.link.status().await {
            Ok(status) if status.log.is_none() => format!(
                "world `{world}` keeps no log, so nobody looks after its settings: start its coordinator with \
                 --durability server, or use `engine speed` and `engine pause`"
            ),
            _ => format!(
                "there is no bucket {name}: a coordinator of world `{world}` makes it when it leads (with --durability \
                 server or disk, and as a user who may); or name another world with --world"
            ),
        }
    }

    /// All settings that are in the bucket or in effect.
    async fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let Some(entries) = self.bucket.entries().await? else { bail!("{}", self.missing().await) };
        let status = self.link.status().await;
        let mut rows: Vec<Row> = entries.iter().map(|entry| row(entry, status.as_ref().ok())).collect();
        for key in Key::ALL {
            if rows.iter().any(|row| row.key == key.name()) {
                continue;
            }
            let value = match (key, &status) {
                (Key::Rate, Ok(status)) => status.rate.to_string(),
                _ => String::new(),
            };
            let state = format!("not set; {}", key.means());
            rows.push(Row { key: key.name().into(), value, revision: None, state, in_effect: false });
        }
        Ok(rows)
    }
}

fn row(entry: &Entry, status: Option<&Status>) -> Row {
    let value: String = String::from_utf8_lossy(&entry.value).chars().take(60).collect();
    let (mut state, mut in_effect) = ("not in effect yet".to_owned(), false);
    match (status, entry.read()) {
        (_, Err(wrong)) => state = format!("refused: {wrong}"),
        (None, Ok(_)) => state = "nobody leads the world now: it takes effect when somebody does".into(),
        (Some(status), Ok(setting)) => {
            // The value too: a bucket that was made anew has the same revisions again.
            let (revision, value) = (entry.revision, setting.value());
            let mut applied = status.settings.iter();
            let applied = applied.find(|set| (&set.key, set.revision, &set.value) == (&entry.key, revision, &value));
            let refused =
                status.refused_settings.iter().find(|set| (&set.key, set.revision) == (&entry.key, entry.revision));
            if let Some(applied) = applied {
                (state, in_effect) = (format!("in effect behind tick {}", applied.tick), true);
            } else if let Some(refused) = refused {
                state = format!("refused: {}", refused.reason);
            }
        }
    }
    Row { key: entry.key.clone(), value, revision: Some(entry.revision), state, in_effect }
}

impl Row {
    fn json(&self) -> Value {
        let Self { key, value, revision, state, in_effect } = self;
        json!({ "key": key, "value": value, "revision": revision, "in_effect": in_effect, "state": state })
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(["setting", "value", "revision", "state"]);
    for row in rows {
        let revision = row.revision.map(|revision| revision.to_string()).unwrap_or_default();
        table.row([row.key.clone(), row.value.clone(), revision, row.state.clone()]);
    }
    table.take()
}
