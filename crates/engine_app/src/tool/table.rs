//! Tables for terminals: columns with headers, numbers to the right, nothing drawn around them.

use std::fmt::Write;

/// The widest that a cell gets; what is longer is cut, and ends with `…`.
const MAX_CELL: usize = 60;

/// A table that is printed a part at a time: widths are those of the first part, later cells may be wider.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
    begun: bool,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        let header: Vec<String> = header.into_iter().map(Into::into).collect();
        Self { widths: header.iter().map(|cell| width(cell)).collect(), header, rows: Vec::new(), begun: false }
    }

    /// Adds a row; cells that are missing are empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| cut(&cell.into())).collect());
    }

    /// The rows that were added since the last call, the first time below the header.
    pub fn take(&mut self) -> String {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            for (width_of, cell) in self.widths.iter_mut().zip(row) {
                *width_of = (*width_of).max(width(cell));
            }
        }
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            let numbers = rows.first().cloned().unwrap_or_default();
            self.line(&mut text, &self.header, &numbers);
        }
        rows.iter().for_each(|row| self.line(&mut text, row, row));
        text
    }

    /// `like` says which cells are numbers.
    fn line(&self, text: &mut String, cells: &[String], like: &[String]) {
        let start = text.len();
        for (column, width_of) in self.widths.iter().enumerate() {
            let cell = cells.get(column).map_or("", String::as_str);
            let pad = " ".repeat(width_of.saturating_sub(width(cell)));
            let between = if column == 0 { "" } else { "  " };
            let right = like.get(column).is_some_and(|cell| is_number(cell));
            let written =
                if right { write!(text, "{between}{pad}{cell}") } else { write!(text, "{between}{cell}{pad}") };
            written.expect("a string takes everything");
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.trim_end_matches(['%']).parse::<f64>().is_ok()
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// One line without control characters: what comes from a world must not steer a terminal.
fn cut(cell: &str) -> String {
    let clean: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&clean) <= MAX_CELL {
        return clean;
    }
    clean.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let mut table = Table::new(["entity", "name"]);
        table.row(["7", "Ada"]);
        table.row(["1234567", "Bo\u{1b}[2Jb"]);
        assert_eq!(table.take(), " entity  name\n      7  Ada\n1234567  Bo [2Jb\n");
        table.row(["8"]);
        assert_eq!(table.take(), "      8\n");
    }

    #[test]
    fn long_cells_are_cut() {
        let mut table = Table::new(["text"]);
        table.row(["ä".repeat(100)]);
        assert_eq!(table.take().lines().last().unwrap().chars().count(), MAX_CELL);
    }
}
