//! Spans for a collector of OpenTelemetry: OTLP over HTTP, in its JSON encoding.
//!
//! The encoding needs what is here anyway, `serde_json` and `hyper`; the crates of OpenTelemetry would bring a second HTTP
//! client, protobuf and a pipeline of their own for a few spans every ten seconds. There is no TLS: a collector stands
//! beside the process or in its pod, and is what talks to the outside.
//!
//! It has a thread of its own. Whoever hands over spans waits for nobody: at most [`WAITING`] sets of them wait, what comes
//! besides is dropped and counted, and so is what the collector does not take within [`TRIES`] tries.
//!
//! | file | what it is |
//! | --- | --- |
//! | `ids.rs` | ids of traces and spans, and `traceparent` |
//! | `request.rs` | spans as JSON |

mod ids;
mod request;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub use ids::{SpanId, TraceId, read_traceparent, traceparent};
pub use request::{Attribute, Span};

/// Sets of spans that wait to be sent.
pub const WAITING: usize = 64;
/// How often a set is tried, with pauses that double.
pub const TRIES: u32 = 3;
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Spans of one request, at the most.
const MOST_SPANS: usize = 2000;
/// How long the end of the process waits for what is still to be sent.
const GRACE: Duration = Duration::from_secs(2);

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "it is no address, such as http://127.0.0.1:4318".to_owned())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("only http:// is spoken: name a collector on this host, and have that one send on".into());
            }
            _ => return Err("it has to begin with http://, such as http://127.0.0.1:4318".into()),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a password does not belong there: name a collector on this host".into());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let path = if matches!(uri.path(), "" | "/") { "/v1/traces" } else { uri.path() };
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(4318), path: path.to_owned() })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// Spans, made where they are sent.
type Spans = Box<dyn FnOnce() -> Vec<Span> + Send>;

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// Sends spans from a thread of its own; that ends when this is dropped.
pub struct Exporter {
    waiting: Option<Sender<Spans>>,
    over: Receiver<()>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Begins; nothing is connected to before there is something to send. `resource` says what process this is:
    /// `service.name` and others.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(collector: Collector, resource: Vec<(&'static str, Attribute)>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (waiting, spans) = bounded::<Spans>(WAITING);
        let (end, over) = bounded(0);
        let counts = Arc::new(Counts::default());
        let noted = counts.clone();
        let run = move || {
            let _end = end;
            for spans in spans {
                let spans = spans();
                for some in spans.chunks(MOST_SPANS) {
                    let body = Bytes::from(request::body(&resource, some));
                    let sent = runtime.block_on(send(&collector, &body));
                    let count = if sent.is_ok() { &noted.sent } else { &noted.dropped };
                    count.fetch_add(some.len() as u64, Ordering::Relaxed);
                    if let Err(error) = sent {
                        tracing::warn!(%collector, error, "spans are dropped");
                    }
                }
            }
        };
        let thread = Some(std::thread::Builder::new().name("engine-otlp".into()).spawn(run)?);
        Ok(Self { waiting: Some(waiting), over, counts, thread })
    }

    /// Has some spans sent, which are made on the exporter's thread. At once, or never: when too many wait, they are dropped,
    /// and counted as one.
    pub fn export(&self, spans: impl FnOnce() -> Vec<Span> + Send + 'static) {
        let Some(waiting) = &self.waiting else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = waiting.try_send(Box::new(spans)) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many spans the collector has taken, and how many were dropped.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.sent.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.waiting = None;
        // A collector that is silent must not hold the process: the thread is left behind then.
        let until = Instant::now() + GRACE;
        if self.over.recv_deadline(until) != Err(crossbeam_channel::RecvTimeoutError::Timeout)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

async fn send(collector: &Collector, body: &Bytes) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        let tried = tokio::time::timeout(PATIENCE, post(collector, body)).await;
        match tried.unwrap_or_else(|_| Err(Refusal::Again("no answer".into()))) {
            Ok(()) => return Ok(()),
            Err(Refusal::Never(error)) => return Err(error),
            Err(Refusal::Again(error)) if left == 0 => return Err(error),
            Err(Refusal::Again(_)) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    Err("not tried".into())
}

/// Why a collector did not take something.
enum Refusal {
    /// Perhaps it does later.
    Again(String),
    /// It will not.
    Never(String),
}

async fn post(collector: &Collector, body: &Bytes) -> Result<(), Refusal> {
    let again = |error: &dyn fmt::Display| Refusal::Again(error.to_string());
    let host = collector.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, collector.port)).await.map_err(|error| again(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| again(&error))?;
    let request = Request::post(&collector.path)
        .header(header::HOST, format!("{}:{}", collector.host, collector.port))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.clone()))
        .map_err(|error| Refusal::Never(error.to_string()))?;
    // It moves the bytes; whether it ends well the answer says.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    connection.abort();
    match answer.map_err(|error| again(&error))?.status() {
        status if status.is_success() => Ok(()),
        status @ (StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT) => Err(again(&status)),
        status => Err(Refusal::Never(format!("the collector answers {status}"))),
    }
}

#[cfg(test)]
mod tests;
