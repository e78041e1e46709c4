//! `engine top`: a live view of any world. It asks for what everybody may ask for: the status, and who is there.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use engine_app::tool::table::Table;
use engine_app::tool::top::{Process, Top, Wish, draw, text};
use engine_net::config::ConnectionConfig;
use engine_net::messages::status::Status;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Common;
use crate::link::Link;
use crate::output::{print, print_json};
use crate::ps::{field, gather};

/// How often keys are looked at.
const PULSE: Duration = Duration::from_millis(50);
/// How long an answer is waited for in a live view.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often is asked who is there: that makes every process of the server answer.
const WHO: Duration = Duration::from_secs(10);

/// A live view.
#[derive(Args, Debug)]
#[command(after_help = "\
Keys: s sorts by name, time, compute, bytes or jobs; p lets the view stand still; q ends it. The world itself is not
touched: `engine pause`, `step` and `speed` do that.

Without a world, those that answer on this server are listed; if there is only one, it is shown.

Examples:
  engine top
  engine top arena --every 0.5
  engine top --once                       as text; also where there is no terminal
  engine top --json | jq .status.tick     an object a second")]
pub(crate) struct TopCommand {
    /// The world
    #[arg(value_name = "WORLD", conflicts_with = "world")]
    name: Option<String>,
    /// So many seconds from look to look
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = every)]
    every: Duration,
    /// Look once, and print it as text
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    common: Common,
}

/// `1s`, `0.5`
fn every(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.05..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "0.05 to 3600 seconds".to_owned())
}

/// What was heard.
enum News {
    Status(Box<Status>),
    Silence(String),
    Coordinators(Vec<Process>),
}

impl TopCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut config = self.common.connection.resolve()?;
        let is_live = !self.once && !self.common.json && io::stdout().is_terminal() && io::stdin().is_terminal();
        if let Some(name) = &self.name {
            config.world.clone_from(name);
        }
        let mut link = Link::connect(&config, self.common.timeout).await?;
        if !self.names_a_world()? {
            let worlds = coordinators(&link, self.common.timeout).await?;
            match &worlds[..] {
                // Perhaps the server doesn't let anybody be found: the world that is meant may answer all the same.
                [] => {}
                [only] => {
                    choose(&mut config, only);
                    link = Link::connect(&config, self.common.timeout).await?;
                }
                several if several.iter().all(|one| one.subjects == several[0].subjects) => {}
                several => return self.list(several),
            }
        }
        let mut top = Top::new(&config.world);
        if self.once || (!is_live && !self.common.json) {
            top.coordinators = of_world(&link, coordinators(&link, self.common.timeout).await?);
            top.see(link.status().await?);
            return if self.common.json { print_json(&top.json()) } else { print(&text(&top)) };
        }
        let (told, news) = mpsc::channel(16);
        let asking = tokio::spawn(ask(link.clone(), self.every, told.clone()));
        let looking = tokio::spawn(look_around(link, told));
        let ended = if is_live { show(&mut top, news).await } else { write(&mut top, news).await };
        asking.abort();
        looking.abort();
        ended
    }

    /// Whether it was said which one, by anything but the default.
    fn names_a_world(&self) -> anyhow::Result<bool> {
        let of_environment = std::env::var("ENGINE_WORLD").is_ok_and(|world| !world.is_empty());
        let of_file = self.common.connection.read_file()?.and_then(|file| file.text(None, "world")).is_some();
        Ok(self.name.is_some() || self.common.connection.world.is_some() || of_environment || of_file)
    }

    fn list(&self, worlds: &[Process]) -> anyhow::Result<()> {
        if self.common.json {
            let worlds: Vec<_> =
                worlds.iter().map(|one| json!({ "world": one.world, "subjects": one.subjects })).collect();
            return print_json(&json!({ "worlds": worlds }));
        }
        let mut table = Table::new(["world", "subjects", "coordinator"]);
        for one in worlds {
            table.row([&one.world, &one.subjects, &one.id].map(String::as_str));
        }
        print(&format!("{}\nseveral worlds answer: name one, as in `engine top {}`\n", table.take(), worlds[0].world))
    }
}

