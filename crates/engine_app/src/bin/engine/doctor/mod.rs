//! `engine doctor`: what is wrong, and what to do about it, a line for each thing that was looked at.

mod permissions;
mod server;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use engine_net::client::ConnectError;

use crate::Common;
use crate::link::Link;
use crate::output::print;

/// Looks at everything.
#[derive(Args, Debug)]
#[command(after_help = "\
Every line says `ok`, `note`, `warn` or `fail`; the exit code is 1 when one says `fail`. Nothing in the world is
changed.

Examples:
  engine doctor
  engine doctor --role system --systems steer   may this user run that system?
  engine doctor --json | jq 'select(.state != \"ok\")'")]
pub(crate) struct DoctorCommand {
    /// Whose permissions to try
    #[arg(long, value_name = "ROLE", default_value = "tool")]
    role: Role,
    /// With --role system: those that its process runs, all of them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    systems: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Who needs permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Queries, commands, the status: this program
    Tool,
    /// Queries and the status
    Viewer,
    /// Runs systems
    System,
    /// Owns the world
    Coordinator,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ok,
    /// Can't be known from here, or is worth knowing.
    Note,
    Warn,
    Fail,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was found, printed as it is found.
pub(crate) struct Findings {
    json: bool,
    failed: bool,
}

impl Findings {
    pub(crate) fn ok(&mut self, check: &str, text: impl Into<String>) -> anyhow::Result<()> {
        self.add(State::Ok, check, text, "")
    }

    /// `advice` is what to do.
    pub(crate) fn add(
        &mut self,
        state: State,
        check: &str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> anyhow::Result<()> {
        let (text, advice) = (text.into(), advice.into());
        self.failed |= state == State::Fail;
        if self.json {
            let line = serde_json::json!({"state": state.word(), "check": check, "text": text, "advice": advice});
            return print(&format!("{line}\n"));
        }
        let arrow = if advice.is_empty() { String::new() } else { format!("\n                     → {advice}") };
        print(&format!("{:<5} {check:<14} {text}{arrow}\n", state.word()))
    }
}

impl DoctorCommand {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut findings = Findings { json: self.common.json, failed: false };
        self.look(&mut findings).await?;
        Ok(if findings.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn look(&self, findings: &mut Findings) -> anyhow::Result<()> {
        let mut config = match self.common.connection.resolve() {
            Ok(config) => config,
            Err(error) => {
                return findings.add(State::Fail, "configuration", error.to_string(), "mend it, and ask again");
            }
        };
        // A doctor doesn't wait for a server: that it isn't there is the finding.
        config.wait_for_server = false;
        findings.ok(
            "configuration",
            format!("servers {}, world `{}`, prefix `{}`", config.servers(), config.world, config.prefix),
        )?;
        let link = match Link::connect(&config, self.common.timeout.min(Duration::from_secs(5))).await {
            Ok(link) => link,
            Err(error) => return refused(findings, &error),
        };
        server::look(findings, &link, &config).await?;
        permissions::look(findings, &link, self.role, &self.systems).await?;
        world::look(findings, &link).await
    }
}

/// The error's own words say what to do behind the last semicolon.
fn refused(findings: &mut Findings, error: &ConnectError) -> anyhow::Result<()> {
    let check = match error {
        ConnectError::NoServer { .. } | ConnectError::Address { .. } => "server",
        ConnectError::Refused { .. } | ConnectError::File { .. } => "credentials",
        ConnectError::TooOld { .. } => "version",
        ConnectError::Tls { .. } => "tls",
        _ => "connection",
    };
    let text = error.to_string();
    let (what, advice) = text.rsplit_once("; ").unwrap_or((&text, ""));
    findings.add(State::Fail, check, what, advice)
}

/// Names in a row, not too many.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
