//! The I/O thread itself: from the first connection to the last fence.

use std::{
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

use super::{
    IoEvent, IoHandle, Lane, RequestError,
    event::EventSink,
    handle::{Closing, Shared},
    lane::{self, LaneState},
};
use crate::{
    client::{self, ConnectError},
    config::ConnectionConfig,
};

type Started = Result<IoHandle, ConnectError>;

/// Starts the thread and waits until every lane is connected.
pub(super) fn start(
    config: ConnectionConfig,
    name: &str,
    lanes: u8,
) -> Result<(JoinHandle<()>, IoHandle, Receiver<IoEvent>), ConnectError> {
    let failed = |reason: String| ConnectError::Thread { reason };
    let (events, receiver) = unbounded();
    let (report, started) = bounded(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = Arc::new(runtime.map_err(|error| failed(error.to_string()))?);
    let name = name.to_owned();
    let run = move || {
        let sink = EventSink::new(events, config.event_capacity, config.event_bytes);
        let turns = sink.turns();
        let driver = Arc::downgrade(&runtime);
        let life = live(config, name, lanes, sink.clone(), report, driver);
        let mut life = runtime.spawn(life);
        while !runtime.block_on(async {
            tokio::select! {
                _ = &mut life => true,
                () = turns.wanted() => false,
            }
        }) {
            turns.wait();
        }
        end(runtime);
        sink.now(IoEvent::Closed);
    };
    let thread = thread::Builder::new().name("engine-io".into()).spawn(run);
    let thread = thread.map_err(|error| failed(error.to_string()))?;
    match started.recv() {
        Ok(Ok(handle)) => Ok((thread, handle, receiver)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(failed("it ended before it was connected".into())),
    }
}

/// Ends all tasks.
fn end(mut runtime: Arc<Runtime>) {
    // Who still helps sees that it is over within its next step.
    loop {
        match Arc::try_unwrap(runtime) {
            // Resolving a host name may hang in the system; it isn't worth waiting for.
            Ok(runtime) => return runtime.shutdown_timeout(Duration::from_millis(100)),
            Err(shared) => runtime = shared,
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The connections' whole life.
async fn live(
    config: ConnectionConfig,
    name: String,
    lanes: u8,
    sink: EventSink,
    report: Sender<Started>,
    driver: Weak<Runtime>,
) {
    let (closing, close) = oneshot::channel();
    let shared = match connect(&config, &name, lanes, &sink, (closing, driver)).await {
        Ok(shared) => shared,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    if report.send(Ok(IoHandle { shared: shared.clone() })).is_err() {
        return;
    }
    if let Ok((deadline, done)) = close.await {
        let _ = done.send(last_fences(&shared, deadline).await);
        for state in &shared.lanes {
            state.waiters.fail_all(state.lane, &RequestError::Closed, &shared.sink);
        }
    }
}

async fn connect(
    config: &ConnectionConfig,
    name: &str,
    lanes: u8,
    sink: &EventSink,
    (closing, driver): (oneshot::Sender<Closing>, Weak<Runtime>),
) -> Result<Arc<Shared>, ConnectError> {
    let mut states = Vec::new();
    let mut events = Vec::new();
    for number in 0..lanes {
        let (sender, receiver) = mpsc::unbounded_channel();
        let on_event = move |event| drop(sender.send(event));
        let connection = client::connect_with(config, name, on_event).await?;
        states.push(LaneState::new(Lane(number), connection, config.publish_bytes));
        events.push(receiver);
    }
    let shared = Arc::new(Shared::new(states, sink.clone(), closing, driver));
    for (state, events) in shared.lanes.iter().zip(events) {
        tokio::spawn(lane::watch(shared.clone(), state.lane, events));
        let no_server = |reason: String| ConnectError::NoServer { servers: config.servers(), reason };
        let inbox = state.client.subscribe(format!("{}.>", state.inbox)).await;
        let inbox = inbox.map_err(|error| no_server(error.to_string()))?;
        tokio::spawn(lane::read_inbox(shared.clone(), state.lane, inbox));
        // Without it the first request's answer might find nobody; and a user who may not use this
        // inbox learns it now.
        let fence = shared.fence_task(state, config.connect_timeout).await;
        fence.map_err(|error| {
            no_server(format!("{error} on `{}.>`; the user needs to publish and subscribe there", state.inbox))
        })?;
    }
    Ok(shared)
}

/// One fence on each lane that is up, all at once.
async fn last_fences(shared: &Arc<Shared>, deadline: Instant) -> Result<(), RequestError> {
    let limit = deadline.saturating_duration_since(Instant::now());
    let fence = |state| async move {
        loop {
            match shared.fence_task(state, limit).await {
                // What waits must go first.
                Err(RequestError::NotSent(super::PublishError::Full { .. })) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                result => return result,
            }
        }
    };
    let all = futures_util::future::join_all(shared.lanes.iter().map(fence));
    let all = tokio::time::timeout(limit, all).await;
    all.map_err(|_| RequestError::TimedOut(limit))?.into_iter().collect()
}
