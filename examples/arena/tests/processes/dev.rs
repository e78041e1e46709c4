//! `arena dev`: everything from one command.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use engine::app::{Settings, Stop, TimeMode};

use super::cluster::Process;

const ENTITIES: u32 = 800;
const TICKS: u64 = 300;

#[test]
fn a_killed_leader_is_followed_by_the_one_that_stands_by() {
    let settings = Settings { ticks: Some(TICKS), time: TimeMode::Fast, threads: 1, ..Settings::default() };
    let options = BTreeMap::from([("entities".to_owned(), ENTITIES.to_string())]);
    let undisturbed = arena::app().run_in_process(settings, &options, &Stop::default(), |_, _| {}).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_arena"));
    let (ticks, entities) = (format!("--ticks={TICKS}"), format!("--set=entities={ENTITIES}"));
    command.args(["dev", "--standby", "--json", &ticks, &entities]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut dev = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(dev.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().transpose().unwrap();

    let stands_by = "leads, coordinator-2 stands by";
    let said = std::iter::from_fn(&mut next).find(|line| line.contains(stands_by)).expect("somebody stands by");
    let pid = said.split_once("(process ").and_then(|(_, rest)| rest.split_once(')')).unwrap().0;
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    let lines: Vec<String> = std::iter::from_fn(next).collect();
    assert!(dev.0.wait().unwrap().success(), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("leads, coordinator-3 stands by")), "{lines:#?}");
    let summary: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!((&summary["ticks"], &summary["hash"]), (&TICKS.into(), &undisturbed.hash.to_string().into()));
}
