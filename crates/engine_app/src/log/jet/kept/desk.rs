//! One connection to the streams of kept events: what is stored, and storing what is missing.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::message::StreamMessage;
use engine_net::Subjects;
use engine_net::headers::Headers;
use engine_net::io::HeaderMap;
use engine_net::streams;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::json;

use super::KeptError;
use super::notices::Notices;
use crate::kept::{KeptTick, KeptType, Missing, Part, Place, message_id, missing, place_of};
use crate::log::jet::api::{Ack, Api};
use crate::log::jet::error::{JetError, code};

/// Types whose messages are on their way at the same time.
const AT_ONCE: usize = 16;
/// Messages of others on the subject of a world's events, behind its newest one, that are looked through.
const LOOK_BACK: u32 = 10_000;
/// The pause before the first further try; it doubles five times.
const PAUSE: Duration = Duration::from_millis(50);

/// How far events of one type are stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// None: nothing.
    place: Option<Place>,
    /// The newest message on their subject, whoever it is of; 0 when there is none.
    sequence: u64,
}

/// By the names of types.
pub(super) type KnownTypes = BTreeMap<String, Known>;

/// A connection, and the reign that uses it.
pub(super) struct Desk {
    pub(super) api: Api,
    pub(super) subjects: Subjects,
    pub(super) reign: u64,
    pub(super) leads: Rc<dyn Fn() -> bool>,
    pub(super) notices: Rc<Notices>,
}

/// What a message has besides its payload.
struct Envelope<'a> {
    of_type: &'a KeptType,
    headers: HeaderMap,
    epoch: u64,
    tick: u64,
}

impl Desk {
    /// Brings a tick's events into their streams, however long that takes; what is known of them then.
    pub(super) async fn store(self: Rc<Self>, tick: KeptTick, mut known: KnownTypes) -> KnownTypes {
        let (headers, desk) = (tick.headers(), &self);
        let lines = tick.types.iter().map(|of_type| {
            let envelope = Envelope { of_type, headers: (&headers).into(), epoch: tick.epoch, tick: tick.tick };
            let known = known.get(&of_type.name).copied();
            async move { (&of_type.name, desk.store_type(&envelope, known).await) }
        });
        let done: Vec<_> = stream::iter(lines.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        known.extend(done.into_iter().filter_map(|(name, newest)| Some((name.clone(), newest?))));
        known
    }

    /// One after another: none may be stored before those that it follows.
    async fn store_type(&self, envelope: &Envelope<'_>, mut known: Option<Known>) -> Option<Known> {
        for part in &envelope.of_type.parts {
            known = Some(self.store_part(envelope, part, known).await);
        }
        known
    }

    async fn store_part(&self, envelope: &Envelope<'_>, part: &Part, mut known: Option<Known>) -> Known {
        let name = &envelope.of_type.name;
        let mut tries = 0_u32;
        loop {
            // What a deposed coordinator still sends is of a durable record, as all of this is, and does no harm. But it
            // is no longer its business: soon somebody says that the reign is over, or that the lease is renewed.
            if (self.leads)() {
                match self.try_part(envelope, part, known).await {
                    Ok(newest) => {
                        self.notices.no_trouble(name);
                        return newest;
                    }
                    // That somebody was faster is found out by reading, and no trouble.
                    Err(error) if error.is_of_another_write() && tries < 5 => {}
                    Err(error) => self.notices.trouble(name, self.words(name, &error)),
                }
            }
            known = None;
            tokio::time::sleep(PAUSE * (1 << tries.min(5))).await;
            tries += 1;
        }
    }

    async fn try_part(&self, envelope: &Envelope<'_>, part: &Part, known: Option<Known>) -> Result<Known, Refused> {
        let stream = self.stream_of(&envelope.of_type.name);
        let known = match known {
            Some(known) => known,
            None => self.read(&stream, &envelope.of_type.subject).await?,
        };
        let part = match missing(envelope.epoch, envelope.tick, part, known.place, self.reign) {
            Missing::Nothing => return Ok(known),
            Missing::Part(part) => part,
            Missing::Foreign => return Err(Refused::Foreign(known.place)),
        };
        let sequence = self.publish(envelope, &part, known.sequence).await?;
        let end = part.first.saturating_add(part.count);
        Ok(Known { place: Some(Place { epoch: envelope.epoch, tick: envelope.tick, end }), sequence })
    }

    async fn publish(&self, envelope: &Envelope<'_>, part: &Part, behind: u64) -> Result<u64, Refused> {
        let Envelope { of_type, headers, epoch, tick } = envelope;
        let mut headers = headers.clone();
        headers.insert(NATS_MESSAGE_ID, message_id(*epoch, *tick, &of_type.name, part.first));
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, behind.to_string());
        let what = format!("keep `{}` of tick {tick}", of_type.name);
        let ack: Ack = self.api.ask(&what, &of_type.subject, Some(headers), part.payload.clone()).await?;
        // What has this id may be anybody's, on any subject: what is stored of this type is read.
        if ack.duplicate { Err(Refused::Duplicate) } else { Ok(ack.sequence) }
    }

    fn stream_of(&self, event: &str) -> String {
        let domain = event.split('.').next().unwrap_or_default();
        streams::events_name(self.subjects.world(), domain)
    }

