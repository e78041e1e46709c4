//! `engine command`: a command that a system of the world, or a service beside it, answers.

use anyhow::{anyhow, bail};
use clap::Args;
use engine_app::tool::assign;
use engine_component::msgpack;
use engine_component::schema::json_of;
use engine_net::envelope::{Content, Envelope};
use engine_net::handled::command_name;
use engine_net::messages::Problem;
use engine_net::strict;

use crate::Common;
use crate::link::{Link, NAME};
use crate::output::print;

/// Bytes of a refusal, at the most.
const MAX_PROBLEM: usize = 1 << 20;

/// Gives a command.
#[derive(Args, Debug)]
#[command(after_help = "\
The answer is JSON; it is printed when what the command did is durable. A command with the same --id is the same
command: it is done once, and gets the same answer. `engine spawn`, `set` and others give the engine's own commands.

Examples:
  engine command yard.robot.send robot=3 to.x=4 to.y=2
  engine command yard.robot.send '{\"robot\": 3, \"to\": {\"x\": 4, \"y\": 2}}'")]
pub(crate) struct GiveCommand {
    /// Domain, aggregate and action
    #[arg(value_name = "DOMAIN.AGGREGATE.ACTION")]
    name: String,
    /// Its fields: FIELD=VALUE for each, or all of them as JSON
    #[arg(value_name = "FIELD=VALUE|JSON")]
    fields: Vec<String>,
    /// Its id, a UUID; without one it has a new one
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl GiveCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Some(name) =
            command_name(&self.name).filter(|name| name.iter().all(|token| engine_net::name::is_token(token)))
        else {
            bail!(
                "`{}` is no name of such a command: it has a domain other than `world`, an aggregate and an action, as \
                 `yard.robot.send`",
                self.name
            );
        };
        let value = assign::fields(&self.fields).map_err(anyhow::Error::msg)?;
        let mut envelope = Envelope { content: Content::Json, ..Envelope::new(NAME, &self.name) };
        if let Some(id) = self.id {
            envelope.id = id;
            if envelope.uuid().is_none() {
                bail!("`{}` is no id: a UUID is expected, in small letters with hyphens", envelope.id);
            }
        }
        let link = Link::open(&self.common).await?;
        let answer = link.give(name, &envelope, value.to_string().into_bytes()).await?;
        let unreadable = || anyhow!("the answer to `{}` can't be read; are both of one version?", self.name);
        if let Some(problem) = msgpack::entry(&answer, "error") {
            let problem: Problem = strict::decode(problem, MAX_PROBLEM).map_err(|_| unreadable())?;
            bail!("{problem} ({})", problem.code);
        }
        let answer = msgpack::entry(&answer, "ok").and_then(|answer| json_of(answer).ok()).ok_or_else(unreadable)?;
        print(&format!("{answer}\n"))
    }
}
