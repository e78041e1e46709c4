//! The world: does a coordinator answer, only one, and how are its clock, its tick and its systems.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::StatusCode;
use engine_net::messages::Message;
use engine_net::messages::status::{SimState, Status, StatusReply};
use futures_util::StreamExt;

use super::{Findings, State, list};
use crate::link::Link;
use crate::status::state;

/// How long the first answer may take.
const FIRST: Duration = Duration::from_secs(2);
/// How long a second coordinator may take after the first one.
const SECOND: Duration = Duration::from_millis(250);
/// Clocks that are further apart are worth a warning.
const FAR_MS: f64 = 1000.0;
/// An instance that was not heard of for so long.
const SILENT_MS: u64 = 3000;

/// A status, and how far the clock that it came with is from ours, in milliseconds.
struct Answer {
    status: Status,
    ahead: Option<(f64, f64)>,
}

pub(super) async fn look(findings: &mut Findings, link: &Link) -> anyhow::Result<()> {
    let mut answers = match ask(link).await? {
        Ok(answers) => answers,
        Err(reason) => {
            return findings.add(
                State::Warn,
                "coordinator",
                format!("none answers for world `{}`: {reason}", link.subjects.world()),
                "start one (`engine coordinator`, or that of your app), or name another world with --world",
            );
        }
    };
    if answers.len() > 1 {
        let epochs: Vec<String> = answers.iter().map(|answer| format!("epoch {}", answer.status.epoch)).collect();
        findings.add(
            State::Fail,
            "coordinator",
            format!("{} answer for world `{}`: {}", answers.len(), link.subjects.world(), list(&epochs)),
            "stop all but one of them: a world has one owner",
        )?;
    }
    let answer = answers.remove(0);
    let status = &answer.status;
    let text = format!("world `{}` is at tick {}: {}", status.world, status.tick, state(&status.state));
    match &status.state {
        SimState::Waiting { what } => findings.add(
            State::Warn,
            "coordinator",
            text,
            format!("start {what}: `APP system NAME`, with the same NATS_URL and world"),
        )?,
        SimState::Paused => findings.add(State::Note, "coordinator", text, "`engine resume` lets it run")?,
        _ => findings.ok("coordinator", text)?,
    }
    clock(findings, answer.ahead)?;
    rate(findings, status)?;
    systems(findings, status)?;
    order(findings, status)?;
    refusals(findings, status)
}

/// All answers to one question; `Err` says why there is none.
async fn ask(link: &Link) -> anyhow::Result<Result<Vec<Answer>, String>> {
    let client = &link.connection.client;
    let inbox = client.new_inbox();
    let mut heard = client.subscribe(inbox.clone()).await?;
    let asked = (Instant::now(), unix_ms());
    client.publish_with_reply(link.subjects.status(), inbox, bytes::Bytes::new()).await?;
    let mut answers = Vec::new();
    let mut patience = FIRST;
    while let Ok(Some(message)) = tokio::time::timeout(patience, heard.next()).await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Ok(Err(format!("nobody listens on {}", link.subjects.status())));
        }
        let took = asked.0.elapsed().as_secs_f64() * 1e3;
        match StatusReply::decode(&message.payload).map_err(|error| error.to_string()).map(StatusReply::into_result) {
            Ok(Ok(status)) => {
                // Halfway between question and answer, give or take the half.
                let ahead = status.clock_ms.map(|clock| (clock as f64 - (asked.1 + took / 2.0), took / 2.0 + 1.0));
                answers.push(Answer { status, ahead });
            }
            Ok(Err(problem)) => return Ok(Err(problem.to_string())),
            Err(error) => return Ok(Err(format!("its answer can't be read ({error}); are both of one version?"))),
        }
        patience = SECOND;
    }
    Ok(if answers.is_empty() { Err(format!("no answer within {FIRST:?}")) } else { Ok(answers) })
}

fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

fn clock(findings: &mut Findings, ahead: Option<(f64, f64)>) -> anyhow::Result<()> {
    let Some((ahead, give_or_take)) = ahead else {
        return findings.add(State::Note, "clock", "the coordinator does not tell its own", "");
    };
    let side = if ahead < 0.0 { "behind" } else { "ahead of" };
    let text = format!("the coordinator's is {:.0} ms {side} this machine's (± {give_or_take:.0} ms)", ahead.abs());
    if ahead.abs() - give_or_take < FAR_MS {
        return findings.ok("clock", text);
    }
    findings.add(
        State::Warn,
        "clock",
        text,
        "no tick depends on it, but logs, certificates and the epochs of coordinators do; let both machines ask a time server",
    )
}

