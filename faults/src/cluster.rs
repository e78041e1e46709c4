//! The parties: two coordinators and the instances of all systems, each a process behind a proxy of its own.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use engine::net::config::ConnectionConfig;
use engine::net::io::{Io, IoEvent, Lane};
use engine::net::messages::Message as _;
use engine::net::messages::commit::Commit;
use engine::net::strict;
use engine::net::subject::Subjects;

use crate::child::{Child, Signal};
use crate::proxy::{Network, Proxy, Weather};
use crate::said::Record;
use crate::servers::{Servers, Wish};
use crate::world::World;

/// Says to this program that it is a party, and no harness.
pub(crate) const PARTY: &str = "ENGINE_FAULTS_PARTY";

/// A process that ended by itself is started again after this time.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Coordinator,
    Instance { system: String },
}

pub(crate) struct Party {
    pub(crate) role: Role,
    name: String,
    pub(crate) proxy: Proxy,
    child: Option<Child>,
    /// The number of its process; each that is started has another one.
    pub(crate) process: u64,
    /// It ended by itself, and is started again then.
    again: Option<Instant>,
}

/// All that runs. Dropping it ends every process, and removes what they left.
pub(crate) struct Cluster {
    // Declared first: parties end before servers, and folders go last.
    pub(crate) parties: Vec<Party>,
    pub(crate) said: Record,
    pub(crate) servers: Servers,
    world: World,
    started: u64,
    _observer: Io,
    quiet: Vec<Proxy>,
    network: Network,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts servers, proxies, two coordinators and `instances` of each system.
    pub(crate) fn start(world: &World, wish: &Wish<'_>, instances: usize) -> Result<Self> {
        let network = Network::start().context("the network's thread")?;
        let folder = crate::folder::new()?;
        let servers = Servers::start(wish)?;
        let said = Record::default();
        let eyes = Proxy::start(&network, servers.ports(), 0)?;
        let observer = observe(&servers.config(eyes.url()), &said)?;
        let mut cluster = Self {
            parties: Vec::new(),
            said,
            servers,
            world: world.clone(),
            started: 0,
            _observer: observer,
            quiet: vec![eyes],
            network,
            folder,
        };
        cluster.add(Role::Coordinator, "coordinator-0".into())?;
        let systems = arena::app().system_names();
        for system in systems {
            for number in 0..instances {
                cluster.add(Role::Instance { system: system.clone() }, format!("{system}-{number}"))?;
            }
        }
        cluster.add(Role::Coordinator, "coordinator-1".into())?;
        Ok(cluster)
    }

    fn add(&mut self, role: Role, name: String) -> Result<()> {
        let first = self.parties.len() % self.servers.len();
        let proxy = Proxy::start(&self.network, self.servers.ports(), first)?;
        self.parties.push(Party { role, name, proxy, child: None, process: 0, again: None });
        self.run(self.parties.len() - 1)
    }

    /// A way to the servers that nothing happens to, for those who only look.
    pub(crate) fn undisturbed(&mut self) -> Result<ConnectionConfig> {
        let proxy = Proxy::start(&self.network, self.servers.ports(), 0)?;
        let config = self.servers.config(proxy.url());
        self.quiet.push(proxy);
        Ok(config)
    }

    /// A way to the servers for a client outside, to be disturbed.
    pub(crate) fn outside(&self) -> Result<(Proxy, ConnectionConfig)> {
        let proxy = Proxy::start(&self.network, self.servers.ports(), 1 % self.servers.len())?;
        let config = self.servers.config(proxy.url());
        Ok((proxy, config))
    }

