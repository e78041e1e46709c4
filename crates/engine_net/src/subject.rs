//! The subjects of a world, built and parsed.
//!
//! Every subject starts with `<prefix>.<world>.`; both are settings. One kind of message per subject, and
//! whoever may publish or subscribe to it can be said with one permission. Jobs go to one instance on one
//! subject, because two subjects are two orders of arrival.

use crate::name::{self, NameError};

/// The prefix that is used when none is set.
pub const DEFAULT_PREFIX: &str = "engine";

/// Builds the subjects of one world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subjects {
    root: String,
    world: usize,
    /// With the dot before it.
    identity: String,
}

/// Who an instance says it is, in the subjects of what it sends: a permission is about subjects, and a payload can
/// say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender<'a> {
    /// Its systems, as [`name::systems`] writes them.
    pub systems: &'a str,
    /// Its name.
    pub instance: &'a str,
}

impl std::fmt::Display for Sender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.systems, self.instance)
    }
}

/// A parsed subject: which message a payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// `coord.hello`: a new epoch, register again.
    Hello,
    /// `coord.tick`: a tick starts.
    Tick,
    /// `coord.commit`: a tick is committed.
    Commit,
    /// `system.register.<systems>.<instance>`: a request of an instance that wants to join.
    Register(Sender<'a>),
    /// `system.heartbeat.<systems>.<instance>`: load of an instance.
    Heartbeat(Sender<'a>),
    /// `system.leave.<systems>.<instance>`: a request of an instance that wants to go.
    Leave(Sender<'a>),
    /// `system.schedule.<system>.<instance>`: chunks of jobs and shared inputs.
    Schedule {
        /// The system that is to run.
        system: &'a str,
        /// The instance that is to run it.
        instance: &'a str,
    },
    /// `component.changed.<epoch>.<systems>.<instance>`: chunks of results.
    Changed {
        /// The epoch that the result belongs to.
        epoch: u64,
        /// The instance that computed it.
        from: Sender<'a>,
    },
    /// `system.rejected.<systems>.<instance>`: why a result was refused; to whoever sent it.
    Rejected(Sender<'a>),
    /// `entity.create`: entities appeared.
    EntityCreate,
    /// `entity.destroy`: entities are gone.
    EntityDestroy,
    /// `query.request`: an ad-hoc query.
    Query,
    /// `query.schemas`: what components look like.
    Schemas,
    /// `snapshot.request`: have a keyframe of the world stored.
    Snapshot,
    /// `trace.request`: what the time of ticks is spent on.
    Trace,
    /// `watch.request`, or `watch.request.<identity>`: open or close a live query.
    WatchRequest {
        /// Who asks, if it says so.
        by: Option<&'a str>,
    },
    /// `watch.frame.<id>`, or `watch.frame.<identity>.<id>`: a frame of a live query.
    WatchFrame {
        /// Who asked for it.
        by: Option<&'a str>,
        /// The watch.
        id: &'a str,
    },
    /// `watch.ack.<id>`, or `watch.ack.<identity>.<id>`: a frame arrived.
    WatchAck {
        /// Who says so.
        by: Option<&'a str>,
        /// The watch.
        id: &'a str,
    },
    /// `command.<domain>.<aggregate>.<action>`, or `….<action>.<identity>`: change the world, or how it runs.
    Command {
        /// Whose word it is: `world` for the engine's own commands.
        domain: &'a str,
        /// What it acts on.
        aggregate: &'a str,
        /// What is to be done.
        action: &'a str,
        /// Who asks for it, if it says so.
        by: Option<&'a str>,
    },
    /// `event.<name>`: events of a type, after the commit of their tick.
    Event {
        /// The declared name of the event type; it may hold dots.
        name: &'a str,
    },
    /// `health.<service>`: how a service is.
    Health {
        /// The service; the coordinator's is `coordinator`.
        service: &'a str,
    },
    /// `discovery.<service>`: who offers a service.
    Discovery {
        /// The service.
        service: &'a str,
    },
}

/// What the subjects of all logs of all worlds begin with.
const LOG_ROOTS: [&str; 4] = ["engine_log", "engine_key", "engine_lease", "engine_mark"];

/// Whether a subject is of a log, be it of another world: what is published there is stored, so that nobody but
/// their coordinators may choose one.
#[must_use]
pub fn is_of_a_log(subject: &str) -> bool {
    let root = subject.split('.').next().unwrap_or_default();
    LOG_ROOTS.contains(&root)
}

/// The service name of the coordinator in `health.*` and `discovery.*`.
pub const COORDINATOR: &str = "coordinator";

impl Subjects {
    /// The subjects of a world under a prefix.
    pub fn new(prefix: &str, world: &str) -> Result<Self, NameError> {
        name::dotted("subject prefix", prefix)?;
        name::token("world", world)?;
        Ok(Self { root: format!("{prefix}.{world}"), world: prefix.len() + 1, identity: String::new() })
    }

    /// The same, for somebody who has a name: it is the last token of the subjects of commands, and a token of those of
    /// watches. A server's permissions can say who may use which.
    ///
    /// # Errors
    /// When the name is no token.
    pub fn with_identity(mut self, identity: Option<&str>) -> Result<Self, NameError> {
        identity.iter().try_for_each(|identity| name::token("identity", identity))?;
        self.identity = identity.map_or_else(String::new, |identity| format!(".{identity}"));
        Ok(self)
    }

    /// What all subjects of the world start with, without the last dot.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The name of the world.
    #[must_use]
    pub fn world(&self) -> &str {
        &self.root[self.world..]
    }

    /// Everything of this world: for tools that listen in.
    #[must_use]
    pub fn everything(&self) -> String {
        self.of(">")
    }

    /// See [`Subject::Hello`].
    #[must_use]
    pub fn hello(&self) -> String {
        self.of("coord.hello")
    }

    /// See [`Subject::Tick`].
    #[must_use]
    pub fn tick(&self) -> String {
        self.of("coord.tick")
    }

    /// See [`Subject::Commit`].
    #[must_use]
    pub fn commit(&self) -> String {
        self.of("coord.commit")
    }

    /// See [`Subject::Register`].
    #[must_use]
    pub fn register(&self, from: Sender<'_>) -> String {
        self.of(&format!("system.register.{from}"))
    }

    /// See [`Subject::Heartbeat`].
    #[must_use]
    pub fn heartbeat(&self, from: Sender<'_>) -> String {
        self.of(&format!("system.heartbeat.{from}"))
    }

    /// See [`Subject::Leave`].
    #[must_use]
    pub fn leave(&self, from: Sender<'_>) -> String {
        self.of(&format!("system.leave.{from}"))
    }

    /// What a coordinator subscribes to, so that it hears of instances that come, are there, and go.
    #[must_use]
    pub fn membership(&self) -> [String; 3] {
        ["register", "heartbeat", "leave"].map(|what| self.of(&format!("system.{what}.*.*")))
    }

    /// See [`Subject::Schedule`]. Both names were checked when they entered.
    #[must_use]
    pub fn schedule(&self, system: &str, instance: &str) -> String {
        debug_assert!(name::is_token(system) && name::is_token(instance));
        self.of(&format!("system.schedule.{system}.{instance}"))
    }

    /// The jobs of all systems of an instance, for tools: the instance itself subscribes to those of its systems.
    #[must_use]
    pub fn schedule_of(&self, instance: &str) -> String {
        debug_assert!(name::is_token(instance));
        self.of(&format!("system.schedule.*.{instance}"))
    }

    /// See [`Subject::Changed`].
    #[must_use]
    pub fn changed(&self, epoch: u64, from: Sender<'_>) -> String {
        self.of(&format!("component.changed.{epoch}.{from}"))
    }

    /// The results of one epoch: what a coordinator subscribes to, so that it never receives older ones.
    #[must_use]
    pub fn changed_in(&self, epoch: u64) -> String {
        self.of(&format!("component.changed.{epoch}.*.*"))
    }

    /// See [`Subject::Rejected`].
    #[must_use]
    pub fn rejected(&self, to: Sender<'_>) -> String {
        self.of(&format!("system.rejected.{to}"))
    }

    /// See [`Subject::EntityCreate`].
    #[must_use]
    pub fn entity_create(&self) -> String {
        self.of("entity.create")
    }

    /// See [`Subject::EntityDestroy`].
    #[must_use]
    pub fn entity_destroy(&self) -> String {
        self.of("entity.destroy")
    }

    /// See [`Subject::Query`].
    #[must_use]
    pub fn query(&self) -> String {
        self.of("query.request")
    }

    /// See [`Subject::Schemas`].
    #[must_use]
    pub fn schemas(&self) -> String {
        self.of("query.schemas")
    }

    /// See [`Subject::Snapshot`].
    #[must_use]
    pub fn snapshot(&self) -> String {
        self.of("snapshot.request")
    }

    /// See [`Subject::Trace`].
    #[must_use]
    pub fn trace(&self) -> String {
        self.of("trace.request")
    }

    /// See [`Subject::WatchRequest`].
    #[must_use]
    pub fn watch(&self) -> String {
        self.of(&format!("watch.request{}", self.identity))
    }

    /// See [`Subject::WatchFrame`].
    #[must_use]
    pub fn watch_frame(&self, id: &str) -> String {
        debug_assert!(name::is_token(id));
        self.of(&format!("watch.frame{}.{id}", self.identity))
    }

    /// The frames of a watch of somebody else: `<id>`, or `<identity>.<id>`.
    #[must_use]
    pub fn frames_of(&self, place: &str) -> String {
        debug_assert!(name::is_dotted(place));
        self.of(&format!("watch.frame.{place}"))
    }

    /// The requests and acknowledgements of all watches: what a coordinator subscribes to.
    #[must_use]
    pub fn watches(&self) -> [String; 3] {
        ["watch.request", "watch.request.*", "watch.ack.>"].map(|subject| self.of(subject))
    }

    /// See [`Subject::WatchAck`].
    #[must_use]
    pub fn watch_ack(&self, id: &str) -> String {
        debug_assert!(name::is_token(id));
        self.of(&format!("watch.ack{}.{id}", self.identity))
    }

    /// See [`Subject::Command`].
    #[must_use]
    pub fn command(&self, domain: &str, aggregate: &str, action: &str) -> String {
        debug_assert!([domain, aggregate, action].into_iter().all(name::is_token));
        self.of(&format!("command.{domain}.{aggregate}.{action}{}", self.identity))
    }

    /// Whether a subject is one of the engine's, of any world.
    #[must_use]
    pub fn covers(&self, subject: &str) -> bool {
        subject.starts_with(&self.root[..self.world])
    }

    /// Whether an answer may go to a subject that somebody else has chosen: to none of the server's own, of the
    /// engine's or of a log.
    #[must_use]
    pub fn may_be_answered(&self, reply: &str) -> bool {
        !reply.starts_with('$') && !self.covers(reply) && !is_of_a_log(reply)
    }

    /// All commands of a domain.
    #[must_use]
    pub fn commands_of(&self, domain: &str) -> String {
        debug_assert!(name::is_token(domain));
        self.of(&format!("command.{domain}.>"))
    }

    /// One command of all who give it, with an identity or without.
    #[must_use]
    pub fn commands_named(&self, domain: &str, aggregate: &str, action: &str) -> [String; 2] {
        let all = self.of(&format!("command.{domain}.{aggregate}.{action}"));
        [all.clone(), all + ".*"]
    }

    /// See [`Subject::Event`].
    #[must_use]
    pub fn event(&self, name: &str) -> String {
        debug_assert!(name::is_dotted(name));
        self.of(&format!("event.{name}"))
    }

    /// See [`Subject::Health`].
    #[must_use]
    pub fn health(&self, service: &str) -> String {
        debug_assert!(name::is_token(service));
        self.of(&format!("health.{service}"))
    }

    /// See [`Subject::Discovery`].
    #[must_use]
    pub fn discovery(&self, service: &str) -> String {
        debug_assert!(name::is_token(service));
        self.of(&format!("discovery.{service}"))
    }

    /// Where the coordinator answers with a [`Status`](crate::messages::status::Status).
    #[must_use]
    pub fn status(&self) -> String {
        self.health(COORDINATOR)
    }

    /// What a subject carries; `None` when it is not one of this world.
    #[must_use]
    pub fn parse<'a>(&self, subject: &'a str) -> Option<Subject<'a>> {
        let rest = subject.strip_prefix(self.root.as_str())?.strip_prefix('.')?;
        let (family, rest) = rest.split_once('.')?;
        match family {
            "system" => system(rest),
            "component" => changed(rest),
            _ if !name::is_dotted_of_any_length(rest) => None,
            "coord" => coord(rest),
            "entity" => entity(rest),
            "query" => query(rest),
            "snapshot" => (rest == "request").then_some(Subject::Snapshot),
            "trace" => (rest == "request").then_some(Subject::Trace),
            "watch" => watch(rest),
            "command" => command(rest),
            "event" => Some(Subject::Event { name: rest }),
            "health" => one(rest).map(|service| Subject::Health { service }),
            "discovery" => one(rest).map(|service| Subject::Discovery { service }),
            _ => None,
        }
    }

    fn of(&self, rest: &str) -> String {
        format!("{}.{rest}", self.root)
    }
}

fn coord(rest: &str) -> Option<Subject<'_>> {
    match rest {
        "hello" => Some(Subject::Hello),
        "tick" => Some(Subject::Tick),
        "commit" => Some(Subject::Commit),
        _ => None,
    }
}

