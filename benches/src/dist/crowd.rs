//! Many instances in one process: what each of them costs the coordinator, on a machine that could not run them.
//!
//! An instance's core does no I/O, so one connection and one thread do for all. What they compute is next to
//! nothing; nearly all of them are idle.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crossbeam_channel::RecvTimeoutError;
use engine_net::io::{Helper, Io, IoEvent, IoHandle, IoMessage, Lane, Outgoing, RequestId};
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::register::Register;
use engine_net::subject::{Subject, Subjects};
use engine_system::runner::{Answer, InstanceCore};

use super::broker::{Entrance, config};
use super::program::Work;

const IN: Lane = Lane(0);
const OUT: Lane = Lane(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(10);

struct Crowd {
    cores: Vec<InstanceCore>,
    subjects: Subjects,
    handle: IoHandle,
    /// Whose registration waits for an answer.
    asked: BTreeMap<RequestId, usize>,
    started: Instant,
}

/// The process of so many instances.
pub(crate) fn work(entrance: &Entrance, instances: usize, work: Work) -> Result<()> {
    let config = config(entrance);
    let subjects = Subjects::new(&config.prefix, &config.world)?;
    let (io, events) = Io::start(&config, "crowd", 2)?;
    let handle = io.handle();
    let mut cores = Vec::new();
    for number in 0..instances {
        let systems = work.app().into_systems()?;
        let core = InstanceCore::new(name(number), (number as u64 + 1) << 16, systems, handle.max_payload(OUT))?;
        for system in core.systems() {
            handle.subscribe_blocking(IN, subjects.schedule(system, core.name()), None, PATIENCE)?;
        }
        cores.push(core);
    }
    handle.subscribe_blocking(IN, subjects.hello(), None, PATIENCE)?;
    let mut events = Helper::new(handle.clone(), events);
    let mut crowd = Crowd { cores, subjects, handle, asked: BTreeMap::new(), started: Instant::now() };
    let mut look_at = crowd.started;
    loop {
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK;
            crowd.look_around();
        }
        match events.wait(LOOK) {
            Ok(event) => crowd.event(event, &mut events)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the connection has ended"),
        }
    }
}

fn name(number: usize) -> String {
    format!("crowd-{number}")
}

impl Crowd {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn look_around(&mut self) {
        let now = self.now();
        for number in 0..self.cores.len() {
            self.cores[number].look_around(now);
            self.carry_out(number, &mut |_| ());
        }
    }

    fn event(&mut self, event: IoEvent, events: &mut Helper) -> Result<()> {
        match event {
            IoEvent::Message(message) => self.message(&message, &mut |bytes| events.sent(bytes)),
            IoEvent::Answer { id, answer, .. } => {
                let now = self.now();
                let Some(number) = self.asked.remove(&id) else { return Ok(()) };
                let core = &mut self.cores[number];
                match answer {
                    Ok(message) => core.answered(now, &message.payload).map_err(anyhow::Error::msg)?,
                    Err(_) => core.unanswered(),
                }
            }
            IoEvent::GaveUp { .. } | IoEvent::Closed => bail!("the connection is closed"),
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, message: &IoMessage, sent: &mut dyn FnMut(usize)) {
        let now = self.now();
        match self.subjects.parse(message.subject.as_str()) {
            Some(Subject::Schedule { instance, .. }) => {
                let number = instance.strip_prefix("crowd-").and_then(|number| number.parse::<usize>().ok());
                let Some(number) = number.filter(|number| *number < self.cores.len()) else { return };
                self.cores[number].chunk(now, message.payload.clone());
                self.carry_out(number, sent);
            }
            Some(Subject::Hello) => self.cores.iter_mut().for_each(|core| core.hello(&message.payload)),
            _ => {}
        }
    }

    /// Does what one of them wants done; also its jobs, at once.
    fn carry_out(&mut self, number: usize, sent: &mut dyn FnMut(usize)) {
        while let Some(answer) = self.cores[number].next_answer() {
            let core = &mut self.cores[number];
            match answer {
                Answer::Compute(work) => {
                    if core.wants(&work) {
                        let started = self.started;
                        core.begin(started.elapsed().as_nanos() as u64);
                        core.computed(work.run(&|| started.elapsed().as_nanos() as u64));
                    }
                }
                Answer::Result { epoch, payload } => {
                    sent(payload.len());
                    let subject = self.subjects.changed(epoch, core.sender());
                    self.publish(OUT, Outgoing::new(subject, payload));
                }
                Answer::Heartbeat(payload) => {
                    let headers = core.headers::<Heartbeat>();
                    let message = Outgoing::new(self.subjects.heartbeat(core.sender()), payload);
                    self.publish(IN, message.headers((&headers).into()));
                }
                Answer::Register(payload) => self.register(number, payload),
                Answer::Leave(_) | Answer::Map { .. } => {}
            }
        }
    }

    fn register(&mut self, number: usize, payload: Vec<u8>) {
        let core = &self.cores[number];
        let headers = core.headers::<Register>();
        let message = Outgoing::new(self.subjects.register(core.sender()), payload).headers((&headers).into());
        match self.handle.request(IN, message, Duration::from_secs(3)) {
            Ok(id) => drop(self.asked.insert(id, number)),
            Err(_) => self.cores[number].unanswered(),
        }
    }

    fn publish(&self, lane: Lane, message: Outgoing) {
        // What can't be sent is asked for again.
        let sent = self.handle.publish(lane, message).context("a message is not sent");
        if let Err(error) = sent {
            eprintln!("{error:#}");
        }
    }
}
