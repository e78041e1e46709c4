//! Roles, and what each may do.

use std::fmt;
use std::str::FromStr;

use engine_net::descriptor::RESERVED;
use engine_net::messages::command::DOMAIN;
use engine_net::name::{self, NameError};

use super::{Acl, Grant, User, domain};
use crate::log::jet::Names;

/// What somebody is to a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Owns the world.
    Coordinator,
    /// Owns it when the coordinator is gone, and may do the same for that.
    Standby,
    /// Runs these systems, all of them in each process; as [`name::systems`] writes them.
    System(String),
    /// Looks at the world and changes it, under this name.
    Editor(String),
    /// Looks at the world, under this name.
    EditorReadOnly(String),
    /// An editor who reads the log as well, and sets what may be set while the world runs.
    Operator(String),
    /// Brings commands of players, under this name, and hears events.
    Gateway(String),
    /// Asks who is there, and how they are.
    Metrics(String),
    /// A program around the world that owns a domain: handles its commands, keeps its events, reads them.
    Service(Member),
    /// Gives commands of a domain, under this name, and sees what came of them.
    Client(Member),
}

/// Somebody around a world: who, and in which domain. Written `NAME@DOMAIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// His name.
    pub name: String,
    /// The first token of the names of what he does, asks for or hears of.
    pub domain: String,
}

/// Why roles are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// A word that names no role.
    #[error(
        "there is no role `{0}`: use coordinator, standby, system:NAME (or system:A+B for a process with both), editor:NAME, \
         editor-read-only:NAME, operator:NAME, gateway:NAME, metrics, service:NAME@DOMAIN or client:NAME@DOMAIN"
    )]
    Unknown(String),
    /// The role needs a name, or has none.
    #[error("`{0}`: {1}")]
    Name(String, &'static str),
    /// A name that can't stand in a subject.
    #[error(transparent)]
    Grammar(#[from] NameError),
    /// Two users whose passwords would be in one variable.
    #[error(
        "two of the roles have the password `${0}`: give each a name that differs in more than case and punctuation"
    )]
    Twice(String),
    /// A service that would answer for a system.
    #[error(
        "the service `{0}` is called as a system is, and would answer for it on `health.{0}`: give it another name"
    )]
    Answers(String),
    /// A bucket that two domains would write.
    #[error("the bucket `{0}` is named twice: give each domain buckets of its own")]
    Bucket(String),
    /// A sink whose subjects are the engine's, the server's or somebody's inbox.
    #[error("a sink can't publish below `{0}`: it is one of the engine's or of the server's own")]
    Sink(String),
}

/// A subject below which services of a domain publish its events for others. Written `SUBJECT@DOMAIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// The subject.
    pub root: String,
    /// The domain.
    pub domain: String,
}

impl FromStr for Outlet {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let Some((root, domain)) = text.split_once('@') else {
            return Err(RoleError::Name(text.to_owned(), "say of which domain, as in `crm.events@shop`"));
        };
        name::dotted("subject", root)?;
        name::token("domain", domain)?;
        Ok(Self { root: root.to_owned(), domain: domain.to_owned() })
    }
}

impl FromStr for Member {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let Some((name, domain)) = text.split_once('@') else {
            return Err(RoleError::Name(text.to_owned(), "say of which domain, as in `ledger@shop`"));
        };
        name::token("name", name)?;
        name::token("domain", domain)?;
        if domain == DOMAIN {
            return Err(RoleError::Name(text.to_owned(), "the domain `world` is the engine's own"));
        }
        Ok(Self { name: name.to_owned(), domain: domain.to_owned() })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.domain)
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let (role, name) = match text.split_once(':') {
            Some((role, name)) => (role, Some(name)),
            None => (text, None),
        };
        let own_name = |what| name.ok_or(RoleError::Name(text.to_owned(), what));
        let checked = |name: &str| name::token("name of a user", name).map(|()| name.to_owned());
        match role {
            "coordinator" | "standby" if name.is_some() => {
                Err(RoleError::Name(text.to_owned(), "there is one of it, without a name of its own"))
            }
            "coordinator" => Ok(Self::Coordinator),
            "standby" => Ok(Self::Standby),
            "system" => {
                let names = own_name("say which system, as in `system:steer`")?;
                if names.split('+').any(|name| RESERVED.contains(&name)) {
                    return Err(RoleError::Name(text.to_owned(), "a system can't be called that"));
                }
                Ok(Self::System(name::systems(names.split('+'))?))
            }
            "editor" => Ok(Self::Editor(checked(own_name("say whose, as in `editor:alice`")?)?)),
            "editor-read-only" => {
                Ok(Self::EditorReadOnly(checked(own_name("say whose, as in `editor-read-only:bob`")?)?))
            }
            "operator" => Ok(Self::Operator(checked(own_name("say whose, as in `operator:ann`")?)?)),
            "gateway" => Ok(Self::Gateway(checked(own_name("say which, as in `gateway:eu`")?)?)),
            "metrics" => Ok(Self::Metrics(checked(name.unwrap_or("metrics"))?)),
            "service" => {
                let service: Member =
                    own_name("say which and of which domain, as in `service:ledger@shop`")?.parse()?;
                // What answers as the engine's own parts do.
                if RESERVED.contains(&service.name.as_str()) || service.name.starts_with("engine-") {
                    return Err(RoleError::Name(text.to_owned(), "a service can't be called that"));
                }
                Ok(Self::Service(service))
            }
            "client" => Ok(Self::Client(own_name("say whose and of which domain, as in `client:till@shop`")?.parse()?)),
            _ => Err(RoleError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator | Self::Standby => f.write_str(self.word()),
            Self::System(name)
            | Self::Editor(name)
            | Self::EditorReadOnly(name)
            | Self::Operator(name)
            | Self::Gateway(name)
            | Self::Metrics(name) => write!(f, "{}:{name}", self.word()),
            Self::Service(member) | Self::Client(member) => write!(f, "{}:{member}", self.word()),
        }
    }
}

