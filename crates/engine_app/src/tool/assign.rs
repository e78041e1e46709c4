//! Values on the command line: `arena.Position={"x":1,"y":2}`, `arena.Position.x=3`, `arena.Alive`.
//!
//! A value is JSON, else what may stand behind `=` in TOML, else plain text.

use std::collections::BTreeMap;

use engine_net::messages::value::{Components, Value};

use super::schemas::Schemas;

/// What a list of assignments says, sorted by how it is applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assigned {
    /// Components that were given whole.
    pub whole: Components,
    /// Components of which only fields were given.
    pub fields: Components,
}

/// Reads assignments; names are checked against the schemas.
///
/// # Errors
/// When a component or field is not known, is given twice, or a value can't be read.
pub fn parse(texts: &[String], schemas: &Schemas) -> Result<Assigned, String> {
    let mut assigned = Assigned::default();
    for text in texts {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(parse_value(value.trim()))),
            None => (text.trim(), None),
        };
        let place = schemas.place(name).map_err(|error| format!("{text}: {error}"))?;
        let component = place.schema.name.clone();
        match value {
            _ if place.path.is_empty() => {
                let value = value.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
                if assigned.whole.insert(component.clone(), value).is_some() {
                    return Err(format!("{text}: `{component}` is given twice"));
                }
            }
            None => return Err(format!("{text}: a value is missing; write {name}=…")),
            Some(value) => {
                let root = assigned.fields.entry(component).or_insert_with(|| Value::Object(serde_json::Map::new()));
                put(root, place.path, value).map_err(|()| format!("{text}: `{name}` is given twice"))?;
            }
        }
    }
    if let Some(both) = assigned.fields.keys().find(|name| assigned.whole.contains_key(*name)) {
        return Err(format!("`{both}` is given whole and by fields: give one of them"));
    }
    Ok(assigned)
}

impl Assigned {
    /// Everything as whole components: fields that were not given get their defaults.
    #[must_use]
    pub fn into_components(self) -> Components {
        self.whole.into_iter().chain(self.fields).collect::<BTreeMap<_, _>>()
    }
}

/// Puts a value where a path of fields leads; `Err` when something is there.
pub(crate) fn put(root: &mut Value, path: &str, value: Value) -> Result<(), ()> {
    let Value::Object(map) = root else { return Err(()) };
    match path.split_once('.') {
        None if map.contains_key(path) => Err(()),
        None => {
            map.insert(path.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            put(map.entry(first).or_insert_with(|| Value::Object(serde_json::Map::new())), rest, value)
        }
    }
}

/// One value, of fields: a JSON object, a table of TOML, or `FIELD=VALUE` for each.
///
/// # Errors
/// When a text is none of these, or names a field twice.
///
/// ```
/// use engine_app::tool::assign::fields;
/// let value = serde_json::json!({"robot": 3, "to": {"x": 1.5}});
/// assert_eq!(fields(&["robot=3".into(), "to.x=1.5".into()]).unwrap(), value);
/// assert_eq!(fields(&["{robot = 3, to = {x = 1.5}}".into()]).unwrap(), value);
/// assert!(fields(&["robot".into()]).is_err());
/// ```
pub fn fields(texts: &[String]) -> Result<Value, String> {
    if let [text] = texts
        && text.trim_start().starts_with('{')
    {
        let value = parse_value(text);
        return if value.is_object() { Ok(value) } else { Err(format!("`{text}` is neither JSON nor TOML")) };
    }
    let mut all = Value::Object(serde_json::Map::new());
    for text in texts {
        let (field, value) = text.split_once('=').ok_or_else(|| format!("`{text}`: FIELD=VALUE is expected"))?;
        put(&mut all, field, parse_value(value)).map_err(|()| format!("`{field}` is given twice"))?;
    }
    Ok(all)
}

/// The value of a text.
#[must_use]
pub fn parse_value(text: &str) -> Value {
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    let toml = toml::from_str::<toml::Table>(&format!("value = {text}\n"));
    match toml.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value")) {
        Some(value) => of_toml(value),
        None => Value::String(text.to_owned()),
    }
}

fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => float(number),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(of_toml).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, of_toml(value))).collect(),
    }
}

/// JSON has no NaN and no infinities; schemas read them as words.
pub(crate) fn float(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "inf".into(),
        None => "-inf".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_component::{Component, Data};
    use serde_json::json;

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "arena.Position")]
    struct Position {
        at: engine_math::Vec2,
    }

    #[derive(Component, Clone, Copy)]
    #[component(name = "arena.Alive")]
    struct Alive;

    fn assign(texts: &[&str]) -> Result<Assigned, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        parse(&texts, &[Position::schema(), Alive::schema()].into_iter().collect())
    }

    #[test]
    fn values_are_json_or_toml_or_text() {
        for (text, value) in [
            ("3", json!(3)),
            (r#"{"x": 1}"#, json!({"x": 1})),
            ("{x = 1.5, y = nan}", json!({"x": 1.5, "y": "NaN"})),
            ("'a=b'", json!("a=b")),
            ("Bob the builder", json!("Bob the builder")),
            ("1\nother = 2", json!("1\nother = 2")),
            ("", json!("")),
        ] {
            assert_eq!(parse_value(text), value, "{text}");
        }
    }

    #[test]
    fn fields_and_whole_components_are_told_apart() {
        let assigned = assign(&["arena.Position.at.x=1", "arena.Position.at.y = 2", "arena.Alive"]).unwrap();
        assert_eq!(assigned.fields["arena.Position"], json!({"at": {"x": 1, "y": 2}}));
        assert_eq!(assigned.whole["arena.Alive"], json!({}));
        assert_eq!(assigned.into_components().len(), 2);
    }

    #[test]
    fn contradictions_are_refused() {
        for (texts, reason) in [
            (vec!["arena.Alive", "arena.Alive"], "given twice"),
            (vec!["arena.Position.at.x=1", "arena.Position.at.x=2"], "given twice"),
            (vec!["arena.Position.at=1", "arena.Position.at.x=2"], "given twice"),
            (vec!["arena.Position={}", "arena.Position.at.x=2"], "by fields"),
            (vec!["arena.Position.at.x"], "a value is missing"),
            (vec!["arena.Positon={}"], "did you mean `arena.Position`?"),
        ] {
            let error = assign(&texts).unwrap_err();
            assert!(error.contains(reason), "{texts:?}: {error}");
        }
    }
}
