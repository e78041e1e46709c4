//! Events to a web server: one POST each, the envelope in its headers as CloudEvents' binary mode has them.
//!
//! Plain HTTP; for TLS, and for whatever else a house wants on its way out, there is a proxy.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Sink, SinkError};
use crate::{Recorded, ServiceError};

/// Bytes of an answer that are read, for the reason in it.
const MAX_ANSWER: usize = 4 * 1024;
/// The longest pause that another side may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// How a web server is talked to.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// How long one request may take.
    pub timeout: Duration,
    /// Connections that are kept open.
    pub idle: usize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), idle: 8 }
    }
}

/// Posts each event.
///
/// 2xx took it; 4xx never will, but for 408, 425 and 429, which may later, as everything else may.
#[derive(Clone, Debug)]
pub struct WebhookSink {
    uri: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
    settings: WebhookSettings,
}

impl WebhookSink {
    /// To this address, `http://…`.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(address: &str, settings: WebhookSettings) -> Result<Self, ServiceError> {
        let bad = |why: &str| ServiceError::lasting("use the address of the webhook", why);
        let uri: Uri = address.parse().map_err(|_| bad("it is no address"))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(bad("it has to begin with http:// and a host; for https, go through a proxy"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("a password in it would be seen by others"));
        }
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.pool_max_idle_per_host(settings.idle).build_http();
        Ok(Self { uri, client, settings })
    }
}

impl Sink for WebhookSink {
    async fn deliver(&self, event: &Recorded) -> Result<(), SinkError> {
        let (content, payload) = event.payload().map_err(|error| SinkError::Refused(error.to_string()))?;
        let mut envelope = event.envelope.clone();
        envelope.content = content;
        let mut request = Request::post(self.uri.clone());
        for (name, value) in envelope.lines() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(payload)).map_err(|error| SinkError::Refused(error.to_string()))?;
        let answer = tokio::time::timeout(self.settings.timeout, self.client.request(request)).await;
        let answer = answer.map_err(|_| SinkError::failed(format!("no answer within {:?}", self.settings.timeout)))?;
        let answer = answer.map_err(SinkError::failed)?;
        let (status, after) = (answer.status(), pause(&answer));
        let said = tokio::time::timeout(self.settings.timeout, Limited::new(answer.into_body(), MAX_ANSWER).collect());
        let said = said.await.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        judge(status, after, &said)
    }
}

/// What the other side asks for, in seconds.
fn pause<B>(answer: &Response<B>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

fn judge(status: StatusCode, after: Option<Duration>, said: &[u8]) -> Result<(), SinkError> {
    let reason = || {
        let said: String = String::from_utf8_lossy(said).chars().filter(|c| !c.is_control()).take(120).collect();
        format!("{status} {said}").trim_end().to_owned()
    };
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 => Err(SinkError::Failed { reason: reason(), after }),
        400..=499 => Err(SinkError::Refused(reason())),
        _ => Err(SinkError::Failed { reason: reason(), after }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        let judged = |status: u16| judge(StatusCode::from_u16(status).unwrap(), None, b"be\x07cause");
        assert_eq!((judged(200), judged(204)), (Ok(()), Ok(())));
        for never in [400, 401, 404, 410, 422] {
            assert!(matches!(judged(never), Err(SinkError::Refused(_))), "{never}");
        }
        for later in [301, 408, 425, 429, 500, 503] {
            assert!(matches!(judged(later), Err(SinkError::Failed { .. })), "{later}");
        }
        assert_eq!(judged(404).unwrap_err().to_string(), "refused: 404 Not Found because");
    }

    #[test]
    fn the_other_side_may_ask_for_a_pause_but_not_for_ever() {
        let answer = |text: &str| Response::builder().header(RETRY_AFTER, text).body(()).unwrap();
        assert_eq!(pause(&answer("7")), Some(Duration::from_secs(7)));
        assert_eq!(pause(&answer("99999999999")), Some(MAX_PAUSE));
        assert_eq!(pause(&answer("soon")), None);
    }

    #[test]
    fn addresses_with_secrets_or_other_schemes_are_refused() {
        for bad in ["", "https://a/b", "ftp://a", "http://user:pass@host/", "/path"] {
            let error = WebhookSink::new(bad, WebhookSettings::default()).unwrap_err().to_string();
            assert!(!error.contains("pass@"), "{error}");
        }
        assert!(WebhookSink::new("http://127.0.0.1:1/hook", WebhookSettings::default()).is_ok());
    }
}
