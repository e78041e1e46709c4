//! What a query reads, writes and filters: plain data that travels.

use serde::{Deserialize, Serialize};

use super::{QueryData, QueryFilter};
use crate::ComponentId;

/// Columns and filters of a query, at the most.
pub(super) const MAX_COLUMNS: usize = 64;

/// One component that a query touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnAccess {
    /// The component.
    pub component: ComponentId,
    /// Whether it is written.
    pub write: bool,
    /// Whether rows without it match too.
    pub optional: bool,
}

/// Which rows match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// All of these; nothing is no restriction.
    All(Vec<Filter>),
    /// At least one of these.
    Any(Vec<Filter>),
    /// The entity has the component.
    With(ComponentId),
    /// The entity has it not.
    Without(ComponentId),
    /// It was added or changed since the system last ran.
    Changed(ComponentId),
}

impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

/// A query without its types.
///
/// ```
/// use engine_component::{Component, Data, query::{With, Without, describe}};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # #[component(name = "doc.Frozen")]
/// # struct Frozen;
/// let query = describe::<&mut Position, Without<Frozen>>().unwrap();
/// assert!(query.columns[0].write && query.columns[0].component == Position::ID);
/// assert!(query.matches(&[Position::ID]) && !query.matches(&[Frozen::ID]));
/// assert!(describe::<(&mut Position, &Position), With<Frozen>>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryDescriptor {
    /// The components, in the order of the query's items.
    pub columns: Vec<ColumnAccess>,
    /// Which rows.
    pub filter: Filter,
    /// Whether the entities are wanted.
    pub entity: bool,
}

/// A query that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Two items of one query would be the same memory, one of them to be written.
    #[error("{first} and {second} are the same component, and one of them is written: take one of them out")]
    Aliases {
        /// The first item.
        first: String,
        /// The second item.
        second: String,
    },
    /// Too many columns or filters.
    #[error("a query of {0} columns and filters; {MAX_COLUMNS} are allowed")]
    TooLarge(usize),
    /// A prepared query of documents.
    #[error("a `QueryState` does not decode documents: use `World::with_query` for this query")]
    Documents,
}

/// The descriptor of a query's types.
///
/// # Errors
/// When two items alias, or there are too many.
pub fn describe<D: QueryData, F: QueryFilter>() -> Result<QueryDescriptor, QueryError> {
    let mut descriptor = QueryDescriptor { filter: F::describe(), ..QueryDescriptor::default() };
    let mut names = ItemNames::default();
    D::describe(&mut descriptor, &mut names);
    let size = descriptor.size();
    if size > MAX_COLUMNS {
        return Err(QueryError::TooLarge(size));
    }
    for (at, column) in descriptor.columns.iter().enumerate() {
        let alias = descriptor.columns[..at]
            .iter()
            .position(|other| other.component == column.component && (other.write || column.write));
        if let Some(first) = alias {
            return Err(QueryError::Aliases { first: names.of(first), second: names.of(at) });
        }
    }
    Ok(descriptor)
}

/// What people call the items of a query: for messages.
#[derive(Debug, Default)]
pub struct ItemNames {
    items: usize,
    columns: Vec<String>,
}

impl ItemNames {
    /// An item without a column.
    pub(super) fn skip(&mut self) {
        self.items += 1;
    }

    /// An item with a column.
    pub(super) fn push(&mut self, name: &str) {
        self.items += 1;
        self.columns.push(format!("`{name}` (item {})", self.items));
    }

    fn of(&self, column: usize) -> String {
        self.columns[column].clone()
    }
}

impl QueryDescriptor {
    /// Columns and filters.
    fn size(&self) -> usize {
        self.columns.len() + self.filter.size()
    }

    /// Checks a descriptor from outside.
    ///
    /// # Errors
    /// When it is too large, or two columns alias.
    pub fn check(&self) -> Result<(), QueryError> {
        let size = self.size();
        if size > MAX_COLUMNS {
            return Err(QueryError::TooLarge(size));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let alias = |other: &&ColumnAccess| other.component == column.component && (other.write || column.write);
            if self.columns[..at].iter().any(|other| alias(&other)) {
                let name = column.component.to_string();
                return Err(QueryError::Aliases { first: name.clone(), second: name });
            }
        }
        Ok(())
    }

    /// Whether rows of an archetype (sorted components) can match.
    #[must_use]
    pub fn matches(&self, archetype: &[ComponentId]) -> bool {
        self.columns.iter().all(|column| column.optional || archetype.contains(&column.component))
            && self.filter.can_match(archetype)
    }

    /// The components whose changes the filter asks for, each once.
    #[must_use]
    pub fn changed(&self) -> Vec<ComponentId> {
        let mut changed = Vec::new();
        self.filter.collect_changed(&mut changed);
        changed
    }

    /// The component that both touch, one of them writing, in rows that both can match.
    #[must_use]
    pub fn conflict(&self, other: &Self) -> Option<ComponentId> {
        if self.excludes(other) || other.excludes(self) {
            return None;
        }
        self.columns.iter().find_map(|mine| {
            let theirs = other.columns.iter().filter(|theirs| theirs.component == mine.component);
            theirs.into_iter().any(|theirs| theirs.write || mine.write).then_some(mine.component)
        })
    }

    /// Whether this query excludes a component that the other one requires.
    fn excludes(&self, other: &Self) -> bool {
        let mut excluded = Vec::new();
        self.filter.collect_without(&mut excluded);
        excluded.iter().any(|component| {
            other.columns.iter().any(|column| !column.optional && column.component == *component)
                || other.filter.requires(*component)
        })
    }
}

impl Filter {
    /// Whether rows of an archetype can pass.
    #[must_use]
    pub fn can_match(&self, archetype: &[ComponentId]) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.can_match(archetype)),
            Self::Any(filters) => filters.iter().any(|filter| filter.can_match(archetype)),
            Self::With(component) | Self::Changed(component) => archetype.contains(component),
            Self::Without(component) => !archetype.contains(component),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::All(filters) | Self::Any(filters) => 1 + filters.iter().map(Self::size).sum::<usize>(),
            _ => 1,
        }
    }

    fn requires(&self, component: ComponentId) -> bool {
        match self {
            Self::All(filters) => filters.iter().any(|filter| filter.requires(component)),
            Self::Any(filters) => !filters.is_empty() && filters.iter().all(|filter| filter.requires(component)),
            Self::With(with) | Self::Changed(with) => *with == component,
            Self::Without(_) => false,
        }
    }

    fn collect_without(&self, out: &mut Vec<ComponentId>) {
        match self {
            Self::All(filters) => filters.iter().for_each(|filter| filter.collect_without(out)),
            Self::Without(component) => out.push(*component),
            _ => {}
        }
    }

    fn collect_changed(&self, out: &mut Vec<ComponentId>) {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().for_each(|filter| filter.collect_changed(out)),
            Self::Changed(component) if !out.contains(component) => out.push(*component),
            _ => {}
        }
    }

    /// Every component that the filter names.
    pub fn components(&self, out: &mut Vec<ComponentId>) {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().for_each(|filter| filter.components(out)),
            Self::With(component) | Self::Without(component) | Self::Changed(component) => out.push(*component),
        }
    }
}