/// The world of a coordinator that was found, wherever its subjects are.
fn choose(config: &mut ConnectionConfig, found: &Process) {
    let prefix = found.subjects.strip_suffix(&found.world).and_then(|rest| rest.strip_suffix('.'));
    // What a stranger says of itself may be no name at all.
    if let Some(prefix) = prefix.filter(|prefix| engine_net::Subjects::new(prefix, &found.world).is_ok()) {
        prefix.clone_into(&mut config.prefix);
        config.world.clone_from(&found.world);
    }
}

async fn coordinators(link: &Link, limit: Duration) -> anyhow::Result<Vec<Process>> {
    let mut found: Vec<Process> = gather(link, "$SRV.INFO.engine-coordinator", limit)
        .await?
        .iter()
        .map(|info| Process {
            id: field(info, "id"),
            world: field(&info["metadata"], "world"),
            subjects: field(&info["metadata"], "subjects"),
        })
        .collect();
    found.sort_by(|a, b| (&a.subjects, &a.id).cmp(&(&b.subjects, &b.id)));
    Ok(found)
}

fn of_world(link: &Link, mut found: Vec<Process>) -> Vec<Process> {
    found.retain(|one| one.subjects == link.subjects.root());
    found
}

/// Asks for the status again and again, whatever comes of it.
async fn ask(link: Link, every: Duration, told: mpsc::Sender<News>) {
    let mut times = tokio::time::interval(every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let heard = match link.look(PATIENCE).await {
            Ok(status) => News::Status(Box::new(status)),
            Err(why) => News::Silence(why),
        };
        if told.send(heard).await.is_err() {
            return;
        }
    }
}

async fn look_around(link: Link, told: mpsc::Sender<News>) {
    loop {
        // A server that is gone is told of by the status.
        if let Ok(found) = coordinators(&link, PATIENCE).await
            && told.send(News::Coordinators(of_world(&link, found))).await.is_err()
        {
            return;
        }
        tokio::time::sleep(WHO).await;
    }
}

fn hear(top: &mut Top, news: News) {
    match news {
        News::Status(status) => top.see(*status),
        News::Silence(why) => top.miss(why),
        News::Coordinators(found) => top.coordinators = found,
    }
}

/// A line of JSON for each look.
async fn write(top: &mut Top, mut news: mpsc::Receiver<News>) -> anyhow::Result<()> {
    while let Some(heard) = news.recv().await {
        let is_look = !matches!(heard, News::Coordinators(_));
        hear(top, heard);
        if is_look {
            print_json(&top.json())?;
        }
    }
    Ok(())
}

/// The terminal while it is a view; it is put back however this ends.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn show(top: &mut Top, mut news: mpsc::Receiver<News>) -> anyhow::Result<()> {
    let mut screen = Screen(ratatui::try_init().context("turning the terminal into a view; try --once")?);
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn_at = None::<Instant>;
    loop {
        let mut is_new = drawn_at.is_none_or(|at| at.elapsed() > PATIENCE);
        tokio::select! {
            heard = news.recv() => {
                let Some(heard) = heard else { return Ok(()) };
                hear(top, heard);
                is_new = true;
            }
            _ = pulse.tick() => {
                while event::poll(Duration::ZERO)? {
                    match event::read()? {
                        Event::Key(key) => match top.key(key) {
                            Some(Wish::Quit) => return Ok(()),
                            Some(Wish::Redraw) => is_new = true,
                            None => {}
                        },
                        Event::Resize(..) => is_new = true,
                        _ => {}
                    }
                }
            }
        }
        if is_new {
            screen.0.draw(|frame| draw(frame, top))?;
            drawn_at = Some(Instant::now());
        }
    }
}
