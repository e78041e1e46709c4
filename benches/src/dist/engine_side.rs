//! Engine's own tick: a coordinator in a thread of this process, instances in processes of their own, or none.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use engine_app::coordinator::{Commit, Coordinator};
use engine_app::{Settings, Stop, Telemetry, TimeMode, driver};
use engine_net::config::ConnectionConfig;
use engine_system::runner::{InstanceOptions, run_instance};

use super::broker::{self, Broker, Entrance, PATIENCE, Tuning};
use super::program::Work;
use super::worker::Role;
use crate::meter::Meter;
use crate::tick::{Tick, Ticker};

/// A world that is to tick.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) work: Work,
    pub(crate) place: Place,
    pub(crate) settings: Settings,
    pub(crate) watched: Watched,
}

/// Who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Nobody: but phases are measured, as in every coordinator.
    Defaults,
    /// Not even those are.
    Nothing,
    /// Figures are served, and fetched each second.
    Scraped,
    /// Each tick is recorded and given to somebody.
    Traced,
}

/// Where its systems run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the coordinator's process, without a broker.
    Here,
    /// In so many processes.
    Processes(usize),
    /// In so many instances that share one process: what many of them cost the coordinator.
    Crowd(usize),
}

impl Place {
    fn instances(self) -> usize {
        match self {
            Self::Here => 0,
            Self::Processes(instances) | Self::Crowd(instances) => instances,
        }
    }
}

/// How columns reach the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By wire, all of them in each tick.
    Full,
    /// By wire, only what changed.
    Resident,
    /// By shared memory: as a user on one host has it who sets nothing.
    Shared,
}

impl Way {
    fn settings(self) -> Settings {
        match self {
            Self::Full => Settings { keep: false, shm_bytes: 0, ..Settings::default() },
            Self::Resident => Settings { shm_bytes: 0, ..Settings::default() },
            Self::Shared => Settings::default(),
        }
    }
}

impl Setup {
    /// Of which all goes by wire, where there is one.
    pub(crate) fn new(work: Work, place: Place) -> Self {
        Self { work, place, settings: Way::Resident.settings(), watched: Watched::Defaults }
    }

    /// With columns that travel another way.
    pub(crate) fn by(self, way: Way) -> Self {
        Self { settings: way.settings(), ..self }
    }

    pub(crate) fn ticker(self, name: &'static str) -> Result<Ticker> {
        let settings = Settings { time: TimeMode::Fast, paused: true, ..self.settings };
        let is_here = self.place == Place::Here;
        let (coordinator, _) =
            self.work.app().into_coordinator(settings, &BTreeMap::new(), |_| is_here, u64::from(!is_here))?;
        if is_here {
            let ticks = Ticks::start(coordinator, None, 0, self.watched)?;
            return Ok(Ticker { name, run: Box::new(move |times| ticks.run(times)), meter: Meter::default() });
        }
        let broker = Broker::start(Tuning::Tuned)?;
        match self.place {
            Place::Crowd(number) => broker.borrow_mut().start_worker(&Role::Crowd { number, work: self.work })?,
            _ => (0..self.place.instances())
                .try_for_each(|number| broker.borrow_mut().start_worker(&Role::Instance { number, work: self.work }))?,
        }
        let config = broker::config(&broker.borrow().entrance()?);
        let ticks = Ticks::start(coordinator, Some(config), self.place.instances(), self.watched)?;
        Ok(Ticker { name, run: Box::new(move |times| ticks.run(times)), meter: Meter::of(broker) })
    }
}

impl Watched {
    fn telemetry(self, coordinator: &mut Coordinator) -> Result<Telemetry> {
        let is_served = self == Self::Scraped;
        let telemetry = Telemetry::start(is_served.then(|| SocketAddr::from(([127, 0, 0, 1], 0))))?;
        telemetry.watch(coordinator);
        if let Some(address) = telemetry.address() {
            // It ends when nobody listens there any more.
            std::thread::spawn(move || while scrape(address).is_ok() {});
        }
        if self == Self::Traced {
            coordinator.sample_ticks(1, Box::new(|_, tick| drop(black_box(tick.clone()))));
        }
        Ok(telemetry)
    }
}

