//! `engine audit`: who gave a world what, from its log.

use clap::Args;
use engine_app::past::Past;
use engine_app::past::audit::{What, When, audit};
use engine_app::record::Input;
use engine_app::tool::table::Table;
use engine_net::config::ConnectionArgs;
use engine_net::messages::command::Action;
use serde_json::{Value, json};

use crate::output::print;

/// Lines that are aligned with each other.
const PAGE: usize = 256;

/// What a world was given.
#[derive(Args, Debug)]
#[command(after_help = "\
Commands, also those that were refused when their turn came, with the identity of who gave them; run-time settings; types
and systems that joined; reigns. Each record's place in the chain is verified. The log goes back to its oldest keyframe
(`engine snapshot list`).

Examples:
  engine audit
  engine audit --from 1000 --to 2000
  engine audit --by alice --json | jq .action")]
pub(crate) struct AuditCommand {
    /// The first tick; the oldest that the log has, when it is not given
    #[arg(long, value_name = "TICK", default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// The last tick; the end of the log, when it is not given
    #[arg(long, value_name = "TICK", default_value_t = u64::MAX, hide_default_value = true)]
    to: u64,
    /// Only commands of this identity
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON, a line for each, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl AuditCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let past = Past::open(&self.connection.resolve()?)?;
        let (mut table, mut rows, mut any) = (Table::new(["tick", "by", "what", "id"]), 0, false);
        audit(&past, self.from, self.to, |when, event| {
            if !self.is_wanted(event) {
                return Ok(());
            }
            any = true;
            if self.json {
                return print(&format!("{}\n", as_json(when, event)));
            }
            let (by, what, id) = in_words(when, event);
            table.row([when.tick.to_string(), by, what, id]);
            rows += 1;
            if rows % PAGE == 0 { print(&table.take()) } else { Ok(()) }
        })?;
        if !any {
            eprintln!("nothing was given to world `{}` in these ticks, as far as its log goes back", past.world());
            return Ok(());
        }
        if self.json || rows % PAGE == 0 { Ok(()) } else { print(&table.take()) }
    }

    fn is_wanted(&self, event: &What) -> bool {
        let Some(wanted) = &self.by else { return true };
        match event {
            What::Given(Input::Command { by, .. } | Input::Refused { by, .. } | Input::Given { by, .. }) => {
                by.as_ref() == Some(wanted)
            }
            _ => false,
        }
    }
}

/// Who, what, and under which id.
fn in_words(when: When, event: &What) -> (String, String, String) {
    let named = |by: &Option<String>| by.clone().unwrap_or_else(|| "-".to_owned());
    match event {
        What::Reign => ("-".into(), format!("epoch {} begins", when.epoch), String::new()),
        What::Given(Input::Command { id, by, action }) => (named(by), done(action), id.clone()),
        What::Given(Input::Given { id, by, command, row }) => {
            (named(by), format!("{command} ({} bytes)", row.as_ref().len()), id.clone())
        }
        What::Given(Input::Refused { id, by, problem }) => {
            (named(by), format!("refused ({}): {}", problem.code, problem.message), id.clone())
        }
        What::Given(Input::Setting { revision, setting }) => {
            ("-".into(), format!("{} = {}, revision {revision}", setting.key().name(), setting.value()), String::new())
        }
        What::Given(Input::Arrived { schemas, systems }) => {
            let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let schemas = names(schemas.iter().map(|schema| schema.name.as_str()).collect());
            let systems = names(systems.iter().map(|system| system.name.as_str()).collect());
            ("-".into(), format!("systems that joined: {systems}; types: {schemas}"), String::new())
        }
    }
}

fn done(action: &Action) -> String {
    let (aggregate, word) = action.subject();
    let mut text = format!("{aggregate} {word}");
    match action {
        Action::Set { entity, .. } | Action::Insert { entity, .. } | Action::Remove { entity, .. } => {
            text += &format!(" {}", entity.to_bits());
        }
        Action::Despawn { entities } => text += &format!(" ({} entities)", entities.len()),
        Action::Spawn { entities } => text += &format!(" ({} entities)", entities.len()),
        Action::SceneLoad { entities } => text += &format!(" ({} entities)", entities.len()),
        Action::Step { ticks } => text += &format!(" {ticks}"),
        Action::Speed { factor } => text += &format!(" {factor}"),
        Action::Pause {} | Action::Resume {} => {}
    }
    let mut names: Vec<&str> = action.components().collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        text += &format!(": {}", names.join(", "));
    }
    text
}

fn as_json(when: When, event: &What) -> Value {
    let mut line = match event {
        What::Reign => json!({ "what": "reign" }),
        What::Given(Input::Command { id, by, action }) => {
            json!({ "what": "command", "id": id, "by": by, "action": action })
        }
        What::Given(Input::Given { id, by, command, row }) => {
            json!({ "what": "given", "id": id, "by": by, "command": command, "bytes": row.as_ref().len() })
        }
        What::Given(Input::Refused { id, by, problem }) => {
            json!({ "what": "refused", "id": id, "by": by, "code": problem.code, "message": problem.message })
        }
        What::Given(Input::Setting { revision, setting }) => {
            let (key, value) = (setting.key().name(), setting.value());
            json!({ "what": "setting", "key": key, "value": value, "revision": revision })
        }
        What::Given(Input::Arrived { schemas, systems }) => json!({
            "what": "arrived",
            "systems": systems.iter().map(|system| &system.name).collect::<Vec<_>>(),
            "types": schemas.iter().map(|schema| &schema.name).collect::<Vec<_>>(),
        }),
    };
    (line["tick"], line["epoch"]) = (when.tick.into(), when.epoch.into());
    line
}
