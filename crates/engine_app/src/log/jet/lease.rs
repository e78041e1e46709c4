//! The lease: one message that ends when its time to live is over.
//!
//! Each renewal is a publish that carries the time again: a message without it would never end. The server counts
//! time in whole seconds, drops the rest of anything finer, and removes what has ended up to about a second late.
//! Giving back writes an empty message, so that the
//! next who acquires still has a revision to compare with. Whoever watches asks the stream's leader every now and
//! then; an expiry leaves nothing that could be sent.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{HeaderMap, header};
use bytes::Bytes;
use crossbeam_channel::Sender;
use tokio::time::MissedTickBehavior;

use super::{
    JetError, JetEvent, LeaseAnswer, LeaseState, Names, Token,
    api::{Ack, Api},
    error::code,
};

/// What is to be done with the lease. Times to live are in seconds.
#[derive(Debug)]
pub(super) enum LeaseOrder {
    Acquire { holder: Bytes, seconds: u32 },
    Renew { holder: Bytes, seconds: u32, revision: u64 },
    Release { revision: u64 },
    Read,
}

impl LeaseOrder {
    /// The event when its end isn't known.
    pub(super) fn lost(&self, token: Token, error: JetError) -> JetEvent {
        match self {
            Self::Read => JetEvent::LeaseRead { token, state: Err(error) },
            _ => JetEvent::Lease { token, answer: LeaseAnswer::Unknown(error) },
        }
    }
}

/// What a watcher has told last.
pub(super) type Watched = Arc<Mutex<Option<LeaseState>>>;

pub(super) async fn run(api: &Api, names: &Names, token: Token, order: LeaseOrder) -> JetEvent {
    let result = match order {
        LeaseOrder::Read => return JetEvent::LeaseRead { token, state: read(api, names).await },
        LeaseOrder::Acquire { holder, seconds } => acquire(api, names, holder, seconds).await,
        LeaseOrder::Renew { holder, seconds, revision } => write(api, names, holder, Some(seconds), revision).await,
        LeaseOrder::Release { revision } => write(api, names, Bytes::new(), None, revision).await,
    };
    JetEvent::Lease { token, answer: result.unwrap_or_else(LeaseAnswer::Unknown) }
}

async fn acquire(api: &Api, names: &Names, holder: Bytes, seconds: u32) -> Result<LeaseAnswer, JetError> {
    let state = read(api, names).await?;
    if state.holder.is_some() {
        return Ok(LeaseAnswer::Taken(state));
    }
    write(api, names, holder, Some(seconds), state.revision).await
}

async fn write(
    api: &Api,
    names: &Names,
    holder: Bytes,
    seconds: Option<u32>,
    revision: u64,
) -> Result<LeaseAnswer, JetError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
    if let Some(seconds) = seconds {
        headers.insert(header::NATS_MESSAGE_TTL, format!("{}s", seconds.max(1)));
    }
    let released = holder.is_empty();
    match api.ask::<Ack>("write the lease", &names.lease(), Some(headers), holder).await {
        Ok(_) if released => Ok(LeaseAnswer::Released),
        Ok(ack) => Ok(LeaseAnswer::Held { revision: ack.sequence }),
        Err(JetError::Server { code: code::WRONG_LAST | code::WRONG_LAST_CONSTANT, .. }) => {
            Ok(LeaseAnswer::Taken(read(api, names).await?))
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn read(api: &Api, names: &Names) -> Result<LeaseState, JetError> {
    let last = api.last(&names.leases(), &names.lease()).await?;
    Ok(last.map_or_else(LeaseState::default, |message| {
        let ttl = message.headers.get(header::NATS_MESSAGE_TTL).map(async_nats::HeaderValue::as_str);
        LeaseState {
            seconds: ttl.and_then(|ttl| ttl.strip_suffix('s')).and_then(|seconds| seconds.parse().ok()),
            holder: Some(message.payload).filter(|holder| !holder.is_empty()),
            revision: message.sequence,
        }
    }))
}

/// Tells each change, until it is aborted.
pub(super) async fn watch(api: Api, names: Names, every: Duration, watched: Watched, events: Sender<JetEvent>) {
    let mut look = tokio::time::interval(every.max(Duration::from_millis(10)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        // When the server can't be asked, nothing is known, and nothing is said.
        let Ok(state) = read(&api, &names).await else { continue };
        let news = {
            let mut last = watched.lock().unwrap_or_else(PoisonError::into_inner);
            let news = last.as_ref() != Some(&state);
            *last = Some(state.clone());
            news
        };
        if news && events.send(JetEvent::LeaseSeen(state)).is_err() {
            return;
        }
    }
}
