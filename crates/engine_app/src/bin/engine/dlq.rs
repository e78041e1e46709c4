//! `engine dlq`: messages that a consumer gave up.

use anyhow::bail;
use clap::{Args, Subcommand};
use engine_app::tool::table::Table;
use engine_net::config::ConnectionArgs;
use engine_service::dead::{DeadLetters, Letter};
use engine_service::{Link, ServiceError};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::link::NAME;
use crate::output::{count, print, print_json};

const EXAMPLES: &str = "\
A durable consumer gives a message up when its handler calls it poison, or when it was given too often. A collector of
the message's domain (part of the services, see docs/services.md) keeps it here, with the reason.

Examples:
  engine dlq list
  engine dlq show 17
  engine dlq replay 17           to the consumer that gave it up, and to nobody else
  engine dlq replay --consumer webhook
  engine dlq drop 17 18";

/// Letters that are listed, at the most.
const MOST: usize = 10_000;
/// Letters that are in memory at a time.
const PAGE: usize = 256;

/// Dead letters.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DlqCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show which there are, oldest first
    List(ListCommand),
    /// Show one whole
    Show(ShowCommand),
    /// Give some once more to the consumers that gave them up
    Replay(ChosenCommand),
    /// Forget some
    Drop(ChosenCommand),
}

#[derive(Args, Debug)]
struct Place {
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Place {
    async fn open(&self) -> anyhow::Result<DeadLetters> {
        let link = Link::open(&self.connection.resolve()?, NAME).await?;
        Ok(DeadLetters::open(&link).await?)
    }
}

/// A consumer, of any domain or of one.
#[derive(Clone, Debug)]
struct Consumer {
    domain: Option<String>,
    name: String,
}

impl std::str::FromStr for Consumer {
    type Err = engine_net::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
        domain.map_or(Ok(()), |domain| engine_net::name::token("domain", domain))?;
        engine_net::name::token("consumer", name)?;
        Ok(Self { domain: domain.map(str::to_owned), name: name.to_owned() })
    }
}

/// Those of a consumer, or all, from a number on.
async fn letters(
    dead: &DeadLetters,
    consumer: Option<&Consumer>,
    from: u64,
    most: usize,
) -> Result<Vec<Letter>, ServiceError> {
    let domain = consumer.and_then(|consumer| consumer.domain.as_deref());
    dead.list_of(domain, consumer.map(|consumer| consumer.name.as_str()), from, most).await
}

/// Lists them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  engine dlq list --consumer webhook
  engine dlq list --consumer shop/webhook      as the list writes it: of this domain alone
  engine dlq list --from 1000 --limit 50
  engine dlq list --json | jq -r '.[].reason' | sort | uniq -c")]
struct ListCommand {
    /// Only those that this consumer gave up, in any domain or in one
    #[arg(long, value_name = "[DOMAIN/]NAME")]
    consumer: Option<Consumer>,
    /// The first number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MOST as u64))]
    limit: u64,
    #[command(flatten)]
    place: Place,
}

/// Shows one.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  engine dlq show 17
  engine dlq show 17 --json | jq .values")]
struct ShowCommand {
    /// Its number
    number: u64,
    #[command(flatten)]
    place: Place,
}

/// Some of them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  engine dlq replay 17 18
  engine dlq drop --consumer webhook
  engine dlq drop --all")]
struct ChosenCommand {
    /// Their numbers
    #[arg(required_unless_present_any = ["consumer", "all"])]
    numbers: Vec<u64>,
    /// All that this consumer gave up, in any domain or in one
    #[arg(long, value_name = "[DOMAIN/]NAME", conflicts_with_all = ["numbers", "all"])]
    consumer: Option<Consumer>,
    /// All there are
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
    #[command(flatten)]
    place: Place,
}

impl DlqCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::List(command) => command.run().await,
            What::Show(command) => command.run().await,
            What::Replay(command) => {
                command.run("replayed", async |dead, number| dead.replay(number).await.map(drop)).await
            }
            What::Drop(command) => command.run("dropped", async |dead, number| dead.drop(number).await).await,
        }
    }
}

