//! `engine query`: entities and their components, as they stream in.

use anyhow::bail;
use clap::Args;
use engine_app::tool::query_text::{self, Query};
use engine_app::tool::schemas::Schemas;
use engine_app::tool::table::Table;
use engine_component::schema::{Field, FieldType};
use engine_component::{Entity, StorageKind};
use engine_net::messages::query::{MAX_ENTITIES, QueryRow};
use engine_net::messages::value::Value;

use crate::Common;
use crate::change::entity;
use crate::link::Link;
use crate::output::{count, print};

/// A struct with more parts than this is one column.
const MAX_COLUMNS: usize = 8;

/// Finds entities.
#[derive(Args, Debug)]
#[command(after_help = "\
The query names what to show, separated by commas:
  arena.Position        entities must have it, and it is shown
  arena.Position.at.x   the same, and only this field is shown
  ?arena.Chronicle      shown where an entity has it
  !arena.Wounded        entities must not have it
Nothing to show means all components. Rows come in pages, each of one tick: while the world runs, an entity that
is changed between two pages may be missing or come twice; `engine pause` it for an exact list. With --json a row is a line that `engine scene load` reads.

Examples:
  engine query 'arena.Position, ?arena.Chronicle.name' --with arena.Team --without arena.Wounded
  engine query 'arena.Health.points' --where 'arena.Health.points < 20' --limit 5
  engine query --entity 42                      everything that entity 42 has
  engine query arena.Team --json | jq .entity
  engine query arena.Team --count")]
pub(crate) struct QueryCommand {
    /// What to show
    #[arg(value_name = "QUERY", default_value = "", hide_default_value = true)]
    query: String,
    /// Only entities with this component; may be given several times
    #[arg(long, value_name = "COMPONENT")]
    with: Vec<String>,
    /// Only entities without it; may be given several times
    #[arg(long, value_name = "COMPONENT")]
    without: Vec<String>,
    /// Only where this holds: FIELD, one of == != < <= > >=, VALUE; may be given several times
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Only these entities; may be given several times
    #[arg(long, value_name = "ENTITY", value_parser = entity, value_delimiter = ',')]
    entity: Vec<Entity>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show of each value which version it is, for `engine set --expect`
    #[arg(long)]
    versions: bool,
    /// Print only how many there are
    #[arg(long)]
    count: bool,
    #[command(flatten)]
    common: Common,
}

impl QueryCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if self.entity.len() > MAX_ENTITIES {
            bail!("{} entities in one query; {MAX_ENTITIES} at the most", self.entity.len());
        }
        let link = Link::open(&self.common).await?;
        let schemas = link.schemas().await?;
        let Query { mut request, shown } =
            query_text::parse(&self.query, &self.with, &self.without, &self.conditions, &schemas)
                .map_err(anyhow::Error::msg)?;
        request.entities.clone_from(&self.entity);
        request.versions = self.versions;
        if self.count && request.fields.is_empty() {
            // Nothing is shown, so nothing has to travel: any component will do.
            request.fields.extend(schemas.iter().next().map(|schema| schema.name.clone()));
        }
        let mut out = Output::new(&self, &shown, &schemas);
        let mut rows = 0_u64;
        let limit = self.limit.unwrap_or(u64::MAX);
        let mut more = limit > 0;
        while more {
            request.page_rows = u32::try_from(limit - rows).unwrap_or(u32::MAX).min(MAX_PAGE);
            let page = link.query(&request).await?;
            more = page.next.is_some();
            // The same place again would be asked for for ever.
            if more && page.next == request.cursor {
                bail!("the coordinator sends the same page again and again");
            }
            request.cursor = page.next;
            rows += page.rows.len() as u64;
            out.rows(&page.rows)?;
            if rows >= limit {
                break;
            }
        }
        out.end(rows, more)
    }
}

/// Rows of a page; the coordinator bounds its bytes.
const MAX_PAGE: u32 = 1024;

enum Output {
    Json,
    Count {
        json: bool,
    },
    Table {
        table: Table,
        columns: Vec<Column>,
    },
    /// An entity, and a line for each of its components.
    Blocks,
}

/// A column: a component, and the way to a value inside of it.
struct Column {
    component: String,
    path: Vec<String>,
    tag: bool,
}

