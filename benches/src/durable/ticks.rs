//! Ticks of a world with a log, and of one without.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use engine_app::coordinator::{Commit, Coordinator};
use engine_app::log::link::{KeyframePolicy, LogLink};
use engine_app::{Settings, Stop, TimeMode, driver};
use engine_net::server::PrivateServer;

use super::{Log, blueprint, server};
use crate::case::{Contender, OURS};

pub(super) fn with_and_without(entities: usize) -> Result<Vec<Contender>> {
    let (with, without) = (Ticks::start(entities, Some(KeyframePolicy::default()))?, Ticks::start(entities, None)?);
    let mean = |ticks: Ticks| {
        Box::new(move |times: u32| {
            let times = times.max(20);
            Ok(ticks.run(times)?.iter().sum::<f64>() / f64::from(times))
        })
    };
    Ok(vec![Contender { name: OURS, sample: mean(with) }, Contender { name: "without a log", sample: mean(without) }])
}

/// Ticks of one sample: several keyframes are written meanwhile.
const WINDOW: u32 = 600;

pub(super) fn longest(entities: usize) -> Result<Vec<Contender>> {
    // One keyframe after another.
    let policy = KeyframePolicy {
        replay: Duration::ZERO,
        rate: u64::MAX,
        pause: Duration::from_millis(300),
        ..KeyframePolicy::default()
    };
    // What the machine does to ticks by itself.
    let never = KeyframePolicy { replay: Duration::MAX, log_bytes: u64::MAX, ..KeyframePolicy::default() };
    let (ticks, undisturbed) = (Ticks::start(entities, Some(policy))?, Ticks::start(entities, Some(never))?);
    let median = Rc::new(RefCell::new(0.0));
    let known = median.clone();
    let longest = move |_: u32| {
        let mut gaps = ticks.run(WINDOW)?;
        gaps.sort_by(f64::total_cmp);
        *known.borrow_mut() = gaps[gaps.len() / 2];
        gaps.last().copied().context("no tick at all")
    };
    let median = move |_: u32| Ok(*median.borrow());
    let undisturbed = move |_: u32| Ok(undisturbed.run(WINDOW)?.into_iter().fold(0.0, f64::max));
    Ok(vec![
        Contender { name: OURS, sample: Box::new(longest) },
        Contender { name: "median tick", sample: Box::new(median) },
        Contender { name: "longest without keyframes", sample: Box::new(undisturbed) },
    ])
}

/// A coordinator that stands still until it is asked for ticks.
struct Ticks {
    ask: Sender<u32>,
    done: Receiver<Vec<f64>>,
}

/// What the coordinator's thread counts.
struct Count {
    open: u32,
    last: Instant,
    gaps: Vec<f64>,
    asked: Receiver<u32>,
    tell: Sender<Vec<f64>>,
    stop: Stop,
}

impl Count {
    /// After each tick; waits when it was the last one that was asked for.
    fn committed(&mut self, coordinator: &mut Coordinator) {
        self.gaps.push(self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return;
        }
        let _ = self.tell.send(std::mem::take(&mut self.gaps));
        match self.asked.recv() {
            Ok(times) => {
                self.open = times;
                self.last = Instant::now();
                coordinator.step(times.into());
            }
            Err(_) => self.stop.ask(),
        }
    }
}

impl Ticks {
    fn start(entities: usize, log: Option<KeyframePolicy>) -> Result<Self> {
        let (ask, asked) = channel();
        let (tell, done) = channel();
        let server = server()?;
        let stop = Stop::default();
        let mut count = Count { open: 1, last: Instant::now(), gaps: Vec::new(), asked, tell, stop: stop.clone() };
        let work = move || {
            let ended = run(entities, log, &server, &stop, &mut |_, coordinator| count.committed(coordinator));
            if let Err(error) = ended {
                eprintln!("the coordinator has ended: {error:#}");
            }
        };
        std::thread::Builder::new().name("coordinator".into()).spawn(work).context("can't start a thread")?;
        let ticks = Self { ask, done };
        ticks.done.recv().context("the coordinator has ended")?;
        Ok(ticks)
    }

    /// Seconds from each tick to the next, for so many.
    fn run(&self, times: u32) -> Result<Vec<f64>> {
        self.ask.send(times).map_err(|_| anyhow!("the coordinator has ended"))?;
        self.done.recv().context("the coordinator has ended")
    }
}

fn run(
    entities: usize,
    log: Option<KeyframePolicy>,
    server: &PrivateServer,
    stop: &Stop,
    committed: &mut dyn FnMut(&Commit, &mut Coordinator),
) -> Result<()> {
    let settings = Settings { world: "bench".into(), time: TimeMode::Fast, paused: true, ..Settings::default() };
    let blueprint = blueprint(entities)?;
    let config = server.config();
    let Some(policy) = log else {
        let mut coordinator = blueprint.coordinator(settings, 1)?;
        coordinator.step(1);
        return Ok(driver::run(&mut coordinator, Some(&config), false, stop, committed)?);
    };
    let log = Log::begin(server)?;
    if !matches!(log.found, engine_app::log::recovery::Found::Nothing { .. }) {
        bail!("the server is new, and its log is not");
    }
    let mut coordinator = blueprint.coordinator(settings, log.epoch)?;
    coordinator.keep_log(8);
    coordinator.begin_recovery();
    coordinator.step(1);
    let mut link = LogLink::new(&log.keeper, log.waker.clone(), policy, VecDeque::new(), true);
    driver::run_logged(&mut coordinator, &config, &mut link, false, stop, committed)?;
    Ok(())
}
