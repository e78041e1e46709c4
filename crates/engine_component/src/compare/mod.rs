//! Two worlds side by side: what differs, entity by entity and field by field.
//!
//! ```text
//! tables of a ─┐  block by block: the same bytes? ── yes ──► nothing to do         (a memcmp)
//! tables of b ─┘                        └─ no ──► row by row ──► totals, and the first entities
//!                                                                     │ by their number
//!                                                 schemas ──► fields, as JSON, old and new
//! ```
//!
//! For people who ask why two worlds have different hashes: of two builds, of two runs, of now and then. What
//! the world hash does not see is not seen here either: NaN is NaN, whatever its bits. What it does see is
//! seen: the order of rows and the number of the next entity are part of a world.

mod display;
mod fields;
mod scan;

use serde_json::Value;

use crate::schema::SchemaDiff;
use crate::world::World;
use crate::{Entity, WorldSettings};

/// Compares two worlds. All of both is compared and counted; of entities that differ the first `limit` are
/// described, in the order of their numbers.
///
/// Where nothing differs it costs about as much as reading the columns of both.
///
/// ```
/// use engine_component::{Component, World};
/// use engine_component::compare::compare;
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32, y: f32 }
/// let (mut a, mut b) = (World::default(), World::default());
/// for world in [&mut a, &mut b] {
///     world.spawn_batch((0..3_u8).map(|x| Position { x: x.into(), y: 0.0 }));
/// }
/// assert!(compare(&a, &b, 10).is_empty());
/// let entity = a.tables()[0].entities()[1];
/// b.get_mut::<Position>(entity).unwrap().y = 0.5;
/// let comparison = compare(&a, &b, 10);
/// assert_eq!(comparison.differences.len(), 1);
/// assert!(comparison.to_string().contains("~ #2\n      doc.Position.y: 0.0 → 0.5"));
/// ```
#[must_use]
pub fn compare(a: &World, b: &World, limit: usize) -> Comparison {
    let scan = scan::Scan::of(a, b, limit);
    let differences: Vec<EntityDifference> =
        scan.found().into_iter().map(|entity| fields::describe(a, b, &scan.pairs, entity)).collect();
    let counts = scan.counts;
    Comparison {
        settings: Some((a.settings(), b.settings())).filter(|(a, b)| a != b),
        next_entity: Some((a.next_entity(), b.next_entity())).filter(|(a, b)| a != b),
        counts,
        schemas: scan.pairs.differences(a, b),
        components: scan.totals(),
        left_out: counts.found() - differences.len() as u64,
        differences,
    }
}

/// How two worlds, `a` and `b`, differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The settings of both, when they differ.
    pub settings: Option<(WorldSettings, WorldSettings)>,
    /// The number of the next entity of both, when they differ.
    pub next_entity: Option<(u64, u64)>,
    /// Entities, counted.
    pub counts: Counts,
    /// Components that have different schemas, or are known to one world only, by name.
    pub schemas: Vec<SchemaDifference>,
    /// Components of which anything differs, by name.
    pub components: Vec<ComponentTotal>,
    /// Entities that differ, by number, as many as were asked for.
    pub differences: Vec<EntityDifference>,
    /// Entities that differ beyond those.
    pub left_out: u64,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let same = self.settings.is_none() && self.next_entity.is_none() && self.schemas.is_empty();
        same && self.counts.found() == 0 && self.counts.moved == 0
    }
}

/// Entities of two worlds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that live in both.
    pub both: u64,
    /// Those of them whose components or values differ.
    pub differ: u64,
    /// Those of them that have the same components, and another row in their table.
    pub moved: u64,
    /// Those that live in `a` only.
    pub only_a: u64,
    /// Those that live in `b` only.
    pub only_b: u64,
}

impl Counts {
    fn found(&self) -> u64 {
        self.differ + self.only_a + self.only_b
    }
}

/// In which world something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// In `a` only.
    A,
    /// In `b` only.
    B,
    /// In both, and different.
    Both,
}

/// A component that the worlds don't know alike.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaDifference {
    /// Its name.
    pub component: String,
    /// Who knows it.
    pub whose: Whose,
    /// The differences, when both do: `a` is what is stored, `b` what is offered.
    pub diff: Option<SchemaDiff>,
}

/// The rows of a component that differ, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentTotal {
    /// Its name.
    pub component: String,
    /// Entities that have it in both worlds, with different values.
    pub differ: u64,
    /// Entities that have it in `a` only, those that live in `a` only among them.
    pub only_a: u64,
    /// Entities that have it in `b` only, those that live in `b` only among them.
    pub only_b: u64,
}

/// An entity that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityDifference {
    /// The entity.
    pub entity: Entity,
    /// Where it lives.
    pub whose: Whose,
    /// Its components, when it lives in one world only; else those that differ. By id.
    pub components: Vec<ComponentDifference>,
}

/// A component of an entity that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentDifference {
    /// Its name.
    pub component: String,
    /// In which world the entity has it.
    pub whose: Whose,
    /// The fields that differ, as many as [`MAX_FIELDS`]; the whole value when only one world has it.
    pub fields: Vec<FieldDifference>,
    /// Fields that differ beyond those.
    pub more: usize,
}

/// Fields of a component that are described, at the most.
pub const MAX_FIELDS: usize = 32;

/// A field, or a part of one, that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDifference {
    /// The way to it: `wheels[1].radius`; empty for the whole value.
    pub path: String,
    /// What `a` has.
    pub a: Shown,
    /// What `b` has.
    pub b: Shown,
}

/// A value, as far as it can be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// There is none.
    Absent,
    /// As JSON, by the schema.
    Value(Value),
    /// So many bytes: too many to show, not readable by the schema, or another encoding of an equal value.
    Bytes(usize),
}