    /// How far a type is stored, by the stream's leader: what was acknowledged is seen, where any other server of a
    /// cluster may be behind.
    async fn read(&self, stream: &str, subject: &str) -> Result<Known, Refused> {
        let Some(newest) = self.api.last(stream, subject).await? else { return Ok(Known { place: None, sequence: 0 }) };
        let sequence = newest.sequence;
        if let Some(place) = place_in(&newest) {
            return Ok(Known { place: Some(place), sequence });
        }
        // Somebody else has published under the name of a world's event. What is before that on the subject is looked at
        // in pieces of the stream, each twice as long as the one behind it.
        let (mut behind, mut step, mut looked) = (sequence, 1_u64, 0);
        while behind > 1 {
            let from = behind.saturating_sub(step).max(1);
            let place = self.newest_within(stream, subject, from..behind, &mut looked).await?;
            if place.is_some() {
                return Ok(Known { place, sequence });
            }
            (behind, step) = (from, step.saturating_mul(2));
        }
        Ok(Known { place: None, sequence })
    }

    /// The newest of the world's own messages on a subject, among those with these sequences.
    async fn newest_within(
        &self,
        stream: &str,
        subject: &str,
        within: std::ops::Range<u64>,
        looked: &mut u32,
    ) -> Result<Option<Place>, Refused> {
        let (mut place, mut at) = (None, within.start);
        while at < within.end {
            let next = self.api.get(stream, &json!({ "seq": at, "next_by_subj": subject })).await?;
            let Some(message) = next.filter(|message| message.sequence < within.end) else { break };
            if *looked == LOOK_BACK {
                return Err(Refused::Buried);
            }
            *looked += 1;
            place = place_in(&message).or(place);
            at = message.sequence + 1;
        }
        Ok(place)
    }

    fn words(&self, event: &str, error: &Refused) -> String {
        let stream = self.stream_of(event);
        match error {
            Refused::Foreign(place) => {
                let (epoch, tick) = place.map_or((0, 0), |place| (place.epoch, place.tick));
                format!(
                    "the stream {stream} has `{event}` of epoch {epoch}, tick {tick}, where this coordinator of epoch {} \
                     has stored nothing: another one leads, or they are of another world of this name: delete the \
                     stream then",
                    self.reign
                )
            }
            Refused::Buried => format!(
                "the newest {LOOK_BACK} messages on the subject of `{event}` in {stream} are not the world's: somebody else \
                 publishes under that name; end that, and keep the events under another name, or delete the stream and \
                 what is kept in it"
            ),
            Refused::Duplicate => format!(
                "the stream {stream} has a message with the id of `{event}`, which is not that event: it is tried again \
                 until the stream has forgotten the id"
            ),
            Refused::Jet(error @ JetError::Server { description, .. }) if error.is_full() => format!(
                "the stream {stream} has no room ({description}): raise its max_bytes (`nats stream edit {stream} \
                 --max-bytes …`) or make room on the server"
            ),
            Refused::Jet(JetError::Denied { verb, subject, .. }) => format!(
                "the coordinator's user may not {verb} `{subject}`, which the stream {stream} needs: allow it in the \
                 server's permissions"
            ),
            Refused::Jet(error) => format!("the stream {stream}: {error}"),
        }
    }

    /// What a new world finds of another one's; by the types of events that there are.
    pub(super) async fn check_new(&self, domains: &[String]) -> Result<(), KeptError> {
        for domain in domains {
            let stream = streams::events_name(self.subjects.world(), domain);
            let unknown = |reason: String| KeptError::Unknown { reason };
            let subjects = self.subjects_in(&stream, domain).await.map_err(|error| unknown(error.to_string()))?;
            for subject in subjects {
                let event = subject.rsplit_once(".event.").map_or(subject.as_str(), |(_, event)| event).to_owned();
                match self.read(&stream, &subject).await {
                    Ok(Known { place: Some(place), .. }) => {
                        return Err(KeptError::OfAnother { stream, event, tick: place.tick });
                    }
                    // Events of a service, most likely.
                    Ok(_) | Err(Refused::Buried) => {}
                    Err(error) => return Err(unknown(self.words(&event, &error))),
                }
            }
        }
        Ok(())
    }

    async fn subjects_in(&self, stream: &str, domain: &str) -> Result<Vec<String>, JetError> {
        #[derive(Deserialize)]
        struct Answer {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<BTreeMap<String, u64>>,
        }
        let question = json!({ "subjects_filter": streams::event_pattern(&self.subjects, domain) });
        let what = format!("see which events the stream {stream} has");
        let answer: Answer = self.api.call(&what, &format!("STREAM.INFO.{stream}"), &question).await?;
        Ok(answer.state.subjects.unwrap_or_default().into_keys().collect())
    }
}

fn place_in(message: &StreamMessage) -> Option<Place> {
    place_of(&Headers::from(Some(&message.headers)), &message.payload)
}

/// Why a message is not stored.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Jet(#[from] JetError),
    #[error("what is stored is of another coordinator, or of another world")]
    Foreign(Option<Place>),
    #[error("what is stored is not found among what others have published")]
    Buried,
    #[error("there is a message with this id")]
    Duplicate,
}

impl Refused {
    /// The newest message on the subject is not the one that was expected.
    fn is_of_another_write(&self) -> bool {
        const WRONG: [u64; 2] = [code::WRONG_LAST, code::WRONG_LAST_CONSTANT];
        match self {
            Self::Jet(JetError::Server { code, .. }) => WRONG.contains(code),
            Self::Duplicate => true,
            _ => false,
        }
    }
}
