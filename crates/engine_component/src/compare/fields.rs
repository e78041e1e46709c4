//! What differs in an entity: its components, and their fields by the schemas of both worlds.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ComponentDifference, EntityDifference, FieldDifference, MAX_FIELDS, SchemaDifference, Shown, Whose};
use crate::schema::{Schema, SchemaDiff};
use crate::table::Table;
use crate::world::World;
use crate::{ComponentId, Entity};

/// Bytes of a value that is shown, at the most.
const SHOWN_BYTES: usize = 512;

/// What both worlds know of each component.
pub(super) struct Pairs {
    /// Whether both have the same schema of it.
    same: BTreeMap<ComponentId, bool>,
}

impl Pairs {
    pub(super) fn of(a: &World, b: &World) -> Self {
        let ids = a.registry().iter().chain(b.registry().iter()).map(|info| info.id);
        let hash = |world: &World, id| world.schema(id).map(Schema::hash);
        Self { same: ids.map(|id| (id, hash(a, id) == hash(b, id))).collect() }
    }

    pub(super) fn is_same(&self, component: ComponentId) -> bool {
        self.same.get(&component).copied().unwrap_or_default()
    }

    /// Components whose schemas differ, by name.
    pub(super) fn differences(&self, a: &World, b: &World) -> Vec<SchemaDifference> {
        let differing = self.same.iter().filter(|(_, same)| !**same);
        let difference = |id: &ComponentId| {
            let (whose, known, diff) = match (a.schema(*id), b.schema(*id)) {
                (Some(a), Some(b)) => (Whose::Both, a, Some(SchemaDiff::between(a, b))),
                (Some(a), None) => (Whose::A, a, None),
                (None, b) => (Whose::B, b?, None),
            };
            Some(SchemaDifference { component: known.name.clone(), whose, diff })
        };
        let mut differences: Vec<_> = differing.filter_map(|(id, _)| difference(id)).collect();
        differences.sort_by(|a, b| a.component.cmp(&b.component));
        differences
    }

    /// Whether two rows of a component differ.
    pub(super) fn differ(&self, a: &World, b: &World, component: ComponentId, left: &[u8], right: &[u8]) -> bool {
        if !self.is_same(component) {
            return !fields_of(a, b, component, left, right).0.is_empty();
        }
        left != right
            && a.registry()
                .get(component)
                .is_none_or(|info| !crate::hash::same_but_for_nan(left, right, &info.float_lanes))
    }
}

/// The bytes of a component in both, those of who has none left out.
type InBoth<'a> = (ComponentId, Option<&'a [u8]>, Option<&'a [u8]>);

/// The components of an entity that any of both has, by id.
pub(super) fn components_of<'a>(
    a: Option<(&'a Table, usize)>,
    b: Option<(&'a Table, usize)>,
) -> impl Iterator<Item = InBoth<'a>> {
    let columns = |place: Option<(&'a Table, usize)>| {
        place.into_iter().flat_map(|(table, row)| {
            table.components().iter().zip(table.columns()).map(move |(id, column)| (*id, column.row(row)))
        })
    };
    let (mut a, mut b) = (columns(a).peekable(), columns(b).peekable());
    std::iter::from_fn(move || {
        let next = a.peek().into_iter().chain(b.peek()).map(|(id, _)| *id).min()?;
        let left = a.next_if(|(id, _)| *id == next).map(|(_, bytes)| bytes);
        let right = b.next_if(|(id, _)| *id == next).map(|(_, bytes)| bytes);
        Some((next, left, right))
    })
}

/// What differs in an entity of which something does.
pub(super) fn describe(a: &World, b: &World, pairs: &Pairs, entity: Entity) -> EntityDifference {
    let place = |world: &'_ World| world.location(entity).map(|at| (at.table, at.row as usize));
    let left = place(a).map(|(table, row)| (a.table(table), row));
    let right = place(b).map(|(table, row)| (b.table(table), row));
    let mut components = Vec::new();
    for (component, left, right) in components_of(left, right) {
        let whole = |a, b| (vec![FieldDifference { path: String::new(), a, b }], 0);
        let (whose, (fields, more)) = match (left, right) {
            (Some(left), Some(right)) if pairs.differ(a, b, component, left, right) => {
                (Whose::Both, fields_of(a, b, component, left, right))
            }
            (Some(_), Some(_)) => continue,
            (Some(left), None) => (Whose::A, whole(shown_row(a, component, left), Shown::Absent)),
            (None, right) => (Whose::B, whole(Shown::Absent, shown_row(b, component, right.unwrap_or_default()))),
        };
        let name = if whose == Whose::B { b } else { a }.registry().name(component);
        components.push(ComponentDifference { component: name, whose, fields, more });
    }
    let whose = match (left, right) {
        (Some(_), None) => Whose::A,
        (None, _) => Whose::B,
        (Some(_), Some(_)) => Whose::Both,
    };
    EntityDifference { entity, whose, components }
}

