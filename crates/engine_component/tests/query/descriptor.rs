//! Descriptors: what a query says about itself to those who do not know its types.

use engine_component::query::{
    Changed, ColumnAccess, Filter, Or, QueryDescriptor, QueryState, With, Without, describe,
};
use engine_component::{Component, ComponentId, Data, Entity};

use crate::bodies::{Frozen, Mass, Position, Velocity};

fn column<T: Component>(write: bool, optional: bool) -> ColumnAccess {
    ColumnAccess { component: T::ID, write, optional }
}

#[test]
fn columns_stand_in_the_order_of_the_items() {
    type Items = (Option<&'static mut Mass>, Entity, (&'static Velocity, &'static mut Position));
    let descriptor = describe::<Items, (With<Frozen>, Or<(Changed<Mass>, Without<Velocity>)>)>().unwrap();
    let any = Filter::Any(vec![Filter::Changed(Mass::ID), Filter::Without(Velocity::ID)]);
    let expected = QueryDescriptor {
        columns: vec![column::<Mass>(true, true), column::<Velocity>(false, false), column::<Position>(true, false)],
        filter: Filter::All(vec![Filter::With(Frozen::ID), any]),
        entity: true,
    };
    assert_eq!(descriptor, expected);
    assert_eq!(describe::<(), ()>().unwrap(), QueryDescriptor::default());
    let bytes = rmp_serde::to_vec_named(&descriptor).unwrap();
    assert_eq!(rmp_serde::from_slice::<QueryDescriptor>(&bytes).unwrap(), descriptor);
}

#[test]
fn a_query_that_aliases_names_both_items() {
    let error = describe::<(Entity, &mut Position, &Velocity, &Position), ()>().unwrap_err();
    let expected = "`&mut query.Position` (item 2) and `&query.Position` (item 4) are the same component, and one of \
                    them is written: take one of them out";
    assert_eq!(error.to_string(), expected);
    let error = describe::<(&Position, (&Velocity, Option<&mut Position>)), ()>().unwrap_err().to_string();
    assert!(error.starts_with("`&query.Position` (item 1) and `Option<&mut query.Position>` (item 3) "), "{error}");
    assert!(QueryState::<(&mut Position, &mut Position)>::new().is_err());
    assert!(describe::<(&Position, &Position), ()>().is_ok(), "two readers");
}

#[test]
fn a_descriptor_from_outside_that_aliases_is_refused() {
    let columns = vec![column::<Position>(false, false), column::<Position>(true, true)];
    let descriptor = QueryDescriptor { columns, ..QueryDescriptor::default() };
    assert!(descriptor.check().unwrap_err().to_string().contains(&Position::ID.to_string()));
}

#[test]
fn a_query_that_is_too_large_is_refused() {
    type P = &'static Position;
    type Twelve = (P, P, P, P, P, P, P, P, P, P, P, P);
    let error = describe::<(Twelve, Twelve, Twelve, Twelve, Twelve, Twelve), ()>().unwrap_err();
    assert_eq!(error.to_string(), "a query of 73 columns and filters; 64 are allowed");
    let filter = Filter::Any(vec![Filter::With(Mass::ID); 64]);
    assert!(QueryDescriptor { filter, ..QueryDescriptor::default() }.check().is_err());
}

fn sorted(mut ids: Vec<ComponentId>) -> Vec<ComponentId> {
    ids.sort();
    ids
}

#[test]
fn archetypes_match_by_what_they_have() {
    let matches = |descriptor: QueryDescriptor, ids: &[ComponentId]| descriptor.matches(&sorted(ids.to_vec()));
    let moving = || describe::<(&mut Position, &Velocity, Option<&Mass>), Without<Frozen>>().unwrap();
    assert!(matches(moving(), &[Position::ID, Velocity::ID]));
    assert!(matches(moving(), &[Position::ID, Velocity::ID, Mass::ID]));
    assert!(!matches(moving(), &[Position::ID, Mass::ID]));
    assert!(!matches(moving(), &[Position::ID, Velocity::ID, Frozen::ID]));
    let any = || describe::<Entity, Or<(Changed<Mass>, With<Frozen>)>>().unwrap();
    assert!(matches(any(), &[Mass::ID]) && matches(any(), &[Frozen::ID]) && !matches(any(), &[Position::ID]));
    let none = QueryDescriptor { filter: Filter::Any(Vec::new()), ..QueryDescriptor::default() };
    assert!(!matches(none, &[Mass::ID]));
}

#[test]
fn changed_components_are_listed_once() {
    type Filters = (Changed<Velocity>, Or<(Changed<Mass>, Changed<Velocity>)>, With<Frozen>);
    assert_eq!(describe::<Entity, Filters>().unwrap().changed(), [Velocity::ID, Mass::ID]);
}

#[test]
fn queries_conflict_where_one_writes_what_both_touch() {
    let writer = describe::<&mut Position, With<Frozen>>().unwrap();
    let conflict = |other: &QueryDescriptor| {
        assert_eq!(writer.conflict(other), other.conflict(&writer));
        writer.conflict(other)
    };
    assert_eq!(conflict(&describe::<&Position, ()>().unwrap()), Some(Position::ID));
    assert_eq!(conflict(&describe::<Option<&Position>, Changed<Frozen>>().unwrap()), Some(Position::ID));
    assert_eq!(conflict(&describe::<&mut Velocity, ()>().unwrap()), None);
    assert_eq!(conflict(&describe::<&mut Position, Without<Frozen>>().unwrap()), None);
    let either = describe::<&Position, Or<(Without<Frozen>, With<Mass>)>>().unwrap();
    assert_eq!(conflict(&either), Some(Position::ID), "rows with a mass are in both");
    let reader = describe::<&Position, ()>().unwrap();
    assert_eq!(reader.conflict(&reader), None);
}
