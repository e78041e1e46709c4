//! The processes of a run: who is started with which command line, who ended, and in which order all of
//! them go. The password of the server is in their environment, never on a command line, where every user
//! of the machine could read it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::args::{self, DevArgs, DevPlan};
use super::child::Child;

/// How long those who were asked to end may take.
const GRACE: Duration = Duration::from_secs(2);

/// Variables and their values.
pub(super) type Environment = Vec<(&'static str, String)>;

/// All of them. Dropping it kills them.
pub(super) struct Processes<'a> {
    args: &'a DevArgs,
    plan: &'a DevPlan,
    /// How the processes reach the server, password included.
    access: Environment,
    program: PathBuf,
    /// A folder for their output, removed with the server that it belongs to.
    logs: PathBuf,
    /// The one that leads comes first: those that stand by are started later.
    coordinators: Vec<Coordinator>,
    instances: Vec<Instance>,
    /// The last number of an instance of each system, and of a coordinator: names are not used twice, so that
    /// whoever talks about `steer-1` means one process.
    numbers: BTreeMap<String, u32>,
}

struct Coordinator {
    name: String,
    child: Child,
}

struct Instance {
    name: String,
    system: String,
    child: Child,
}

/// Somebody who ended without being asked to.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// The name of a coordinator or of an instance.
    pub(super) name: String,
    /// The system; `None` for a coordinator.
    pub(super) system: Option<String>,
    /// How, in words.
    pub(super) how: String,
    /// What it wrote last.
    pub(super) tail: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended ({})", self.name, self.how)?;
        if self.tail.is_empty() {
            f.write_str(" without a word")
        } else {
            write!(f, "; it wrote:\n{}", indented(&self.tail))
        }
    }
}

impl<'a> Processes<'a> {
    /// Nobody yet. Their logs go into a new folder in the server's, so that both are removed together, by
    /// whoever starts a server next when this process is killed.
    pub(super) fn new(
        args: &'a DevArgs,
        plan: &'a DevPlan,
        access: Environment,
        server: &Path,
    ) -> anyhow::Result<Self> {
        let logs = server.join("processes");
        std::fs::create_dir(&logs).with_context(|| format!("making the folder {} for log files", logs.display()))?;
        let program = args::program()?;
        let numbers = BTreeMap::new();
        Ok(Self { args, plan, access, program, logs, coordinators: Vec::new(), instances: Vec::new(), numbers })
    }

    /// Starts a coordinator, or one more that stands by; gives its name.
    pub(super) fn start_coordinator(&mut self) -> anyhow::Result<String> {
        let name = self.name("coordinator");
        let child = self.start(&name, &args::coordinator(self.args, self.plan))?;
        self.coordinators.push(Coordinator { name: name.clone(), child });
        Ok(name)
    }

    /// Kills the coordinator that leads, if another one stands by; gives its name and process.
    pub(super) fn kill_leader(&mut self) -> Option<(String, u32)> {
        if self.coordinators.len() < 2 {
            return None;
        }
        let Coordinator { name, mut child } = self.coordinators.remove(0);
        let pid = child.pid();
        child.kill();
        Some((name, pid))
    }

    /// The name and the process of the coordinator that leads.
    pub(super) fn leader(&self) -> Option<(&str, u32)> {
        self.coordinators.first().map(|leader| (leader.name.as_str(), leader.child.pid()))
    }

    /// Running coordinators, with those that stand by.
    pub(super) fn coordinators(&self) -> usize {
        self.coordinators.len()
    }

    /// Starts one more instance of a system; gives its name.
    pub(super) fn start_instance(&mut self, system: &str) -> anyhow::Result<String> {
        let name = self.name(system);
        let line = args::instance(self.args, self.plan, system, &name);
        let child = self.start(&name, &line)?;
        self.instances.push(Instance { name: name.clone(), system: system.to_owned(), child });
        Ok(name)
    }

    fn name(&mut self, of: &str) -> String {
        let number = self.numbers.entry(of.to_owned()).or_default();
        *number += 1;
        format!("{of}-{number}")
    }

