//! Plain lines, for logs and pipes: one a second, and a summary at the end.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::board::{self, Board, Summary};

const EVERY: Duration = Duration::from_secs(1);

/// Writes lines.
pub(super) struct Lines<W> {
    out: W,
    due: Option<Instant>,
    last: String,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, due: None, last: String::new() }
    }

    /// A line for the board, when one is due. What happened is said at once, and once.
    pub(super) fn show(&mut self, board: &Board, now: Instant) -> io::Result<()> {
        if board.notice != self.last {
            self.last.clone_from(&board.notice);
            self.say(&board.notice)?;
        }
        if self.due.is_none_or(|due| now >= due) && board.status.is_some() {
            self.due = Some(now + EVERY);
            self.say(&line(board))?;
        }
        Ok(())
    }

    /// The end: where the world is, and a summary.
    pub(super) fn finish(&mut self, board: &Board, summary: &Summary, json: bool) -> io::Result<()> {
        self.say(&line(board))?;
        self.say(&summary.text())?;
        if json {
            self.say(&summary.json())?;
        }
        Ok(())
    }

    /// Any other line. Flushed, since whoever reads a pipe wants to see it now.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }
}

/// The world in a line.
fn line(board: &Board) -> String {
    let Some(status) = &board.status else {
        return "no word of the coordinator yet".to_owned();
    };
    let instances: usize = status.systems.iter().map(|system| system.instances.len()).sum();
    let state = if board.answering { board::state(&status.state) } else { "no answer".to_owned() };
    let budget = if status.budget_ms > 0.0 { format!(" of {}", board::ms(status.budget_ms)) } else { String::new() };
    format!(
        "tick {:>6}  {state}  {}  {}{budget} (p99 {})  {} entities  {} events  {} a tick  {instances} instances  \
         rejected {}  reassigned {}  hash {}",
        status.tick,
        board::rate(status),
        board::ms(status.tick_ms_p50),
        board::ms(status.tick_ms_p99),
        status.entities,
        status.events,
        board::bytes(status.bytes_per_tick),
        board::rejected(status),
        board::reassigned(status),
        status.hash,
    )
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::board;
    use super::*;

    fn written(lines: &Lines<Vec<u8>>) -> Vec<String> {
        String::from_utf8(lines.out.clone()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_a_second_and_news_once() {
        let (mut lines, board, start) = (Lines::new(Vec::new()), board(), Instant::now());
        for ms in [0, 200, 999, 1000, 1400] {
            lines.show(&board, start + Duration::from_millis(ms)).unwrap();
        }
        let line = "tick   1234  running  59.9 of 60 ticks/s  4.2 ms of 16.7 ms (p99 6.0 ms)  20000 entities  17 events  \
                    1.2 MB a tick  3 instances  rejected 5  reassigned 4  hash 00000000000000000000000000000abc";
        assert_eq!(written(&lines), ["steer-2 started", line, line]);
    }

    #[test]
    fn json_is_the_last_line() {
        let (mut lines, board) = (Lines::new(Vec::new()), board());
        lines.finish(&board, &board.summary().unwrap(), true).unwrap();
        let written = written(&lines);
        let last: serde_json::Value = serde_json::from_str(written.last().unwrap()).unwrap();
        assert_eq!(last["tick_ms"]["p99"], 6.0);
        assert_eq!(last["rejected"], 5);
    }

    #[test]
    fn a_silent_coordinator_shows() {
        let mut board = board();
        board.answering = false;
        assert!(line(&board).contains("no answer"));
        assert_eq!(line(&Board::default()), "no word of the coordinator yet");
    }
}
