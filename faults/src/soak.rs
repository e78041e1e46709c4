//! The run: a world, its clients, and faults; then peace, a last tick, and the verdict.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use engine::net::messages::command::Action;
use engine::net::messages::status::{SimState, Status};

use crate::child::Signal;
use crate::client::{Answers, Clients, Outside};
use crate::cluster::{Cluster, Role};
use crate::log::Reader;
use crate::plan::{self, Fault, Kind};
use crate::proxy::Weather;
use crate::servers::Wish;
use crate::takeover::Takeovers;
use crate::verdict::{self, Verdict};
use crate::volume::Volume;
use crate::world::World;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Soak {
    pub(crate) world: World,
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) clients: usize,
    pub(crate) instances: usize,
    pub(crate) cluster: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) verdict: Verdict,
    pub(crate) takeovers: Takeovers,
    pub(crate) last_words: Vec<String>,
    /// How a full disk was made, when it was.
    pub(crate) disk: Option<&'static str>,
}

/// How long a healthy world may take for anything; a slow machine is no fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at everything.
const LOOK: Duration = Duration::from_millis(5);
/// A server that did not start is started again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// A full disk's room: the log's streams fit, and there is some left.
const DISK_MIB: u64 = 320;

/// Something that ends a fault.
#[derive(Clone, Copy, Debug)]
enum Relief {
    Run(usize),
    Continue(usize),
    Fair(usize),
    Client(usize),
    Server(usize),
    Resume(usize),
    Room,
}

struct Running<'a> {
    soak: &'a Soak,
    cluster: Cluster,
    clients: Clients,
    volume: Option<Volume>,
    takeovers: Takeovers,
    relief: Vec<(Instant, Relief)>,
    counts: BTreeMap<&'static str, u64>,
}

pub(crate) fn run(soak: &Soak) -> Result<Outcome> {
    let volume = soak
        .kinds
        .contains(&Kind::DiskFull)
        .then(|| Volume::create(DISK_MIB))
        .transpose()
        .context("a disk that can be filled")?;
    let wish = Wish { cluster: soak.cluster, sync: false, store: volume.as_ref().map(Volume::path) };
    let mut cluster = Cluster::start(&soak.world, &wish, soak.instances)?;
    let control = Outside::new(&cluster.undisturbed()?, "control")?;
    wait_for_tick(&mut cluster, 5)?;
    let reader = Reader::start(&cluster.undisturbed()?, &soak.world)?;
    let connections = (0..soak.clients).map(|_| cluster.outside()).collect::<Result<_>>()?;
    let clients = Clients::start(connections, soak.seed)?;
    let mut running = Running {
        soak,
        cluster,
        clients,
        volume,
        takeovers: Takeovers::default(),
        relief: Vec::new(),
        counts: BTreeMap::new(),
    };
    running.faults()?;
    let (end, answers) = running.peace(&control)?;
    let messages = reader.finish().context("the log, to its end")?;
    let said = std::mem::take(&mut *running.cluster.said.look());
    running.takeovers.look(&said);
    let verdict = verdict::judge(&soak.world, &messages, &answers, &said, Some(end))?;
    let disk = running.volume.as_ref().map(|_| "a loop-mounted image, filled to the last block");
    let Running { takeovers, counts, .. } = running;
    Ok(Outcome { faults: counts, verdict, takeovers, last_words: said.last_words, disk })
}

