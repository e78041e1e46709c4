//! What is printed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::soak::{Outcome, Soak};
use crate::takeover::Takeovers;

/// Of what is wrong, so much is printed.
const MOST: usize = 20;

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".into(), |time| format!("{:.2} s", time.as_secs_f64()))
}

/// The outcome as a table.
pub(crate) fn table(soak: &Soak, outcome: &Outcome) {
    let Outcome { faults, verdict, takeovers, last_words, disk } = outcome;
    println!("\nseed {}, {} s of faults, lease {} s", soak.seed, soak.length.as_secs(), soak.world.lease);
    for (kind, count) in faults {
        println!("  {kind:24} {count:>6}");
    }
    println!("  {:24} {:>6}", "faults", faults.values().sum::<u64>());
    println!("  {:24} {:>6}", "ticks", verdict.ticks);
    println!("  {:24} {:>6}", "epochs", verdict.epochs);
    println!("  {:24} {:>6}", "commands answered", verdict.answered);
    println!("  {:24} {:>6}", "commands lost", verdict.lost);
    println!("  {:24} {:>6}", "commands doubled", verdict.doubled);
    println!("  {:24} {:>6}", "takeovers after a kill", takeovers.took.len());
    println!("  {:24} {:>6}, worst {}", "takeover median", seconds(takeovers.median()), seconds(takeovers.worst()));
    println!("  {:24} {:>6}", "divergences", verdict.wrong.len());
    println!("  {:24} {}", "hash of the last tick", verdict.hash);
    if let Some(disk) = disk {
        println!("  {:24} {disk}", "full disk");
    }
    for words in last_words.iter().take(MOST) {
        println!("  note: {words}");
    }
    for wrong in verdict.wrong.iter().take(MOST) {
        println!("  WRONG: {wrong}");
    }
}

pub(crate) fn as_json(soak: &Soak, outcome: &Outcome) -> Value {
    let Outcome { faults, verdict, takeovers, last_words, .. } = outcome;
    json!({
        "seed": soak.seed,
        "seconds": soak.length.as_secs_f64(),
        "lease_s": soak.world.lease,
        "cluster": soak.cluster,
        "faults": faults,
        "ticks": verdict.ticks,
        "epochs": verdict.epochs,
        "hash": verdict.hash,
        "commands": { "answered": verdict.answered, "lost": verdict.lost, "doubled": verdict.doubled },
        "takeovers": takeovers_json(takeovers),
        "ended_by_themselves": last_words,
        "divergences": verdict.wrong,
    })
}

pub(crate) fn takeovers_json(takeovers: &Takeovers) -> Value {
    json!({
        "count": takeovers.took.len(),
        "median_s": takeovers.median().map(|time| time.as_secs_f64()),
        "worst_s": takeovers.worst().map(|time| time.as_secs_f64()),
    })
}

pub(crate) fn takeovers(lease: u32, takeovers: &Takeovers) {
    let (median, worst) = (seconds(takeovers.median()), seconds(takeovers.worst()));
    println!("lease {lease} s: {} takeovers, median {median}, worst {worst}", takeovers.took.len());
}

/// From the server's readiness to the next tick.
pub(crate) fn reconnects(mut took: Vec<Duration>, as_json: bool) {
    took.sort();
    let (median, worst) = (took.get(took.len().saturating_sub(1) / 2).copied(), took.last().copied());
    println!("{} restarts of the server: median {}, worst {}", took.len(), seconds(median), seconds(worst));
    if as_json {
        let of = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        println!("{}", json!({ "reconnects": took.len(), "median_s": of(median), "worst_s": of(worst) }));
    }
}
