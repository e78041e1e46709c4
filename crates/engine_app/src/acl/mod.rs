//! Who may publish and subscribe what: the least that each role needs, as a server's configuration or a script for `nsc`.
//!
//! A server's permissions are about subjects. So everything that has to be kept apart stands in one: the world, the
//! systems and the instance that a message is from, the name of who commands. What a permission can't tell apart is
//! checked by the coordinator. The world log is in an account of its own, which only coordinators can enter.
//!
//! | file | what it is |
//! | --- | --- |
//! | `role.rs` | roles, and what each may do |
//! | `domain.rs` | what programs around the world may do in a domain |
//! | `grant.rs` | lists of subjects |
//! | `server_conf.rs` | accounts and users for the configuration of a nats-server |
//! | `nsc.rs` | the same as commands of `nsc` |

mod domain;
mod grant;
mod nsc;
mod role;
mod server_conf;

pub use grant::Grant;
pub use nsc::script;
pub use role::{Member, Outlet, Role, RoleError};
pub use server_conf::{Passwords, configuration};

use engine_net::config::ConnectionConfig;

/// A world, and who takes part in it.
#[derive(Clone, Debug)]
pub struct Acl {
    /// The name of the world.
    pub world: String,
    /// What all of its subjects begin with, without the last dot.
    pub root: String,
    /// The prefix, and with it its variable.
    pub prefix: String,
    /// The root of JetStream's own subjects.
    pub jetstream: String,
    /// Who takes part, in the order in which they were named.
    pub roles: Vec<Role>,
    /// What domains have beside that.
    pub streams: Streams,
}

/// What domains have beside what follows from the roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Domains whose events a coordinator keeps.
    pub kept_events: Vec<String>,
    /// Buckets of projections: services of the domain write one, clients of it read it.
    pub buckets: Vec<Member>,
    /// Where services publish events for others.
    pub sinks: Vec<Outlet>,
    /// Nobody may make any: all are there.
    pub are_made: bool,
}

/// Somebody whom the server lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What the server knows him by.
    pub name: String,
    /// What he may do.
    pub grant: Grant,
    /// What all of his reply subjects begin with.
    pub inbox: String,
    /// The user of the log's account that he is as well.
    pub log: Option<Box<User>>,
    /// His name in the subjects of what he asks for.
    pub identity: Option<String>,
}

impl Acl {
    /// Of the world of a configuration.
    ///
    /// # Errors
    /// When a name is none, two users would be the same or have one variable for their passwords, a service would answer
    /// for a system, two domains would write one bucket, or a sink would publish on subjects of the engine.
    pub fn new(config: &ConnectionConfig, roles: Vec<Role>, streams: Streams) -> Result<Self, RoleError> {
        config.subjects()?;
        let acl = Self {
            world: config.world.clone(),
            root: format!("{}.{}", config.prefix, config.world),
            prefix: config.prefix.clone(),
            jetstream: config.jetstream(),
            roles,
            streams,
        };
        acl.check_names()?;
        let users = acl.users();
        let all = users.iter().flat_map(|user| [user].into_iter().chain(user.log.as_deref()));
        let mut names: Vec<String> = all.map(User::variable).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RoleError::Twice(pair[0].clone())),
            None => Ok(acl),
        }
    }

    fn check_names(&self) -> Result<(), RoleError> {
        let systems = self.roles.iter().filter_map(|role| match role {
            Role::System(names) => Some(names.split('+')),
            _ => None,
        });
        let systems: Vec<&str> = systems.flatten().collect();
        let services = self.roles.iter().filter_map(|role| match role {
            Role::Service(service) => Some(service.name.as_str()),
            _ => None,
        });
        if let Some(name) = services.into_iter().find(|name| systems.contains(name)) {
            return Err(RoleError::Answers(name.to_owned()));
        }
        let is_taken = |outlet: &&Outlet| {
            let subject = format!("{}.{}.x", outlet.root, outlet.domain);
            !self.names().subjects().may_be_answered(&subject) || subject.starts_with("_INBOX.")
        };
        if let Some(outlet) = self.streams.sinks.iter().find(is_taken) {
            return Err(RoleError::Sink(outlet.root.clone()));
        }
        let mut buckets: Vec<&str> = self.streams.buckets.iter().map(|bucket| bucket.name.as_str()).collect();
        buckets.sort_unstable();
        match buckets.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RoleError::Bucket(pair[0].to_owned())),
            None => Ok(()),
        }
    }

    /// Whether the account of the world has JetStream: only where somebody needs it.
    #[must_use]
    pub fn has_streams(&self) -> bool {
        !self.domains().is_empty()
    }

    /// All users, in the order of their roles.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        self.roles.iter().map(|role| role.user(self)).collect()
    }

    /// The account that everybody is in.
    #[must_use]
    pub fn account(&self) -> String {
        format!("ENGINE_{}", self.world)
    }

    /// The account of the world log.
    #[must_use]
    pub fn log_account(&self) -> String {
        format!("ENGINE_LOG_{}", self.world)
    }
}

impl User {
    /// The variable that his password is in.
    #[must_use]
    pub fn variable(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        self.name.chars().map(letter).chain("_PASSWORD".chars()).collect()
    }

    /// What his process needs in its environment; `password` gives the one of a user.
    #[must_use]
    pub fn environment(&self, acl: &Acl, password: impl Fn(&Self) -> String) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("ENGINE_WORLD", acl.world.clone()),
            ("ENGINE_PREFIX", acl.prefix.clone()),
            ("NATS_USER", self.name.clone()),
            ("NATS_PASSWORD", password(self)),
            ("NATS_INBOX", self.inbox.clone()),
        ];
        variables.extend(self.identity.iter().map(|identity| ("ENGINE_IDENTITY", identity.clone())));
        if let Some(log) = &self.log {
            variables.push(("NATS_LOG_USER", log.name.clone()));
            variables.push(("NATS_LOG_PASSWORD", password(log)));
            variables.push(("NATS_LOG_INBOX", log.inbox.clone()));
        }
        variables
    }
}
