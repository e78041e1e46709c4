//! `engine spawn`, `set` and `despawn`: commands that change the world.

use anyhow::bail;
use clap::Args;
use engine_app::tool::assign;
use engine_app::tool::schemas::Schemas;
use engine_component::Entity;
use engine_net::messages::command::{Action, Done, Expected};
use engine_net::messages::value::Components;
use engine_net::strict;

use crate::Common;
use crate::link::Link;
use crate::output::{count, print, print_json};

/// Entities of one `despawn`, at the most.
const MAX_DESPAWN: usize = 16 * 1024;
/// Entities of one `spawn`, at the most.
const MAX_SPAWN: u32 = 1_000_000;

/// Makes entities.
#[derive(Args, Debug)]
#[command(after_help = "\
A value is JSON, or what may stand behind `=` in TOML, or plain text. Fields that are not given get their
defaults. `engine components` lists components and fields.

Examples:
  engine spawn 'arena.Position={\"at\":{\"x\":1,\"y\":2}}' arena.Wounded
  engine spawn 'arena.Position={at={x=1,y=2}}'
  engine spawn arena.Position.at.x=1 arena.Position.at.y=2
  engine spawn arena.Pillar.at='{x=0,y=0}' arena.Pillar.radius=3 --count 10")]
pub(crate) struct SpawnCommand {
    /// Components: COMPONENT, COMPONENT=VALUE or COMPONENT.FIELD=VALUE
    #[arg(value_name = "COMPONENT[=VALUE]", required = true)]
    components: Vec<String>,
    /// So many of them, all alike
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SPAWN)))]
    count: u32,
    #[command(flatten)]
    common: Common,
}

/// Changes an entity.
#[derive(Args, Debug)]
#[command(after_help = "\
A field changes alone; a component that is given whole replaces the old one, or is added.

Examples:
  engine set 42 arena.Position.at.x=3
  engine set 42 arena.Health.points=100 arena.Team.number=2
  engine set 42 'arena.Velocity={\"by\":{\"x\":0,\"y\":0}}'
  engine set 42 arena.Wounded                 add a tag
  engine set 42 --remove arena.Wounded        and take it away
  engine set 42 arena.Health.points=100 --expect arena.Health=1f0c2a3b4c5d6e7f
                                              only if it is still what `engine query --versions` showed")]
pub(crate) struct SetCommand {
    /// The entity
    #[arg(value_name = "ENTITY", value_parser = entity)]
    entity: Entity,
    /// Components: COMPONENT.FIELD=VALUE, COMPONENT=VALUE or COMPONENT
    #[arg(value_name = "COMPONENT[=VALUE]", required_unless_present = "remove")]
    components: Vec<String>,
    /// Take this component away; may be given several times
    #[arg(long, value_name = "COMPONENT")]
    remove: Vec<String>,
    /// Only if the entity's component has this version (`none`: only if it has no such component); may be given
    /// several times
    #[arg(long, value_name = "COMPONENT=VERSION", value_parser = expected)]
    expect: Vec<(String, Option<String>)>,
    #[command(flatten)]
    common: Common,
}

/// Removes entities.
#[derive(Args, Debug)]
#[command(after_help = "\
All of them or, when one does not exist, none.

Examples:
  engine despawn 42
  engine despawn 42 43 44
  engine query --without arena.Team --json | jq .entity | xargs engine despawn")]
pub(crate) struct DespawnCommand {
    /// The entities
    #[arg(value_name = "ENTITY", required = true, value_parser = entity)]
    entities: Vec<Entity>,
    #[command(flatten)]
    common: Common,
}

/// An entity, as it is written.
pub(crate) fn entity(text: &str) -> Result<Entity, String> {
    let number = text.parse::<u64>().ok().filter(|number| *number > 0);
    number.map(Entity::from_bits).ok_or_else(|| "an entity is a number from 1, as `engine query` shows it".to_owned())
}

