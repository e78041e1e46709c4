//! Where and when it was measured: figures of two machines are not comparable, and nobody remembers later.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// See the module's text. What can't be found out is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    server: String,
    commit: String,
    date: String,
    /// How many wanted a core in the last minute, before we began: others disturb.
    load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            cpu: cpu.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: format!("{} {}", std::env::consts::OS, kernel.trim()).trim().to_owned(),
            server: server_version(),
            commit: said(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])),
            date: utc(seconds),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { cpu, cores, kernel, server, commit, date, load } = self;
        format!("{cores} × {cpu}, {kernel}, {server}; commit {commit}, {date}, load before {load}")
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cores": self.cores, "kernel": self.kernel, "nats_server": self.server,
            "commit": self.commit, "date": self.date, "load_before": self.load,
            "avx2": cfg!(target_feature = "avx2"), "peers": cfg!(feature = "peers"),
        })
    }
}

/// Nothing is fetched for it: whoever runs cases with a server has one by then.
fn server_version() -> String {
    let known = |path: &Path| said(Command::new(path).arg("--version"));
    engine_net::server::locate(&mut |line| eprintln!("{line}")).map_or_else(|_| String::new(), |path| known(&path))
}

/// What a program says; nothing when it can't be asked.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Seconds since 1970 as a date, in the calendar that repeats every 400 years. Counted from March on, so that the
/// day that some years have more is their last one.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}Z", second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00Z");
        assert_eq!(utc(1_735_689_599), "2024-12-31T23:59Z");
    }
}
