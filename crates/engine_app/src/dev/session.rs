//! The loop of `dev`: starts everything, shows what it hears, does what the keys say, notices who ended,
//! and ends everything in the end.
//!
//! Invariant: however the loop ends, also by an error, [`Processes::stop`] runs before the server goes.

use std::io::{self, Stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use engine_net::messages::command::Action;
use engine_net::messages::status::SimState;
use engine_net::server::{PrivateServer, ServerOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::args::{self, Crew, DevArgs, DevPlan};
use super::board::{self, Board};
use super::lines::Lines;
use super::link::{Link, News};
use super::processes::{Ended, Processes};
use super::view::{Screen, Wish};

/// How often keys and processes are looked at.
const PULSE: Duration = Duration::from_millis(50);
/// How long a world that nobody watches may stand still. Then a test shall fail, with a reason, and not
/// hang.
const STUCK: Duration = Duration::from_secs(60);

/// Everything from the start of the server to the end of the last process.
pub(super) async fn run(args: &DevArgs, plan: &DevPlan, crew: &Crew) -> anyhow::Result<()> {
    // First of all, so that a Ctrl-C during the start is not lost.
    let signals = Signals::new()?;
    let options = ServerOptions { jetstream: args.standby, ..ServerOptions::default() };
    let server = PrivateServer::start(&options).context("starting a private nats-server")?;
    let mut config = server.config();
    config.world = args::world(plan).to_owned();
    let (link, news) = Link::open(&config).await?;
    let mut processes = Processes::new(args, plan, config.to_environment(), server.directory())?;
    let mut session = Session::new(args, plan, link, &mut processes);
    let result = async {
        session.start(crew)?;
        session.watch(news, signals).await
    }
    .await;
    let result = ok_when_nobody_reads(result).and_then(|()| session.finish());
    drop(session);
    let tails = if result.is_err() { processes.tails() } else { String::new() };
    processes.stop().await;
    drop(server);
    match ok_when_nobody_reads(result) {
        Err(error) if !tails.is_empty() => Err(anyhow::anyhow!("{error:#}{tails}")),
        result => result,
    }
}

/// `… | head` closes the pipe when it has seen enough: no mistake of anybody.
fn ok_when_nobody_reads(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

struct Session<'s, 'a> {
    args: &'a DevArgs,
    plan: &'a DevPlan,
    board: Board,
    link: Link,
    processes: &'s mut Processes<'a>,
    lines: Lines<Stdout>,
    screen: Option<Screen>,
    /// When the world was last seen to get on.
    progress: Instant,
    /// The last reign for which somebody was told to stand by.
    reign: u64,
    over: bool,
}

impl<'s, 'a> Session<'s, 'a> {
    fn new(args: &'a DevArgs, plan: &'a DevPlan, link: Link, processes: &'s mut Processes<'a>) -> Self {
        let selected = if plan.systems.contains(&plan.heaviest) { &plan.heaviest } else { &plan.systems[0] };
        let board = Board { app: plan.app.clone(), seed: args.seed, selected: selected.clone(), ..Board::default() };
        let lines = Lines::new(io::stdout());
        Self {
            args,
            plan,
            board,
            link,
            processes,
            lines,
            screen: None,
            progress: Instant::now(),
            reign: 0,
            over: false,
        }
    }

    fn start(&mut self, crew: &Crew) -> anyhow::Result<()> {
        self.processes.start_coordinator()?;
        for (system, count) in crew {
            for _ in 0..*count {
                self.processes.start_instance(system)?;
            }
        }
        self.board.processes = self.processes.count();
        if super::has_viewer(self.args) {
            self.screen = Some(Screen::open().context("turning the terminal into a view; try --plain")?);
        } else {
            let crew: Vec<_> = crew.iter().map(|(system, count)| format!("{system} x{count}")).collect();
            let logs = self.processes.logs().display();
            self.lines.say(&format!(
                "{}: nats-server, coordinator, {}; logs in {logs}",
                self.plan.app,
                crew.join(", ")
            ))?;
        }
        Ok(())
    }

    async fn watch(
        &mut self,
        mut news: tokio::sync::mpsc::UnboundedReceiver<News>,
        mut signals: Signals,
    ) -> anyhow::Result<()> {
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.over {
            tokio::select! {
                _ = pulse.tick() => self.look()?,
                Some(news) = news.recv() => self.hear(news)?,
                () = signals.asked() => self.over = true,
            }
        }
        Ok(())
    }

    /// Keys, processes, and what is shown.
    fn look(&mut self) -> anyhow::Result<()> {
        let wishes = self.screen.as_ref().map(Screen::wishes).transpose()?.unwrap_or_default();
        for wish in wishes {
            self.grant(wish)?;
        }
        for ended in self.processes.ended() {
            self.lament(ended)?;
        }
        self.board.processes = self.processes.count();
        match &mut self.screen {
            Some(screen) => screen.draw(&self.board)?,
            None => {
                self.lines.show(&self.board, Instant::now())?;
                self.give_up_when_stuck()?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Silence => self.board.answering = false,
            News::Notice(text) => self.board.notice = text,
            News::Status(status) => {
                let got_on = self.board.status.as_ref().is_none_or(|last| last.tick != status.tick);
                // Who paused it knows why it stands still.
                if got_on || status.state == SimState::Paused {
                    self.progress = Instant::now();
                }
                self.over |= self.args.ticks.is_some_and(|ticks| status.tick >= ticks);
                self.board.answering = true;
                // Not before: who is started beside the first one could become the one that leads.
                if self.args.standby && status.epoch > self.reign && self.processes.coordinators() < 2 {
                    self.reign = status.epoch;
                    let name = self.processes.start_coordinator()?;
                    let (leader, pid) = self.processes.leader().unwrap_or_default();
                    self.board.notice = format!("{leader} (process {pid}) leads, {name} stands by");
                }
                self.board.status = Some(*status);
            }
        }
        Ok(())
    }

    fn grant(&mut self, wish: Wish) -> anyhow::Result<()> {
        let paused = self.board.status.as_ref().is_some_and(|status| status.state == SimState::Paused);
        let system = self.board.selected.clone();
        match wish {
            Wish::TogglePause if paused => self.link.command(Action::Resume {}),
            Wish::TogglePause => self.link.command(Action::Pause {}),
            Wish::Step if paused => self.link.command(Action::Step { ticks: 1 }),
            Wish::Step => self.board.notice = "only a paused world makes steps; press space first".to_owned(),
            Wish::Select(by) => self.select(by),
            Wish::Start => {
                let name = self.processes.start_instance(&system)?;
                self.board.notice = format!("{name} started");
            }
            Wish::Kill => {
                self.board.notice = match self.processes.kill_instance(&system) {
                    Some((name, pid)) => format!("{name} (process {pid}) killed"),
                    None => format!("no instance of {system} is left; press n to start one"),
                }
            }
            Wish::KillLeader => {
                self.board.notice = match self.processes.kill_leader() {
                    Some((name, pid)) => format!("{name} (process {pid}) killed; the one that stands by takes over"),
                    None if self.args.standby => "nobody stands by yet".to_owned(),
                    None => "nobody would take over; start with --standby".to_owned(),
                }
            }
            Wish::Quit => self.over = true,
        }
        Ok(())
    }

    /// Moves along the systems as they are shown: in the order of their names.
    fn select(&mut self, by: isize) {
        let mut systems: Vec<&String> = self.plan.systems.iter().collect();
        systems.sort();
        let now = systems.iter().position(|system| **system == self.board.selected).unwrap_or(0);
        let next = now.saturating_add_signed(by).min(systems.len() - 1);
        self.board.selected = systems[next].clone();
    }

    /// Somebody ended who was not asked to. Without a coordinator there is nothing to see; without the
    /// last instance of a system nothing goes on, unless somebody is there who can start one.
    fn lament(&mut self, ended: Ended) -> anyhow::Result<()> {
        match &ended.system {
            None if self.processes.coordinators() == 0 => bail!("{ended}"),
            Some(system) if self.screen.is_none() && self.processes.instances_of(system) == 0 => {
                bail!("{ended}\nit was the last instance of {system}, and without one the world can't go on")
            }
            _ => {
                // The view has one line for it, the lines have room for all of it.
                let last = ended.tail.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
                self.board.notice = match self.screen {
                    Some(_) => format!("{} ended ({}){last}", ended.name, ended.how),
                    None => ended.to_string(),
                };
                Ok(())
            }
        }
    }

    fn give_up_when_stuck(&self) -> anyhow::Result<()> {
        if self.progress.elapsed() < STUCK {
            return Ok(());
        }
        let seconds = STUCK.as_secs();
        match &self.board.status {
            Some(status) if self.board.answering => bail!(
                "the world stood still for {seconds} s after tick {}: {}",
                status.tick,
                board::state(&status.state)
            ),
            _ => bail!("no answer from the coordinator for {seconds} s"),
        }
    }

    /// Puts the terminal back, and says what it came to.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.screen = None;
        match self.board.summary() {
            Some(summary) => Ok(self.lines.finish(&self.board, &summary, self.args.json)?),
            None => Ok(self.lines.say("ended before the coordinator said anything")?),
        }
    }
}

/// What asks a program to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