impl Role {
    fn word(&self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Standby => "standby",
            Self::System(_) => "system",
            Self::Editor(_) => "editor",
            Self::EditorReadOnly(_) => "editor-read-only",
            Self::Operator(_) => "operator",
            Self::Gateway(_) => "gateway",
            Self::Metrics(_) => "metrics",
            Self::Service(_) => "service",
            Self::Client(_) => "client",
        }
    }

    /// The domain of whoever is around the world.
    pub(super) fn domain(&self) -> Option<&str> {
        match self {
            Self::Service(member) | Self::Client(member) => Some(&member.domain),
            _ => None,
        }
    }

    /// What tells it apart from others of its kind; `+` is no character of an inbox. A domain comes first, as a token of
    /// its own: then all of its clients' inboxes are one wildcard.
    fn own_name(&self) -> String {
        match self {
            Self::Coordinator | Self::Standby => "one".to_owned(),
            Self::System(name)
            | Self::Editor(name)
            | Self::EditorReadOnly(name)
            | Self::Operator(name)
            | Self::Gateway(name)
            | Self::Metrics(name) => name.replace('+', "_"),
            Self::Service(Member { name, domain }) | Self::Client(Member { name, domain }) => {
                format!("{domain}.{name}")
            }
        }
    }

    pub(super) fn user(&self, acl: &Acl) -> User {
        let (world, word, own) = (&acl.world, self.word(), self.own_name());
        let inbox = format!("_INBOX.{world}.{word}.{own}");
        let name = match self {
            Self::Coordinator | Self::Standby => format!("{world}-{word}"),
            _ => format!("{world}-{word}-{}", own.replace('.', "-")),
        };
        let identity = match self {
            Self::Editor(name) | Self::EditorReadOnly(name) | Self::Operator(name) | Self::Gateway(name) => {
                Some(name.clone())
            }
            Self::Client(client) => Some(client.name.clone()),
            _ => None,
        };
        let log = match self {
            Self::Coordinator | Self::Standby => Some(writes_log(acl)),
            Self::Operator(_) => Some(reads_log(acl)),
            _ => None,
        };
        let log = log.map(|grant| {
            let (inbox, name) = (format!("_INBOX.{world}.log.{word}.{own}"), format!("{name}-log"));
            Box::new(User { name, grant: grant.inbox(&inbox), inbox, log: None, identity: None })
        });
        User { name, grant: self.grant(acl).inbox(&inbox), inbox, log, identity }
    }

    fn grant(&self, acl: &Acl) -> Grant {
        let root = &acl.root;
        match self {
            Self::Coordinator | Self::Standby => coordinator(acl),
            Self::System(systems) => system(acl, systems),
            Self::Editor(name) => edits(acl, name),
            Self::Operator(name) => domain::judges_dead_letters(edits(acl, name), acl),
            Self::EditorReadOnly(name) => looks(acl, name),
            Self::Gateway(name) => {
                // What players may do to the world itself is for systems to say, which their commands are for.
                let commands = format!("command.*.*.*.{name}");
                looks(acl, name).publish(root, [commands.as_str()]).publish_never(root, ["command.world.>"])
            }
            Self::Metrics(_) => asks(acl).subscribe(root, ["discovery.announce"]),
            Self::Service(member) => domain::service(acl, member),
            Self::Client(member) => domain::client(acl, member),
        }
    }
}

