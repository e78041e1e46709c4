//! `engine pause`, `resume`, `step` and `speed`: how the world runs.

use anyhow::bail;
use clap::Args;
use engine_net::messages::command::Action;
use engine_net::messages::status::SimState;

use crate::Common;
use crate::link::Link;
use crate::output::{count, print, print_json};
use crate::progress::Progress;

/// Pauses.
#[derive(Args, Debug)]
#[command(after_help = "\
A tick that has begun is finished first. While the world is paused it can be queried and changed.

Examples:
  engine pause
  engine step 10
  engine resume")]
pub(crate) struct PauseCommand {
    #[command(flatten)]
    common: Common,
}

/// Resumes.
#[derive(Args, Debug)]
#[command(after_help = "Steps that were asked for and not yet run are forgotten.")]
pub(crate) struct ResumeCommand {
    #[command(flatten)]
    common: Common,
}

/// Steps.
#[derive(Args, Debug)]
#[command(after_help = "\
Steps follow one another without a pause; the command comes back after the last one.

Examples:
  engine step
  engine step 60
  engine step --to 1200      pause if need be, run up to tick 1200, stay paused")]
pub(crate) struct StepCommand {
    /// How many ticks
    #[arg(value_name = "N", default_value_t = 1, conflicts_with = "to")]
    ticks: u64,
    /// Up to this tick; a world that runs is paused first
    #[arg(long, value_name = "TICK")]
    to: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// Sets the speed.
#[derive(Args, Debug)]
#[command(after_help = "\
A tick is always as much simulated time; the speed says how soon the next one follows.

Examples:
  engine speed 2        twice as fast
  engine speed 0.1      in slow motion
  engine speed max      without pauses
  engine speed 1        as configured")]
pub(crate) struct SpeedCommand {
    /// 1 is the configured rate; `max`, or 0, is as fast as possible
    #[arg(value_name = "FACTOR", value_parser = factor)]
    factor: f64,
    #[command(flatten)]
    common: Common,
}

fn factor(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(0.0);
    }
    let factor = text.parse().ok().filter(|factor: &f64| (0.0..=1000.0).contains(factor));
    factor.ok_or_else(|| "a factor from 0 to 1000, or `max`".to_owned())
}

impl PauseCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let done = Link::open(&self.common).await?.command(Action::Pause {}).await?;
        say(&self.common, "paused", done.tick)
    }
}

impl ResumeCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let done = link.command(Action::Resume {}).await?;
        if let SimState::Waiting { what } = link.status().await?.state {
            eprintln!("note: the world waits for {what}");
        }
        say(&self.common, "running", done.tick)
    }
}

impl SpeedCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let done = Link::open(&self.common).await?.command(Action::Speed { factor: self.factor }).await?;
        let speed = if self.factor == 0.0 { "as fast as possible".into() } else { format!("speed {}", self.factor) };
        say(&self.common, &speed, done.tick)
    }
}

impl StepCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let ticks = match self.to {
            None => self.ticks,
            Some(to) => {
                // Answered when the open tick is over: from here on the tick is known.
                let at = link.command(Action::Pause {}).await?.tick;
                match to.checked_sub(at) {
                    Some(ticks) => ticks,
                    None => bail!(
                        "the world is at tick {at} already, past {to}; it is paused now, `engine resume` lets it run"
                    ),
                }
            }
        };
        let mut progress = Progress::new();
        let step = link.long_command(Action::Step { ticks }, |status| {
            progress.at(|| match &status.state {
                SimState::Waiting { what } => format!("tick {}, waiting for {what}", status.tick),
                _ => format!("tick {}", status.tick),
            });
        });
        let done = step.await.map_err(|error| {
            if error.to_string().contains("(not_paused)") {
                anyhow::anyhow!("the world runs: `engine pause` it first, or say how far with `engine step --to TICK`")
            } else {
                error
            }
        })?;
        progress.done();
        say(&self.common, &format!("{} done", count(ticks as usize, "step", "steps")), done.tick)
    }
}

fn say(common: &Common, what: &str, tick: u64) -> anyhow::Result<()> {
    if common.json {
        return print_json(&serde_json::json!({"tick": tick, "state": what}));
    }
    print(&format!("{what}, at tick {tick}\n"))
}
