//! Parts over borrowed bytes, and over rows by raw pointers.

#![expect(unsafe_code, reason = "queries over parts are made here as the runner of a system makes them")]

use engine_component::bytemuck::{cast_slice, cast_slice_mut};
use engine_component::query::{Part, PartColumn, Query, QueryData};
use engine_component::{AlignedBytes, ComponentId, Data, Entity};

use crate::bodies::{Position, Velocity};

const STRIDE: usize = size_of::<Position>();
const POSITIONS: [ComponentId; 1] = [Position::ID];

fn entities(count: u64) -> Vec<Entity> {
    (1..=count).map(Entity::from_bits).collect()
}

fn positions(xs: &[f32]) -> AlignedBytes {
    let mut bytes = AlignedBytes::zeroed(xs.len() * STRIDE);
    for (row, x) in xs.iter().enumerate() {
        cast_slice_mut::<u8, f32>(bytes.as_mut_slice())[row * 2] = *x;
    }
    bytes
}

fn part<'a>(entities: &'a [Entity], column: PartColumn<'a>) -> [Part<'a>; 1] {
    [Part { entities, archetype: &POSITIONS, columns: vec![column], changed: Vec::new() }]
}

fn sum<D: for<'a> QueryData<ReadOnly = &'static Position>>(parts: &[Part<'_>]) -> f32 {
    // SAFETY: the only query over these parts.
    let query: Query<D> = unsafe { Query::new(parts) };
    query.iter().map(|position| position.x).sum()
}

#[test]
fn an_instance_writes_in_its_own_buffer() {
    let (mut bytes, entities) = (positions(&[1.0, 2.0, 3.0]), entities(3));
    {
        let parts = part(&entities, PartColumn::write(bytes.as_mut_slice(), STRIDE));
        // SAFETY: the only query over these parts, whose columns are the ones of its description.
        let mut query: Query<&mut Position> = unsafe { Query::new(&parts) };
        query.for_each(|position| position.x *= 2.0);
        for position in &mut query {
            position.x += 1.0;
        }
        for all in query.slices_mut() {
            all[0].y = 5.0;
        }
    }
    assert_eq!(cast_slice::<u8, f32>(bytes.as_slice()), [3.0, 5.0, 5.0, 0.0, 7.0, 0.0]);
}

#[test]
fn parts_follow_one_another() {
    let (bytes, entities) = (positions(&[1.0, 2.0, 3.0]), entities(3));
    let column = |rows: std::ops::Range<usize>| {
        PartColumn::read(&bytes.as_slice()[rows.start * STRIDE..rows.end * STRIDE], STRIDE)
    };
    let [first] = part(&entities[..2], column(0..2));
    let [empty] = part(&[], column(0..0));
    let [last] = part(&entities[2..], column(2..3));
    let parts = [first, empty, last];
    // SAFETY: these parts are only read.
    let query: Query<(Entity, &Position)> = unsafe { Query::new(&parts) };
    let rows: Vec<_> = query.iter().map(|(entity, position)| (entity.to_bits(), position.x)).collect();
    assert_eq!(rows, [(1, 1.0), (2, 2.0), (3, 3.0)]);
    assert_eq!((query.slices().count(), query.len()), (2, 3));
    assert_eq!(query.get(entities[2]).unwrap().1.x, 3.0);
}

#[test]
fn no_bytes_are_no_rows_wherever_they_lie() {
    let mut none: [u8; 0] = [];
    assert_eq!(sum::<&Position>(&part(&[], PartColumn::read(&[], STRIDE))), 0.0);
    assert_eq!(sum::<&mut Position>(&part(&[], PartColumn::write(&mut none, STRIDE))), 0.0);
    // SAFETY: a part without rows needs no memory.
    assert_eq!(sum::<&Position>(&part(&[], unsafe { PartColumn::from_raw(std::ptr::null_mut(), STRIDE, false) })), 0.0);
}

#[test]
#[should_panic(expected = "a column of 2 rows in a part of 3 rows")]
fn a_column_that_is_too_short_is_refused() {
    let bytes = positions(&[1.0, 2.0]);
    sum::<&Position>(&part(&entities(3), PartColumn::read(bytes.as_slice(), STRIDE)));
}

#[test]
#[should_panic(expected = "9 bytes are not whole values of 8")]
fn a_column_of_broken_rows_is_refused() {
    let _ = PartColumn::read(&[0; 9], STRIDE);
}

#[test]
#[should_panic(expected = "the values of `query.Position` are not aligned")]
fn a_column_that_is_not_aligned_is_refused() {
    let bytes = positions(&[1.0, 2.0]);
    sum::<&Position>(&part(&entities(1), PartColumn::read(&bytes.as_slice()[1..1 + STRIDE], STRIDE)));
}

#[test]
#[should_panic(expected = "a column of `query.Position` has values of 4 bytes")]
fn a_column_of_another_stride_is_refused() {
    let bytes = positions(&[1.0, 2.0]);
    sum::<&Position>(&part(&entities(1), PartColumn::read(bytes.as_slice(), 4)));
}

#[test]
#[should_panic(expected = "`query.Position` is written through a query that only reads it")]
fn a_column_that_is_read_cannot_be_written() {
    let bytes = positions(&[1.0]);
    let entities = entities(1);
    let parts = part(&entities, PartColumn::read(bytes.as_slice(), STRIDE));
    // SAFETY: the only query over these parts.
    let mut query: Query<&mut Position> = unsafe { Query::new(&parts) };
    query.for_each(|position| position.x = 0.0);
}

#[test]
#[should_panic(expected = "a part without `query.Velocity` is given to a query that wants it")]
fn a_column_that_is_missing_is_refused() {
    let bytes = positions(&[1.0]);
    let entities = entities(1);
    let parts = part(&entities, PartColumn::read(bytes.as_slice(), STRIDE));
    // SAFETY: the only query over these parts.
    let query: Query<(&Position, &Velocity)> = unsafe { Query::new(&parts) };
    query.iter().for_each(drop);
}
