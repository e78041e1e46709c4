//! What the files start is what the world waits for.

use std::collections::BTreeMap;

use crate::house::{SYSTEMS, read};

/// How often each system is started by lines such as `["system", "steer", "integrate"]`.
fn started(files: &[&str]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in files.iter().map(|file| read(file)) {
        for line in text.lines().filter_map(|line| line.split_once("[\"system\", ")) {
            for name in line.1.trim_end_matches(']').split(", ") {
                *counts.entry(name.trim_matches('"').to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

#[test]
fn every_system_of_the_arena_is_started_by_one_service() {
    let every: BTreeMap<_, _> = SYSTEMS.iter().map(|name| ((*name).to_owned(), 1)).collect();
    assert_eq!(started(&["compose.yaml"]), every);
    assert_eq!(started(&["kubernetes/movement.yaml", "kubernetes/combat.yaml"]), every);
}
