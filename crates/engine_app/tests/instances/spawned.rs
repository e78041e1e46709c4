//! A job names the entities that it spawns, in components, documents and events: everybody else reads their
//! real numbers, the same ones in every topology.

use engine_app::App;
use engine_component::query::Query;
use engine_component::{Component, Entity, Event, World};
use engine_system::{Commands, EventReader, EventWriter, IntoSystem, ResMut};
use serde::{Deserialize, Serialize};

use crate::loopback::{Loopback, settings};
use crate::processes::over_nats;

const NESTS: u64 = 150;
const CLOUDS: u64 = 70;
const TICKS: u64 = 8;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Nest")]
struct Nest {
    number: u64,
    last: Entity,
    before: Entity,
}

#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "t.Diary", document)]
struct Diary {
    chicks: Vec<Entity>,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Chick")]
struct Chick {
    nest: Entity,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Cloud")]
struct Cloud(u64);

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Drop")]
struct Drop(u64);

#[derive(Component, Clone, Copy, Debug, Default)]
#[component(name = "t.Greeted")]
struct Greeted;

#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
#[component(name = "t.Newest")]
struct Newest {
    chick: Entity,
    seen: u64,
}

#[derive(Event, Clone, Copy, Debug)]
#[repr(C)]
#[event(name = "t.Hatched")]
struct Hatched {
    nest: Entity,
    chick: Entity,
}

#[derive(Event, Clone, Debug, Serialize, Deserialize)]
#[event(name = "t.Sung", document)]
struct Sung {
    of: Vec<Entity>,
}

/// Spawns without naming: how much, differs from tick to tick.
fn rain(clouds: Query<&Cloud>, mut commands: Commands) {
    for cloud in &clouds {
        for drop in 0..cloud.0 % 3 {
            commands.spawn((Drop(drop),));
        }
    }
}

fn hatch(
    mut nests: Query<(Entity, &mut Nest, &mut Diary)>,
    mut commands: Commands,
    mut hatched: EventWriter<Hatched>,
    mut sung: EventWriter<Sung>,
) {
    for (entity, nest, diary) in &mut nests {
        nest.number += 1;
        if nest.number % 4 == 0 {
            continue;
        }
        let chick = commands.spawn((Chick { nest: entity },));
        let twin = commands.spawn((Chick { nest: entity },));
        (nest.before, nest.last) = (nest.last, chick);
        diary.chicks.extend([chick, twin]);
        hatched.send(Hatched { nest: entity, chick });
        sung.send(Sung { of: vec![twin, entity] });
    }
}

/// In the same tick, in another node.
fn greet(hatched: EventReader<Hatched>, sung: EventReader<Sung>, mut newest: ResMut<Newest>, mut commands: Commands) {
    for event in hatched.iter() {
        newest.seen += 1;
        newest.chick = event.chick;
        commands.insert(event.chick, (Greeted,));
        commands.spawn((Chick { nest: event.nest },));
    }
    for event in sung.iter() {
        commands.insert(event.of[0], (Greeted,));
    }
}

/// Reads what the node before it wrote in the same tick.
fn follow(mut nests: Query<(&Nest, &mut Cloud)>) {
    for (nest, cloud) in &mut nests {
        cloud.0 = nest.last.to_bits();
    }
}

fn app() -> App {
    App::new("t")
        .add_system("rain", rain.spawns::<(Drop,)>())
        .add_system("hatch", hatch.spawns::<(Chick,)>())
        .add_system("greet", greet.spawns::<(Chick, Greeted)>())
        .add_system("follow", follow)
        .on_start(|start| {
            start.world.insert_resource(Newest::default());
            for number in 0..CLOUDS {
                start.world.spawn((Cloud(number),));
            }
            for number in 0..NESTS {
                let nest = Nest { number, last: Entity::NONE, before: Entity::NONE };
                let diary = Diary { chicks: Vec::new() };
                match number % 2 {
                    0 => start.world.spawn((nest, diary)),
                    _ => start.world.spawn((nest, diary, Cloud(number))),
                };
            }
            Ok(())
        })
}

fn is_chick_of(world: &World, chick: Entity, nest: Entity) -> bool {
    world.get::<Chick>(chick).is_some_and(|chick| chick.nest == nest)
}

fn check(world: &World) {
    let mut chicks = 0;
    for number in 2 + CLOUDS..2 + CLOUDS + NESTS {
        let entity = Entity::from_bits(number);
        let nest = *world.get::<Nest>(entity).unwrap();
        assert!(is_chick_of(world, nest.last, entity), "{nest:?}");
        assert!(is_chick_of(world, nest.before, entity), "{nest:?}");
        let diary = world.get::<Diary>(entity).unwrap().chicks.clone();
        assert!(diary.iter().all(|chick| is_chick_of(world, *chick, entity)), "{diary:?}");
        assert!(diary.iter().all(|chick| world.get::<Greeted>(*chick).is_some()), "{diary:?}");
        assert!(diary.is_sorted_by(|a, b| a < b), "numbers grow: {diary:?}");
        chicks += diary.len() as u64;
        if let Some(cloud) = world.get::<Cloud>(entity) {
            assert_eq!(cloud.0, nest.last.to_bits());
        }
    }
    let newest = *world.resource::<Newest>().unwrap();
    assert_eq!(newest.seen, chicks / 2);
    assert!(world.get::<Chick>(newest.chick).is_some() && world.get::<Greeted>(newest.chick).is_some());
}

#[test]
fn new_entities_have_their_numbers_in_columns_documents_and_events() {
    let mut alone = Loopback::new(app(), settings(TICKS), true);
    alone.finish();
    check(alone.world());
}

#[test]
fn numbers_do_not_depend_on_who_is_faster() {
    let alone = Loopback::new(app(), settings(TICKS), true).finish();
    for slow in ["", "rain", "hatch", "greet"] {
        let mut remote = Loopback::new(app(), settings(TICKS), false);
        for system in app().into_systems().unwrap() {
            let name = system.descriptor().name.clone();
            remote.join(&name, vec![system]);
        }
        remote.slow.insert(slow.to_owned());
        assert_eq!(remote.finish(), alone, "when `{slow}` is late");
        check(remote.world());
    }
}

#[test]
fn numbers_are_the_same_over_a_server() {
    let alone = app().run_ticks(settings(TICKS)).unwrap().hash;
    let (hash, coordinator) = over_nats(app, settings(TICKS), 2);
    check(coordinator.world());
    assert_eq!(hash, alone);
}
