//! `engine config`: which settings there are, and what they come to.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory, Subcommand};
use engine_app::SystemArgs;
use engine_app::config::{self, Read};
use engine_app::tool::table::Table;
use engine_net::config::Effective;
use serde_json::json;

use crate::coordinator::CoordinatorCommand;
use crate::output::{print, print_json};

const EXAMPLES: &str = "\
Defaults < context of the `nats` command < file < variables < flags. The file is that of --config, or ENGINE_CONFIG.

Examples:
  engine config show                                  of a coordinator, as it would be started from here
  engine config show coordinator --rate 30            with flags
  engine config show system --config fleet.toml --json
  engine config schema > engine.schema.json           for editors that check TOML files";

/// Shows settings.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The effective value of every setting, and where it comes from; secrets are not shown
    Show(Show),
    /// The shape of a configuration file, as JSON Schema
    Schema,
}

#[derive(Args, Debug)]
struct Show {
    #[command(subcommand)]
    role: Option<Role>,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Of a process that owns a world
    Coordinator(Box<CoordinatorCommand>),
    /// Of a process that runs systems
    System(Box<SystemArgs>),
}

/// The commands of all roles, as their tables in a file are read.
fn roles() -> Vec<(&'static str, Command)> {
    let built = |mut command: Command| {
        command.build();
        command
    };
    vec![
        ("coordinator", built(CoordinatorCommand::augment_args(Command::new("coordinator")))),
        ("system", built(SystemArgs::augment_args(Command::new("system")))),
    ]
}

impl ConfigCommand {
    pub(crate) fn run(self, read: &Read) -> anyhow::Result<ExitCode> {
        let show = match self.what {
            What::Schema => {
                print(&format!("{:#}\n", config::schema::schema(&roles())))?;
                return Ok(ExitCode::SUCCESS);
            }
            What::Show(show) => show,
        };
        let connection = match &show.role {
            // As if it had been said.
            None => return crate::start(std::env::args_os().chain(["coordinator".into()])),
            Some(Role::Coordinator(command)) => command.connection(),
            Some(Role::System(args)) => &args.connection,
        };
        let settings = config::show::effective(crate::Cli::command(), read, connection, &roles())?;
        if show.json {
            let settings = settings.iter().map(|setting| {
                let Effective { table, key, value, origin } = setting;
                json!({ "table": table, "key": key, "value": value, "from": origin.to_string() })
            });
            print_json(&settings.collect())?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["setting", "value", "from"]);
        for Effective { table: section, key, value, origin } in settings {
            let name = section.map_or_else(|| key.clone(), |section| format!("{section}.{key}"));
            table.row([name, value.unwrap_or_else(|| "-".to_owned()), origin.to_string()]);
        }
        print(&table.take())?;
        Ok(ExitCode::SUCCESS)
    }
}
