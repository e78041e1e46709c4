//! Another process: this program again, which does one thing after another as it is told on its input.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use engine_net::child::end_with_parent;
use engine_net::shm::handover::join;
use engine_net::shm::{ArenaView, Invitation, Output};

/// Longer than anything takes that is going to happen.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Set in the other process.
const ROLE: &str = "ENGINE_TEST_SHM";
/// What its answers begin with, so that they are told from what the test runner prints.
const MARK: &str = "==> ";

/// A process that does as it is told.
pub(crate) struct Other {
    pub(crate) process: Child,
    input: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    pub(crate) fn start() -> Self {
        Self::start_as(|_| {})
    }

    pub(crate) fn start_as(set_up: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child::another_process", "--exact", "--nocapture"]).env(ROLE, "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        end_with_parent(&mut command);
        set_up(&mut command);
        let mut process = command.spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { input: process.stdin.take(), process, answers }
    }

    /// Says something without waiting for the answer.
    pub(crate) fn tell(&mut self, what: &str) {
        writeln!(self.input.as_mut().unwrap(), "{what}").unwrap();
    }

    pub(crate) fn answer(&mut self) -> String {
        let lines = self.answers.by_ref().map_while(Result::ok);
        let mut answers = lines.filter_map(|line| Some(line.split_once(MARK)?.1.to_owned()));
        answers.next().expect("the other process answers")
    }

    pub(crate) fn ask(&mut self, what: &str) -> String {
        self.tell(what);
        self.answer()
    }

    /// Kills it, as nothing can be caught.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it end by itself.
    pub(crate) fn end(mut self) {
        self.input = None;
        assert!(self.process.wait().unwrap().success());
    }
}

#[test]
fn another_process() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut state = State::default();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        println!("{MARK}{}", state.does(&words));
    }
}

#[derive(Default)]
struct State {
    columns: Option<ArenaView>,
    output: Option<Output>,
    coordinator: Option<crate::ends::Coordinator>,
}

impl State {
    fn does(&mut self, words: &[&str]) -> String {
        match words {
            ["join", invitation] => match join(&Invitation::parse(invitation).unwrap(), LONG) {
                Ok((columns, output)) => {
                    let sizes = format!("{} {}", columns.bytes(), output.bytes());
                    (self.columns, self.output) = (Some(columns), Some(output));
                    sizes
                }
                Err(error) => format!("no: {error}"),
            },
            ["column", offset, bytes] => {
                let columns = self.columns.as_ref().unwrap();
                crate::columns::read(columns, offset.parse().unwrap(), bytes.parse().unwrap())
            }
            ["write", bytes, value] => match self.output.as_mut().unwrap().first(bytes.parse().unwrap()) {
                Ok(output) => {
                    output.fill(value.parse().unwrap());
                    "written".into()
                }
                Err(error) => format!("no: {error}"),
            },
            ["knock", invitation] => crate::sockets::knock(&Invitation::parse(invitation).unwrap()),
            ["attack", coordinator] => crate::hostile::attack(coordinator),
            ["scribble"] => crate::hostile::scribble(self.output.as_mut().unwrap()),
            ["coordinate"] => {
                let coordinator = crate::ends::Coordinator::start();
                let invitation = coordinator.invitation.text();
                self.coordinator = Some(coordinator);
                invitation
            }
            ["stop"] => {
                self.coordinator = None;
                "stopped".into()
            }
            _ => panic!("{words:?}"),
        }
    }
}
