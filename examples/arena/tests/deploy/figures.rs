//! Dashboard, alerts and autoscaler ask for what is served.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::net::io::{Io, Lane, Outgoing};

use crate::house::{House, Probed, read, until};

const FILES: [&str; 4] =
    ["grafana/engine.json", "prometheus/rules.yml", "kubernetes/adapter.yaml", "kubernetes/movement.yaml"];

/// Names of figures in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("engine_")).map(str::to_owned).collect()
}

/// Names of series, and not of what is only said about them.
fn served(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.split_once(['{', ' '])?.0.to_owned())).collect()
}

/// Makes a coordinator refuse something: what never happened is not served.
fn provoke(house: &House, epoch: u64) {
    let (io, _events) = Io::start(&house.tool(), "outside", 1).unwrap();
    let (handle, garbage) = (io.handle(), || b"\xc1garbage".to_vec());
    let result = Outgoing::new(format!("engine.main.component.changed.{epoch}.steer.nobody"), garbage());
    handle.publish(Lane(0), result).unwrap();
    let request = Outgoing::new("engine.main.query.request".to_owned(), garbage());
    handle.request_blocking(Lane(0), request, Duration::from_secs(30)).unwrap();
}

#[test]
fn whatever_is_shown_or_watched_is_served() {
    let house = House::open();
    let coordinators = [house.coordinator(), house.coordinator()];
    let instance = house.instance("one");
    until("a coordinator leads and has its systems", || coordinators.iter().any(Probed::is_ready));
    let leader = coordinators.iter().find(|one| one.is_ready()).unwrap();
    let metrics = leader.get("/metrics");
    let epoch = metrics.lines().find_map(|line| line.strip_prefix("engine_epoch ")?.parse::<f64>().ok()).unwrap();
    provoke(&house, epoch as u64);

    let wanted: BTreeSet<String> = FILES.iter().flat_map(|file| names(&read(file))).collect();
    assert!(wanted.len() > 25, "{wanted:?}");
    let mut missing = Vec::new();
    // Systems have run, and what was refused is counted, as soon as the next copy of the status is made.
    let mut all_there = || {
        let there = &served(&leader.get("/metrics")) | &served(&instance.get("/metrics"));
        missing = wanted.difference(&there).cloned().collect();
        missing.is_empty()
    };
    let started = std::time::Instant::now();
    while !all_there() && started.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    assert!(missing.is_empty(), "asked for and not served: {missing:?}");
}

#[test]
fn the_dashboard_is_json_with_a_place_for_every_panel() {
    let board: serde_json::Value = serde_json::from_str(&read("grafana/engine.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let number = |panel: &serde_json::Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
    let mut cells = BTreeSet::new();
    for panel in panels {
        let (x, y) = (number(panel, "x"), number(panel, "y"));
        let all = (x..x + number(panel, "w")).flat_map(|x| (y..y + number(panel, "h")).map(move |y| (x, y)));
        assert!(
            all.into_iter().all(|cell| cell.0 < 24 && cells.insert(cell)),
            "{} lies on another one",
            panel["title"]
        );
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each has a number of its own");
}

#[test]
fn names_are_told_from_other_words() {
    assert_eq!(names("rate(engine_a_total{x=\"y\"}[1m]) / engine_b engine-c my_engine_d").len(), 2);
    assert_eq!(
        served("# HELP engine_a a.\nengine_a{x=\"1\"} 1\nengine_b 2\n"),
        ["engine_a", "engine_b"].map(str::to_owned).into()
    );
}