impl Output {
    fn new(command: &QueryCommand, shown: &[String], schemas: &Schemas) -> Self {
        if command.count {
            return Self::Count { json: command.common.json };
        }
        if command.common.json {
            return Self::Json;
        }
        if shown.is_empty() {
            return Self::Blocks;
        }
        let columns: Vec<Column> = shown.iter().flat_map(|name| columns(name, schemas)).collect();
        let header = columns.iter().map(|column| {
            let names = std::iter::once(column.component.as_str()).chain(column.path.iter().map(String::as_str));
            names.collect::<Vec<_>>().join(".")
        });
        Self::Table { table: Table::new(std::iter::once("entity".to_owned()).chain(header)), columns }
    }

    fn rows(&mut self, rows: &[QueryRow]) -> anyhow::Result<()> {
        match self {
            Self::Count { .. } => Ok(()),
            Self::Json => {
                let mut text = String::new();
                for row in rows {
                    text.push_str(&line(row)?);
                }
                print(&text)
            }
            Self::Table { table, columns } => {
                for row in rows {
                    let cells = columns.iter().map(|column| column.cell(row));
                    table.row(std::iter::once(row.entity.to_bits().to_string()).chain(cells));
                }
                if rows.is_empty() { Ok(()) } else { print(&table.take()) }
            }
            Self::Blocks => {
                let mut text = String::new();
                for row in rows {
                    text.push_str(&format!("entity {}\n", row.entity.to_bits()));
                    for (name, value) in &row.components {
                        text.push_str(format!("  {name} {}", compact(value)).trim_end());
                        if let Some(version) = row.versions.get(name) {
                            text.push_str(&format!("   version {version}"));
                        }
                        text.push('\n');
                    }
                }
                print(&text)
            }
        }
    }

    fn end(self, rows: u64, more: bool) -> anyhow::Result<()> {
        match self {
            Self::Count { json: true } => print(&format!("{{\"count\":{rows}}}\n")),
            Self::Count { json: false } => print(&format!("{rows}\n")),
            Self::Json => Ok(()),
            Self::Table { .. } | Self::Blocks => {
                // On standard error: what is piped on is rows alone.
                match (rows, more) {
                    (0, _) => eprintln!("no entity matches"),
                    (rows, true) => eprintln!("{}, and there are more", count(rows as usize, "entity", "entities")),
                    (rows, false) => eprintln!("{}", count(rows as usize, "entity", "entities")),
                }
                Ok(())
            }
        }
    }
}

/// A row as a line of JSON, as scenes have it.
fn line(row: &QueryRow) -> anyhow::Result<String> {
    let mut text = format!("{{\"entity\":{}", row.entity.to_bits());
    for (name, value) in &row.components {
        text.push_str(&format!(",{}:{}", Value::from(name.as_str()), serde_json::to_string(value)?));
    }
    if !row.versions.is_empty() {
        text.push_str(&format!(",\"versions\":{}", serde_json::to_string(&row.versions)?));
    }
    text.push_str("}\n");
    Ok(text)
}

/// The columns of what is to be shown: one for each number, as long as they are few.
fn columns(name: &str, schemas: &Schemas) -> Vec<Column> {
    let Some(place) = schemas.split(name) else { return Vec::new() };
    let steps: Vec<String> = place.path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect();
    let column = |path: Vec<String>| Column {
        component: place.schema.name.clone(),
        path,
        tag: place.schema.kind == StorageKind::Tag,
    };
    let mut fields: &[Field] = &place.schema.fields;
    for step in &steps {
        let ty = fields.iter().find(|field| field.name == *step).map(|field| &field.ty);
        fields = if let Some(FieldType::Struct(inner)) = ty { inner } else { &[] };
    }
    let mut paths = Vec::new();
    leaves(fields, &steps, &mut paths);
    if paths.is_empty() || paths.len() > MAX_COLUMNS {
        return vec![column(steps)];
    }
    paths.into_iter().map(column).collect()
}

fn leaves(fields: &[Field], before: &[String], out: &mut Vec<Vec<String>>) {
    for field in fields {
        // A component that is nothing but a value has one field without a name.
        let unnamed = field.name == "0";
        let path: Vec<String> = before.iter().cloned().chain((!unnamed).then(|| field.name.clone())).collect();
        match &field.ty {
            FieldType::Struct(inner) => leaves(inner, &path, out),
            _ => out.push(path),
        }
    }
}

impl Column {
    fn cell(&self, row: &QueryRow) -> String {
        let Some(whole) = row.components.get(&self.component) else { return String::new() };
        if self.tag {
            return "yes".into();
        }
        let value = self.path.iter().try_fold(whole, |value, step| value.get(step));
        value.map(compact).unwrap_or_default()
    }
}

/// A value in few letters; text without quotes.
fn compact(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(map) if map.is_empty() => String::new(),
        value => value.to_string(),
    }
}
