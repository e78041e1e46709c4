//! The figures as a page of the documentation, with the plots.

use std::fmt::Write as _;

use super::table;
use crate::figures::Measured;
use crate::machine::Machine;
use crate::plot;

/// `plots` is the folder of the plots, as seen from where the page is.
pub(crate) fn page(machine: &Machine, measured: &[Measured], plots: &str) -> String {
    let mut page = format!(
        "# Figures\n\nWritten by `cargo xtask bench`; [performance.md](performance.md) says what they mean. Measured on \
         {}.\n",
        machine.line()
    );
    for grid in table::cases(measured) {
        let _ = write!(page, "\n## {}\n\n{}", grid.title, grid.markdown());
    }
    for result in measured.iter().filter_map(Measured::curve) {
        let grid = table::curve(result);
        let _ = write!(page, "\n## {}\n\n{}.\n\n{}\n", grid.title, capital(result.about), grid.markdown());
        for (file, of) in plot::files(result) {
            let _ = writeln!(page, "![{}: {of}]({plots}/{file})", result.name);
        }
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;

    #[test]
    fn a_page_has_all_tables_and_plots() {
        let page = page(&Machine::default(), &[tests::case(), tests::curve()], "plots");
        assert!(page.contains("| a/case | engine |"), "{page}");
        assert!(page.contains("![scale/things: a tick, µs](plots/scale-things.svg)"), "{page}");
    }
}
