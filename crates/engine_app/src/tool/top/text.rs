//! The same as text, for pipes and logs.

use std::fmt::Write as _;

use engine_net::messages::status::Status;

use super::{Instance, Top, plain};
use crate::tool::table::Table;
use crate::tool::words;

/// What is known, in some lines.
#[must_use]
pub fn text(top: &Top) -> String {
    let mut text = String::new();
    let state = match (&top.trouble, &top.status) {
        (Some(trouble), _) => plain(trouble),
        (None, Some(status)) => plain(&words::state(&status.state)),
        (None, None) => "nothing is known yet".to_owned(),
    };
    let _ = writeln!(text, "world {}: {state}", top.world);
    let Some(status) = &top.status else { return text };
    world(&mut text, top, status);
    systems(&mut text, top, status);
    instances(&mut text, top, status);
    let changes: Vec<String> = top.changes(status).collect();
    if !changes.is_empty() {
        let _ = writeln!(text, "\nsince the last look: {}", changes.join(", "));
    }
    for warning in top.warnings(status) {
        let _ = writeln!(text, "\nnote: {warning}");
    }
    text
}

fn world(text: &mut String, top: &Top, status: &Status) {
    let budget = if status.budget_ms > 0.0 { format!(" of {}", words::ms(status.budget_ms)) } else { String::new() };
    let _ = writeln!(
        text,
        "tick {}, epoch {}: {}; {}{budget} a tick (p99 {})",
        status.tick,
        status.epoch,
        words::rate(status),
        words::ms(status.tick_ms_p50),
        words::ms(status.tick_ms_p99)
    );
    let _ = writeln!(
        text,
        "{} entities in {} tables ({}); {} a tick on the wire, {} events",
        status.entities,
        status.tables,
        words::bytes(status.world_bytes),
        words::bytes(status.bytes_per_tick),
        status.events
    );
    if let Some(log) = &status.log {
        let trouble = log.trouble.as_deref().map(|why| format!("; it stands still: {}", plain(why)));
        let behind = status.tick.saturating_sub(log.tick);
        let _ = writeln!(text, "log: durable up to tick {}, {behind} behind{}", log.tick, trouble.unwrap_or_default());
    }
    if let Some(leader) = top.coordinators.first() {
        let _ = writeln!(text, "led by {}", plain(&leader.id));
    }
}

fn systems(text: &mut String, top: &Top, status: &Status) {
    if status.systems.is_empty() {
        text.push_str("\nno systems yet\n");
        return;
    }
    let mut table = Table::new(["system", "instances", "jobs", "time", "compute", "out", "in"]);
    for system in top.systems(status) {
        let count = if system.local { "in the coordinator".to_owned() } else { system.instances.len().to_string() };
        table.row([
            system.name.clone(),
            count,
            system.jobs.to_string(),
            words::ms(system.ms),
            words::ms(system.compute_ms),
            words::bytes(system.bytes_out),
            words::bytes(system.bytes_in),
        ]);
    }
    let _ = write!(text, "\n{}", table.take());
}

fn instances(text: &mut String, top: &Top, status: &Status) {
    let instances = top.instances(status);
    if instances.is_empty() {
        return;
    }
    let mut table = Table::new(["instance", "state", "load", "jobs", "columns", "systems", "host"]);
    for Instance { last, systems, jobs } in instances {
        table.row([
            last.instance.clone(),
            state(last),
            format!("{:.0}%", last.load * 100.0),
            jobs.to_string(),
            last.columns.clone(),
            systems.join(" "),
            format!("{}/{}", last.host, last.pid),
        ]);
    }
    let _ = write!(text, "\n{}", table.take());
}

/// Its state, and whether it is silent.
pub(super) fn state(instance: &engine_net::messages::status::InstanceStatus) -> String {
    match instance.silent_ms {
        0..=3000 => plain(&instance.state),
        silent => format!("{}, silent for {} s", plain(&instance.state), silent / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::top;
    use super::*;

    #[test]
    fn all_that_matters_is_there() {
        let text = text(&top());
        for wanted in [
            "world arena: running\n",
            "tick 1234, epoch 1: 59.9 of 60 ticks/s; 4.2 ms of 16.7 ms a tick (p99 6.0 ms)\n",
            "20000 entities in 7 tables (3.2 MB)",
            "both-1    ready     90%    53  shared   steer strike",
            "steer-2   suspect",
            "since the last look: fused +2 (2), reassigned +5 (9)\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
        }
    }

    #[test]
    fn who_does_not_answer_is_told_of_beside_what_was_known() {
        let mut top = top();
        top.miss("no coordinator answers\u{1b}[2J".into());
        let said = text(&top);
        assert!(said.starts_with("world arena: no coordinator answers [2J\n") && said.contains("tick 1234"), "{said}");
        assert_eq!(text(&Top::new("x")), "world x: nothing is known yet\n");
    }
}
