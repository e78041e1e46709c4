//! How a process of a role runs: its flags, and below them variables and the table of the configuration file that has
//! the role's name. What a flag is called is also its key (`--log-lag`: `log_lag`) and its variable (`ENGINE_LOG_LAG`),
//! and its value is read by the same parser wherever it stands.
//!
//! ```toml
//! world = "arena"
//! [nats]
//! url = "nats://10.0.0.1:4222"
//! [coordinator]
//! rate = 30
//! expect = ["steer", "strike"]
//! ```
//!
//! Settings of the connection have layers of their own ([`engine_net::config`]).

pub mod schema;
pub mod show;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use engine_net::config::{ConfigError, ConfigFile, Origin, ROLES, SETTINGS, environment, reason_of};

/// A command line, with what it leaves open from the layers below it.
#[derive(Debug)]
pub struct Read {
    /// As clap gives it.
    pub matches: ArgMatches,
    /// Where the values of a role's settings come from, by the names of their flags; others are defaults.
    pub origins: BTreeMap<String, Origin>,
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
}

/// Reads a command line. Ends the process, as clap does, when that is wrong or asks for help.
///
/// # Errors
/// When the file or a variable is wrong.
pub fn read(command: Command, arguments: impl IntoIterator<Item = OsString>) -> Result<Read, ConfigError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = command.clone().try_get_matches_from(&arguments).unwrap_or_else(|error| error.exit());
    read_with(command, arguments, matches, &environment)
}

fn read_with(
    mut command: Command,
    arguments: Vec<OsString>,
    matches: ArgMatches,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Read, ConfigError> {
    let (role, of_role) = deepest(&matches);
    let Some(role) = role.and_then(|name| ROLES.into_iter().find(|role| *role == name)) else {
        return Ok(Read { matches, origins: BTreeMap::new(), file: None });
    };
    let given = of_role.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let file = ConfigFile::find(given, environment)?;
    command.build();
    let settings = settings(deepest_command(&command, &matches));
    if let Some(file) = &file {
        check_table(file, role, &settings)?;
    }
    let (mut all, mut origins) = (arguments.clone(), BTreeMap::new());
    for setting in &settings {
        if of_role.value_source(&setting.id) == Some(ValueSource::CommandLine) {
            origins.insert(setting.flag.clone(), Origin::Flag(setting.flag.clone()));
            continue;
        }
        let of_environment = environment(&setting.variable).filter(|text| !text.is_empty());
        let of_environment = of_environment.map(|text| (text, Origin::Variable(setting.variable.clone())));
        let of_file = || {
            let file = file.as_ref()?;
            let text = file.text(Some(role), &setting.key).filter(|text| !text.is_empty())?;
            Some((text, Origin::File(file.place(Some(role), &setting.key))))
        };
        let Some((text, origin)) = of_environment.or_else(of_file) else { continue };
        let wrong = |reason: String| {
            let source_name = match &origin {
                Origin::File(place) => format!("{place}: {role}.{}", setting.key),
                _ => setting.variable.clone(),
            };
            ConfigError::Value { source_name, reason }
        };
        let more = setting.arguments(&text).map_err(wrong)?;
        // One by one, so that an error names its place.
        if let Err(error) = command.clone().try_get_matches_from(with(&arguments, &more)) {
            return Err(wrong(reason_of(&error)));
        }
        all = with(&all, &more);
        origins.insert(setting.flag.clone(), origin);
    }
    // Each of them was fine; what they are together clap has to say.
    let matches = command.try_get_matches_from(all).unwrap_or_else(|error| error.exit());
    Ok(Read { matches, origins, file })
}

/// Refuses what a role's table may not hold.
fn check_table(file: &ConfigFile, role: &str, settings: &[RoleSetting]) -> Result<(), ConfigError> {
    let keys: Vec<&str> = settings.iter().map(|setting| setting.key.as_str()).collect();
    file.check_keys(Some(role), &keys)?;
    file.check_values(Some(role), &keys)
}

/// The arguments with some flags more: before what is behind `--`.
fn with(arguments: &[OsString], flags: &[String]) -> Vec<OsString> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (before, behind) = arguments.split_at(end);
    before.iter().cloned().chain(flags.iter().map(OsString::from)).chain(behind.iter().cloned()).collect()
}

/// The name and the matches of the innermost subcommand.
fn deepest(matches: &ArgMatches) -> (Option<&str>, &ArgMatches) {
    let (mut name, mut innermost) = (None, matches);
    while let Some((deeper, matches)) = innermost.subcommand() {
        (name, innermost) = (Some(deeper), matches);
    }
    (name, innermost)
}

fn deepest_command<'a>(command: &'a Command, matches: &ArgMatches) -> &'a Command {
    match matches.subcommand().and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches))) {
        Some((command, matches)) => deepest_command(command, matches),
        None => command,
    }
}

/// A flag of a role that a file and a variable may stand for.
struct RoleSetting {
    id: String,
    flag: String,
    key: String,
    variable: String,
    action: ArgAction,
}

/// Those of a role's command, which was built; neither the connection's, which have layers of their own, nor what only
/// makes sense on a command line.
fn settings(command: &Command) -> Vec<RoleSetting> {
    arguments(command).map(RoleSetting::of).collect()
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let of_connection = |flag: &str| SETTINGS.iter().any(|setting| setting.flag()[2..] == *flag);
    command.get_arguments().filter(move |arg| {
        arg.get_long().is_some_and(|flag| {
            !of_connection(flag) && !matches!(flag, "config" | "help" | "version" | "json" | "recover-at")
        })
    })
}

