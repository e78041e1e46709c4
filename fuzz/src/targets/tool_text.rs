//! What people type: queries, conditions, assignments; and what is printed of it.

use std::sync::OnceLock;

use engine_app::tool::schemas::Schemas;
use engine_app::tool::table::Table;
use engine_app::tool::{assign, query_text};

use crate::script::{Script, Writer};
use crate::{Seeds, bits};

fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| bits::schemas().iter().cloned().collect())
}

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let schemas = schemas();
    let text = script.text();
    let mut texts = || (0..script.byte() % 3).map(|_| script.text()).collect::<Vec<_>>();
    let (with, conditions, assignments) = (texts(), texts(), texts());
    if let Ok(query) = query_text::parse(&text, &with, &[], &conditions, schemas) {
        assert!(query.request.with.iter().all(|name| schemas.get(name).is_some()));
        assert!(query.request.with.is_sorted());
        assert_eq!(query.request.filters.len(), conditions.len());
    }
    if let Ok(assigned) = assign::parse(&assignments, schemas) {
        for (name, value) in &assigned.into_components() {
            let schema = schemas.get(name).expect("names are checked");
            if let Ok(row) = schema.value_to_row(value) {
                schema.check_row(&row).expect("what is made of a value is a row");
            }
        }
    }
    let value = assign::parse_value(&text);
    if value.is_string() {
        let _ = assign::parse_value(value.as_str().unwrap_or_default());
    }
    let mut table = Table::new(["one", "other"]);
    table.row(conditions.iter().map(String::as_str));
    assert!(!table.take().contains('\u{1b}'), "rows don't steer the terminal");
}

pub(super) fn seeds() -> Seeds {
    let seed = |query: &str, with: &[&str], conditions: &[&str], assignments: &[&str]| {
        let put = |script: Writer, texts: &[&str]| texts.iter().fold(script.byte(texts.len() as u8), Writer::block);
        put(put(put(Writer::default().block(query), with), conditions), assignments).end()
    };
    vec![
        ("query", seed("fuzz.Place.at.x,?fuzz.Link !fuzz.Drawn", &["fuzz.Story"], &["fuzz.Place.at.x <= 5"], &[])),
        ("assign", seed("", &[], &[], &["fuzz.Place.at.x=1", "fuzz.Link={to=1, weight=2}"])),
        ("value", seed("{x = 1.5, y = nan}", &[], &["fuzz.Story.text = \"a\""], &["fuzz.Drawn"])),
    ]
}