fn value_of(world: &World, component: ComponentId, bytes: &[u8]) -> Option<Value> {
    world.schema(component)?.row_to_value(bytes).ok()
}

fn shown_row(world: &World, component: ComponentId, bytes: &[u8]) -> Shown {
    let short = Some(bytes).filter(|bytes| bytes.len() <= SHOWN_BYTES);
    short.and_then(|bytes| value_of(world, component, bytes)).map_or(Shown::Bytes(bytes.len()), |value| shown(&value))
}

/// The fields that differ, and how many more. None when the values are the same.
fn fields_of(a: &World, b: &World, component: ComponentId, left: &[u8], right: &[u8]) -> (Vec<FieldDifference>, usize) {
    let bytes = || FieldDifference { path: String::new(), a: Shown::Bytes(left.len()), b: Shown::Bytes(right.len()) };
    let mut walk = Walk { fields: Vec::new(), more: 0 };
    match (value_of(a, component, left), value_of(b, component, right)) {
        (Some(one), Some(other)) => {
            walk.value(&mut String::new(), &one, &other);
            let same_schema = a.schema(component) == b.schema(component);
            if walk.fields.is_empty() && same_schema && left != right {
                walk.fields.push(bytes());
            }
        }
        // What the schema can't read is compared as it is.
        _ if left != right => walk.fields.push(bytes()),
        _ => {}
    }
    (walk.fields, walk.more)
}

struct Walk {
    fields: Vec<FieldDifference>,
    more: usize,
}

impl Walk {
    fn value(&mut self, path: &mut String, a: &Value, b: &Value) {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                for (key, value) in a {
                    self.part(path, &|path| field(path, key), Some(value), b.get(key));
                }
                for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                    self.part(path, &|path| field(path, key), None, Some(value));
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                for index in 0..a.len().max(b.len()) {
                    let place = |path: &mut String| *path += &format!("[{index}]");
                    self.part(path, &place, a.get(index), b.get(index));
                }
            }
            _ if same(a, b) => {}
            _ => self.add(path, Some(a), Some(b)),
        }
    }

    fn part(&mut self, path: &mut String, step: &dyn Fn(&mut String), a: Option<&Value>, b: Option<&Value>) {
        let length = path.len();
        step(path);
        match (a, b) {
            (Some(a), Some(b)) => self.value(path, a, b),
            _ => self.add(path, a, b),
        }
        path.truncate(length);
    }

    fn add(&mut self, path: &str, a: Option<&Value>, b: Option<&Value>) {
        if self.fields.len() == MAX_FIELDS {
            self.more += 1;
            return;
        }
        let side = |value: Option<&Value>| value.map_or(Shown::Absent, shown);
        self.fields.push(FieldDifference { path: path.to_owned(), a: side(a), b: side(b) });
    }
}

fn field(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// Equal numbers are the same; but not 0 and -0, which the world hash tells apart.
fn same(a: &Value, b: &Value) -> bool {
    let negative = |value: &Value| value.as_f64().is_some_and(f64::is_sign_negative);
    a == b && negative(a) == negative(b)
}

fn shown(value: &Value) -> Shown {
    let length = size_of_text(value);
    if length <= SHOWN_BYTES { Shown::Value(value.clone()) } else { Shown::Bytes(length) }
}

/// About the bytes of a value as text; stops counting where it is too much anyway.
fn size_of_text(value: &Value) -> usize {
    let sum = |parts: &mut dyn Iterator<Item = usize>| {
        let mut sum = 2;
        parts
            .take_while(|part| {
                sum += part + 1;
                sum <= SHOWN_BYTES
            })
            .for_each(drop);
        sum
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => sum(&mut items.iter().map(size_of_text)),
        Value::Object(map) => sum(&mut map.iter().map(|(key, value)| key.len() + 3 + size_of_text(value))),
    }
}
