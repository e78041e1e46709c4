//! A table, before it is known who reads it: a terminal, or a browser.

use std::fmt::Write as _;

/// See the module's text.
pub(super) struct Grid {
    pub(super) title: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// So many columns of words; the others are figures, which stand to the right.
    pub(super) words: usize,
}

impl Grid {
    pub(super) fn new(title: &str, head: &[&str], words: usize) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title: title.to_owned(), head, rows: Vec::new(), words }
    }

    pub(super) fn text(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = format!("\n{}\n", self.title);
        for line in lines() {
            let mut row = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let _ = match column < self.words {
                    true => write!(row, "{cell:width$}  "),
                    false => write!(row, "{cell:>width$}  "),
                };
            }
            let _ = writeln!(text, "{}", row.trim_end());
        }
        text
    }

    pub(super) fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = |column: usize| if column < self.words { "---" } else { "---:" }.to_owned();
        let rules: Vec<String> = (0..self.head.len()).map(rule).collect();
        let rows: String = self.rows.iter().map(|cells| row(cells)).collect();
        format!("{}{}{rows}", row(&self.head), row(&rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new("a title", &["who", "µs"], 1);
        grid.rows.push(vec!["engine".into(), "1.00".into()]);
        grid.rows.push(vec!["peer".into(), "12.5".into()]);
        grid
    }

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        assert_eq!(grid().text(), "\na title\nwho       µs\nengine  1.00\npeer    12.5\n");
    }

    #[test]
    fn figures_stand_to_the_right_in_a_browser_too() {
        assert_eq!(grid().markdown(), "| who | µs |\n| --- | ---: |\n| engine | 1.00 |\n| peer | 12.5 |\n");
    }
}