fn expected(text: &str) -> Result<(String, Option<String>), String> {
    let is_version = |version: &str| version.len() == 16 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.split_once('=') {
        Some((name, "none")) => Ok((name.to_owned(), None)),
        Some((name, version)) if is_version(version) => Ok((name.to_owned(), Some(version.to_ascii_lowercase()))),
        _ => Err("COMPONENT=VERSION is expected, as `engine query --versions` shows it, or COMPONENT=none".to_owned()),
    }
}

impl SpawnCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let schemas = link.schemas().await?;
        let components = assign::parse(&self.components, &schemas).map_err(anyhow::Error::msg)?.into_components();
        check(&components, &schemas)?;
        let size = strict::encode(&components).len() + 8;
        if size * self.count as usize > link.command_limit() {
            bail!(
                "{} of {size} bytes are more than one command may have ({} bytes); spawn at most {} at once",
                count(self.count as usize, "entity", "entities"),
                link.command_limit(),
                link.command_limit() / size
            );
        }
        let entities = vec![components; self.count as usize];
        let done = link.command(Action::Spawn { entities }).await?;
        say(&self.common, "spawned", &done.entities, &done)
    }
}

impl SetCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let schemas = link.schemas().await?;
        let assigned = assign::parse(&self.components, &schemas).map_err(anyhow::Error::msg)?;
        check(&assigned.whole, &schemas)?;
        for name in &self.remove {
            schemas.component(name).map_err(anyhow::Error::msg)?;
        }
        let entity = self.entity;
        let mut actions = Vec::new();
        if !assigned.fields.is_empty() {
            actions.push(Action::Set { entity, components: assigned.fields });
        }
        if !assigned.whole.is_empty() {
            actions.push(Action::Insert { entity, components: assigned.whole });
        }
        if !self.remove.is_empty() {
            actions.push(Action::Remove { entity, components: self.remove });
        }
        let mut last = Done::default();
        let mut before: Vec<&str> = Vec::new();
        for action in actions {
            let word = match &action {
                Action::Set { .. } => "the fields are set",
                Action::Insert { .. } => "the components are set",
                _ => "",
            };
            // What the others find is what the first one has made.
            let expect = if before.is_empty() { self.expect.iter().cloned().collect() } else { Expected::new() };
            last = link.command_expecting(action, expect).await.map_err(|error| {
                if before.is_empty() { error } else { anyhow::anyhow!("{error}; but {}", before.join(", ")) }
            })?;
            before.push(word);
        }
        say(&self.common, "changed", &[entity], &last)
    }
}

impl DespawnCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if self.entities.len() > MAX_DESPAWN {
            bail!("{} entities in one command; {MAX_DESPAWN} at the most", self.entities.len());
        }
        let link = Link::open(&self.common).await?;
        let done = link.command(Action::Despawn { entities: self.entities.clone() }).await?;
        say(&self.common, "despawned", &self.entities, &done)
    }
}

/// What can be known here is said here, with the names of fields.
fn check(components: &Components, schemas: &Schemas) -> anyhow::Result<()> {
    for (name, value) in components {
        schemas.component(name).map_err(anyhow::Error::msg)?.value_to_row(value)?;
    }
    Ok(())
}

fn say(common: &Common, what: &str, entities: &[Entity], done: &Done) -> anyhow::Result<()> {
    let numbers: Vec<u64> = entities.iter().map(|entity| entity.to_bits()).collect();
    if common.json {
        return print_json(&serde_json::json!({"tick": done.tick, "entities": numbers}));
    }
    let which = match numbers.as_slice() {
        [one] => format!("entity {one}"),
        [first, .., last] if last - first + 1 == numbers.len() as u64 => {
            format!("{} entities, {first} to {last}", numbers.len())
        }
        many => {
            format!("{} entities: {}", many.len(), many.iter().map(u64::to_string).collect::<Vec<_>>().join(" "))
        }
    };
    print(&format!("{what} {which}, in tick {}\n", done.tick))
}
