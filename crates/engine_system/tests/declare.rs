//! What parameters declare, and the mistakes that this shows.

#![allow(elided_lifetimes_in_paths, clippy::needless_pass_by_value, reason = "systems are written as users write them")]
#![allow(clippy::too_many_arguments, clippy::type_complexity, clippy::unwrap_used, reason = "tests go to the limits")]

mod common;

use common::{Frozen, Hit, Name, Position, Total, Velocity};
use engine_component::Data;
use engine_component::query::{Changed, Query, With, Without};
use engine_system::{
    Commands, DeadlinePolicy, EventReader, EventWriter, IntoSystem, ResMut, SystemError, SystemSet, Time, View,
};

fn error<M>(function: impl IntoSystem<M>) -> String {
    function.into_system("sys").unwrap_err().to_string()
}

#[test]
fn everything_is_derived_from_the_parameters() {
    fn all(
        _time: Time,
        _rows: Query<(&mut Position, Option<&Velocity>), Without<Frozen>>,
        _view: View<&Name, Changed<Name>>,
        _reads: EventReader<Hit>,
        _writes: EventWriter<Hit>,
        _commands: Commands,
    ) {
    }
    let system =
        all.after("a").before("b").every(3).deadline(DeadlinePolicy::Skip).deadline_ms(20).into_system("all").unwrap();
    let descriptor = system.descriptor();
    assert_eq!(descriptor.queries[0].columns.iter().map(|column| column.write).collect::<Vec<_>>(), [true, false]);
    assert_eq!(descriptor.views[0].changed(), [Name::ID]);
    assert_eq!(
        (descriptor.reads_events.as_slice(), descriptor.writes_events.as_slice()),
        ([Hit::ID].as_slice(), [Hit::ID].as_slice())
    );
    assert!(descriptor.commands);
    let options = &descriptor.options;
    assert_eq!(
        (options.after[0].as_str(), options.before[0].as_str(), options.every, options.whole),
        ("a", "b", 3, false)
    );
    assert_eq!((options.deadline, options.deadline_ms), (DeadlinePolicy::Skip, Some(20)));
    let names: Vec<&str> = system.schemas().iter().map(|schema| schema.name.as_str()).collect();
    assert_eq!(names, ["test.Frozen", "test.Hit", "test.Name", "test.Position", "test.Velocity"]);
}

#[test]
fn what_commands_spawn_can_be_declared() {
    fn birth(_commands: Commands) {}
    let system = birth.spawns::<(Position, Name)>().into_system("birth").unwrap();
    let names: Vec<&str> = system.schemas().iter().map(|schema| schema.name.as_str()).collect();
    assert_eq!(names, ["test.Name", "test.Position"]);
}

#[test]
fn parameters_that_alias_are_named() {
    fn read_what_is_written(_rows: Query<&mut Position>, _view: View<&Position>) {}
    assert_eq!(
        error(read_what_is_written),
        "system `sys`: parameter 1 `Query<&mut Position>` and parameter 2 `View<&Position>` both touch `test.Position`, \
         and one of them writes it: merge them into one query, or keep them apart by `With` and `Without`"
    );
    fn resource(_time: Time, _total: ResMut<Total>, _view: View<&Total>) {}
    assert!(
        error(resource)
            .starts_with("system `sys`: parameter 2 `ResMut<Total>` and parameter 3 `View<&Total>` both touch")
    );
    fn inside(_rows: Query<(&mut Position, &Position)>) {}
    let inside = error(inside);
    assert!(inside.starts_with("system `sys`: parameter 1 `Query<(&mut Position, &Position)>`: "), "{inside}");
    fn twice(_a: EventWriter<Hit>, _b: EventWriter<Hit>) {}
    assert!(
        error(twice)
            .starts_with("system `sys`: parameter 2 `EventWriter<Hit>` is parameter 1 `EventWriter<Hit>` again")
    );
    fn commands(_a: Commands, _b: Commands) {}
    assert!(error(commands).contains("parameter 2 `Commands` is parameter 1 `Commands` again"));
}

#[test]
fn what_with_and_without_keep_apart_does_not_alias() {
    fn apart(_rows: Query<&mut Position, With<Frozen>>, _view: View<&Position, Without<Frozen>>) {}
    apart.into_system("sys").unwrap();
    fn readers(_rows: Query<&Position>, _view: View<&Position>) {}
    readers.into_system("sys").unwrap();
}

#[test]
fn a_second_query_needs_whole() {
    fn two(_time: Time, _a: Query<&mut Position>, _b: Query<&Velocity>) {}
    assert_eq!(
        error(two),
        "system `sys`: parameter 2 `Query<&mut Position>` is cut into shards, so parameter 3 `Query<&Velocity>` would \
         lack rows: make it a `View` if it only reads, or run the system `.whole()`"
    );
    two.whole().into_system("sys").unwrap();
}

#[test]
fn a_resource_is_not_written_by_shards() {
    fn sum(_rows: Query<&Position>, _total: ResMut<Total>) {}
    assert_eq!(
        error(sum),
        "system `sys`: parameter 1 `Query<&Position>` is cut into shards, and each of them would write parameter 2 \
         `ResMut<Total>`: send an event to a system without a query, or run the system `.whole()`"
    );
    sum.whole().into_system("sys").unwrap();
    fn alone(_total: ResMut<Total>, _view: View<&Position>) {}
    alone.into_system("sys").unwrap();
}

#[test]
fn names_and_options_are_checked() {
    fn nothing() {}
    assert!(matches!(nothing.into_system("a b"), Err(SystemError::Name(_))));
    assert!(matches!(nothing.after("*").into_system("a"), Err(SystemError::Name(_) | SystemError::Descriptor(_))));
    assert!(matches!(nothing.every(0).into_system("a"), Err(SystemError::Descriptor(_))));
}

#[test]
fn a_set_keeps_the_order_and_refuses_a_name_twice() {
    fn nothing() {}
    let mut set = SystemSet::default();
    set.add("b", nothing).unwrap();
    set.add("a", nothing.every(2)).unwrap();
    assert_eq!(set.add("b", nothing).unwrap_err(), SystemError::DuplicateName("b".into()));
    assert_eq!(set.iter().map(|system| system.descriptor().name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert!(set.get("a").is_some() && set.get("c").is_none());
    assert_eq!((set.len(), set.is_empty(), set.into_boxes().len()), (2, false, 2));
}
