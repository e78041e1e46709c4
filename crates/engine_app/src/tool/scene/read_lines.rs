//! Lines of JSON: an object for each entity. Empty lines are passed over.

use engine_net::messages::value::Value;

use super::{Part, SceneEntry, SceneError, Tree};

pub(super) fn entities(text: &str) -> Result<Vec<SceneEntry>, SceneError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| entity(number, line)).collect()
}

fn entity(line: usize, text: &str) -> Result<SceneEntry, SceneError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let place = if error.column() > 0 { format!(" (column {})", error.column()) } else { String::new() };
        let said = error.to_string();
        let reason = said.split(" at line ").next().unwrap_or_default();
        SceneError::new(line, format_args!("this is no JSON: {reason}{place}; a line holds one whole entity"))
    })?;
    let Value::Object(map) = value else {
        return Err(SceneError::new(line, "a line holds one entity: an object with a key for each component"));
    };
    let parts = map.into_iter().map(|(key, value)| Part { key, line, tree: tree(value, line) }).collect();
    SceneEntry::new(line, parts)
}

fn tree(value: Value, line: usize) -> Tree {
    match value {
        Value::Object(map) => {
            Tree::Table(map.into_iter().map(|(key, value)| Part { key, line, tree: tree(value, line) }).collect())
        }
        value => Tree::Value(value),
    }
}
