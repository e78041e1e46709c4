//! `health`: asks a process of this host for one of its probes.
//!
//! A container that holds a program and nothing else has neither a shell nor an HTTP client: there the program asks
//! itself. It is a process of its own that knows nothing of the one that serves, so it can't be wrong together with it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Args;

const EXAMPLES: &str = "\
The exit code is 0 when the answer is 200, and 1 otherwise; the line says why.

Examples:
  engine health                           does the process of this host get on? (/live)
  engine health --ready                   does it do its work? A coordinator that stands by does not
  engine health http://10.0.0.7:9464/ready
In a Dockerfile:
  HEALTHCHECK CMD [\"/engine\", \"health\"]";

/// Where probes are served when nothing says otherwise.
const USUAL: &str = "127.0.0.1:9464";
/// Bytes of an answer that are read, at the most.
const MOST: u64 = 16 << 10;

/// Which probe is asked for.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// Where the process serves: what --http was given [env: ENGINE_HTTP] [default: 127.0.0.1:9464]
    pub address: Option<String>,
    /// Ask for /ready instead of /live
    #[arg(long)]
    pub ready: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

/// Asks, and prints the answer.
///
/// # Errors
/// When nobody answers in time, or the answer is not 200.
pub fn run_health(args: &HealthArgs) -> anyhow::Result<()> {
    let given = std::env::var("ENGINE_HTTP").ok().filter(|text| !text.is_empty());
    let address = args.address.clone().or(given).unwrap_or_else(|| USUAL.to_owned());
    let probe = Probe::parse(&address, args.ready)?;
    let answer = probe.ask(Duration::from_secs(args.timeout)).with_context(|| probe.to_string())?;
    match answer {
        (200, text) => println!("{probe}: {text}"),
        (code, text) => bail!("{probe}: {code}: {text}"),
    }
    Ok(())
}

/// A path of a server.
#[derive(Debug, PartialEq, Eq)]
struct Probe {
    host: String,
    path: &'static str,
}

impl Probe {
    /// Of `HOST:PORT`, `http://HOST:PORT` or `http://HOST:PORT/ready`.
    fn parse(text: &str, ready: bool) -> anyhow::Result<Self> {
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = match path {
            "" if ready => "/ready",
            "" => "/live",
            "live" if !ready => "/live",
            "ready" => "/ready",
            _ => bail!("`{text}` is no probe: give HOST:PORT, and --ready, or /live or /ready behind it"),
        };
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            None => bail!("`{text}` is no address: give HOST:PORT, such as {USUAL}"),
            Some(0) => bail!("`{text}`: port 0 asks for any free one; give the one that the process printed"),
            Some(_) if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) => {
                bail!("`{}` is no address: give HOST:PORT", text.escape_default())
            }
            Some(_) => Ok(Self { host: host.to_owned(), path }),
        }
    }

    /// The status and the first line of the answer.
    fn ask(&self, limit: Duration) -> anyhow::Result<(u16, String)> {
        let deadline = Instant::now() + limit;
        let left = || match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(anyhow!("no answer within {limit:?}")),
            left => Ok(left),
        };
        let addresses = self.host.to_socket_addrs().context("the address is not known")?;
        let (mut stream, mut failed) = (None, anyhow!("the name has no address"));
        for address in addresses.map(reachable) {
            match TcpStream::connect_timeout(&address, left()?) {
                Ok(connected) => {
                    stream = Some(connected);
                    break;
                }
                Err(error) => failed = error.into(),
            }
        }
        let Some(mut stream) = stream else { return Err(failed.context("nothing serves probes there (--http)")) };
        stream.set_write_timeout(Some(left()?))?;
        write!(stream, "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.path, self.host)?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while (answer.len() as u64) < MOST {
            stream.set_read_timeout(Some(left()?))?;
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&part[..count]),
                // The time is over, or is when one looks again.
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        read_answer(&String::from_utf8_lossy(&answer)).context("what answers there is no probe")
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

/// Who serves on all addresses serves on that of the host itself.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn read_answer(answer: &str) -> Option<(u16, String)> {
    let code = answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    // It goes to terminals and into logs.
    let line = body.lines().next().unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(500);
    Some((code, line.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_that_of_a_server_or_of_a_probe() {
        let of = |text: &str, ready| Probe::parse(text, ready).unwrap().to_string();
        assert_eq!(of("127.0.0.1:9464", false), "http://127.0.0.1:9464/live");
        assert_eq!(of("[::]:9464", true), "http://[::]:9464/ready");
        assert_eq!(of("http://coordinator:1/", true), "http://coordinator:1/ready");
        assert_eq!(of("http://coordinator:1/ready", false), "http://coordinator:1/ready");
        assert_eq!(of("coordinator:1/live", false), "http://coordinator:1/live");
        for bad in ["", "host", "host:x", "host:70000", "host:1/metrics", "a b:1", "h\r\nx: y:1", "host:0"] {
            assert!(Probe::parse(bad, false).is_err(), "{bad:?}");
        }
        assert!(Probe::parse("host:1/live", true).is_err(), "which of the two is meant?");
    }

    #[test]
    fn who_serves_everywhere_is_asked_here() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(
            (of("0.0.0.0:9"), of("[::]:9"), of("10.0.0.1:9")),
            ("127.0.0.1:9".into(), "[::1]:9".into(), "10.0.0.1:9".into())
        );
    }

    #[test]
    fn an_answer_is_a_code_and_a_line() {
        let of = |text: &str| read_answer(text);
        assert_eq!(of("HTTP/1.1 200 OK\r\nx: y\r\n\r\nok\n"), Some((200, "ok".into())));
        assert_eq!(of("HTTP/1.1 503 No\r\n\r\nwaits\u{1b}[2J\nmore"), Some((503, "waits[2J".into())));
        for bad in ["", "INFO {}\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
