//! Queries on the command line: `arena.Position, ?arena.Name, !arena.Asleep`, and `arena.Health.points < 50`.

use engine_net::messages::query::{Comparison, FieldFilter, QueryRequest};

use super::assign::parse_value;
use super::schemas::Schemas;

/// A query that was read, and what its columns are to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// What the coordinator is asked.
    pub request: QueryRequest,
    /// Components and fields to show, in order; empty for all components.
    pub shown: Vec<String>,
}

/// Reads a query. Terms are separated by commas or spaces: `NAME` must be there and is shown, `?NAME` is shown
/// where it is, `!NAME` must not be there. `with` and `without` are as well, and are not shown.
///
/// # Errors
/// When a name is not known, or a condition can't be read.
pub fn parse(
    text: &str,
    with: &[String],
    without: &[String],
    conditions: &[String],
    schemas: &Schemas,
) -> Result<Query, String> {
    let mut query = Query::default();
    let request = &mut query.request;
    for term in text.split([',', ' ', '\n', '\t']).filter(|term| !term.is_empty()) {
        if let Some(name) = term.strip_prefix('!') {
            request.without.push(schemas.component(name)?.name.clone());
            continue;
        }
        let name = term.strip_prefix('?').unwrap_or(term);
        let place = schemas.place(name)?;
        if !term.starts_with('?') {
            request.with.push(place.schema.name.clone());
        }
        request.fields.push(name.to_owned());
        query.shown.push(name.to_owned());
    }
    for name in with.iter().flat_map(|names| names.split(',')).map(str::trim) {
        request.with.push(schemas.component(name)?.name.clone());
    }
    for name in without.iter().flat_map(|names| names.split(',')).map(str::trim) {
        request.without.push(schemas.component(name)?.name.clone());
    }
    for condition in conditions {
        request.filters.push(parse_condition(condition, schemas)?);
    }
    for names in [&mut request.with, &mut request.without] {
        names.sort_unstable();
        names.dedup();
    }
    Ok(query)
}

/// Longer operators first: `<=` starts with `<`.
const OPERATORS: [(&str, Comparison); 7] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

fn parse_condition(text: &str, schemas: &Schemas) -> Result<FieldFilter, String> {
    let at = text.find(['=', '!', '<', '>']);
    let found =
        at.and_then(|at| OPERATORS.iter().find_map(|(word, op)| Some((at, op, text[at..].strip_prefix(word)?))));
    let Some((at, op, value)) = found else {
        return Err(format!("`{text}` is no condition; write one as 'arena.Health.points < 50' (== != < <= > >=)"));
    };
    let field = text[..at].trim();
    schemas.place(field).map_err(|error| format!("{text}: {error}"))?;
    Ok(FieldFilter { field: field.to_owned(), op: *op, value: parse_value(value.trim()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_component::{Component, Data};

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "arena.Health")]
    struct Health {
        points: u32,
    }

    #[derive(Component, Clone, Copy)]
    #[component(name = "arena.Alive")]
    struct Alive;

    fn read(text: &str, conditions: &[&str]) -> Result<Query, String> {
        let conditions: Vec<String> = conditions.iter().map(|text| (*text).to_owned()).collect();
        let with = ["arena.Alive".to_owned()];
        parse(text, &with, &[], &conditions, &[Health::schema(), Alive::schema()].into_iter().collect())
    }

    #[test]
    fn the_three_kinds_of_terms() {
        let query = read("arena.Health.points,?arena.Alive !arena.Alive", &[]).unwrap();
        assert_eq!(query.request.with, ["arena.Alive", "arena.Health"]);
        assert_eq!(query.request.without, ["arena.Alive"]);
        assert_eq!(query.shown, ["arena.Health.points", "arena.Alive"]);
        assert_eq!(query.request.fields, query.shown);
    }

    #[test]
    fn conditions_of_every_kind() {
        for (text, op) in [
            ("arena.Health.points<50", Comparison::Less),
            ("arena.Health.points <= 50", Comparison::AtMost),
            ("arena.Health.points = 50", Comparison::Equal),
            ("arena.Health.points!=50", Comparison::NotEqual),
        ] {
            let filter = read("", &[text]).unwrap().request.filters.remove(0);
            assert_eq!((filter.field.as_str(), filter.op, filter.value), ("arena.Health.points", op, 50.into()));
        }
        assert!(read("", &["arena.Health.points"]).unwrap_err().contains("no condition"));
        assert!(read("", &["arena.Health.point < 3"]).unwrap_err().contains("`points`"));
    }
}