/// Inboxes of those who ask how somebody is, and get an answer; nobody else has a reason to hear of it.
pub(super) const ASKERS: [&str; 5] = ["editor.>", "editor-read-only.>", "operator.>", "gateway.>", "metrics.>"];

fn coordinator(acl: &Acl) -> Grant {
    let told = ["coord.hello", "coord.tick", "coord.commit", "entity.create", "entity.destroy", "event.>"];
    let instances = ["system.schedule.*.*", "system.rejected.*.*"];
    let membership = ["system.register.*.*", "system.heartbeat.*.*", "system.leave.*.*", "component.changed.*.*.*"];
    let requests = [
        "query.*",
        "snapshot.request",
        "trace.request",
        "watch.request",
        "watch.request.*",
        "watch.ack.>",
        // The world's own, and those that its systems take, of any domain.
        "command.>",
        "health.coordinator",
        "discovery.coordinator",
    ];
    let grant = Grant::default()
        .publish(&acl.root, told.into_iter().chain(instances).chain(["watch.frame.>", "discovery.announce"]))
        .publish("_INBOX", [format!("{}.>", acl.world).as_str()])
        .subscribe(&acl.root, membership.into_iter().chain(requests))
        .found_as("engine-coordinator");
    domain::keeps_events(grant, acl)
}

fn system(acl: &Acl, systems: &str) -> Grant {
    let root = &acl.root;
    let own = ["system.register", "system.heartbeat", "system.leave", "component.changed.*"];
    let own = own.map(|family| format!("{family}.{systems}.*"));
    let mut grant = Grant::default()
        .publish(root, own.iter().map(String::as_str).chain(["discovery.announce"]))
        .publish(&format!("_INBOX.{}", acl.world), ASKERS)
        .subscribe(root, ["coord.hello", format!("system.rejected.{systems}.*").as_str()])
        .found_as("engine-instance");
    for system in systems.split('+') {
        let subjects =
            [format!("system.schedule.{system}.*"), format!("health.{system}"), format!("discovery.{system}")];
        grant = grant.subscribe(root, subjects.iter().map(String::as_str));
    }
    grant
}

/// Asks who is there and how they are.
fn asks(acl: &Acl) -> Grant {
    Grant::default()
        .publish(&acl.root, ["health.*", "discovery.*"])
        .publish_never(&acl.root, ["discovery.announce"])
        .asks_services()
}

/// Sees the world, as far as it is shown.
fn looks(acl: &Acl, name: &str) -> Grant {
    let (request, ack, frame) =
        (format!("watch.request.{name}"), format!("watch.ack.{name}.*"), format!("watch.frame.{name}.*"));
    asks(acl)
        .publish(&acl.root, ["query.request", "query.schemas", "trace.request", request.as_str(), ack.as_str()])
        .subscribe(&acl.root, ["coord.*", "entity.*", "event.>", "discovery.announce", frame.as_str()])
}

/// Looks, and changes what it sees.
fn edits(acl: &Acl, name: &str) -> Grant {
    let commands = format!("command.world.*.*.{name}");
    looks(acl, name).publish(&acl.root, [commands.as_str(), "snapshot.request"])
}

/// In the account of the log: makes the streams and writes them, deletes none.
fn writes_log(acl: &Acl) -> Grant {
    let world = &acl.world;
    let (names, settings) = log_streams(acl);
    let verbs = ["STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.MSG.GET", "STREAM.PURGE", "DIRECT.GET"];
    let calls = names.iter().flat_map(|stream| verbs.map(|verb| format!("{verb}.{stream}")));
    let calls = calls.filter(|call| *call != format!("STREAM.PURGE.{}", names[2]));
    let of_settings = ["STREAM.INFO", "STREAM.CREATE", "STREAM.MSG.GET"].map(|verb| format!("{verb}.{settings}"));
    let calls: Vec<String> = calls.chain(of_settings).chain(["INFO".to_owned()]).collect();
    Grant::default()
        .publish(&acl.jetstream, calls.iter().map(String::as_str))
        .publish("engine_log", [format!("{world}.*").as_str()])
        .publish("engine_key", [format!("{world}.>").as_str()])
        .publish("engine_lease", [world.as_str()])
        .publish("engine_mark", [world.as_str()])
        .publish("$SYS.REQ.SERVER.PING", ["VARZ"])
}

