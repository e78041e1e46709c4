//! The live view: the world and its systems in a terminal, and the keys.
//!
//! Drawing is a function of the [`Board`]; the terminal is put back when [`Screen`] is dropped, and by
//! `ratatui`'s panic hook before a panic is printed.

use std::io;
use std::time::Duration;

use engine_net::messages::status::{InstanceStatus, Status, SystemStatus};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use super::board::{self, Board};
use crate::tool::panel;

/// The terminal while it is a view.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Pause, or go on.
    TogglePause,
    /// One tick.
    Step,
    /// Kill an instance of the selected system.
    Kill,
    /// Kill the coordinator that leads.
    KillLeader,
    /// Start an instance of the selected system.
    Start,
    /// Select the system above (-1) or below (1).
    Select(isize),
    /// The end.
    Quit,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    pub(super) fn draw(&mut self, board: &Board) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, board)).map(|_| ())
    }

    /// The wishes of keys that were pressed since the last call.
    pub(super) fn wishes(&self) -> io::Result<Vec<Wish>> {
        let mut wishes = Vec::new();
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                wishes.extend(wish(key));
            }
        }
        Ok(wishes)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    // In raw mode Ctrl-C is a key like any other.
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Char('c'), true) => Some(Wish::Quit),
        (_, true) => None,
        (KeyCode::Char(' '), _) => Some(Wish::TogglePause),
        (KeyCode::Char('s'), _) => Some(Wish::Step),
        (KeyCode::Char('k'), _) => Some(Wish::Kill),
        (KeyCode::Char('n'), _) => Some(Wish::Start),
        (KeyCode::Char('c'), _) => Some(Wish::KillLeader),
        (KeyCode::Char('q') | KeyCode::Esc, _) => Some(Wish::Quit),
        (KeyCode::Up, _) => Some(Wish::Select(-1)),
        (KeyCode::Down, _) => Some(Wish::Select(1)),
        _ => None,
    }
}

/// Draws the board.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board) {
    let [world, systems, notice, keys] =
        Layout::vertical([Constraint::Length(7), Constraint::Min(3), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    match &board.status {
        Some(status) => {
            panel::draw(frame, world, block(board), board.answering, status);
            draw_systems(frame, systems, board, status);
        }
        None => frame.render_widget(Paragraph::new("waiting for the coordinator …").block(block(board)), world),
    }
    frame.render_widget(Line::from(board.notice.lines().next().unwrap_or_default()).yellow(), notice);
    frame.render_widget(keys_line(board), keys);
}

fn block(board: &Board) -> Block<'static> {
    Block::bordered().title(format!(" {} · {} processes · seed {} ", board.app, board.processes, board.seed))
}

fn draw_systems(frame: &mut Frame<'_>, area: Rect, board: &Board, status: &Status) {
    let header = Row::new(["system", "time", "compute", "shards", "jobs", "out", "in", "instances"]).dim();
    let rows = status.systems.iter().map(|system| row(system, system.name == board.selected));
    let widths = [
        Constraint::Length(name_width(status)),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Fill(1),
    ];
    frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered().title(" systems ")), area);
}

/// Room for the longest name and the mark of the selected one.
fn name_width(status: &Status) -> u16 {
    let longest = status.systems.iter().map(|system| system.name.chars().count()).max().unwrap_or(0);
    u16::try_from(longest + 2).unwrap_or(u16::MAX).clamp(8, 24)
}

fn row(system: &SystemStatus, selected: bool) -> Row<'static> {
    let mark = if selected { "› " } else { "  " };
    let instances = if system.local {
        Line::from("in the coordinator")
    } else {
        Line::from(system.instances.iter().flat_map(|it| [instance(&system.name, it), "  ".into()]).collect::<Vec<_>>())
    };
    let cells: [Cell<'static>; 8] = [
        format!("{mark}{}", system.name).into(),
        board::ms(system.ms).into(),
        board::ms(system.compute_ms).into(),
        system.shards.to_string().into(),
        system.jobs.to_string().into(),
        board::bytes(system.bytes_out).into(),
        board::bytes(system.bytes_in).into(),
        instances.into(),
    ];
    let style = if selected { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    Row::new(cells).style(style)
}

/// `1 42%`: the name without the system's, and the load; who is not well is named with its state.
fn instance(system: &str, instance: &InstanceStatus) -> Span<'static> {
    let name = instance.instance.strip_prefix(system).and_then(|rest| rest.strip_prefix('-'));
    let name = name.unwrap_or(&instance.instance);
    if instance.state == "ready" {
        Span::styled(format!("{name} {:.0}%", instance.load * 100.0), Color::Green)
    } else {
        Span::styled(format!("{name} {}", instance.state), Color::Red)
    }
}

fn keys_line(board: &Board) -> Line<'static> {
    let kill = format!("kill a {}", board.selected);
    let start = format!("new {}", board.selected);
    let mut keys = vec![("space", "pause"), ("s", "step"), ("k", &*kill), ("n", &*start)];
    if board.status.as_ref().is_some_and(|status| status.log.is_some()) {
        keys.push(("c", "kill the coordinator"));
    }
    keys.extend([("↑↓", "select"), ("q", "quit")]);
    panel::keys(&keys)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::board::tests::board;
    use super::*;

    fn drawn(board: &Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, board)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_that_matters_is_on_the_screen() {
        let screen = drawn(&board(), 110, 16);
        for wanted in [
            "arena · 4 processes · seed 1",
            "tick 1234 · running · 59.9 of 60 ticks/s",
            "4.2 ms of 16.7 ms (p99 6.0 ms)",
            "20000 entities in 7 tables (3.2 MB) · 17 events · 1.2 MB a tick",
            "rejected 5 · reassigned 4",
            "hash 00000000000000000000000000000abc",
            "1 42%  2 suspect",
            "› strike",
            "480.0 kB",
            "steer-2 started",
            "kill a strike",
        ] {
            assert!(screen.contains(wanted), "{wanted} is missing in\n{screen}");
        }
    }

    #[test]
    fn any_size_and_any_number_can_be_drawn() {
        let mut odd = board();
        let status = odd.status.as_mut().unwrap();
        (status.tick_ms_p50, status.budget_ms, status.systems[0].instances[0].load) = (f64::NAN, 1.0, f32::INFINITY);
        for (width, height) in [(1, 1), (3, 40), (200, 2), (80, 24)] {
            drawn(&odd, width, height);
            drawn(&Board::default(), width, height);
        }
    }

    #[test]
    fn a_silent_coordinator_shows() {
        let mut board = board();
        board.answering = false;
        assert!(drawn(&board, 80, 24).contains("no answer"));
        assert!(drawn(&Board::default(), 80, 24).contains("waiting for the coordinator"));
    }

    #[test]
    fn keys_mean_what_the_last_line_says() {
        let key = |code| wish(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(key(KeyCode::Char(' ')), Some(Wish::TogglePause));
        assert_eq!(key(KeyCode::Char('s')), Some(Wish::Step));
        assert_eq!(key(KeyCode::Char('k')), Some(Wish::Kill));
        assert_eq!(key(KeyCode::Char('n')), Some(Wish::Start));
        assert_eq!(key(KeyCode::Char('c')), Some(Wish::KillLeader));
        assert_eq!(key(KeyCode::Down), Some(Wish::Select(1)));
        assert_eq!(key(KeyCode::Char('x')), None);
        let control = |char| wish(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL));
        assert_eq!((control('c'), control('k')), (Some(Wish::Quit), None));
    }
}
