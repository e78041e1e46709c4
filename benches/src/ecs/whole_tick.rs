//! Ticks of an app in this process: jobs on the world's own memory, on so many threads.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use engine_app::{App, Settings, Stop, TimeMode, driver};

use crate::case::{Contender, OURS};

/// Whole ticks: planned, computed, merged, hashed.
pub(crate) fn ticks(app: App, threads: usize) -> Result<Contender> {
    let settings = Settings { time: TimeMode::Fast, paused: true, threads, ..Settings::default() };
    let (mut coordinator, _) = app.into_coordinator(settings, &BTreeMap::new(), |_| true, 1)?;
    let (ask, asked) = channel::<u32>();
    let (tell, done) = channel();
    let work = move || {
        let stop = Stop::default();
        // Paused, since else the next tick would have begun when this one is reported.
        let (mut open, mut started) = (1_u32, None::<Instant>);
        coordinator.step(1);
        let ended = driver::run(&mut coordinator, None, false, &stop, |_, coordinator| {
            open -= 1;
            if open > 0 {
                return;
            }
            if let Some(started) = started {
                let _ = tell.send(started.elapsed().as_secs_f64());
            }
            match asked.recv() {
                Ok(times) => {
                    (open, started) = (times, Some(Instant::now()));
                    coordinator.step(times.into());
                }
                Err(_) => stop.ask(),
            }
        });
        if let Err(error) = ended {
            eprintln!("the coordinator has ended: {error}");
        }
    };
    std::thread::Builder::new().name("coordinator".into()).spawn(work).context("can't start a thread")?;
    let sample = move |times: u32| {
        ask.send(times).map_err(|_| anyhow!("the coordinator has ended"))?;
        Ok(done.recv().context("the coordinator has ended")? / f64::from(times))
    };
    Ok(Contender { name: OURS, sample: Box::new(sample) })
}
