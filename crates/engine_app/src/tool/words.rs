//! The status of a world in words: short, for whoever looks at it now and then.

use engine_net::messages::status::{SimState, Status};

/// Results that were refused, for any reason.
#[must_use]
pub fn rejected(status: &Status) -> u64 {
    status.counters.iter().filter(|(name, _)| name.starts_with("rejected.")).map(|(_, count)| count).sum()
}

/// Jobs that were given to another instance.
#[must_use]
pub fn reassigned(status: &Status) -> u64 {
    status.counters.get("reassigned").copied().unwrap_or(0)
}

/// A state in words.
#[must_use]
pub fn state(state: &SimState) -> String {
    match state {
        SimState::Running => "running".to_owned(),
        SimState::Paused => "paused".to_owned(),
        SimState::Waiting { what } => format!("waiting for {what}"),
        SimState::Stopping => "stopping".to_owned(),
    }
}

/// Bytes, short.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut scaled = count as f64;
    let mut unit = 0;
    for (index, _) in UNITS.iter().enumerate() {
        scaled /= 1000.0;
        unit = index;
        if scaled < 999.95 {
            break;
        }
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// Milliseconds, with two digits that matter.
#[must_use]
pub fn ms(ms: f64) -> String {
    match ms {
        _ if ms < 1.0 => format!("{ms:.2} ms"),
        _ if ms < 100.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// A rate and the one that is aimed at.
#[must_use]
pub fn rate(status: &Status) -> String {
    if status.speed == 0.0 {
        format!("{:.1} ticks/s, as fast as possible", status.actual_rate)
    } else {
        format!("{:.1} of {} ticks/s", status.actual_rate, status.rate * status.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short_at_every_size() {
        let all = [0, 999, 1000, 24_576, 999_949, 999_950, 1_500_000_000, u64::MAX].map(bytes);
        assert_eq!(all, ["0 B", "999 B", "1.0 kB", "24.6 kB", "999.9 kB", "1.0 MB", "1.5 GB", "18446744.1 TB"]);
    }

    #[test]
    fn milliseconds_keep_the_digits_that_matter() {
        assert_eq!([0.034, 4.25, 250.4].map(ms), ["0.03 ms", "4.2 ms", "250 ms"]);
    }
}
