//! A real Prometheus with the configuration and the rules of `deploy/`. Its program is that of PROMETHEUS, or on the
//! PATH; where there is none the test is passed over, but not where CI is set.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::house::{House, Process, SYSTEMS, get_as, read, until};

/// The program, if there is one.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("PROMETHEUS").filter(|path| !path.is_empty()).map(PathBuf::from);
    let on_path = || {
        let folders = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        folders.into_iter().flatten().map(|folder| folder.join("prometheus")).find(|path| path.is_file())
    };
    let found = named.or_else(on_path);
    if found.is_none() {
        let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        let what = "no Prometheus: `apt-get install prometheus`, or PROMETHEUS=/path/to/prometheus";
        assert!(!in_ci, "{what}");
        eprintln!("skipped: {what}");
    }
    found
}

/// The configuration, with these targets in the place of names that only compose knows.
fn configuration(targets: &[&[&str]]) -> String {
    let mut targets = targets.iter();
    let (mut text, mut inside) = (String::new(), None);
    for line in read("prometheus/prometheus.yml").lines() {
        let depth = line.len() - line.trim_start().len();
        if inside.is_some_and(|above| depth > above) {
            continue;
        }
        inside = line.trim().eq("dns_sd_configs:").then_some(depth);
        match inside {
            Some(depth) => {
                let all = targets.next().expect("a job more than targets");
                text.push_str(&format!("{:depth$}static_configs: [{{ targets: {all:?} }}]\n", ""));
            }
            // Nobody wants to wait for five seconds.
            None => text.push_str(&format!("{}\n", line.replace("_interval: 5s", "_interval: 1s"))),
        }
    }
    assert!(targets.next().is_none(), "a job is missing: {text}");
    text
}

struct Prometheus {
    _process: Process,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(program: &Path, configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        std::fs::write(folder.path().join("rules.yml"), read("prometheus/rules.yml")).unwrap();
        let mut command = Command::new(program);
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.args(["--web.listen-address", "127.0.0.1:0"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(command);
        let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        // The port is said by who listens; all else says the 0 that was asked for.
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.split_once("address=127.0.0.1:").map(|(_, rest)| rest.trim_end().to_owned());
            said.push(line);
            let port = address?.split_whitespace().next()?.parse::<u16>().ok()?;
            (port > 0).then(|| format!("127.0.0.1:{port}"))
        });
        let address = address.unwrap_or_else(|| panic!("it does not listen: {}", said.join("\n")));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { _process: process, address, _folder: folder }
    }

    fn ask(&self, path: &str) -> Value {
        let answer = get_as("HTTP/1.0", &self.address, path);
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        serde_json::from_str::<Value>(body).map(|mut value| value["data"].take()).unwrap_or_default()
    }

    /// The samples of an expression: labels and values.
    fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.ask(&format!("/api/v1/query?query={encoded}"));
        let samples = data["result"].as_array().cloned().unwrap_or_default();
        let value = |sample: &Value| sample["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        samples.iter().map(|sample| (sample["metric"].clone(), value(sample))).collect()
    }
}

#[test]
fn prometheus_scrapes_a_world_and_watches_over_it() {
    let Some(program) = program() else { return };
    let house = House::open();
    let (coordinator, mut instance) = (house.coordinator(), house.instance("only-one"));
    let prometheus = Prometheus::start(&program, &configuration(&[&[&coordinator.address], &[&instance.address]]));

    until("both targets are up", || {
        let targets = prometheus.ask("/api/v1/targets");
        let up = |job: &str| {
            let targets = targets["activeTargets"].as_array().cloned().unwrap_or_default();
            targets.iter().any(|target| target["labels"]["job"] == job && target["health"] == "up")
        };
        up("engine-coordinator") && up("engine-system")
    });
    // The world has its own entities, besides those that fight: what it says itself counts.
    until("the entities are those of the world", || {
        let text = coordinator.get("/metrics");
        let said = text.lines().find_map(|line| line.strip_prefix("engine_entities ")?.parse::<f64>().ok());
        let samples = prometheus.query("engine_entities{world=\"main\",job=\"engine-coordinator\"}");
        samples.len() == 1 && said.is_some_and(|said| said >= 500.0 && said == samples[0].1)
    });
    until("an instance keeps its name", || {
        prometheus.query("engine_instance_load_ratio{instance=\"only-one\"}").len() == 1
            && prometheus.query("engine_instance_registered == 1").len() == 1
    });

    let mut rules = Vec::new();
    until("every rule was evaluated", || {
        let groups = prometheus.ask("/api/v1/rules")["groups"].as_array().cloned().unwrap_or_default();
        rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")
    });
    assert_eq!(rules.len(), read("prometheus/rules.yml").matches("- alert: ").count());
    let broken: Vec<_> =
        rules.iter().filter(|rule| rule["health"] != "ok" || rule.get("lastError").is_some()).collect();
    assert!(broken.is_empty(), "{broken:?}");
    let expression = |name: &str| {
        let rule = rules.iter().find(|rule| rule["name"] == name).unwrap();
        rule["query"].as_str().unwrap().to_owned()
    };
    // This one leads alone.
    until("nobody stands by", || prometheus.query(&expression("EngineNoStandby")).len() == 1);
    assert_eq!(prometheus.query(&expression("EngineNoLeader")), []);
    assert_eq!(prometheus.query(&expression("EngineNoInstance")), []);

    assert!(instance.process.terminate());
    until("every system is missed, and an alert is on its way", || {
        prometheus.query("ALERTS{alertname=\"EngineNoInstance\",world=\"main\"}").len() == SYSTEMS.len()
    });
}

#[test]
fn a_configuration_has_its_targets_in_the_place_of_names() {
    let text = configuration(&[&["a:1"], &["b:2", "c:3"]]);
    assert!(text.contains("    static_configs: [{ targets: [\"a:1\"] }]\n    relabel_configs:"), "{text}");
    assert!(text.contains("targets: [\"b:2\", \"c:3\"]") && !text.contains("9464") && !text.contains("dns"), "{text}");
    assert!(text.contains("scrape_interval: 1s"));
}
