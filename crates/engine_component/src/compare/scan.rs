//! Which entities differ: all rows of both worlds, blocks of equal bytes at once.

use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use super::fields::{self, Pairs};
use super::{ComponentTotal, Counts};
use crate::changes::BLOCK_ROWS;
use crate::column::Column;
use crate::data::StorageKind;
use crate::table::Table;
use crate::world::World;
use crate::{ComponentId, Entity};

/// Rows of a component that differ, that only `a` has, that only `b` has.
type Total = [u64; 3];
const DIFFER: usize = 0;
const ONLY_A: usize = 1;
const ONLY_B: usize = 2;

pub(super) struct Scan<'w> {
    a: &'w World,
    b: &'w World,
    limit: usize,
    pub(super) pairs: Pairs,
    pub(super) counts: Counts,
    totals: BTreeMap<ComponentId, Total>,
    /// The entities with the lowest numbers of those that differ, the highest of them on top.
    found: BinaryHeap<Entity>,
}

impl<'w> Scan<'w> {
    pub(super) fn of(a: &'w World, b: &'w World, limit: usize) -> Self {
        let (pairs, counts) = (Pairs::of(a, b), Counts::default());
        let mut scan = Self { a, b, limit, pairs, counts, totals: BTreeMap::new(), found: BinaryHeap::new() };
        for table in a.tables() {
            scan.table_of_a(table);
        }
        for table in b.tables() {
            scan.table_of_b(table);
        }
        scan
    }

    /// The entities to be described, by number.
    pub(super) fn found(&self) -> Vec<Entity> {
        self.found.clone().into_sorted_vec()
    }

    /// By name.
    pub(super) fn totals(&self) -> Vec<ComponentTotal> {
        let name = |id: ComponentId| if self.a.schema(id).is_some() { self.a } else { self.b }.registry().name(id);
        let total = |(id, [differ, only_a, only_b]): (&ComponentId, &Total)| ComponentTotal {
            component: name(*id),
            differ: *differ,
            only_a: *only_a,
            only_b: *only_b,
        };
        let mut totals: Vec<ComponentTotal> = self.totals.iter().map(total).collect();
        totals.sort_by(|a, b| a.component.cmp(&b.component));
        totals
    }

    fn table_of_a(&mut self, a: &Table) {
        let b = self.b.table_with(a.components());
        for rows in blocks(a) {
            match b.filter(|b| same_entities(a, b, &rows)) {
                Some(b) => self.same_rows(a, b, rows),
                None => rows.for_each(|row| self.row_of_a(a, row)),
            }
        }
    }

    /// Only who is not in `a`: all others were seen from there.
    fn table_of_b(&mut self, b: &Table) {
        let a = self.a.table_with(b.components());
        for rows in blocks(b) {
            if a.is_some_and(|a| same_entities(a, b, &rows)) {
                continue;
            }
            for entity in &b.entities()[rows] {
                if !self.a.contains(*entity) {
                    self.counts.only_b += 1;
                    self.note(*entity);
                    b.components().iter().for_each(|component| self.count(*component, ONLY_B));
                }
            }
        }
    }

    /// Rows of the same entities in the same places, with the same components.
    fn same_rows(&mut self, a: &Table, b: &Table, rows: Range<usize>) {
        self.counts.both += rows.len() as u64;
        let mut differ = [false; BLOCK_ROWS];
        for ((component, left), right) in a.components().iter().zip(a.columns()).zip(b.columns()) {
            if same_bytes(left, right, &rows) && self.pairs.is_same(*component) {
                continue;
            }
            for row in rows.clone() {
                if self.pairs.differ(self.a, self.b, *component, left.row(row), right.row(row)) {
                    differ[row - rows.start] = true;
                    self.count(*component, DIFFER);
                }
            }
        }
        for (row, differs) in rows.zip(differ) {
            if differs {
                self.counts.differ += 1;
                self.note(a.entities()[row]);
            }
        }
    }

    fn row_of_a(&mut self, a: &Table, row: usize) {
        let entity = a.entities()[row];
        let Some(location) = self.b.location(entity) else {
            self.counts.only_a += 1;
            self.note(entity);
            a.components().iter().for_each(|component| self.count(*component, ONLY_A));
            return;
        };
        self.counts.both += 1;
        let b = self.b.table(location.table);
        if a.components() == b.components() && location.row as usize != row {
            self.counts.moved += 1;
        }
        let mut differs = false;
        for (component, left, right) in fields::components_of(Some((a, row)), Some((b, location.row as usize))) {
            let what = match (left, right) {
                (Some(left), Some(right)) if self.pairs.differ(self.a, self.b, component, left, right) => DIFFER,
                (Some(_), Some(_)) => continue,
                (Some(_), None) => ONLY_A,
                (None, _) => ONLY_B,
            };
            differs = true;
            self.count(component, what);
        }
        if differs {
            self.counts.differ += 1;
            self.note(entity);
        }
    }

    fn count(&mut self, component: ComponentId, what: usize) {
        self.totals.entry(component).or_default()[what] += 1;
    }

    fn note(&mut self, entity: Entity) {
        if self.found.len() < self.limit {
            self.found.push(entity);
        } else if let Some(mut highest) = self.found.peek_mut()
            && entity < *highest
        {
            *highest = entity;
        }
    }
}

fn blocks(table: &Table) -> impl Iterator<Item = Range<usize>> {
    let rows = table.len();
    (0..rows).step_by(BLOCK_ROWS).map(move |first| first..rows.min(first + BLOCK_ROWS))
}

fn same_entities(a: &Table, b: &Table, rows: &Range<usize>) -> bool {
    a.entities().get(rows.clone()).is_some_and(|a| b.entities().get(rows.clone()) == Some(a))
}

/// Whether the bytes of these rows are the same, of columns of one component.
fn same_bytes(a: &Column, b: &Column, rows: &Range<usize>) -> bool {
    if (a.kind(), a.stride()) != (b.kind(), b.stride()) {
        return false;
    }
    let stride = a.stride();
    match a.kind() {
        StorageKind::Plain => {
            let bytes = rows.start * stride..rows.end * stride;
            a.bytes()[bytes.clone()] == b.bytes()[bytes]
        }
        StorageKind::Document => rows.clone().all(|row| a.row(row) == b.row(row)),
        StorageKind::Tag => true,
    }
}
