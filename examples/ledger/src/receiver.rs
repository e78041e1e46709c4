//! Somebody else's web server: it fails every 7th time, hangs every 31st, and may be killed. What it took is in a file.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

struct Receiver {
    taken: File,
    asked: AtomicU64,
}

impl Receiver {
    async fn take(&self, request: Request<Incoming>) -> StatusCode {
        let id = request.headers().get("ce-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let Some(id) = id.filter(|id| !id.contains('\n')) else { return StatusCode::BAD_REQUEST };
        if Limited::new(request.into_body(), 1 << 20).collect().await.is_err() {
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if asked.is_multiple_of(7) {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        // One write, appended: a kill leaves a whole line or none.
        if (&self.taken).write_all(format!("{id}\n").as_bytes()).is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        if asked.is_multiple_of(31) {
            // It took it, and never says so.
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        StatusCode::OK
    }
}

pub(crate) async fn run(port: u16, file: &Path) -> Result<()> {
    let taken = OpenOptions::new().create(true).append(true).open(file)?;
    let receiver = Arc::new(Receiver { taken, asked: AtomicU64::new(0) });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let receiver = receiver.clone();
        let serve = service_fn(move |request| {
            let receiver = receiver.clone();
            async move {
                let mut answer = Response::new(Full::<Bytes>::default());
                *answer.status_mut() = receiver.take(request).await;
                Ok::<_, Infallible>(answer)
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
    }
}
