//! Edges between archetypes: where an entity goes when a set of components is added or removed.
//!
//! An edge is worked out once and kept: the target table, which columns are carried over, and where the
//! given components go.

use std::any::TypeId;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::ComponentId;
use crate::entities::TableId;
use crate::table::Table;

/// What is done to an entity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    Insert,
    Remove,
}

/// Which components: by the type of a bundle (in this process), or by their ids.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Given {
    Type(TypeId),
    Ids(SmallVec<[ComponentId; 4]>),
}

/// `None` is the table of entities that do not exist yet.
pub(crate) type EdgeKey = (Option<TableId>, Step, Given);

#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) target: TableId,
    /// Columns that are carried over: from, to.
    pub(crate) carried: Vec<(u16, u16)>,
    /// Columns of the source that are not.
    pub(crate) left: Vec<u16>,
    /// Where the given components go, in the order of the bundle (inserting only).
    pub(crate) given: Vec<u16>,
    /// The components that are new to the entity, or lost.
    pub(crate) changed: Vec<ComponentId>,
}

impl Edge {
    /// The edge from one table to another; `given` are the components in the order of the bundle.
    pub(crate) fn between(
        source: Option<&Table>,
        target: (TableId, &Table),
        step: Step,
        given: &[ComponentId],
    ) -> Self {
        let (id, target) = target;
        let held = source.map(Table::components).unwrap_or_default();
        let place =
            |component: &ComponentId| target.column_index(*component).and_then(|index| u16::try_from(index).ok());
        let replaced = |component: &ComponentId| step == Step::Insert && given.contains(component);
        let (mut carried, mut left) = (Vec::new(), Vec::new());
        for (from, component) in (0_u16..).zip(held) {
            match place(component).filter(|_| !replaced(component)) {
                Some(to) => carried.push((from, to)),
                None => left.push(from),
            }
        }
        let changed = match step {
            Step::Insert => given.iter().filter(|component| !held.contains(component)).copied().collect(),
            Step::Remove => given.iter().filter(|component| held.contains(component)).copied().collect(),
        };
        let given = given.iter().filter_map(place).collect();
        Self { target: id, carried, left, given, changed }
    }
}

/// All edges that were worked out. Their number is bounded by the archetypes and the sets that the code
/// inserts and removes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges {
    edges: Vec<Edge>,
    by_key: FxHashMap<EdgeKey, u32>,
    /// The edge that was last found by a type: what is done once is mostly done to many.
    last: Option<(TypeKey, usize)>,
}

/// An [`EdgeKey`] with the type of a bundle.
type TypeKey = (Option<TableId>, Step, TypeId);

impl Edges {
    pub(crate) fn find(&self, key: &EdgeKey) -> Option<usize> {
        self.by_key.get(key).map(|index| *index as usize)
    }

    /// As [`Self::find_type`], when it was the last one that was found.
    #[inline]
    pub(crate) fn last(&self, key: TypeKey) -> Option<usize> {
        self.last.and_then(|(last, edge)| (last == key).then_some(edge))
    }

    /// As [`Self::find`], by the type of a bundle.
    pub(crate) fn find_type(&mut self, key: TypeKey) -> Option<usize> {
        let (from, step, bundle) = key;
        let edge = self.find(&(from, step, Given::Type(bundle)))?;
        self.last = Some((key, edge));
        Some(edge)
    }

    pub(crate) fn add(&mut self, key: EdgeKey, edge: Edge) -> usize {
        let index = self.edges.len();
        self.edges.push(edge);
        self.by_key.insert(key, u32::try_from(index).expect("fewer edges than 2^32"));
        index
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &Edge {
        &self.edges[index]
    }
}
