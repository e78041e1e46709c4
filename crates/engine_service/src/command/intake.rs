//! How commands reach a handler: as requests to the group, and from the stream of those that were submitted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Message;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use engine_net::headers;
use engine_net::messages::Problem;
use futures_util::StreamExt;
use futures_util::stream::select_all;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::handler::{Aggregate, Handler, Work, reply};
use super::{GROUP, code};
use crate::dead::{self, Reason};
use crate::envelope::{Envelope, header};
use crate::{Backoff, Link, ServiceError};

/// How long a submitted command may take until it is given to another handler.
const ACK_WAIT: Duration = Duration::from_secs(30);

impl<A: Aggregate> Handler<A> {
    /// Handles commands until it is dropped. It makes the streams of its domain if they are not there.
    ///
    /// # Errors
    /// When the streams are not what they have to be, or the connection was given up.
    pub async fn run(self) -> Result<(), ServiceError> {
        let link = self.link.clone();
        let work = Arc::new(Work::begin(self).await?);
        tracing::info!(domain = A::DOMAIN, aggregate = A::NAME, "handling commands");
        tokio::select! {
            ended = requests(&link, &work) => ended,
            ended = submitted(&link, &work) => ended,
        }
    }
}

async fn requests<A: Aggregate>(link: &Link, work: &Arc<Work<A>>) -> Result<(), ServiceError> {
    let subjects = link.names().requests(A::DOMAIN, A::NAME);
    let failed = |error: &dyn std::fmt::Display| ServiceError::passing(format!("listen on {}", subjects[0]), error);
    let mut all = Vec::new();
    for subject in subjects.clone() {
        all.push(link.client().queue_subscribe(subject, GROUP.to_owned()).await.map_err(|error| failed(&error))?);
    }
    let mut messages = select_all(all);
    let most = work.handler.limits.at_a_time.max(1);
    let room = Arc::new(Semaphore::new(most));
    // They end with this future.
    let mut tasks = JoinSet::new();
    while let Some(message) = messages.next().await {
        while tasks.try_join_next().is_some() {}
        // Its subject does not say who gave it.
        if headers::is_out_of_a_stream(message.headers.as_ref()) {
            tracing::debug!(subject = %message.subject, "a message out of a stream is no command");
            continue;
        }
        let Ok(permit) = room.clone().try_acquire_owned() else {
            let reason = format!("{most} commands are being handled");
            answer(link, &message, &Err(Problem::new(code::OVERLOADED, reason))).await;
            continue;
        };
        work.handler.gauge.waits(most - room.available_permits());
        let (link, work) = (link.clone(), work.clone());
        tasks.spawn(async move {
            let _permit = permit;
            request(&link, &work, &message).await;
        });
    }
    Err(failed(&"the connection is closed"))
}

async fn request<A: Aggregate>(link: &Link, work: &Work<A>, message: &Message) {
    let started = Instant::now();
    let answered = match Envelope::of_headers(message.headers.as_ref()) {
        Ok(envelope) => handle(work, message, &envelope).await,
        Err(error) => Err(Problem::new(code::BAD_REQUEST, error)),
    };
    work.handler.gauge.count(started.elapsed(), answered.as_ref().err().map(|problem| problem.code.as_str()));
    answer(link, message, &answered).await;
}

/// The subject says which command it is, and so does the envelope: they must agree.
async fn handle<A: Aggregate>(
    work: &Work<A>,
    message: &Message,
    envelope: &Envelope,
) -> Result<engine_net::messages::value::Blob, Problem> {
    let names = work.handler.link.names();
    let behind = ["command", "submit"].into_iter().find_map(|word| names.behind(word, &message.subject));
    // Domain and aggregate are those that were subscribed to.
    let mut tokens = behind.unwrap_or_default().split('.').skip(2);
    let (action, by) = (tokens.next().unwrap_or_default(), tokens.next());
    let name = format!("{}.{}.{action}", A::DOMAIN, A::NAME);
    if envelope.kind != name {
        let reason = format!("the subject says `{name}`, the envelope `{}`", envelope.kind);
        return Err(Problem::new(code::BAD_REQUEST, reason));
    }
    work.answer(action, by, envelope, &message.payload).await
}

async fn answer(link: &Link, message: &Message, answer: &Result<engine_net::messages::value::Blob, Problem>) {
    let Some(to) = message.reply.as_ref().filter(|to| link.may_answer(to.as_str())) else { return };
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(header::CONTENT, crate::envelope::Content::MessagePack.as_str());
    // One that does not go out is asked for again.
    if let Err(error) = link.client().publish_with_headers(to.clone(), headers, reply(answer)).await {
        tracing::debug!(%error, "an answer was not sent");
    }
}