impl ListCommand {
    async fn run(self) -> anyhow::Result<()> {
        let dead = self.place.open().await?;
        let letters = letters(&dead, self.consumer.as_ref(), self.from, self.limit as usize).await?;
        if self.place.json {
            return print_json(&letters.iter().map(json_of).collect());
        }
        let mut table = Table::new(["number", "consumer", "message", "given", "collected", "reason"]);
        for letter in &letters {
            let kind = letter.envelope.as_ref().map_or("?", |envelope| envelope.kind.as_str());
            table.row([
                letter.number.to_string(),
                format!("{}/{}", letter.domain, letter.consumer),
                kind.to_owned(),
                letter.deliveries.to_string(),
                time_of(letter),
                letter.reason.clone(),
            ]);
        }
        let text = if letters.is_empty() { "no dead letters\n".to_owned() } else { table.take() };
        print(&text)
    }
}

impl ShowCommand {
    async fn run(self) -> anyhow::Result<()> {
        let letter = self.place.open().await?.get(self.number).await?;
        if self.place.json {
            return print_json(&json_of(&letter));
        }
        let mut text = format!(
            "dead letter {}: {}\n  given up by   {} of {}, after {} deliveries\n  it was        message {} of {}, on {}\n  collected     {}\n",
            letter.number,
            shown(&letter.reason),
            letter.consumer,
            letter.domain,
            letter.deliveries,
            letter.sequence,
            letter.stream,
            letter.subject,
            time_of(&letter),
        );
        if let Some(envelope) = &letter.envelope {
            for (name, value) in envelope.lines() {
                text += &format!("  {name:<18}{value}\n");
            }
        }
        for (name, value) in letter.values() {
            match value {
                Ok(value) => text += &format!("  {name} {value}\n"),
                Err(error) => text += &format!("  {} can't be read: {}\n", shown(&name), shown(&error)),
            }
        }
        print(&text)
    }
}

impl ChosenCommand {
    async fn run(
        self,
        done: &str,
        act: impl AsyncFn(&DeadLetters, u64) -> Result<(), ServiceError>,
    ) -> anyhow::Result<()> {
        let dead = self.place.open().await?;
        let numbers = match &self.consumer {
            None if !self.all => self.numbers.clone(),
            // Their numbers first: one that is replayed and given up again comes back behind all others.
            consumer => {
                let mut numbers = Vec::new();
                loop {
                    let from = numbers.last().map_or(1, |last| last + 1);
                    let page = letters(&dead, consumer.as_ref(), from, PAGE).await?;
                    numbers.extend(page.iter().map(|letter| letter.number));
                    if page.len() < PAGE {
                        break numbers;
                    }
                }
            }
        };
        let mut failed = 0;
        for number in &numbers {
            // One that is gone must not keep the others.
            if let Err(error) = act(&dead, *number).await {
                eprintln!("error: {error}");
                failed += 1;
            }
        }
        let ok = numbers.len() - failed;
        if self.place.json {
            print_json(&json!({ done: ok, "failed": failed }))?;
        } else {
            print(&format!("{} {done}\n", count(ok, "dead letter", "dead letters")))?;
        }
        if failed > 0 { bail!("{} not {done}", count(failed, "dead letter was", "dead letters were")) } else { Ok(()) }
    }
}

fn json_of(letter: &Letter) -> Value {
    let values: Vec<Value> = letter
        .values()
        .into_iter()
        .map(|(name, value)| match value {
            Ok(value) => json!({ "name": name, "value": value }),
            Err(error) => json!({ "name": name, "error": error }),
        })
        .collect();
    let envelope: serde_json::Map<String, Value> = letter
        .envelope
        .iter()
        .flat_map(engine_service::envelope::Envelope::lines)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    json!({
        "number": letter.number, "consumer": letter.consumer, "domain": letter.domain, "reason": letter.reason,
        "deliveries": letter.deliveries, "stream": letter.stream, "sequence": letter.sequence,
        "subject": letter.subject, "collected": time_of(letter), "envelope": envelope, "values": values,
    })
}

fn time_of(letter: &Letter) -> String {
    letter.at.replace_nanosecond(0).unwrap_or(letter.at).format(&Rfc3339).unwrap_or_default()
}

/// Text from outside, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