impl RoleSetting {
    fn of(arg: &Arg) -> Self {
        let name = arg.get_long().unwrap_or_default();
        let key = name.replace('-', "_");
        Self {
            id: arg.get_id().to_string(),
            flag: format!("--{name}"),
            variable: format!("ENGINE_{}", key.to_ascii_uppercase()),
            key,
            action: arg.get_action().clone(),
        }
    }

    /// The arguments that say the same.
    fn arguments(&self, text: &str) -> Result<Vec<String>, String> {
        match self.action {
            ArgAction::SetTrue => match text {
                "true" => Ok(vec![self.flag.clone()]),
                "false" => Ok(Vec::new()),
                _ => Err(format!("invalid value '{text}' for '{}': there are `true` and `false`", self.flag)),
            },
            ArgAction::Append => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(items.map(|item| format!("{}={item}", self.flag)).collect())
            }
            _ => Ok(vec![format!("{}={text}", self.flag)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

    use super::*;
    use crate::roles::CoordinatorArgs;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        role: Role,
    }

    #[derive(Debug, Subcommand)]
    enum Role {
        Coordinator(Box<Command>),
        Other,
    }

    #[derive(Args, Debug)]
    struct Command {
        #[command(flatten)]
        args: CoordinatorArgs,
    }

    fn read_of(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<(CoordinatorArgs, Read), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.toml");
        std::fs::write(&path, file).unwrap();
        let place = path.display().to_string();
        let environment = |name: &str| {
            let given = variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
            given.or_else(|| (name == "ENGINE_CONFIG").then(|| place.clone()))
        };
        let arguments: Vec<OsString> = ["engine", "coordinator"].iter().chain(flags).map(OsString::from).collect();
        let matches = Cli::command().try_get_matches_from(&arguments).unwrap();
        let read = read_with(Cli::command(), arguments, matches, &environment)
            .map_err(|error| error.to_string().replace(&place, "engine.toml"))?;
        match Cli::from_arg_matches(&read.matches).unwrap().role {
            Role::Coordinator(command) => Ok((command.args, read)),
            Role::Other => Err("another role".into()),
        }
    }

    #[test]
    fn flags_beat_variables_beat_the_file_beats_defaults() {
        let file = "world = 'w'\n[coordinator]\nrate = 30\nseed = 7\nlog_lag = 3\npaused = true\nexpect = ['a', 'b']\n";
        let variables = [("ENGINE_SEED", "8"), ("ENGINE_LOG_LAG", "4"), ("ENGINE_TICKS", "")];
        let (args, read) = read_of(file, &variables, &["--log-lag", "5"]).unwrap();
        assert_eq!((args.world.rate, args.world.seed, args.log.log_lag), (30.0, 8, 5));
        assert_eq!((args.world.ticks, args.world.paused, args.world.threads), (None, true, 0));
        assert_eq!(args.world.expect, ["a", "b"]);
        let origin = |flag: &str| read.origins.get(flag).map(ToString::to_string).unwrap_or_default();
        assert!(origin("--rate").ends_with("engine.toml:3"), "{}", origin("--rate"));
        assert_eq!((origin("--seed"), origin("--log-lag")), ("variable ENGINE_SEED".into(), "flag --log-lag".into()));
        assert_eq!(origin("--threads"), "");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let error = |file: &str, variables: &[(&str, &str)]| read_of(file, variables, &[]).unwrap_err();
        let text = error("[coordinator]\n\nrat = 30\n", &[]);
        assert_eq!(text, "engine.toml:3: [coordinator]: unknown key `rat`; is `rate` meant?");
        let text = error("[coordinator]\nrate = 'fast'\n", &[]);
        assert!(text.starts_with("engine.toml:2: coordinator.rate: invalid value 'fast' for '--rate <HZ>'"), "{text}");
        let text = error("", &[("ENGINE_LEASE", "0")]);
        assert!(text.starts_with("ENGINE_LEASE: invalid value '0'"), "{text}");
        let text = error("[coordinator]\npaused = 3\n", &[]);
        assert!(
            text.starts_with("engine.toml:2: coordinator.paused: ") && text.contains("`true` and `false`"),
            "{text}"
        );
        let text = error("coordinator = 3\n", &[]);
        assert!(text.contains("must be a table"), "{text}");
    }

    #[test]
    fn what_is_empty_is_not_given_and_flags_stand_before_the_rest() {
        let (args, read) = read_of("[coordinator]\nexpect = []\nticks = ''\n", &[("ENGINE_SEED", "")], &[]).unwrap();
        assert_eq!((args.world.expect.len(), args.world.ticks, read.origins.len()), (0, None, 0));
        let (args, _) = read_of("[coordinator]\nexpect = 'a, b,'\n", &[], &[]).unwrap();
        assert_eq!(args.world.expect, ["a", "b"]);
        let (args, _) = read_of("[coordinator]\nkeep_events = ['arena', 'shop']\n", &[], &[]).unwrap();
        assert_eq!(args.log.keep_events, ["arena", "shop"]);
        let (args, _) = read_of("", &[("ENGINE_KEEP_EVENTS", "arena")], &["--keep-events", "shop,bank"]).unwrap();
        assert_eq!(args.log.keep_events, ["shop", "bank"]);
        let arguments: Vec<OsString> = ["app", "system", "--", "steer"].map(OsString::from).into();
        assert_eq!(with(&arguments, &["--x=1".to_owned()]), ["app", "system", "--x=1", "--", "steer"]);
    }

    #[test]
    fn a_command_that_is_no_role_reads_no_file() {
        let arguments: Vec<OsString> = ["engine", "other"].map(OsString::from).into();
        let matches = Cli::command().try_get_matches_from(&arguments).unwrap();
        let nothing = |_: &str| Some("/does/not/exist".to_owned());
        assert!(read_with(Cli::command(), arguments, matches, &nothing).unwrap().file.is_none());
    }
}
