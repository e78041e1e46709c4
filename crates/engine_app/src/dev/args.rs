//! The command line of `dev`, and the command lines that follow from it.

use anyhow::{Context, bail};

/// Instances of a system in one run, at the most: more is a typing mistake, and each is a process.
const MAX_INSTANCES: u32 = 64;
/// Instances of the heaviest system, when nothing else is asked for: enough to lose one.
const HEAVIEST: u32 = 2;

/// Options of `dev`.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct DevArgs {
    /// How many instances of a system: NAME=N, or N for every system; may be given several times
    #[arg(long, value_name = "NAME=N", value_parser = instance_count)]
    pub instances: Vec<InstanceCount>,
    /// End after so many ticks, with a summary; plain lines instead of the live view
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub ticks: Option<u64>,
    /// The seed of all random numbers
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Ticks a second
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub rate: Option<f64>,
    /// Keep a world log, with a second coordinator that stands by and takes over when the first one dies
    #[arg(long)]
    pub standby: bool,
    /// An option of the app; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Print plain lines, and at the end one line with a JSON object
    #[arg(long)]
    pub json: bool,
    /// Print plain lines instead of the live view
    #[arg(long, visible_alias = "no-view")]
    pub plain: bool,
}

/// What an app has for `dev` to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevPlan {
    /// The name of the app; also of its world.
    pub app: String,
    /// Its systems.
    pub systems: Vec<String>,
    /// The one that gets two instances when nothing else is asked for.
    pub heaviest: String,
    /// Options of the app that every process is started with.
    pub options: Vec<(String, String)>,
}

/// How many instances: of one system, or of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceCount {
    /// The system; `None` is every one.
    pub system: Option<String>,
    /// How many, at least one.
    pub count: u32,
}

/// Systems and their numbers of instances, in the order of the plan.
pub(super) type Crew = Vec<(String, u32)>;

/// Who is started. Later wishes win over earlier ones.
pub(super) fn crew(wishes: &[InstanceCount], plan: &DevPlan) -> anyhow::Result<Crew> {
    if plan.systems.is_empty() {
        bail!("{} has no systems, so there is nothing to start; add one with `App::add_system`", plan.app);
    }
    let default = |name: &String| if *name == plan.heaviest { HEAVIEST } else { 1 };
    let mut crew: Crew = plan.systems.iter().map(|name| (name.clone(), default(name))).collect();
    for wish in wishes {
        let mut found = false;
        for (name, count) in &mut crew {
            if wish.system.as_ref().is_none_or(|wished| wished == name) {
                *count = wish.count;
                found = true;
            }
        }
        if let (false, Some(unknown)) = (found, &wish.system) {
            bail!("--instances {unknown}={}: no such system; there are {}", wish.count, plan.systems.join(", "));
        }
    }
    Ok(crew)
}

/// The command line of the coordinator.
pub(super) fn coordinator(args: &DevArgs, plan: &DevPlan) -> Vec<String> {
    let mut line = vec!["coordinator".to_owned(), format!("--seed={}", args.seed)];
    line.extend(args.ticks.map(|ticks| format!("--ticks={ticks}")));
    line.extend(args.rate.map(|rate| format!("--rate={rate}")));
    if args.standby {
        line.extend(["--durability=server", "--standby", "--lease=1"].map(str::to_owned));
    }
    line.extend(options(args, plan));
    line
}

/// The command line of an instance.
pub(super) fn instance(args: &DevArgs, plan: &DevPlan, system: &str, instance: &str) -> Vec<String> {
    let mut line = vec!["system".to_owned(), system.to_owned(), format!("--instance={instance}")];
    line.extend(options(args, plan));
    line
}

/// The app's options; what `--set` says wins.
fn options(args: &DevArgs, plan: &DevPlan) -> Vec<String> {
    let mut options = plan.options.clone();
    for (key, value) in &args.set {
        match options.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => old.clone_from(value),
            None => options.push((key.clone(), value.clone())),
        }
    }
    options.into_iter().map(|(key, value)| format!("--{key}={value}")).collect()
}

fn instance_count(text: &str) -> Result<InstanceCount, String> {
    let (system, count) = match text.split_once('=') {
        Some(("", _)) => return Err("there is no name before the `=`".to_owned()),
        Some((system, count)) => (Some(system.to_owned()), count),
        None => (None, text),
    };
    match count.parse() {
        Ok(count @ 1..=MAX_INSTANCES) => Ok(InstanceCount { system, count }),
        _ => Err(format!("`{count}` is no number from 1 to {MAX_INSTANCES}; write steer=3, or 3 for every system")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("ticks a second are a number above 0".to_owned()),
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// The world of an app: its name, where that can be in a subject.
pub(super) fn world(plan: &DevPlan) -> &str {
    if engine_net::name::is_token(&plan.app) { &plan.app } else { "main" }
}

/// This program: what is started again in other roles.
pub(super) fn program() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("finding the file of this program, to start it again as other roles")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        dev: DevArgs,
    }

    fn parse(line: &str) -> Result<DevArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("dev").chain(line.split_whitespace())).map(|line| line.dev)
    }

    fn plan() -> DevPlan {
        DevPlan {
            app: "arena".into(),
            systems: vec!["steer".into(), "strike".into()],
            heaviest: "strike".into(),
            options: vec![("entities".into(), "20000".into())],
        }
    }

    fn crew_of(line: &str) -> anyhow::Result<Crew> {
        crew(&parse(line).unwrap().instances, &plan())
    }

    #[test]
    fn the_heaviest_system_has_two_instances_and_each_other_one() {
        assert_eq!(crew_of("").unwrap(), [("steer".into(), 1), ("strike".into(), 2)]);
    }

    #[test]
    fn later_wishes_win() {
        assert_eq!(crew_of("--instances 3").unwrap(), [("steer".into(), 3), ("strike".into(), 3)]);
        let line = "--instances 3 --instances steer=5 --instances steer=4";
        assert_eq!(crew_of(line).unwrap(), [("steer".into(), 4), ("strike".into(), 3)]);
    }

    #[test]
    fn an_unknown_system_is_refused_with_the_known_ones() {
        let error = crew_of("--instances stear=2").unwrap_err().to_string();
        assert!(error.contains("stear") && error.contains("steer, strike"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--instances steer=0",
            "--instances steer=65",
            "--instances =2",
            "--instances steer=",
            "--ticks 0",
            "--rate 0",
            "--rate nan",
            "--rate inf",
            "--set entities",
            "--set =3",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn both_words_for_no_view_are_understood() {
        assert!(parse("--plain").unwrap().plain && parse("--no-view").unwrap().plain);
    }

    #[test]
    fn options_reach_every_process_and_set_wins() {
        let args = parse("--ticks 9 --seed 7 --rate 30 --set entities=50 --set motto=a=b").unwrap();
        let line = ["coordinator", "--seed=7", "--ticks=9", "--rate=30", "--entities=50", "--motto=a=b"];
        assert_eq!(coordinator(&args, &plan()), line);
        let args = parse("--standby").unwrap();
        let line = ["coordinator", "--seed=1", "--durability=server", "--standby", "--lease=1", "--entities=20000"];
        assert_eq!(coordinator(&args, &plan()), line);
    }

    #[test]
    fn options_reach_instances() {
        let args = parse("--seed 7 --rate 30 --set entities=50 --set motto=a=b").unwrap();
        let line = ["system", "steer", "--instance=steer-1", "--entities=50", "--motto=a=b"];
        assert_eq!(instance(&args, &plan(), "steer", "steer-1"), line);
    }
}
