//! The components of a world, by name, with answers to misspelt ones.

use std::collections::BTreeMap;

use engine_component::schema::{FieldType, Schema, nearest};
use engine_component::{StorageKind, World};

/// The schemas of a world.
#[derive(Clone, Debug, Default)]
pub struct Schemas(BTreeMap<String, Schema>);

impl FromIterator<Schema> for Schemas {
    fn from_iter<I: IntoIterator<Item = Schema>>(schemas: I) -> Self {
        Self(schemas.into_iter().map(|schema| (schema.name.clone(), schema)).collect())
    }
}

/// A component, or a place inside of one.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The component.
    pub schema: &'a Schema,
    /// The way inside of it, field by field, with dots; empty for the whole.
    pub path: &'a str,
}

impl Schemas {
    /// The schemas of a world in this process.
    #[must_use]
    pub fn of_world(world: &World) -> Self {
        world.registry().iter().map(|info| info.schema.clone()).collect()
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.0.values()
    }

    /// Whether the world knows no component.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The component of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Schema> {
        self.0.get(name)
    }

    /// Whether there are components whose names start with `prefix` and a dot.
    #[must_use]
    pub fn has_below(&self, prefix: &str) -> bool {
        self.0.keys().any(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The component of this name.
    ///
    /// # Errors
    /// When there is none: what may have been meant.
    pub fn component(&self, name: &str) -> Result<&Schema, String> {
        self.get(name).ok_or_else(|| self.unknown(name))
    }

    /// `arena.Position` is a component, `arena.Position.at.x` a place inside of it.
    ///
    /// # Errors
    /// When there is no such component, or it has no such field: what may have been meant.
    pub fn place<'a>(&'a self, name: &'a str) -> Result<Place<'a>, String> {
        let place = self.split(name).ok_or_else(|| self.unknown(name))?;
        check_path(place)?;
        Ok(place)
    }

    /// The longest component whose name `name` starts with, and the rest.
    #[must_use]
    pub fn split<'a>(&'a self, name: &'a str) -> Option<Place<'a>> {
        let dots = name.rmatch_indices('.').map(|(at, _)| at);
        std::iter::once(name.len()).chain(dots).find_map(|end| {
            let schema = self.get(&name[..end])?;
            Some(Place { schema, path: name[end..].trim_start_matches('.') })
        })
    }

    fn unknown(&self, name: &str) -> String {
        if self.is_empty() {
            return format!(
                "there is no component `{name}`: the world knows none yet; they come with the systems, so start one"
            );
        }
        // Of `arena.Positon.x` the part that may be a component is compared too.
        let parts = std::iter::once(name.len()).chain(name.rmatch_indices('.').map(|(at, _)| at));
        let near = parts.filter_map(|end| nearest(&name[..end], self.0.keys().map(String::as_str))).next();
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.0.len() <= 12 => {
                format!("there are {}", self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            None => "`engine components` lists those that there are".to_owned(),
        };
        format!("there is no component `{name}`; {hint}")
    }
}

/// Fields of structs in Plain values can be checked all the way, those of documents at the first step.
fn check_path(place: Place<'_>) -> Result<(), String> {
    if place.path.is_empty() {
        return Ok(());
    }
    let mut owner = place.schema.name.clone();
    let mut fields = &place.schema.fields;
    for name in place.path.split('.') {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let hint = match nearest(name, fields.iter().map(|field| field.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None if fields.is_empty() => "it has no fields".to_owned(),
                None => {
                    format!(
                        "there are {}",
                        fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ")
                    )
                }
            };
            return Err(format!("`{owner}` has no field `{name}`; {hint}"));
        };
        owner = format!("{owner}.{name}");
        fields = match &field.ty {
            FieldType::Struct(fields) => fields,
            _ if place.schema.kind == StorageKind::Document => return Ok(()),
            _ => &NO_FIELDS,
        };
    }
    Ok(())
}

static NO_FIELDS: Vec<engine_component::schema::Field> = Vec::new();

#[cfg(test)]
mod tests {
    use super::*;
    use engine_component::{Component, Data, Entity};

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "arena.Position")]
    struct Position {
        at: engine_math::Vec2,
        owner: Entity,
    }

    #[derive(Component, Clone, Copy)]
    #[component(name = "arena.Alive")]
    struct Alive;

    fn schemas() -> Schemas {
        [Position::schema(), Alive::schema()].into_iter().collect()
    }

    #[test]
    fn places_are_found_to_the_last_field() {
        let schemas = schemas();
        let place = schemas.place("arena.Position.at.x").unwrap();
        assert_eq!((place.schema.name.as_str(), place.path), ("arena.Position", "at.x"));
        assert_eq!(schemas.place("arena.Alive").unwrap().path, "");
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest_one() {
        let schemas = schemas();
        for (wrong, right) in [
            ("arena.Positon", "did you mean `arena.Position`?"),
            ("arena.Positon.at", "did you mean `arena.Position`?"),
            ("arena.Position.ownr", "did you mean `owner`?"),
            ("arena.Position.at.w", "`arena.Position.at` has no field `w`"),
            ("arena.Position.at.x.y", "it has no fields"),
            ("physics.Mass", "there are arena.Alive, arena.Position"),
        ] {
            let error = schemas.place(wrong).unwrap_err();
            assert!(error.contains(right), "{wrong}: {error}");
        }
        assert!(Schemas::default().place("a.B").unwrap_err().contains("start one"));
    }
}
