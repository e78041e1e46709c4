//! `engine components`: what can be queried and spawned.

use clap::Args;
use engine_app::tool::table::Table;

use crate::Common;
use crate::link::Link;
use crate::output::{print, print_json};

const EXAMPLES: &str = "\
Components, events and resources come with the systems that use them.

Examples:
  engine components
  engine components arena.Position
  engine components --json | jq .name";

/// Lists components.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ComponentsCommand {
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl ComponentsCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let schemas = link.schemas().await?;
        for name in &self.names {
            schemas.component(name).map_err(anyhow::Error::msg)?;
        }
        let wanted = schemas.iter().filter(|schema| self.names.is_empty() || self.names.contains(&schema.name));
        if self.common.json {
            return wanted.map(serde_json::to_value).try_for_each(|value| print_json(&value?));
        }
        if schemas.is_empty() {
            return print("the world knows no components yet: they come with the systems\n");
        }
        let mut table = Table::new(["component", "kind", "field", "type", "default"]);
        for schema in wanted {
            let kind = schema.kind.as_str();
            if schema.fields.is_empty() {
                table.row([schema.name.as_str(), kind]);
            }
            for (index, field) in schema.fields.iter().enumerate() {
                let (name, kind) = if index == 0 { (schema.name.as_str(), kind) } else { ("", "") };
                let ty = field.ty.to_string();
                let default = field.default.as_ref().map(ToString::to_string).unwrap_or_default();
                // A component that is nothing but a value has a field without a name.
                let field = if field.name == "0" { "" } else { &field.name };
                table.row([name, kind, field, ty.trim_matches('"'), &default]);
            }
        }
        print(&table.take())
    }
}