    /// Kills the instance of a system that was started last; gives its name and process.
    pub(super) fn kill_instance(&mut self, system: &str) -> Option<(String, u32)> {
        let index = self.instances.iter().rposition(|instance| instance.system == system)?;
        let mut instance = self.instances.remove(index);
        let pid = instance.child.pid();
        instance.child.kill();
        Some((instance.name, pid))
    }

    /// Those who ended by themselves since the last call.
    pub(super) fn ended(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.coordinators.retain_mut(|Coordinator { name, child }| {
            let Some(how) = child.ended() else { return true };
            ended.push(Ended { name: name.clone(), system: None, how: how.to_string(), tail: child.tail() });
            false
        });
        self.instances.retain_mut(|Instance { name, system, child }| {
            let Some(how) = child.ended() else { return true };
            let (name, system) = (name.clone(), Some(system.clone()));
            ended.push(Ended { name, system, how: how.to_string(), tail: child.tail() });
            false
        });
        ended
    }

    /// Running instances of a system.
    pub(super) fn instances_of(&self, system: &str) -> usize {
        self.instances.iter().filter(|instance| instance.system == system).count()
    }

    /// Processes that the world runs on: coordinators and instances.
    pub(super) fn count(&self) -> usize {
        self.coordinators.len() + self.instances.len()
    }

    /// Where their log files are, as long as the run lasts.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// What everybody wrote last, for the report of a failure.
    pub(super) fn tails(&self) -> String {
        let named = self.instances.iter().map(|instance| (instance.name.as_str(), &instance.child));
        let coordinators = self.coordinators.iter().map(|coordinator| (coordinator.name.as_str(), &coordinator.child));
        let all = coordinators.chain(named);
        let tails = all.map(|(name, child)| (name, child.tail())).filter(|(_, tail)| !tail.is_empty());
        tails.map(|(name, tail)| format!("\n{name} wrote:\n{}", indented(&tail))).collect()
    }

    /// Ends all of them: first the instances, so that they can say good-bye, then who stands by, so that nobody
    /// takes over, then the coordinator. Who doesn't go is killed.
    pub(super) async fn stop(&mut self) {
        end(self.instances.iter_mut().map(|instance| &mut instance.child).collect()).await;
        self.instances.clear();
        for coordinator in self.coordinators.iter_mut().rev() {
            end(vec![&mut coordinator.child]).await;
        }
        self.coordinators.clear();
    }

    fn start(&self, name: &str, line: &[String]) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(line);
        for variable in foreign(std::env::vars_os().map(|(key, _)| key)) {
            command.env_remove(variable);
        }
        command.envs(self.access.iter().map(|(key, value)| (key, value)));
        let log = self.logs.join(format!("{name}.log"));
        Child::start(command, &log)
            .with_context(|| format!("starting {name}: {} {}", self.program.display(), line.join(" ")))
    }
}

/// Settings of another server, that this run's processes must not take over from the user's shell.
fn foreign(variables: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    variables.filter(|key| {
        let key = key.to_string_lossy();
        key != "NATS_SERVER" && (key.starts_with("NATS_") || key == "ENGINE_PREFIX" || key == "ENGINE_CONFIG")
    })
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect::<String>().trim_end_matches('\n').to_owned()
}

async fn end(mut children: Vec<&mut Child>) {
    for child in &mut children {
        child.ask_to_end();
    }
    let until = Instant::now() + GRACE;
    while children.iter_mut().any(|child| child.ended().is_none()) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for child in children {
        child.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_another_server_are_not_inherited() {
        let all = ["PATH", "NATS_URL", "NATS_TOKEN", "NATS_SERVER", "ENGINE_PREFIX", "RUST_LOG"];
        let foreign: Vec<_> = foreign(all.iter().map(OsString::from)).collect();
        assert_eq!(foreign, ["NATS_URL", "NATS_TOKEN", "ENGINE_PREFIX"]);
    }

    #[test]
    fn who_ended_is_named_with_its_last_words() {
        let mut ended =
            Ended { name: "steer-1".into(), system: None, how: "exit status: 1".into(), tail: "a\nb".into() };
        assert_eq!(ended.to_string(), "steer-1 ended (exit status: 1); it wrote:\n    a\n    b");
        ended.tail.clear();
        assert_eq!(ended.to_string(), "steer-1 ended (exit status: 1) without a word");
    }
}
