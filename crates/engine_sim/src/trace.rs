//! What happened in a schedule, for people; kept only when asked for.

/// Lines that are kept at the most; older ones go.
const MOST: usize = 20_000;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Option<std::collections::VecDeque<String>>,
}

impl Trace {
    pub(crate) fn kept() -> Self {
        Self { lines: Some(std::collections::VecDeque::new()) }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Notes what happened at a time. The text is made only when it is kept.
    pub(crate) fn note(&mut self, now: u64, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == MOST {
                lines.pop_front();
            }
            lines.push_back(format!("{:>10.3} ms  {}", now as f64 / 1e6, what()));
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.map(Vec::from).unwrap_or_default()
    }
}
