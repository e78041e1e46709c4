//! `engine status`: what the world is up to.

use std::fmt::Write;

use clap::Args;
use engine_app::tool::table::Table;
use engine_net::messages::status::{KeptStatus, SimState, Status};

use crate::link::Link;
use crate::output::{print, print_json};
use crate::{Common, output};

const EXAMPLES: &str = "\
Examples:
  engine status
  engine status --json | jq .tick
  watch -n 1 engine status";

/// Shows the status.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusCommand {
    #[command(flatten)]
    common: Common,
}

impl StatusCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let status = link.status().await?;
        if self.common.json { print_json(&serde_json::to_value(&status)?) } else { print(&text(&status)) }
    }
}

/// The state in a few words.
pub(crate) fn state(state: &SimState) -> String {
    match state {
        SimState::Running => "running".into(),
        SimState::Paused => "paused".into(),
        SimState::Waiting { what } => format!("waiting for {what}"),
        SimState::Stopping => "has had its last tick".into(),
    }
}

fn text(status: &Status) -> String {
    let mut text = format!("world {}: {} at tick {}\n\n", status.world, state(&status.state), status.tick);
    let speed = if status.speed == 1.0 { String::new() } else { format!(", speed {}", status.speed) };
    let budget =
        if status.budget_ms > 0.0 { format!("; a tick may take {:.2}", status.budget_ms) } else { String::new() };
    let facts = [
        ("rate", format!("{} of {} ticks a second{speed}", status.actual_rate, status.rate)),
        (
            "tick",
            format!("{:.2} ms in the middle, 99 in 100 below {:.2}{budget}", status.tick_ms_p50, status.tick_ms_p99),
        ),
        (
            "entities",
            format!(
                "{} in {}, {}",
                status.entities,
                output::count(status.tables as usize, "table", "tables"),
                bytes(status.world_bytes)
            ),
        ),
        ("last tick", format!("{} on the wire, {} events", bytes(status.bytes_per_tick), status.events)),
        ("hash", status.hash.to_string()),
        ("epoch", status.epoch.to_string()),
    ];
    let log = status.log.as_ref().map(|log| {
        let trouble = log.trouble.as_ref().map_or_else(String::new, |why| format!("; it stands still: {why}"));
        ("log", format!("durable up to tick {}{trouble}", log.tick))
    });
    let kept = status.kept.as_ref().map(|kept| ("kept", kept_events(kept)));
    for (name, fact) in facts.into_iter().chain(log).chain(kept) {
        writeln!(text, "{name:<10} {fact}").expect("a string takes everything");
    }
    text.push('\n');
    text.push_str(&systems(status));
    if !status.ambiguities.is_empty() {
        writeln!(
            text,
            "\n{} in an order that only names decide; `engine doctor` says which",
            output::count(status.ambiguities.len(), "pair of systems is", "pairs of systems are")
        )
        .expect("a string takes everything");
    }
    let counters: Vec<_> = status.counters.iter().filter(|(_, count)| **count > 0).collect();
    if !counters.is_empty() {
        text.push('\n');
        let mut table = Table::new(["counter", "since the start"]);
        for (name, count) in counters {
            table.row([name.clone(), count.to_string()]);
        }
        text.push_str(&table.take());
    }
    text
}

fn kept_events(kept: &KeptStatus) -> String {
    let waiting = if kept.events == 0 {
        "none waits".into()
    } else {
        let ticks = output::count(kept.ticks as usize, "tick", "ticks");
        format!("{} of {ticks} to be stored", output::count(kept.events as usize, "event waits", "events wait"))
    };
    let trouble = kept.trouble.as_ref().map_or_else(String::new, |why| format!("; {why}"));
    format!("events of {}; {waiting}{trouble}", kept.domains.join(", "))
}

fn systems(status: &Status) -> String {
    if status.systems.is_empty() {
        return "no systems yet\n".into();
    }
    let mut table =
        Table::new(["system", "instance", "state", "load", "jobs", "ms", "compute ms", "out", "in", "host"]);
    for system in &status.systems {
        let figures = [
            system.jobs.to_string(),
            format!("{:.2}", system.ms),
            format!("{:.2}", system.compute_ms),
            bytes(system.bytes_out),
            bytes(system.bytes_in),
        ];
        let row = |name: &str, instance: &str, state: String, load: String, host: String| {
            let figures = if name.is_empty() { Default::default() } else { figures.clone() };
            [name.to_owned(), instance.to_owned(), state, load].into_iter().chain(figures).chain([host])
        };
        if system.local {
            table.row(row(&system.name, "(coordinator)", "ready".into(), String::new(), String::new()));
        } else if system.instances.is_empty() {
            table.row(row(&system.name, "(none)", "missing".into(), String::new(), String::new()));
        }
        for (index, instance) in system.instances.iter().enumerate() {
            let name = if index == 0 && !system.local { system.name.as_str() } else { "" };
            let silent = if instance.silent_ms > 3000 {
                format!(", silent for {} s", instance.silent_ms / 1000)
            } else {
                String::new()
            };
            let shared = if instance.columns == "shared" { ", shared" } else { "" };
            table.row(row(
                name,
                &instance.instance,
                format!("{}{shared}{silent}", instance.state),
                format!("{:.0}%", instance.load * 100.0),
                format!("{}/{}", instance.host, instance.pid),
            ));
        }
    }
    table.take()
}

/// `12.5 KiB`
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}
