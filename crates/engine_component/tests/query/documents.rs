//! Documents: decoded when they are looked at, encoded again when they were written.

#![expect(unsafe_code, reason = "queries over parts are made here as the runner of a system makes them")]

use engine_component::query::{DocumentColumn, Part, PartColumn, Query, QueryState, Without};
use engine_component::{Column, ComponentId, Data, Entity, Storage};

use crate::bodies::{Frozen, Name, Position, four, name};

/// A column of names; one that is empty does not decode.
fn column(names: &[&str]) -> Column {
    let mut column = Column::new(&Name::schema());
    for text in names {
        let mut bytes = Vec::new();
        if text.is_empty() {
            bytes.push(0xc1);
        } else {
            <Name as Data>::Storage::encode(&name(text), &mut bytes);
        }
        column.push(&bytes, 0);
    }
    column
}

const ARCHETYPE: [ComponentId; 1] = [Name::ID];

fn part<'a>(entities: &'a [Entity], column: &'a Column, first_row: usize) -> Part<'a> {
    let documents = DocumentColumn::new(column.documents(), first_row, entities.len());
    let columns = vec![PartColumn::Document(documents)];
    Part { entities, archetype: &ARCHETYPE, columns, changed: Vec::new() }
}

fn documents<'a>(part: &'a Part<'_>) -> &'a DocumentColumn<'a> {
    let PartColumn::Document(documents) = &part.columns[0] else { panic!("a column of documents") };
    documents
}

fn decoded(bytes: &[u8]) -> Name {
    <Name as Data>::Storage::decode(bytes).unwrap()
}

#[test]
fn written_rows_are_encoded_when_they_differ() {
    let column = column(&["ann", "bob", "cid"]);
    let entities = [1, 2, 3].map(Entity::from_bits);
    let parts = [part(&entities, &column, 0)];
    // SAFETY: the only query over these parts, whose columns are the ones of its description.
    let mut query: Query<&mut Name> = unsafe { Query::new(&parts) };
    for row in &mut query {
        if row.text == "bob" {
            row.text.push('!');
        }
    }
    let changes = documents(&parts[0]).changes();
    assert_eq!(changes.iter().map(|(row, bytes)| (*row, decoded(bytes))).collect::<Vec<_>>(), [(1, name("bob!"))]);
}

#[test]
fn a_part_may_begin_anywhere_in_its_column() {
    let column = column(&["ann", "bob", "cid", "dan"]);
    let entities = [3, 4].map(Entity::from_bits);
    let parts = [part(&entities, &column, 2)];
    // SAFETY: as above.
    let mut query: Query<&mut Name> = unsafe { Query::new(&parts) };
    assert_eq!(query.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["cid", "dan"]);
    query.get_mut(entities[1]).unwrap().text.clear();
    let changes = documents(&parts[0]).changes();
    assert_eq!(changes.iter().map(|(row, bytes)| (*row, decoded(bytes))).collect::<Vec<_>>(), [(1, name(""))]);
}

#[test]
fn reading_changes_nothing() {
    let column = column(&["ann"]);
    let entities = [Entity::from_bits(1)];
    let parts = [part(&entities, &column, 0)];
    // SAFETY: as above.
    let query: Query<&mut Name> = unsafe { Query::new(&parts) };
    assert_eq!(query.single().unwrap().text, "ann");
    assert!(documents(&parts[0]).changes().is_empty());
}

#[test]
fn rows_that_do_not_decode_are_not_matched() {
    let column = column(&["ann", "", "cid", ""]);
    let entities = [1, 2, 3, 4].map(Entity::from_bits);
    let parts = [part(&entities, &column, 0)];
    // SAFETY: as above.
    let query: Query<(Entity, &mut Name)> = unsafe { Query::new(&parts) };
    assert_eq!(query.iter().map(|row| row.0).collect::<Vec<_>>(), [entities[0], entities[2]]);
    assert_eq!(query.len(), 2);
    assert!(query.get(entities[1]).is_none());
    assert_eq!(documents(&parts[0]).undecodable(), 2);
    assert!(documents(&parts[0]).changes().is_empty());
}

#[test]
fn an_optional_document_that_does_not_decode_is_not_matched_either() {
    let column = column(&["", "bob"]);
    let entities = [1, 2].map(Entity::from_bits);
    let parts = [part(&entities, &column, 0)];
    // SAFETY: as above.
    let query: Query<(Entity, Option<&Name>)> = unsafe { Query::new(&parts) };
    let rows: Vec<_> = query.iter().map(|(entity, row)| (entity, row.map(|row| row.text.as_str()))).collect();
    assert_eq!(rows, [(entities[1], Some("bob"))]);
}

#[test]
fn rows_are_decoded_when_they_are_looked_at() {
    let column = column(&["", "bob", ""]);
    let entities = [1, 2, 3].map(Entity::from_bits);
    let parts = [part(&entities, &column, 0)];
    // SAFETY: as above.
    let query: Query<&Name> = unsafe { Query::new(&parts) };
    assert_eq!(query.get(entities[1]).unwrap().text, "bob");
    assert_eq!(documents(&parts[0]).undecodable(), 0, "nobody has looked at the others");
}

#[test]
fn all_documents_of_a_query_may_be_kept() {
    let column = column(&["ann", "bob"]);
    let entities = [1, 2].map(Entity::from_bits);
    let parts = [part(&entities, &column, 0)];
    // SAFETY: as above.
    let mut query: Query<&mut Name> = unsafe { Query::new(&parts) };
    let mut rows: Vec<&mut Name> = query.iter_mut().collect();
    let (first, rest) = rows.split_first_mut().unwrap();
    std::mem::swap(*first, rest[0]);
    assert_eq!(documents(&parts[0]).changes().len(), 2);
}

#[test]
fn a_world_stores_what_a_query_wrote() {
    let (mut world, entities) = four();
    world
        .with_query(|mut query: Query<(&mut Name, &Position)>| {
            query.for_each(|(name, position)| name.text = format!("at {}", position.x));
        })
        .unwrap();
    assert_eq!(*world.get::<Name>(entities[3]).unwrap(), name("at 4"));
    world.check_invariants();
}

#[test]
fn a_prepared_query_refuses_documents() {
    let error = QueryState::<(&Position, Option<&Name>), Without<Frozen>>::new().unwrap_err();
    assert_eq!(error.to_string(), "a `QueryState` does not decode documents: use `World::with_query` for this query");
}
