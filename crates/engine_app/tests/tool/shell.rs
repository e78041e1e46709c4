//! `engine completions` and `engine man`.

use std::process::{Command, Output};

use crate::world::text;

fn engine(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engine")).args(arguments).output().unwrap()
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = engine(&["completions", shell]);
        assert!(output.status.success());
        let script = text(&output.stdout);
        for word in ["coordinator", "snapshot", "config", "nats-context", "no-fusion"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    assert!(engine(&["man", folder.path().to_str().unwrap()]).status.success());
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("engine.1").contains("engine\\-coordinator(1)"), "{}", page("engine.1"));
    assert!(page("engine-coordinator.1").contains("durability") && page("engine-query.1").contains("limit"));
    let output = engine(&["man", "/nowhere/at/all"]);
    assert!(!output.status.success() && text(&output.stderr).contains("/nowhere/at/all"));
}
