//! Compares a whole scene with the schemas of a world, before anything of it is sent.
//!
//! References between entities of the scene become *places*: numbers from 2^62 on, which no world hands out.
//! Place `2^62 + i` is the i-th entity of the file.

use std::collections::BTreeMap;

use engine_component::schema::{Schema, nearest};
use engine_net::messages::value::{Components, Value};

use super::{Part, Scene, SceneEntry, SceneError, Tree};
use crate::tool::assign::put;
use crate::tool::schemas::Schemas;

/// The first place.
const PLACES: u64 = 1 << 62;

/// The number that stands for the i-th entity of a scene.
pub(super) fn place(index: usize) -> u64 {
    PLACES + index as u64
}

/// Which entity of the scene a number stands for, if it is a place.
pub(super) fn index_of(number: u64) -> Option<usize> {
    (PLACES..1 << 63).contains(&number).then(|| (number - PLACES) as usize)
}

/// What numbers mean that no entity of the file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// They become no entity, and are counted.
    #[default]
    None,
    /// They are entities of the world.
    Keep,
}

/// A scene whose every value is one of its schema.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The entities, in the order of the file.
    pub entities: Vec<CheckedEntity>,
    /// References to numbers that no entity of the file has.
    pub outside: usize,
    /// The first of them: its line, and the number.
    pub first_outside: Option<(usize, u64)>,
}

/// An entity of a checked scene.
#[derive(Clone, Debug)]
pub struct CheckedEntity {
    /// Its line.
    pub line: usize,
    /// Component name → value; references to entities of the scene are places.
    pub components: Components,
}

/// Compares a scene with schemas.
///
/// # Errors
/// The first thing that doesn't fit, with its line.
pub fn check(scene: Scene, schemas: &Schemas, outside: Outside) -> Result<Checked, SceneError> {
    let names = Names::of(&scene)?;
    let mut checked = Checked::default();
    for entry in scene.entities {
        let line = entry.line;
        let parts = components(entry.parts, schemas)?;
        let mut components = Components::new();
        for (name, (line, mut value)) in parts {
            let schema = schemas.component(&name).map_err(|error| SceneError::new(line, error))?;
            names.resolve(schema, &mut value, line, outside, &mut checked)?;
            schema.value_to_row(&value).map_err(|error| SceneError::new(line, error))?;
            components.insert(name, value);
        }
        checked.entities.push(CheckedEntity { line, components });
    }
    Ok(checked)
}

/// What entities of a scene are called.
struct Names {
    numbers: BTreeMap<u64, usize>,
    labels: BTreeMap<String, usize>,
}

impl Names {
    fn of(scene: &Scene) -> Result<Self, SceneError> {
        let mut names = Self { numbers: BTreeMap::new(), labels: BTreeMap::new() };
        for (index, entry) in scene.entities.iter().enumerate() {
            let twice = |other: usize, what: &dyn std::fmt::Display| {
                let first: &SceneEntry = &scene.entities[other];
                let text = format!("{what} is the entity of line {} already", first.line);
                Err(SceneError::new(entry.line, text))
            };
            if let Some(number) = entry.number
                && let Some(other) = names.numbers.insert(number, index)
            {
                return twice(other, &format_args!("entity {number}"));
            }
            if let Some(label) = &entry.label
                && let Some(other) = names.labels.insert(label.clone(), index)
            {
                return twice(other, &format_args!("`{label}`"));
            }
        }
        Ok(names)
    }

    fn resolve(
        &self,
        schema: &Schema,
        value: &mut Value,
        line: usize,
        outside: Outside,
        checked: &mut Checked,
    ) -> Result<(), SceneError> {
        let mut problem = None;
        schema.for_each_entity_value(value, &mut |reference| {
            if let Some(label) = reference.as_str() {
                match self.labels.get(label) {
                    Some(index) => *reference = place(*index).into(),
                    None => {
                        problem.get_or_insert_with(|| self.no_label(schema, label));
                    }
                }
            } else if let Some(number) = reference.as_u64().filter(|number| *number != 0) {
                match (self.numbers.get(&number), outside) {
                    (Some(index), _) => *reference = place(*index).into(),
                    (None, Outside::Keep) if number < PLACES => {}
                    (None, _) => {
                        checked.outside += 1;
                        checked.first_outside.get_or_insert((line, number));
                        *reference = 0.into();
                    }
                }
            }
        });
        problem.map_or(Ok(()), |problem| Err(SceneError::new(line, problem)))
    }

    fn no_label(&self, schema: &Schema, label: &str) -> String {
        let hint = match nearest(label, self.labels.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "give it one: label = \"…\"".to_owned(),
        };
        format!("`{}` refers to `{label}`, and no entity of the scene has that label; {hint}", schema.name)
    }
}

type Found = BTreeMap<String, (usize, Value)>;

/// The components that the keys of an entity are: `arena.Position`, a table `Position` in a table `arena`, and
/// `arena.Position.at.x` are all understood.
fn components(parts: Vec<Part>, schemas: &Schemas) -> Result<Found, SceneError> {
    let mut found = Found::new();
    for part in parts {
        sort_in("", part, schemas, &mut found)?;
    }
    Ok(found)
}

fn sort_in(prefix: &str, part: Part, schemas: &Schemas, found: &mut Found) -> Result<(), SceneError> {
    let Part { key, line, tree } = part;
    let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
    if let Some(place) = schemas.split(&name) {
        let (component, path) = (place.schema.name.clone(), place.path.to_owned());
        let twice = || SceneError::new(line, format_args!("`{name}` is given twice"));
        if path.is_empty() {
            // Not one inside of the other: `a.B` and `a.B.C` may both be components.
            let before = found.insert(component, (line, tree.into_value()));
            return before.map_or(Ok(()), |_| Err(twice()));
        }
        schemas.place(&name).map_err(|error| SceneError::new(line, error))?;
        let entry = found.entry(component).or_insert_with(|| (line, Value::Object(serde_json::Map::new())));
        return put(&mut entry.1, &path, tree.into_value()).map_err(|()| twice());
    }
    match tree {
        Tree::Table(parts) if schemas.has_below(&name) => {
            parts.into_iter().try_for_each(|part| sort_in(&name, part, schemas, found))
        }
        tree => {
            // Of `[entity.arean.Position]` the whole name is said.
            let below = match &tree {
                Tree::Table(parts) if !name.contains('.') => match parts.as_slice() {
                    [only] if matches!(only.tree, Tree::Table(_)) => format!("{name}.{}", only.key),
                    _ => name.clone(),
                },
                _ => name.clone(),
            };
            let unknown = schemas.component(&below).err().unwrap_or_else(|| format!("`{below}` can't stand here"));
            Err(SceneError::new(line, unknown))
        }
    }
}
