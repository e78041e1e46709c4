//! `engine acl`: accounts and permissions of a world's server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use engine_app::acl::{Acl, Member, Outlet, Passwords, Role, Streams, configuration, script};
use engine_net::config::{ConnectionArgs, Secret};

use crate::output::print;

/// Accounts and permissions.
#[derive(Args, Debug)]
#[command(after_help = "\
Each role gets a user of its own that may publish and subscribe what the role needs, and nothing else: who may run one
system can't register another, and who looks at the world can't change it. The world log is in an account that only
coordinators can enter. docs/security.md says what is kept from whom.

Roles: coordinator, standby, system:NAME (system:A+B for a process that runs both), editor:NAME (looks and commands),
editor-read-only:NAME, operator:NAME (an editor who reads the log and sets what may be set while the world runs),
gateway:NAME (commands of players, none of the engine's own), metrics; and of programs around the world
(docs/services.md): service:NAME@DOMAIN (handles the domain's commands, keeps and reads its events, collects its dead
letters, answers queries and for itself as NAME), client:NAME@DOMAIN (gives the domain's commands as NAME, hears its
events, asks its services, reads its buckets). An operator decides about the dead letters of all domains named here.

Services make the streams of their domain, and whoever makes a stream can have it copy messages to where he may not publish.
Once the streams are there, --streams-are-made takes that away, and nothing else.

Examples:
  engine acl coordinator system:steer editor:alice          on standard output, with passwords as $VARIABLES
  engine acl coordinator standby system:steer metrics --out /etc/engine
                                                            with passwords: nats-accounts.conf, and an .env for each user
  engine acl coordinator system:steer service:ledger@shop client:till@shop operator:ann --bucket balances@shop
  engine acl coordinator system:strike service:ledger@arena --keep-events arena
  engine acl --format nsc --world arena coordinator system:steer | sh")]
pub(crate) struct AclCommand {
    /// Who takes part in the world: ROLE or ROLE:NAME
    #[arg(value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    /// Let the coordinator keep the events of its systems in the stream of this domain
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    keep_events: Vec<String>,
    /// The bucket of a projection: services of its domain write it, clients read it
    #[arg(long, value_name = "NAME@DOMAIN")]
    bucket: Vec<Member>,
    /// Let services of a domain publish its events below this subject, for others
    #[arg(long, value_name = "SUBJECT@DOMAIN")]
    sink: Vec<Outlet>,
    /// All streams and buckets of domains are there: nobody makes one
    #[arg(long)]
    streams_are_made: bool,
    /// For the server's configuration, or for `nsc`
    #[arg(long, value_enum, default_value_t = Format::NatsConf)]
    format: Format,
    /// Make passwords, and write everything to this folder, for the owner alone
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A part of a nats-server's configuration
    NatsConf,
    /// A shell script of `nsc` commands
    Nsc,
}

fn domain(text: &str) -> Result<String, engine_net::name::NameError> {
    engine_net::name::token("domain", text).map(|()| text.to_owned())
}

impl AclCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let streams = Streams {
            kept_events: self.keep_events.clone(),
            buckets: self.bucket.clone(),
            sinks: self.sink.clone(),
            are_made: self.streams_are_made,
        };
        let acl = Acl::new(&self.connection.resolve()?, self.roles.clone(), streams)?;
        match (&self.out, self.format) {
            (None, Format::NatsConf) => print(&configuration(&acl, &Passwords::Variables)),
            (None, Format::Nsc) => print(&script(&acl)),
            (Some(_), Format::Nsc) => bail!("--out makes passwords; with --format nsc there are none: run the script"),
            (Some(folder), Format::NatsConf) => self.write(&acl, folder),
        }
    }

    fn write(&self, acl: &Acl, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
        let users = acl.users();
        let all = users.iter().flat_map(|user| [user].into_iter().chain(user.log.as_deref()));
        let passwords: BTreeMap<String, Secret> = all.map(|user| (user.name.clone(), Secret::random())).collect();
        let mut files = Vec::new();
        for user in &users {
            let password = |user: &engine_app::acl::User| passwords[&user.name].expose().to_owned();
            let mut text = String::new();
            for (name, value) in user.environment(acl, password) {
                writeln!(text, "{name}={value}")?;
            }
            files.push((folder.join(format!("{}.env", user.name)), text));
        }
        files.push((folder.join("nats-accounts.conf"), configuration(acl, &Passwords::Given(passwords))));
        if let Some((there, _)) = files.iter().find(|(path, _)| path.exists() && !self.force) {
            bail!("{} is there already: --force replaces it, and with it the passwords in use", there.display());
        }
        let mut told = String::new();
        for (path, text) in files {
            for_the_owner(&path, &text).with_context(|| format!("can't write {}", path.display()))?;
            writeln!(told, "{}", path.display())?;
        }
        print(&told)
    }
}

/// Writes a file that nobody else reads, not even for a moment.
fn for_the_owner(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}
