//! `engine health`, against servers of probes.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::Arc;

use engine_net::http::{HttpServer, Watched};

use crate::world::{refusal, text};

/// One that lives, and waits.
struct StandsBy;

impl Watched for StandsBy {
    fn live(&self) -> Result<(), String> {
        Ok(())
    }
    fn ready(&self) -> Result<(), String> {
        Err("another coordinator leads".into())
    }
    fn metrics(&self) -> String {
        String::new()
    }
}

fn health(http: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.env_remove("ENGINE_HTTP").args([&["health"], arguments].concat());
    command.envs(http.map(|address| ("ENGINE_HTTP", address))).output().unwrap()
}

#[test]
fn a_process_is_asked_where_it_was_told_to_serve() {
    let server = HttpServer::start("127.0.0.1:0".parse().unwrap(), Arc::new(StandsBy)).unwrap();
    let (address, port) = (server.address().to_string(), server.address().port());
    let everywhere = format!("0.0.0.0:{port}");
    let asked = health(Some(&everywhere), &[]);
    assert!(asked.status.success(), "{asked:?}");
    assert_eq!(text(&asked.stdout), format!("http://{everywhere}/live: ok\n"));
    // What is named wins over the variable.
    assert!(health(Some("127.0.0.1:1"), &[&address]).status.success());
    let waits = refusal(&health(None, &[&address, "--ready"]));
    assert_eq!(waits, format!("error: http://{address}/ready: 503: another coordinator leads\n"));
    assert_eq!(refusal(&health(None, &[&format!("http://{address}/ready")])), waits);
}

#[test]
fn who_is_no_probe_is_unhealthy_and_who_is_silent_is_so_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let error = refusal(&health(None, &[&address, "--timeout", "1"]));
    assert!(error.contains("no answer within 1s"), "{error}");
    // As long as the test lasts: a port that is free again may be anybody's.
    std::thread::spawn(move || {
        for stream in silent.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"INFO {\"server\":\"nats\"}\r\n"));
        }
    });
    let error = refusal(&health(None, &[&address]));
    assert!(error.contains("what answers there is no probe") || error.contains("reset"), "{error}");
    let error = refusal(&health(None, &["somewhere"]));
    assert!(error.contains("`somewhere` is no address: give HOST:PORT"), "{error}");
    let error = refusal(&health(Some("127.0.0.1:0"), &[]));
    assert!(error.contains("port 0 asks for any free one"), "{error}");
}