fn rate(findings: &mut Findings, status: &Status) -> anyhow::Result<()> {
    let text = format!(
        "{} of {} ticks a second; a tick took {:.2} ms in the middle, {:.2} at the worst of a hundred",
        status.actual_rate, status.rate, status.tick_ms_p50, status.tick_ms_p99
    );
    if status.budget_ms > 0.0 && status.tick_ms_p50 > status.budget_ms {
        return findings.add(
            State::Warn,
            "rate",
            format!("{text}; it may take {:.2}, so simulated time falls behind", status.budget_ms),
            "start more instances of the system with the most compute ms (`engine status`), or lower the rate",
        );
    }
    findings.ok("rate", text)
}

fn systems(findings: &mut Findings, status: &Status) -> anyhow::Result<()> {
    let missing: Vec<String> = status
        .systems
        .iter()
        .filter(|system| !system.local && system.instances.is_empty())
        .map(|system| system.name.clone())
        .collect();
    if !missing.is_empty() {
        findings.add(
            State::Warn,
            "systems",
            format!("nobody runs {}", list(&missing)),
            "the next tick waits for an instance of each; start them",
        )?;
    }
    let silent: Vec<String> = status
        .systems
        .iter()
        .flat_map(|system| &system.instances)
        .filter(|instance| instance.silent_ms > SILENT_MS)
        .map(|instance| {
            format!("{} ({} s, {}/{})", instance.instance, instance.silent_ms / 1000, instance.host, instance.pid)
        })
        .collect();
    if !silent.is_empty() {
        findings.add(
            State::Warn,
            "systems",
            format!("not heard of for a while: {}", list(&silent)),
            "is the process stopped, its machine overloaded, or its network cut?",
        )?;
    }
    if missing.is_empty() && silent.is_empty() {
        let instances: usize = status.systems.iter().map(|system| system.instances.len()).sum();
        findings.ok(
            "systems",
            format!("{} with {instances} instances", crate::output::count(status.systems.len(), "system", "systems")),
        )?;
    }
    Ok(())
}

fn order(findings: &mut Findings, status: &Status) -> anyhow::Result<()> {
    for (first, second) in &status.ambiguities {
        findings.add(
            State::Warn,
            "order",
            format!(
                "`{first}` runs before `{second}` only because of their names; they touch the same components or events"
            ),
            format!("say which one is meant: {second}.after(\"{first}\"), or {first}.after(\"{second}\")"),
        )?;
    }
    if status.ambiguities.is_empty() {
        findings.ok("order", "every two systems that conflict have one")
    } else {
        Ok(())
    }
}

fn refusals(findings: &mut Findings, status: &Status) -> anyhow::Result<()> {
    let of = |prefix: &str| -> Vec<String> {
        let counters = status.counters.iter().filter(|(name, count)| name.starts_with(prefix) && **count > 0);
        counters.map(|(name, count)| format!("{} ({count})", &name[prefix.len()..])).collect()
    };
    let (rejected, refused) = (of("rejected."), of("refused."));
    if status.counters.get("rejected.nondeterminism").is_some_and(|count| *count > 0) {
        findings.add(
            State::Fail,
            "determinism",
            "two attempts at one job gave different results",
            "a system uses something that is not its input: a clock, an order of a hash map, a random number not of `Rng`",
        )?;
    }
    if !rejected.is_empty() {
        findings.add(
            State::Note,
            "results",
            format!("were refused: {}", list(&rejected)),
            "late and old ones are normal after an instance was lost; of others the instance's log tells the reason",
        )?;
    }
    if !refused.is_empty() {
        findings.add(
            State::Note,
            "requests",
            format!("were refused: {}", list(&refused)),
            "whoever asked was told the reason",
        )?;
    }
    if rejected.is_empty() && refused.is_empty() {
        findings.ok("refusals", "none since the coordinator started")
    } else {
        Ok(())
    }
}
