//! The log, read while it grows: its beginning is truncated by and by, and all of it is needed in the end.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use engine::app::log::chain::Verifier;
use engine::app::log::jet::{Mode, Streams};
use engine::app::log::record::Body;
use engine::app::record::TickRecord;
use engine::net::config::ConnectionConfig;

use crate::world::World;

const EVERY: Duration = Duration::from_millis(1000);

/// All messages of the log, from the first one.
pub(crate) type Messages = Vec<Bytes>;

/// Reads the log in the background.
pub(crate) struct Reader {
    streams: Arc<Streams>,
    messages: Arc<Mutex<Messages>>,
    /// Its end is the reader's.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(config: &ConnectionConfig, world: &World) -> Result<Self> {
        let streams = Streams::open(config, "main", Mode::Server, world.jet()).context("the log, to read along")?;
        let (streams, messages) = (Arc::new(streams), Arc::new(Mutex::new(Messages::new())));
        let (stop, stopped) = channel::<()>();
        let (reads, into) = (streams.clone(), messages.clone());
        let work = move || {
            loop {
                // A server may be away; what can't be read now is read later.
                let _ = read_on(&reads, &mut into.lock().unwrap_or_else(PoisonError::into_inner));
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("faults-log".into()).spawn(work)?;
        Ok(Self { streams, messages, stop: Some(stop), thread: Some(thread) })
    }

    /// All that the log ever held.
    pub(crate) fn finish(mut self) -> Result<Messages> {
        self.end();
        let mut messages = std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        read_on(&self.streams, &mut messages)?;
        Ok(messages)
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads what is new.
pub(crate) fn read_on(streams: &Streams, messages: &mut Messages) -> Result<()> {
    let tail = streams.tail()?;
    let next = messages.len() as u64 + 1;
    if tail.first > next {
        bail!("the log was truncated up to {} before it was read from {next} on", tail.first);
    }
    for message in streams.read_range(next, tail.last, 4) {
        messages.push(message?.payload);
    }
    Ok(())
}

/// The ticks of a whole log, every hash of its chain checked, and the number of its reigns.
pub(crate) fn ticks(messages: &[Bytes]) -> Result<(Vec<TickRecord>, u64)> {
    let (mut verifier, mut ticks, mut epochs) = (Verifier::new(), Vec::new(), 0);
    for (number, message) in messages.iter().enumerate() {
        match verifier.feed(number as u64 + 1, message)?.map(|record| record.body) {
            Some(Body::Tick(bytes)) => ticks.push(TickRecord::from_bytes(&bytes)?),
            Some(Body::Epoch(_)) => epochs += 1,
            None => {}
        }
    }
    Ok((ticks, epochs))
}