/// Waits until a tick is announced.
pub(crate) fn wait_for_tick(cluster: &mut Cluster, tick: u64) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while cluster.said.look().tick() < tick {
        crate::stop::check()?;
        cluster.look_after()?;
        if Instant::now() > until {
            bail!("the world does not come to tick {tick}:\n{}", cluster.complaints());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

impl Running<'_> {
    fn faults(&mut self) -> Result<()> {
        let lease = Duration::from_secs(u64::from(self.soak.world.lease));
        let mut plan: VecDeque<Fault> = plan::faults(self.soak.seed, &self.soak.kinds, self.soak.length, lease);
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        while begun.elapsed() < self.soak.length {
            crate::stop::check()?;
            while let Some(fault) = plan.pop_front_if(|fault| fault.at <= begun.elapsed()) {
                if self.happens(&fault)? {
                    *self.counts.entry(fault.kind.name()).or_default() += 1;
                }
            }
            self.relieve(Instant::now())?;
            self.cluster.look_after()?;
            self.takeovers.look(&self.cluster.said.look());
            if begun.elapsed() >= told {
                told += Duration::from_secs(15);
                let (tick, commands) = (self.cluster.said.look().tick(), self.clients.answered());
                let faults: u64 = self.counts.values().sum();
                eprintln!("{:4} s  tick {tick}, {commands} commands, {faults} faults", begun.elapsed().as_secs());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Does it; false when there is nobody whom it could hit.
    fn happens(&mut self, fault: &Fault) -> Result<bool> {
        let leader = self.cluster.leader();
        let coordinators = self.cluster.those(|role| *role == Role::Coordinator);
        let standby = coordinators.iter().copied().find(|party| leader.is_none_or(|(leader, _)| leader != *party));
        let instances = self.cluster.those(|role| matches!(role, Role::Instance { .. }));
        let one = |parties: &[usize]| parties.get((fault.pick % parties.len().max(1) as u64) as usize).copied();
        let node = (fault.pick % self.cluster.servers.len() as u64) as usize;
        let relief = match fault.kind {
            Kind::KillLeader | Kind::PauseLeader => {
                let Some((party, epoch)) = leader else { return Ok(false) };
                if fault.kind == Kind::KillLeader {
                    self.takeovers.killed(epoch);
                }
                self.hit(party, fault.kind == Kind::KillLeader)
            }
            Kind::KillStandby | Kind::PauseStandby => {
                let Some(party) = standby else { return Ok(false) };
                self.hit(party, fault.kind == Kind::KillStandby)
            }
            Kind::KillInstance | Kind::PauseInstance => {
                let Some(party) = one(&instances) else { return Ok(false) };
                self.hit(party, fault.kind == Kind::KillInstance)
            }
            Kind::KillServer => {
                self.cluster.servers.kill(node);
                Relief::Server(node)
            }
            Kind::PauseServer => {
                self.cluster.servers.pause(node);
                Relief::Resume(node)
            }
            Kind::Cut => self.disturb(fault.pick, Weather::Cut),
            Kind::Stall => self.disturb(fault.pick, Weather::Stalled),
            Kind::Delay => self.disturb(fault.pick, Weather::Late(Duration::from_millis(1 + (fault.pick >> 32) % 60))),
            Kind::DiskFull => {
                let Some(volume) = &self.volume else { return Ok(false) };
                volume.fill()?;
                Relief::Room
            }
        };
        self.relief.push((Instant::now() + fault.lasts, relief));
        Ok(true)
    }

    fn hit(&mut self, party: usize, kill: bool) -> Relief {
        if kill {
            self.cluster.kill(party);
            Relief::Run(party)
        } else {
            self.cluster.signal(party, Signal::Stop);
            Relief::Continue(party)
        }
    }

    /// Coordinators are hit as often as all others together.
    fn disturb(&mut self, pick: u64, weather: Weather) -> Relief {
        let coordinators = self.cluster.those(|role| *role == Role::Coordinator);
        let (all, clients) = (self.cluster.parties.len(), self.clients.proxies.len());
        let number = (pick >> 1) as usize % (all + clients);
        let party = if pick & 1 == 0 { coordinators[number % coordinators.len()] } else { number };
        match self.clients.proxies.get(party.wrapping_sub(all)) {
            Some(client) => {
                client.set(weather);
                Relief::Client(party - all)
            }
            None => {
                self.cluster.weather(party, weather);
                Relief::Fair(party)
            }
        }
    }

    fn relieve(&mut self, now: Instant) -> Result<()> {
        let (due, later) = std::mem::take(&mut self.relief).into_iter().partition(|(at, _)| *at <= now);
        self.relief = later;
        let due: Vec<(Instant, Relief)> = due;
        for (_, relief) in due {
            match relief {
                Relief::Run(party) => self.cluster.run(party)?,
                Relief::Continue(party) => self.cluster.signal(party, Signal::Continue),
                Relief::Fair(party) => self.cluster.weather(party, Weather::Fair),
                Relief::Client(client) => self.clients.proxies[client].set(Weather::Fair),
                Relief::Server(node) => self.restart(node),
                Relief::Resume(node) => self.cluster.servers.resume(node),
                Relief::Room => {
                    if let Some(volume) = &self.volume {
                        volume.make_room()?;
                    }
                    // A server that met a full disk gives up its streams until it is started again.
                    self.cluster.servers.kill(0);
                    self.restart(0);
                }
            }
        }
        Ok(())
    }

    /// On a full disk a server may fail to start: that is noted, and tried again. Once all is mended it has to.
    fn restart(&mut self, node: usize) {
        if let Err(error) = self.cluster.servers.restart(node) {
            let text = format!("{error:#}");
            let why = text.lines().find(|line| line.starts_with("panic") || line.contains("[FTL]"));
            let first = text.lines().next().unwrap_or_default();
            self.cluster.said.look().last_words.push(format!("{first} {}", why.unwrap_or_default()));
            self.relief.push((Instant::now() + AGAIN, Relief::Server(node)));
        }
    }

    /// Everything is mended: clients see their last commands through, and the world goes on to a last tick.
    fn peace(&mut self, control: &Outside) -> Result<((u64, String), Answers)> {
        let far = Instant::now() + Duration::from_secs(3600);
        self.relieve(far)?;
        self.cluster.heal()?;
        let until = Instant::now() + PATIENCE;
        self.clients.ask_to_stop();
        while !self.clients.have_stopped() {
            self.wait(until, "the clients' last commands are not answered")?;
        }
        let none = Clients::start(Vec::new(), 0)?;
        let answers = std::mem::replace(&mut self.clients, none).finish()?;
        self.ask_again(control, &answers, until)?;
        let late = || Instant::now() > until;
        control.act("last-pause", &Action::Pause {}, late)?.context("the world can't be paused")?;
        let tick = self.state(control, until, |_| true)?.tick;
        // A round number, and some ticks without any fault.
        let last = tick.next_multiple_of(100) + 100;
        let steps = Action::Step { ticks: last - tick };
        control.act("last-steps", &steps, late)?.with_context(|| {
            format!("the world does not come to its last tick, {last}:\n{}", self.cluster.complaints())
        })?;
        let status = self.state(control, until, |status| status.tick == last && status.state == SimState::Paused)?;
        Ok(((status.tick, status.hash.to_string()), answers))
    }

    /// Who asks again gets the same answer.
    fn ask_again(&mut self, control: &Outside, answers: &Answers, until: Instant) -> Result<()> {
        for answered in answers.iter().flat_map(|client| client.iter().rev().take(50)) {
            let again = control.act(&answered.id, &answered.action, || Instant::now() > until)?;
            if again.as_ref() != Some(&answered.done) {
                bail!("command {} was answered with {:?}, and later with {again:?}", answered.id, answered.done);
            }
        }
        Ok(())
    }

    fn state(&mut self, control: &Outside, until: Instant, fits: impl Fn(&Status) -> bool) -> Result<Status> {
        loop {
            match control.status() {
                Some(status) if fits(&status) => return Ok(status),
                _ => self.wait(until, "the world does not come to its last tick")?,
            }
        }
    }

    fn wait(&mut self, until: Instant, what: &str) -> Result<()> {
        crate::stop::check()?;
        self.cluster.look_after()?;
        self.takeovers.look(&self.cluster.said.look());
        if Instant::now() > until {
            bail!("{what} (seed {}):\n{}", self.soak.seed, self.cluster.complaints());
        }
        std::thread::sleep(LOOK);
        Ok(())
    }
}