fn scrape(address: SocketAddr) -> std::io::Result<()> {
    std::thread::sleep(Duration::from_secs(1));
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

/// A coordinator that stands still after each tick until it is asked for more.
struct Ticks {
    /// None when no more will be asked for.
    ask: Option<Sender<u32>>,
    done: Receiver<Vec<Tick>>,
    thread: Option<JoinHandle<()>>,
}

/// What the coordinator's thread counts.
struct Count {
    instances: usize,
    /// Ticks that are still to come.
    open: u32,
    last: Instant,
    ticks: Vec<Tick>,
    asked: Receiver<u32>,
    tell: Sender<Vec<Tick>>,
    stop: Stop,
}

impl Count {
    /// After each tick; waits when it was the last one that was asked for.
    fn committed(&mut self, commit: &Commit, coordinator: &mut Coordinator) {
        let now = Instant::now();
        if self.open > 0 {
            self.ticks.push(Tick { seconds: (now - self.last).as_secs_f64(), bytes: commit.bytes });
            self.last = now;
            self.open -= 1;
            if self.open > 0 {
                return;
            }
            let _ = self.tell.send(std::mem::take(&mut self.ticks));
        } else if coordinator.instances() < self.instances {
            return coordinator.step(1);
        }
        match self.asked.recv() {
            Ok(times) => {
                self.ticks.reserve_exact(times as usize);
                (self.open, self.last) = (times, Instant::now());
                coordinator.step(times.into());
            }
            Err(_) => self.stop.ask(),
        }
    }
}

impl Ticks {
    fn start(
        mut coordinator: Coordinator,
        config: Option<ConnectionConfig>,
        instances: usize,
        watched: Watched,
    ) -> Result<Self> {
        let (ask, asked) = channel();
        let (tell, done) = channel();
        let stop = Stop::default();
        let (last, ticks) = (Instant::now(), Vec::new());
        let mut count = Count { instances, open: 0, last, ticks, asked, tell, stop: stop.clone() };
        let telemetry = watched.telemetry(&mut coordinator)?;
        let work = move || {
            // Paused, since else the next tick would have begun when this one is reported.
            coordinator.step(1);
            let committed = |commit: &Commit, coordinator: &mut Coordinator| {
                if watched == Watched::Nothing {
                    coordinator.set_stopwatch(None);
                }
                telemetry.committed(commit);
                count.committed(commit, coordinator);
            };
            if let Err(error) = driver::run(&mut coordinator, config.as_ref(), false, &stop, committed) {
                eprintln!("the coordinator has ended: {error}");
            }
        };
        // Named, so that a profiler tells it from the contenders.
        let thread = std::thread::Builder::new().name("coordinator".into()).spawn(work);
        Ok(Self { ask: Some(ask), done, thread: Some(thread.context("can't start a thread")?) })
    }

    fn run(&self, times: u32) -> Result<Vec<Tick>> {
        let ask = self.ask.as_ref().context("nothing is asked any more")?;
        ask.send(times.max(1)).map_err(|_| anyhow!("the coordinator has ended"))?;
        self.done.recv_timeout(PATIENCE).context("the coordinator has ended, or does not get on")
    }
}

impl Drop for Ticks {
    /// The world is gone before the next one is made, and before its server is.
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // It fails only if it panicked, which has been reported.
            let _ = thread.join();
        }
    }
}

/// The process of an instance.
pub(crate) fn work(entrance: &Entrance, number: usize, work: Work) -> Result<()> {
    let options = InstanceOptions { name: Some(format!("bench-{number}")), ..InstanceOptions::default() };
    Ok(run_instance(&broker::config(entrance), work.app().into_systems()?, options)?)
}