    /// Starts a party's process, unless it runs.
    pub(crate) fn run(&mut self, party: usize) -> Result<()> {
        let (number, said) = (self.started + 1, self.said.clone());
        let one = &mut self.parties[party];
        if one.child.as_mut().is_some_and(|child| child.ended().is_none()) {
            return Ok(());
        }
        let mut command = Command::new(std::env::current_exe().context("where this program is")?);
        command.env(PARTY, "1").env("NO_COLOR", "1");
        let config = self.servers.config(one.proxy.url());
        command.envs(config.to_environment()).env("NATS_WAIT", "true");
        match &one.role {
            Role::Coordinator => {
                command.args(self.world.coordinator_arguments()).envs(config.log.to_environment());
            }
            Role::Instance { system } => {
                command.args(["system", system, "--instance", &one.name]);
            }
        }
        let errors: PathBuf = self.folder.path().join(&one.name);
        let mut lines = OpenOptions::new().create(true).append(true).open(&errors)?;
        let hear = move |line: &str| {
            // In one file with what it complains of, for people.
            let _ = writeln!(lines, "{line}");
            said.hear(number, line);
        };
        one.child = Some(Child::start(command, &errors, hear)?);
        (one.process, one.again, self.started) = (number, None, number);
        Ok(())
    }

    pub(crate) fn kill(&mut self, party: usize) {
        let party = &mut self.parties[party];
        (party.child, party.again) = (None, None);
    }

    pub(crate) fn signal(&mut self, party: usize, signal: Signal) {
        if let Some(child) = &mut self.parties[party].child {
            child.send(signal);
        }
    }

    pub(crate) fn weather(&self, party: usize, weather: Weather) {
        self.parties[party].proxy.set(weather);
    }

    /// The party that leads, and its epoch, as far as it is known.
    pub(crate) fn leader(&self) -> Option<(usize, u64)> {
        let reign = self.said.look().leader().cloned()?;
        let party = self.parties.iter().position(|party| party.process == reign.process && party.child.is_some())?;
        Some((party, reign.epoch))
    }

    /// Parties whose role fits.
    pub(crate) fn those(&self, fits: impl Fn(&Role) -> bool) -> Vec<usize> {
        (0..self.parties.len()).filter(|party| fits(&self.parties[*party].role)).collect()
    }

    /// Starts again what ended by itself, as a supervisor does, and takes down its last words.
    pub(crate) fn look_after(&mut self) -> Result<()> {
        for party in 0..self.parties.len() {
            let one = &mut self.parties[party];
            let Some(child) = &mut one.child else { continue };
            let Some(status) = child.ended() else { continue };
            match one.again {
                None => {
                    let words = format!("{} ended by itself ({status}): {}", one.name, child.complaint());
                    self.said.look().last_words.push(words);
                    one.again = Some(Instant::now() + AGAIN);
                }
                Some(at) if Instant::now() >= at => self.run(party)?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Everything runs, and the network is fair.
    pub(crate) fn heal(&mut self) -> Result<()> {
        for node in 0..self.servers.len() {
            self.servers.resume(node);
            self.servers.restart(node)?;
        }
        for party in 0..self.parties.len() {
            self.weather(party, Weather::Fair);
            self.signal(party, Signal::Continue);
            self.run(party)?;
        }
        Ok(())
    }

    /// The last complaints of coordinators, for people.
    pub(crate) fn complaints(&self) -> String {
        let coordinators = self.parties.iter().filter(|party| party.role == Role::Coordinator);
        let tail = |party: &Party| {
            let text = std::fs::read_to_string(self.folder.path().join(&party.name)).unwrap_or_default();
            let noise = |line: &&str| !line.contains("async_nats") && !line.contains("waiting for NATS");
            let lines: Vec<&str> = text.lines().filter(noise).collect();
            format!("{}:\n{}\n", party.name, lines[lines.len().saturating_sub(8)..].join("\n"))
        };
        coordinators.map(tail).collect::<String>() + &self.servers.complaints()
    }
}

/// Listens to what is announced. Some of it is missed while a server is away; what is heard has to be true.
fn observe(config: &ConnectionConfig, said: &Record) -> Result<Io> {
    let (io, events) = Io::start(config, "observer", 1).context("the observer's connection")?;
    let subject = Subjects::new(&config.prefix, &config.world)?.commit();
    io.handle().subscribe_blocking(Lane(0), subject, None, Duration::from_secs(10))?;
    let said = said.clone();
    std::thread::Builder::new().name("faults-observer".into()).spawn(move || {
        for event in events {
            if let IoEvent::Message(message) = event
                && let Ok(commit) = strict::decode::<Commit>(&message.payload, Commit::LIMIT)
            {
                said.announced(&commit);
            }
        }
    })?;
    Ok(io)
}