fn system(rest: &str) -> Option<Subject<'_>> {
    let (what, rest) = rest.split_once('.')?;
    match what {
        "register" => sender(rest).map(Subject::Register),
        "heartbeat" => sender(rest).map(Subject::Heartbeat),
        "leave" => sender(rest).map(Subject::Leave),
        "rejected" => sender(rest).map(Subject::Rejected),
        "schedule" => {
            let (system, instance) = rest.split_once('.')?;
            Some(Subject::Schedule { system: one(system)?, instance: one(instance)? })
        }
        _ => None,
    }
}

fn changed(rest: &str) -> Option<Subject<'_>> {
    let (epoch, from) = rest.strip_prefix("changed.")?.split_once('.')?;
    Some(Subject::Changed { epoch: number(epoch)?, from: sender(from)? })
}

fn sender(rest: &str) -> Option<Sender<'_>> {
    let (systems, instance) = rest.split_once('.')?;
    (name::is_systems(systems) && name::is_token(instance)).then_some(Sender { systems, instance })
}

fn entity(rest: &str) -> Option<Subject<'_>> {
    match rest {
        "create" => Some(Subject::EntityCreate),
        "destroy" => Some(Subject::EntityDestroy),
        _ => None,
    }
}

fn query(rest: &str) -> Option<Subject<'_>> {
    match rest {
        "request" => Some(Subject::Query),
        "schemas" => Some(Subject::Schemas),
        _ => None,
    }
}