/// Commands of the stream: each is handled at least once, and counts once by its id.
async fn submitted<A: Aggregate>(link: &Link, work: &Arc<Work<A>>) -> Result<(), ServiceError> {
    let mut failed = 0;
    loop {
        match from_stream(link, work).await {
            Ok(()) => failed = 0,
            Err(error) => {
                failed += 1;
                tracing::debug!(%error, "submitted commands are not read: trying again");
            }
        }
        Backoff::default().wait(failed.max(1)).await;
    }
}

async fn from_stream<A: Aggregate>(link: &Link, work: &Arc<Work<A>>) -> Result<(), ServiceError> {
    let stream = link.names().commands(A::DOMAIN);
    let failed = |error: &dyn std::fmt::Display| ServiceError::passing(format!("read the stream {stream}"), error);
    let durable = format!("{GROUP}-{}", A::NAME);
    let config = pull::Config {
        durable_name: Some(durable.clone()),
        filter_subject: link.names().submit(A::DOMAIN, A::NAME, "*"),
        ack_policy: AckPolicy::Explicit,
        deliver_policy: DeliverPolicy::All,
        ack_wait: ACK_WAIT,
        max_ack_pending: work.handler.limits.at_a_time.max(1) as i64,
        ..pull::Config::default()
    };
    let consumer: PullConsumer =
        link.jet().create_consumer_on_stream(config, stream.as_str()).await.map_err(|error| failed(&error))?;
    let messages = consumer.stream().max_messages_per_batch(64).heartbeat(Duration::from_secs(1));
    let mut messages = messages.expires(Duration::from_secs(5)).messages().await.map_err(|error| failed(&error))?;
    let mut tasks = JoinSet::new();
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| failed(&error))?;
        while tasks.len() >= 64 {
            tasks.join_next().await;
        }
        let (link, work, consumer) = (link.clone(), work.clone(), durable.clone());
        tasks.spawn(async move {
            if let Err(error) = one_submitted(&link, &work, &message, &consumer).await {
                tracing::warn!(subject = %message.subject, %error, "a submitted command waits for its next delivery");
                later(&message).await;
            }
        });
    }
    Ok(())
}

/// Gives a message back, for a while that grows. If that is lost too, the server gives it again after [`ACK_WAIT`].
pub(crate) async fn later(message: &async_nats::jetstream::Message) {
    let delivered = message.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(u32::MAX));
    let backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(60) };
    if let Err(error) = message.ack_with(AckKind::Nak(Some(backoff.pause(delivered)))).await {
        tracing::debug!(%error, "a message was not given back");
    }
}

async fn one_submitted<A: Aggregate>(
    link: &Link,
    work: &Work<A>,
    message: &async_nats::jetstream::Message,
    consumer: &str,
) -> Result<(), async_nats::Error> {
    let started = Instant::now();
    let info = message.info()?;
    let (sequence, delivered) = (info.stream_sequence, u32::try_from(info.delivered).unwrap_or(u32::MAX));
    let answered = match Envelope::of_headers(message.headers.as_ref()) {
        Ok(envelope) => handle(work, message, &envelope).await,
        Err(error) => Err(Problem::new(code::BAD_REQUEST, error)),
    };
    work.handler.gauge.count(started.elapsed(), answered.as_ref().err().map(|problem| problem.code.as_str()));
    match answered {
        Ok(_) => message.ack().await,
        Err(problem) if code::passes(&problem.code) => {
            message.ack_with(AckKind::Nak(Some(Backoff::default().pause(delivered)))).await
        }
        // What ends a message of this stream removes it: so it is buried first, and not left to the advisories.
        Err(problem) => {
            let why = Reason {
                domain: A::DOMAIN.to_owned(),
                stream: info.stream.to_owned(),
                consumer: consumer.to_owned(),
                sequence,
                deliveries: u64::from(delivered),
                reason: format!("{}: {}", problem.code, problem.message),
            };
            dead::bury(link, &why, &message.subject, message.headers.as_ref(), &message.payload).await?;
            message.double_ack().await
        }
    }
}

#[cfg(test)]
mod tests {
    use engine_net::messages::Reply;
    use engine_net::messages::value::Blob;
    use engine_net::strict;

    use super::*;

    #[test]
    fn an_answer_is_read_as_any_reply() {
        let answer = Blob(strict::encode(&7_u64).into());
        assert_eq!(strict::decode::<Reply<u64>>(&reply(&Ok(answer)), 100), Ok(Reply::Ok(7)));
        let problem = Problem::new("bad_request", "no");
        assert_eq!(strict::decode::<Reply<u64>>(&reply(&Err(problem.clone())), 100), Ok(Reply::Error(problem)));
    }
}
