//! A nats-server as `deploy/` configures it, and processes with the settings that its files give them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use engine::net::config::{ConnectionConfig, Credentials, Secret};
use tempfile::TempDir;

pub(crate) const SYSTEMS: [&str; 7] = ["steer", "integrate", "collide", "strike", "suffer", "respawn", "score"];

/// A file of `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path).canonicalize().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap()
}

/// The arena's program, or the one that is tried instead of it.
pub(crate) fn arena(arguments: &[&str]) -> Command {
    let program = std::env::var_os("ARENA_PROGRAM").filter(|path| !path.is_empty());
    let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_arena").into()));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Asks again and again; a test that would hang fails.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// A process that is killed when the test ends, however it ends.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        engine::net::child::end_with_parent(&mut command);
        Self(command.spawn().unwrap())
    }

    /// Asks it to end, as whoever looks after it does, and says whether it ended well.
    pub(crate) fn terminate(&mut self) -> bool {
        engine::net::child::signal(&self.0, libc::SIGTERM).unwrap();
        self.0.wait().unwrap().success()
    }
}

/// A process with probes.
pub(crate) struct Probed {
    pub(crate) process: Process,
    /// Where they are.
    pub(crate) address: String,
    /// What it prints goes on being taken in.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Probed {
    fn start(mut command: Command) -> Self {
        command.env("ENGINE_HTTP", "127.0.0.1:0").stdout(Stdio::piped());
        let mut process = Process::start(command);
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let rest = line.strip_prefix("probes and figures at http://")?;
            Some(rest.split_once(": ")?.0.to_owned())
        });
        Self { process, address: address.expect("it says where its probes are"), _lines: lines }
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(&self.address, path)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/ready").starts_with("HTTP/1.1 200")
    }

    /// `arena health`, as the image asks for it.
    pub(crate) fn health(&self, more: &[&str]) -> Output {
        arena(&[&["health"], more].concat()).env("ENGINE_HTTP", &self.address).output().unwrap()
    }
}

/// Head and body of an answer.
pub(crate) fn get(address: &str, path: &str) -> String {
    get_as("HTTP/1.1", address, path)
}

/// The same by a version of HTTP: the answer of the first one is never cut into chunks.
pub(crate) fn get_as(version: &str, address: &str, path: &str) -> String {
    let mut answer = String::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return answer };
    write!(stream, "GET {path} {version}\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    // A server that ends meanwhile has said what it has said.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// A server and who connects to it.
pub(crate) struct House {
    _server: Process,
    url: String,
    passwords: BTreeMap<String, String>,
    /// Declared last: the server is gone before its folder goes.
    _folder: TempDir,
}

impl House {
    pub(crate) fn open() -> Self {
        let passwords = passwords();
        let folder = tempfile::tempdir().unwrap();
        let binary = engine::net::server::locate(&mut |line| eprintln!("{line}")).unwrap();
        let mut command = Command::new(binary);
        command.arg("-c").arg(configuration(folder.path())).args(["-a", "127.0.0.1", "-p", "-1", "-m", "-1"]);
        command.arg("--ports_file_dir").arg(folder.path());
        let log = std::fs::File::create(folder.path().join("nats.log")).unwrap();
        command.envs(&passwords).stdin(Stdio::null()).stderr(log);
        let mut server = Process::start(command);
        let ports = folder.path().join(format!("nats-server_{}.ports", server.0.id()));
        let mut url = None;
        until("nats-server listens", || {
            let ended = server.0.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(folder.path().join("nats.log")).unwrap());
            let ports: Option<serde_json::Value> =
                std::fs::read(&ports).ok().and_then(|text| serde_json::from_slice(&text).ok());
            url = ports.and_then(|ports| Some(ports["nats"][0].as_str()?.to_owned()));
            url.is_some()
        });
        Self { _server: server, url: url.unwrap(), passwords, _folder: folder }
    }

    /// A coordinator as the manifests start it; of the two one leads.
    pub(crate) fn coordinator(&self) -> Probed {
        let mut command = arena(&["coordinator", "--entities", "500", "--rows-per-shard", "64", "--lease", "1"]);
        command.envs([("NATS_URL", &*self.url), ("NATS_USER", "coordinator"), ("NATS_LOG_USER", "log")]);
        command.env("NATS_PASSWORD", self.password("COORDINATOR")).env("NATS_LOG_PASSWORD", self.password("LOG"));
        Probed::start(self.with(command, &[("ENGINE_DURABILITY", "server"), ("ENGINE_STANDBY", "true")]))
    }

    /// An instance of all systems.
    pub(crate) fn instance(&self, name: &str) -> Probed {
        let mut command = arena(&["system"]);
        command.args(SYSTEMS).envs([("NATS_URL", &*self.url), ("NATS_USER", "system")]);
        command.env("NATS_PASSWORD", self.password("SYSTEM"));
        Probed::start(self.with(command, &[("ENGINE_INSTANCE", name)]))
    }

    fn with(&self, mut command: Command, more: &[(&str, &str)]) -> Command {
        command.envs(more.iter().copied()).env("NATS_WAIT", "true");
        command
    }

    fn password(&self, who: &str) -> &str {
        &self.passwords[&format!("{who}_PASSWORD")]
    }

    /// How a tool connects.
    pub(crate) fn tool(&self) -> ConnectionConfig {
        let password = Secret::new(self.password("TOOL"));
        ConnectionConfig::new(self.url.clone(), Credentials::UserPassword { user: "tool".into(), password })
    }
}

/// The server's configuration with its streams below a folder, where it is put: that setting has no flag beside it.
fn configuration(folder: &Path) -> PathBuf {
    let text = read("nats/nats.conf");
    let here = text.replace("store_dir: /data", &format!("store_dir: \"{}\"", folder.join("data").display()));
    assert_ne!(text, here);
    let file = folder.join("nats.conf");
    std::fs::write(&file, here).unwrap();
    std::fs::write(folder.join("accounts.conf"), read("nats/accounts.conf")).unwrap();
    file
}

/// Those that the script makes up.
fn passwords() -> BTreeMap<String, String> {
    let output = Command::new("sh").arg(deploy("passwords.sh")).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    let all: BTreeMap<_, _> = text.lines().map(pair).collect();
    let distinct: std::collections::BTreeSet<_> = all.values().filter(|value| value.len() == 49).collect();
    assert_eq!((all.len(), distinct.len()), (6, 6), "each is another one");
    all
}