fn watch(rest: &str) -> Option<Subject<'_>> {
    let (what, rest) = match rest.split_once('.') {
        None => return (rest == "request").then_some(Subject::WatchRequest { by: None }),
        Some(("request", by)) => return Some(Subject::WatchRequest { by: Some(one(by)?) }),
        Some(others) => others,
    };
    let (by, id) = match rest.split_once('.') {
        Some((by, id)) => (Some(one(by)?), one(id)?),
        None => (None, one(rest)?),
    };
    match what {
        "frame" => Some(Subject::WatchFrame { by, id }),
        "ack" => Some(Subject::WatchAck { by, id }),
        _ => None,
    }
}

fn command(rest: &str) -> Option<Subject<'_>> {
    let (domain, rest) = rest.split_once('.')?;
    let (aggregate, rest) = rest.split_once('.')?;
    let (action, by) = match rest.split_once('.') {
        Some((action, by)) => (action, Some(one(by)?)),
        None => (rest, None),
    };
    Some(Subject::Command { domain: one(domain)?, aggregate: one(aggregate)?, action: one(action)?, by })
}

fn one(token: &str) -> Option<&str> {
    name::is_token(token).then_some(token)
}

/// A number in its only spelling: two subjects are never the same place.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        Subjects::new("acme.engine", "arena").unwrap()
    }

    #[test]
    fn every_subject_is_parsed_back() {
        let s = subjects();
        let from = Sender { systems: "bounce+steer", instance: "steer-1" };
        let command = |by| Subject::Command { domain: "world", aggregate: "entity", action: "spawn", by };
        let alice = s.clone().with_identity(Some("alice")).unwrap();
        let by = Some("alice");
        for (built, parsed) in [
            (s.hello(), Subject::Hello),
            (s.tick(), Subject::Tick),
            (s.commit(), Subject::Commit),
            (s.register(from), Subject::Register(from)),
            (s.heartbeat(from), Subject::Heartbeat(from)),
            (s.leave(from), Subject::Leave(from)),
            (s.schedule("steer", "steer-1"), Subject::Schedule { system: "steer", instance: "steer-1" }),
            (s.changed(7, from), Subject::Changed { epoch: 7, from }),
            (s.rejected(from), Subject::Rejected(from)),
            (s.entity_create(), Subject::EntityCreate),
            (s.entity_destroy(), Subject::EntityDestroy),
            (s.query(), Subject::Query),
            (s.schemas(), Subject::Schemas),
            (s.snapshot(), Subject::Snapshot),
            (s.trace(), Subject::Trace),
            (s.watch(), Subject::WatchRequest { by: None }),
            (s.watch_frame("w1"), Subject::WatchFrame { by: None, id: "w1" }),
            (s.watch_ack("w1"), Subject::WatchAck { by: None, id: "w1" }),
            (s.command("world", "entity", "spawn"), command(None)),
            (alice.watch(), Subject::WatchRequest { by }),
            (alice.watch_frame("w1"), Subject::WatchFrame { by, id: "w1" }),
            (alice.watch_ack("w1"), Subject::WatchAck { by, id: "w1" }),
            (alice.command("world", "entity", "spawn"), command(by)),
            (s.event("arena.Damage"), Subject::Event { name: "arena.Damage" }),
            (s.status(), Subject::Health { service: "coordinator" }),
            (s.discovery("coordinator"), Subject::Discovery { service: "coordinator" }),
        ] {
            assert_eq!(s.parse(&built), Some(parsed), "{built}");
            assert!(built.starts_with("acme.engine.arena."));
        }
        assert_eq!(s.world(), "arena");
    }

    #[test]
    fn foreign_and_malformed_subjects_are_nothing() {
        let s = subjects();
        for bad in [
            "engine.arena.coord.hello",
            "acme.engine.arena2.coord.hello",
            "acme.engine.arena.coord",
            "acme.engine.arena.system.schedule.steer",
            "acme.engine.arena.system.schedule.steer.i.x",
            "acme.engine.arena.system.schedule.a+b.i",
            "acme.engine.arena.component.changed.07.a.i",
            "acme.engine.arena.component.changed.-1.a.i",
            "acme.engine.arena.component.changed.99999999999999999999999.a.i",
            "acme.engine.arena.component.changed.7.i",
            "acme.engine.arena.component.changed.7.b+a.i",
            "acme.engine.arena.component.changed.7.a.i.x",
            "acme.engine.arena.system.rejected.*.i",
            "acme.engine.arena.system.register",
            "acme.engine.arena.system.register.*.*",
            "acme.engine.arena.coord.he+llo",
            "acme.engine.arena.watch.ack.a.b.c",
            "acme.engine.arena.command.world.entity.spawn.a.b",
            "acme.engine.arena.command.world.entity",
            "acme.engine.arena.event.>",
            "acme.engine.arena.",
        ] {
            assert_eq!(s.parse(bad), None, "{bad}");
        }
        assert!(Subjects::new("engine", "a.b").is_err());
        assert!(Subjects::new("engine.*", "a").is_err());
        assert!(["", "*", "a.b", "a+b"].iter().all(|bad| s.clone().with_identity(Some(bad)).is_err()));
    }
}
