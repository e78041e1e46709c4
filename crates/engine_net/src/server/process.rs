//! The process of a private server, from its start to its end.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{ServerError, ServerOptions, keeper};

/// How often the ports file is looked for: a start takes 10 to 30 ms.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    directory: PathBuf,
}

impl ServerProcess {
    pub(super) fn spawn(
        binary: &Path,
        configuration: &str,
        directory: &Path,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        let failed = |path: PathBuf| move |reason| ServerError::Directory { path, reason };
        forget_old_ports(directory);
        let file = directory.join("nats.conf");
        write_private(&file, configuration).map_err(failed(file.clone()))?;
        let log = log_path(directory);
        let output = OpenOptions::new().create(true).append(true).open(&log).map_err(failed(log))?;
        let errors = output.try_clone().map_err(failed(log_path(directory)))?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&file).env("GOGC", options.gogc.to_string());
        if let Some(cores) = options.cores {
            command.env("GOMAXPROCS", cores.to_string());
        }
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // A Ctrl-C in the terminal is for its owner, which ends it after those who use it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = keeper::spawn(command).map_err(|reason| ServerError::Spawn { binary: binary.into(), reason })?;
        Ok(Self { child, directory: directory.into() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the ports file is there and the server greets on that port.
    pub(super) fn wait_until_ready(&mut self, limit: Duration) -> Result<u16, ServerError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(port) = port_of(&self.directory).filter(|port| greets(*port)) {
                return Ok(port);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.not_ready(format!("ended before it was ready ({status})")));
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("was not ready within {limit:?}")));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn not_ready(&self, what: String) -> ServerError {
        let log = log_of(&self.directory);
        let lines: Vec<_> = log.lines().collect();
        ServerError::NotReady { what, log: lines[lines.len().saturating_sub(10)..].join("\n") }
    }

    #[cfg(unix)]
    pub(super) fn signal(&self, number: i32) -> Result<(), ServerError> {
        crate::child::signal(&self.child, number).map_err(|reason| ServerError::Signal { reason })
    }

    /// Asks it to end, and kills it when it doesn't in time.
    pub(super) fn stop(mut self, limit: Duration) -> Result<(), ServerError> {
        #[cfg(unix)]
        {
            self.signal(libc::SIGTERM)?;
            let deadline = Instant::now() + limit;
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(LOOK_EVERY);
            }
        }
        let _ = limit;
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // A process that has ended already can't be killed; either way it must be waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log survives restarts.
pub(super) fn log_of(directory: &Path) -> String {
    fs::read_to_string(log_path(directory)).unwrap_or_default()
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("nats.log")
}

/// The file holds passwords.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn ports_files(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "ports"))
}

/// A killed server leaves its file behind.
fn forget_old_ports(directory: &Path) {
    for path in ports_files(directory) {
        let _ = fs::remove_file(path);
    }
}

/// The port in the file that the server writes once it listens; none while it is missing or half written.
fn port_of(directory: &Path) -> Option<u16> {
    #[derive(serde::Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let text = fs::read(ports_files(directory).next()?).ok()?;
    let ports: Ports = serde_json::from_slice(&text).ok()?;
    ports.nats.first()?.rsplit(':').next()?.parse().ok()
}

/// Whether a NATS server says hello there.
fn greets(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
}
