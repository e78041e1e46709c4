//! What no compiler checks: that no file names a path of one machine, nothing is left open without a
//! word, files stay readable, and unsafe code stays where Miri sees it.

use std::path::Path;

use anyhow::{Result, bail};

use crate::command::{Cmd, root};
use crate::miri;
use crate::report::Outcome;

/// Beginnings of paths that exist on one machine only. Cut in two, so that they don't find themselves.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("C:\\Us", "ers"),
];

/// Marks of what somebody meant to come back to.
const LEFT_OPEN: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("<<<<", "<<< "), concat!(">>>>", ">>> ")];

const LONGEST_FILE: usize = 1000;

/// How a crate says that a file of its own holds unsafe code.
const UNSAFE_FILE: &str = "expect(unsafe_code";

pub(crate) fn check() -> Result<Outcome> {
    let files = Cmd::new("git").args("ls-files -z --cached --others --exclude-standard").output()?;
    let mut faults = Vec::new();
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        // Files that are deleted but still listed, and files that are no text, are nobody's concern here.
        if let Ok(text) = std::fs::read_to_string(root().join(file)) {
            faults.extend(faults_of(file, &text));
        }
    }
    if faults.is_empty() {
        return Ok(Outcome::Passed);
    }
    bail!("{}", faults.join("\n"))
}

fn faults_of(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(path) = MACHINE_PATHS.iter().find(|path| names_path(line, path)) {
            faults.push(format!("{file}:{number}: names a path of one machine ({path}…)"));
        }
        if let Some(mark) = LEFT_OPEN.iter().find(|mark| names_word(line, mark)) {
            faults.push(format!("{file}:{number}: left open ({})", mark.trim_end()));
        }
    }
    if !file.ends_with(".rs") {
        return faults;
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        faults.push(format!("{file}: {lines} lines; {LONGEST_FILE} is as much as anybody reads"));
    }
    if text.contains(UNSAFE_FILE) && !Path::new(file).starts_with("xtask") && !miri::sees(file) {
        faults.push(format!("{file}: holds unsafe code that Miri does not run; see xtask/src/miri.rs"));
    }
    faults
}

/// Whether the line holds the beginning of an absolute path, not the middle of a longer one or of a URL.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "_-./~$}*".contains(before))
    })
}

fn names_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let inside = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found() {
        let line = format!("see {}somebody/notes.txt", MACHINE_PATHS[0]);
        assert_eq!(faults_of("a.md", &line).len(), 1);
    }

    #[test]
    fn a_url_with_the_same_words_is_none() {
        let line = format!("https://example.org{}page", MACHINE_PATHS[0]);
        assert!(faults_of("a.md", &line).is_empty());
    }

    #[test]
    fn what_is_left_open_is_found() {
        assert_eq!(faults_of("a.rs", &format!("// {}: later", LEFT_OPEN[0])).len(), 1);
        assert!(faults_of("a.rs", &format!("let {}S = 1;", LEFT_OPEN[0])).is_empty());
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(faults_of("a.rs", &"\n".repeat(LONGEST_FILE + 1)).len(), 1);
    }
}
