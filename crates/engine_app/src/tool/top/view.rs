//! The same in a terminal: drawing is a function of what is known.

use engine_net::messages::status::{InstanceStatus, Status, SystemStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::text::state;
use super::{Instance, Top, plain};
use crate::tool::{panel, words};

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, top: &Top) {
    let count = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3).max(4);
    let rows = top.status.as_ref().map_or(1, |status| status.systems.len());
    let [world, systems, instances, changes, notice, keys] = Layout::vertical([
        Constraint::Length(panel::HEIGHT),
        Constraint::Max(count(rows)),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let leader = top.coordinators.first().map(|leader| format!("· {} ", plain(&leader.id))).unwrap_or_default();
    let block = Block::bordered().title(format!(" world {} {leader}", top.world));
    match &top.status {
        Some(status) => {
            panel::draw(frame, world, block, top.trouble.is_none(), status);
            draw_systems(frame, systems, top, status);
            draw_instances(frame, instances, top, status);
            let changed: Vec<String> = top.changes(status).collect();
            frame.render_widget(Line::from(changed.join(" · ")).dim(), changes);
            if let Some(warning) = top.warnings(status).into_iter().next() {
                frame.render_widget(Line::from(warning).yellow(), notice);
            }
        }
        None => frame.render_widget(Paragraph::new("waiting for the coordinator …").block(block), world),
    }
    if let Some(trouble) = &top.trouble {
        frame.render_widget(Line::from(plain(trouble)).red(), notice);
    }
    frame.render_widget(keys_line(top), keys);
}

fn draw_systems(frame: &mut Frame<'_>, area: Rect, top: &Top, status: &Status) {
    let header = Row::new(["system", "time", "compute", "jobs", "out", "in", "instances"]).dim();
    let longest = status.systems.iter().map(|system| system.name.chars().count()).max().unwrap_or(0);
    let widths = [
        Constraint::Length(u16::try_from(longest).unwrap_or(u16::MAX).clamp(8, 24)),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Fill(1),
    ];
    let rows = top.systems(status).into_iter().map(system_row);
    frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered().title(" systems ")), area);
}

fn system_row(system: &SystemStatus) -> Row<'static> {
    let (instances, colour) = match system.instances.len() {
        _ if system.local => ("in the coordinator".to_owned(), Color::Reset),
        0 => ("none: the world waits for one".to_owned(), Color::Red),
        count => (count.to_string(), Color::Reset),
    };
    Row::new([
        plain(&system.name),
        words::ms(system.ms),
        words::ms(system.compute_ms),
        system.jobs.to_string(),
        words::bytes(system.bytes_out),
        words::bytes(system.bytes_in),
        instances,
    ])
    .style(Style::new().fg(colour))
}

fn draw_instances(frame: &mut Frame<'_>, area: Rect, top: &Top, status: &Status) {
    let header = Row::new(["instance", "load", "jobs", "columns", "state", "host", "systems"]).dim();
    let instances = top.instances(status);
    let longest = instances.iter().map(|instance| instance.last.instance.chars().count()).max().unwrap_or(0);
    let widths = [
        Constraint::Length(u16::try_from(longest).unwrap_or(u16::MAX).clamp(8, 24)),
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(16),
        Constraint::Length(20),
        Constraint::Fill(1),
    ];
    // What does not fit is counted, not forgotten.
    let room = usize::from(area.height.saturating_sub(3));
    let title = match instances.len().checked_sub(room) {
        Some(hidden @ 1..) => format!(" {} instances, {hidden} below ", instances.len()),
        _ => format!(" {} instances ", instances.len()),
    };
    let rows = instances.iter().map(instance_row);
    frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered().title(title)), area);
}

fn instance_row(instance: &Instance<'_>) -> Row<'static> {
    let InstanceStatus { load, columns, host, pid, .. } = instance.last;
    let colour = match instance.last.state.as_str() {
        "ready" if instance.last.silent_ms <= 3000 => Color::Green,
        _ => Color::Red,
    };
    Row::new([
        plain(&instance.last.instance),
        format!("{:.0}%", load * 100.0),
        instance.jobs.to_string(),
        plain(columns),
        state(instance.last),
        format!("{}/{pid}", plain(host)),
        plain(&instance.systems.join(" ")),
    ])
    .style(Style::new().fg(colour))
}

fn keys_line(top: &Top) -> Line<'static> {
    let sorted = format!("sorted by {}", top.order.word());
    let frozen = if top.is_frozen { "stands still: go on" } else { "stand still" };
    let keys = [("s", sorted.as_str()), ("p", frozen), ("q", "quit")];
    panel::keys(&keys)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::tests::top;
    use super::*;

    fn drawn(top: &Top, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, top)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_that_matters_is_on_the_screen() {
        let screen = drawn(&top(), 110, 26);
        for wanted in [
            "world arena",
            "tick 1234 · running · 59.9 of 60 ticks/s",
            "4.2 ms of 16.7 ms (p99 6.0 ms)",
            "epoch 1 · rejected 5 · reassigned 9",
            "steer    2.2 ms    4.5 ms    6      480.0 kB  240.0 kB  3",
            "4 instances",
            "both-1   90%   53     shared  ready",
            "fused +2 (2) · reassigned +5 (9)",
            "sorted by name",
        ] {
            assert!(screen.contains(wanted), "{wanted} is missing in\n{screen}");
        }
    }

    #[test]
    fn who_does_not_answer_shows_and_what_does_not_fit_is_counted() {
        let mut top = top();
        top.miss("the server is gone".into());
        let screen = drawn(&top, 100, 18);
        assert!(screen.contains("no answer") && screen.contains("the server is gone"), "{screen}");
        assert!(screen.contains("4 instances, 4 below") || screen.contains("4 instances, 3 below"), "{screen}");
        assert!(drawn(&Top::new("arena"), 80, 24).contains("waiting for the coordinator"));
    }

    #[test]
    fn any_size_and_any_number_can_be_drawn() {
        let mut odd = top();
        let status = odd.status.as_mut().unwrap();
        (status.tick_ms_p50, status.budget_ms, status.systems[0].instances[0].load) = (f64::NAN, 1.0, f32::INFINITY);
        for (width, height) in [(1, 1), (3, 40), (200, 2), (80, 24)] {
            drawn(&odd, width, height);
            drawn(&Top::default(), width, height);
        }
    }
}
