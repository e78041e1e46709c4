//! What the kernel knows of a process: how long its threads ran, and what it read. On Linux; elsewhere nothing is
//! known, and the report leaves it out.

use std::fs;

/// Seconds that the threads of a process were on a core, to the nanosecond. Of those that are alive: ours live as
/// long as what is measured.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    // A thread that ends meanwhile is no reason to know nothing.
    let ran = |task: fs::DirEntry| nanoseconds(&fs::read_to_string(task.path().join("schedstat")).ok()?);
    let all: Vec<u64> = tasks.flatten().filter_map(ran).collect();
    (!all.is_empty()).then(|| all.iter().sum::<u64>() as f64 / 1e9)
}

/// Bytes that a process asked the kernel for by `read`. Go reads its sockets that way, and nats-server reads little
/// else; Rust's `recv` is not counted there.
pub(crate) fn bytes_read(pid: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/io")).ok()?, "rchar:")
}

/// The first number of a schedstat: time on a core.
fn nanoseconds(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        assert_eq!(nanoseconds("7000 60385 1\n"), Some(7000));
        assert_eq!(field("rchar: 12\nwchar: 34\n", "wchar:"), Some(34));
        assert_eq!(field("rchar: many\n", "rchar:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_ran_and_read() {
        assert!(cpu_seconds(std::process::id()).is_some());
        assert!(bytes_read(std::process::id()).is_some_and(|bytes| bytes > 0));
        assert_eq!(cpu_seconds(u32::MAX), None);
    }
}
