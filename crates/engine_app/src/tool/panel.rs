//! A world in five lines of a terminal: what it is up to, how long its ticks take, what is in it.

use engine_net::messages::status::{SimState, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge};

use super::words;

/// Lines that it needs, its frame included.
pub const HEIGHT: u16 = 7;

/// Which keys there are, and what each does.
pub fn keys(keys: &[(&str, &str)]) -> Line<'static> {
    let spans = keys.iter().flat_map(|(key, what)| [format!(" {key} ").reversed(), format!(" {what}  ").into()]);
    Line::from(spans.collect::<Vec<_>>())
}

/// Draws it into a frame of its own.
pub fn draw(frame: &mut Frame<'_>, area: Rect, block: Block<'_>, is_answering: bool, status: &Status) {
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [state, budget, contents, counters, hash] = Layout::vertical([Constraint::Length(1); 5]).areas(inside);
    frame.render_widget(state_line(is_answering, status), state);
    draw_budget(frame, budget, status);
    let text = format!(
        "{} entities in {} tables ({}) · {} events · {} a tick",
        status.entities,
        status.tables,
        words::bytes(status.world_bytes),
        status.events,
        words::bytes(status.bytes_per_tick),
    );
    frame.render_widget(Line::from(text), contents);
    let (rejected, reassigned) = (words::rejected(status), words::reassigned(status));
    let mut text = format!("epoch {} · rejected {rejected} · reassigned {reassigned}", status.epoch);
    if let Some(log) = &status.log {
        text += &match &log.trouble {
            None => format!(" · durable up to tick {}, {} behind", log.tick, status.tick.saturating_sub(log.tick)),
            Some(trouble) => format!(" · durable up to tick {}: {trouble}", log.tick),
        };
    }
    frame.render_widget(Line::from(text), counters);
    frame.render_widget(Line::from(format!("hash {}", status.hash)).dim(), hash);
}

fn state_line(is_answering: bool, status: &Status) -> Line<'static> {
    let colour = match &status.state {
        _ if !is_answering => Color::Red,
        SimState::Running => Color::Green,
        SimState::Paused => Color::Yellow,
        SimState::Waiting { .. } | SimState::Stopping => Color::Red,
    };
    let state = if is_answering { words::state(&status.state) } else { "no answer".to_owned() };
    Line::from(vec![
        format!("tick {}", status.tick).bold(),
        " · ".into(),
        Span::styled(state, colour),
        format!(" · {}", words::rate(status)).into(),
    ])
}

fn draw_budget(frame: &mut Frame<'_>, area: Rect, status: &Status) {
    let (p50, p99) = (words::ms(status.tick_ms_p50), words::ms(status.tick_ms_p99));
    if status.budget_ms <= 0.0 {
        return frame.render_widget(Line::from(format!("{p50} a tick (p99 {p99})")), area);
    }
    let share = status.tick_ms_p50 / status.budget_ms;
    let colour = if status.tick_ms_p99 > status.budget_ms { Color::Red } else { Color::Blue };
    // A share that is no number is drawn empty: the numbers come from another process.
    let ratio = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let label = format!("{p50} of {} (p99 {p99})", words::ms(status.budget_ms));
    frame.render_widget(Gauge::default().ratio(ratio).label(label).gauge_style(colour), area);
}
