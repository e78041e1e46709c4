//! Small things that several targets need.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use engine_component::schema::RowError;
use engine_component::{Schema, World};

/// Everything in a world, as one number; reading it changes nothing, unlike the world's own hash.
#[must_use]
pub fn digest(world: &World) -> u64 {
    let mut hash = DefaultHasher::new();
    world.next_entity().hash(&mut hash);
    for id in world.sorted_tables() {
        let table = world.table(*id);
        table.entities().hash(&mut hash);
        for (component, column) in table.components().iter().zip(table.columns()) {
            component.hash(&mut hash);
            (0..table.len()).for_each(|row| column.row(row).hash(&mut hash));
        }
    }
    hash.finish()
}

/// The world is sound: its index, and every value by its schema.
///
/// # Panics
/// When it is not.
pub fn check(world: &World) {
    check_values(world, |_| false);
}

/// As [`check`], of a world that was stored: a system in the coordinator's process may have written a NaN where
/// nobody from outside may, and the world has to come back all the same.
///
/// # Panics
/// When it is not sound.
pub fn check_stored(world: &World) {
    check_values(world, |error| matches!(error, RowError::NotFinite { .. }));
}

fn check_values(world: &World, accepts: impl Fn(&RowError) -> bool) {
    world.check_invariants();
    for table in world.tables() {
        for (component, column) in table.components().iter().zip(table.columns()) {
            let schema = world.schema(*component).expect("a column is of a known component");
            for row in 0..table.len() {
                let checked = schema.check_row(column.row(row));
                let sound = checked.as_ref().is_err_and(&accepts) || checked.is_ok();
                assert!(sound, "a value in the world is not one of its schema: {checked:?}");
            }
        }
    }
}

/// The schemas of the app, by their names.
///
/// # Panics
/// When the app has a mistake.
#[must_use]
pub fn schemas() -> &'static [Schema] {
    static SCHEMAS: OnceLock<Vec<Schema>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let mut schemas: Vec<Schema> = Vec::new();
        for system in crate::cluster::systems() {
            for schema in system.schemas() {
                if !schemas.iter().any(|known| known.name == schema.name) {
                    schemas.push(schema.clone());
                }
            }
        }
        schemas.sort_by(|a, b| a.name.cmp(&b.name));
        schemas
    })
}