/// In the account of the log: reads it, and writes the run-time settings.
fn reads_log(acl: &Acl) -> Grant {
    let (names, settings) = log_streams(acl);
    let verbs = ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"];
    let calls = names.iter().flat_map(|stream| verbs.map(|verb| format!("{verb}.{stream}")));
    // It doesn't make the bucket: a stream that one may make may republish what is put there, also into the log.
    let of_settings = ["STREAM.INFO", "STREAM.MSG.GET"].map(|verb| format!("{verb}.{settings}"));
    let calls: Vec<String> = calls.chain(of_settings).chain(["INFO".to_owned()]).collect();
    let bucket = settings.trim_start_matches("KV_");
    Grant::default()
        .publish(&acl.jetstream, calls.iter().map(String::as_str))
        .publish("$KV", [format!("{bucket}.*").as_str()])
}

/// The streams of the log, and that of the run-time settings.
fn log_streams(acl: &Acl) -> ([String; 4], String) {
    let names = Names::new(&acl.world).expect("the world's name was checked");
    let settings = format!("KV_ENGINE_SETTINGS_{}", acl.world);
    ([names.log(), names.keys(), names.leases(), names.marks()], settings)
}

#[cfg(test)]
mod tests {
    use engine_net::config::ConnectionConfig;

    use super::*;
    use crate::acl::Streams;

    fn acl(roles: &[&str]) -> Acl {
        let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
        Acl::new(&ConnectionConfig::default(), roles, Streams::default()).unwrap()
    }

    #[test]
    fn a_role_is_written_as_it_is_read() {
        for role in [
            "coordinator",
            "standby",
            "system:a+b",
            "editor:alice",
            "editor-read-only:bob",
            "operator:ann",
            "gateway:eu",
            "metrics:m",
            "service:ledger@shop",
            "client:till@shop",
        ] {
            assert_eq!(role.parse::<Role>().unwrap().to_string(), role);
        }
        assert_eq!("system:b+a".parse::<Role>().unwrap(), Role::System("a+b".into()));
        for bad in [
            "",
            "root",
            "system",
            "system:",
            "system:a.b",
            "editor:*",
            "system:coordinator",
            "system:a+announce",
            "editor:a b",
            "coordinator:x",
            "editor:",
            "service:ledger",
            "service:ledger@",
            "service:@shop",
            "service:ledger@shop.>",
            "service:announce@shop",
            "client:till@world",
        ] {
            assert!(bad.parse::<Role>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_is_there_twice() {
        let new = |names: &[&str]| {
            let roles = names.iter().map(|name| name.parse().unwrap()).collect();
            Acl::new(&ConnectionConfig::default(), roles, Streams::default())
        };
        assert!(matches!(new(&["standby", "standby"]), Err(RoleError::Twice(_))));
        assert!(matches!(new(&["system:a+b", "system:a_b"]), Err(RoleError::Twice(_))));
        assert!(new(&["editor:a", "gateway:a"]).is_ok());
        // Their passwords would be one variable.
        for pair in
            [["editor:alice", "editor:Alice"], ["editor:a-b", "editor:a_b"], ["operator:ann", "operator:ann-log"]]
        {
            assert!(matches!(new(&pair), Err(RoleError::Twice(_))), "{pair:?}");
        }
    }

    #[test]
    fn few_enter_the_log_and_nobody_may_everything() {
        let acl = acl(&[
            "coordinator",
            "standby",
            "system:a",
            "editor:e",
            "editor-read-only:r",
            "operator:o",
            "gateway:g",
            "metrics",
            "service:s@d",
            "client:c@d",
        ]);
        for user in acl.users() {
            let enters = ["coordinator", "standby", "operator-o"].iter().any(|who| user.name.ends_with(who));
            assert_eq!(user.log.is_some(), enters, "{}", user.name);
            let grants = [&user.grant].into_iter().chain(user.log.iter().map(|log| &log.grant));
            for subject in grants.flat_map(|grant| grant.publish.iter().chain(&grant.subscribe)) {
                let roots = [
                    "engine.main.",
                    "_INBOX.main.",
                    "$SRV.",
                    "engine_",
                    "$JS.API.",
                    "$JS.ACK.",
                    "$KV.ENGINE_SETTINGS_main.",
                    "$SYS.REQ.SERVER.PING.",
                ];
                assert!(roots.iter().any(|root| subject.starts_with(root)), "{}: {subject}", user.name);
                // A dead letter that is decided about is dropped; nothing else goes.
                let drops = subject == "$JS.API.STREAM.MSG.DELETE.ENGINE_DLQ_main" && user.name == "main-operator-o";
                assert!(drops || !subject.contains("DELETE"), "{}: {subject}", user.name);
            }
        }
    }
}
