//! A small HTTP server for whoever watches over a process: does it live, can it be used, and what are its figures.
//!
//! | path | answer |
//! | --- | --- |
//! | `/live` | 200, or 503 when the process stands still: it should be restarted |
//! | `/ready` | 200, or 503 with what it waits for: nothing should be sent to it |
//! | `/metrics` | figures, as OpenMetrics text |
//!
//! It has a thread of its own, which never touches what is watched but through [`Watched`]. Bounds: [`MOST`] connections
//! at once (others wait to be accepted), [`LIMIT`] for each of them, one request each, requests without a body.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

/// Connections at once.
pub const MOST: usize = 32;
/// How long a connection may take, from its first byte to its last.
pub const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of the head of a request, at the most.
const HEAD: usize = 16 << 10;

/// What is watched over. All of it is asked on the server's thread.
pub trait Watched: Send + Sync + 'static {
    /// Whether the process gets on; else what is wrong.
    ///
    /// # Errors
    /// When it doesn't.
    fn live(&self) -> Result<(), String>;
    /// Whether it does its work; else what it waits for.
    ///
    /// # Errors
    /// When it doesn't.
    fn ready(&self) -> Result<(), String>;
    /// Its figures, as OpenMetrics text.
    fn metrics(&self) -> String;
}

/// Whether a thread gets on: it beats now and then, and is asked for that from another one.
#[derive(Debug)]
pub struct Pulse {
    beats: AtomicU64,
    /// The beats that were seen last, and when they were new.
    seen: Mutex<(u64, Instant)>,
    limit: Duration,
}

impl Pulse {
    /// One that is to beat at least so often.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { beats: AtomicU64::new(0), seen: Mutex::new((0, Instant::now())), limit }
    }

    /// The thread gets on.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it did, as far as can be seen by whoever asks now and then.
    ///
    /// # Errors
    /// When there was no beat for too long.
    pub fn check(&self) -> Result<(), String> {
        let beats = self.beats.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if beats != seen.0 {
            *seen = (beats, Instant::now());
        }
        let silence = seen.1.elapsed();
        if silence <= self.limit { Ok(()) } else { Err(format!("stands still for {silence:.0?}")) }
    }
}

/// A server; it ends when this is dropped.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Serves at an address; port 0 asks for a free one.
    ///
    /// # Errors
    /// When the address can't be had, or there is no thread.
    pub fn start(address: SocketAddr, watched: Arc<dyn Watched>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async move {
                match TcpListener::from_std(listener) {
                    Ok(listener) => tokio::select! {
                        () = accept(listener, watched) => {}
                        _ = stopped => {}
                    },
                    Err(error) => tracing::error!(%error, "there is no HTTP server"),
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("engine-http".into()).spawn(run)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It fails only if it panicked, which the hook has reported.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, watched: Arc<dyn Watched>) {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let watched = watched.clone();
                tokio::spawn(async move {
                    // Who is slow, or sends what is no HTTP, is cut off.
                    let _ = tokio::time::timeout(LIMIT, serve(stream, watched)).await;
                    drop(permit);
                });
            }
            // Out of descriptors, most likely: others may be closed meanwhile.
            Err(error) => {
                tracing::debug!(%error, "a connection is not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, watched: Arc<dyn Watched>) {
    let service = service_fn(move |request| {
        let answer = answer(&request, watched.as_ref());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(LIMIT).max_buf_size(HEAD).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection is of no use");
    }
}

/// As Prometheus reads it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

fn answer(request: &Request<Incoming>, watched: &dyn Watched) -> Response<Full<Bytes>> {
    let state = |state: Result<(), String>| match state {
        Ok(()) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, text) = match request.uri().path() {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "this can only be read\n".to_owned()),
        "/live" => state(watched.live()),
        "/ready" => state(watched.ready()),
        "/metrics" => (StatusCode::OK, OPEN_METRICS, watched.metrics()),
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /live, /ready and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    struct Half;

    impl Watched for Half {
        fn live(&self) -> Result<(), String> {
            Ok(())
        }
        fn ready(&self) -> Result<(), String> {
            Err("waits for an instance of steer".into())
        }
        fn metrics(&self) -> String {
            "# EOF\n".into()
        }
    }

    fn server() -> HttpServer {
        HttpServer::start("127.0.0.1:0".parse().unwrap(), Arc::new(Half)).unwrap()
    }

    fn ask(server: &HttpServer, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn each_path_has_its_answer() {
        let server = server();
        let get = |path: &str| ask(&server, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
        let is = |answer: &str, status: &str, body: &str| {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with(body), "{answer}");
        };
        is(&get("/live"), "200", "\r\n\r\nok\n");
        is(&get("/ready"), "503", "\r\n\r\nwaits for an instance of steer\n");
        is(&get("/metrics"), "200", "\r\n\r\n# EOF\n");
        assert!(get("/metrics").contains("openmetrics-text"));
        is(&get("/"), "404", "/metrics\n");
        is(&ask(&server, "POST /live HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"), "405", "read\n");
        is(&ask(&server, "HEAD /live HTTP/1.1\r\nhost: x\r\n\r\n"), "200", "\r\n\r\n");
    }

    #[test]
    fn what_is_no_http_is_cut_off_and_others_are_served() {
        let server = server();
        // One that says nothing holds nobody up.
        let _silent = TcpStream::connect(server.address()).unwrap();
        let garbage = ask(&server, "\u{1}\u{2}garbage\r\n\r\n");
        assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
        let long = format!("GET /live HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2 * HEAD));
        assert!(ask(&server, &long[..HEAD + 64]).starts_with("HTTP/1.1 431"));
        assert!(ask(&server, "GET /live HTTP/1.1\r\nhost: x\r\n\r\n").ends_with("ok\n"));
    }

    #[test]
    fn who_does_not_beat_stands_still() {
        let strict = Pulse::new(Duration::ZERO);
        strict.beat();
        while strict.check().is_ok() {}
        assert!(strict.check().unwrap_err().starts_with("stands still"));
        let patient = Pulse::new(Duration::from_secs(3600));
        assert_eq!(patient.check(), Ok(()));
    }

    #[test]
    fn an_address_that_is_taken_is_an_error() {
        let server = server();
        let error = HttpServer::start(server.address(), Arc::new(Half)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
