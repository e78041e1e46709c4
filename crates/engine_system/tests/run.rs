//! Functions as systems, run over rows.

#![allow(elided_lifetimes_in_paths, clippy::needless_pass_by_value, reason = "systems are written as users write them")]
#![allow(clippy::too_many_arguments, clippy::type_complexity, clippy::unwrap_used, reason = "tests go to the limits")]

mod common;

use common::{Bell, Frozen, Hit, Name, Position, Shout, Total, Unread, Velocity, run, run_at, shared_rows};
use engine_component::commands::{Command, decode};
use engine_component::query::{Changed, Or, Query, With, Without};
use engine_component::{Data, Entity, World};
use engine_system::{
    Commands, EventReader, EventWriter, IntoSystem, JobError, JobInput, Res, ResMut, Rng, System, Time, View,
};
use std::sync::atomic::{AtomicUsize, Ordering};

fn system<M>(function: impl IntoSystem<M>) -> Box<dyn System> {
    function.into_system("test").unwrap()
}

fn moving_world() -> (World, Entity, Entity) {
    let mut world = World::default();
    let free = world.spawn((Position { x: 1.0 }, Velocity { x: 2.0 }));
    let frozen = world.spawn((Position { x: 1.0 }, Velocity { x: 2.0 }, Frozen));
    (world, free, frozen)
}

fn place(world: &World, entity: Entity) -> f32 {
    world.get::<Position>(entity).unwrap().x
}

#[test]
fn a_plain_function_with_elided_lifetimes_is_a_system() {
    fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity), Without<Frozen>>) {
        for (position, velocity) in &mut bodies {
            position.x += velocity.x * time.dt;
        }
    }
    let (mut world, free, frozen) = moving_world();
    let output = run(&mut world, system(integrate).as_ref()).unwrap();
    assert_eq!((place(&world, free), place(&world, frozen)), (2.0, 1.0));
    assert!(output.commands.is_empty() && output.events.is_empty());
}

#[test]
fn a_closure_is_a_system() {
    let (mut world, free, _) = moving_world();
    let step = 4.0;
    let closure = move |mut bodies: Query<&mut Position>| bodies.for_each(|position| position.x += step);
    run(&mut world, system(closure).as_ref()).unwrap();
    assert_eq!(place(&world, free), 5.0);
}

#[test]
fn no_parameter_and_twelve_parameters_are_fine() {
    fn nothing() {}
    fn all(
        _a: Time,
        _b: Rng,
        _c: Query<(Entity, &Velocity)>,
        _d: View<(Entity, &Position), With<Velocity>>,
        _e: View<&Name>,
        _f: Res<Total>,
        _g: Commands,
        _h: EventReader<Hit>,
        _i: EventReader<Shout>,
        _j: EventWriter<Shout>,
        _k: EventWriter<Bell>,
        _l: Time,
    ) {
    }
    let mut world = World::default();
    world.spawn((Total::default(),));
    run(&mut world, system(nothing).as_ref()).unwrap();
    let output = run(&mut world, system(all).as_ref()).unwrap();
    assert_eq!(output.events.iter().map(|sent| sent.0).collect::<Vec<_>>(), [Shout::ID, Bell::ID]);
}

#[test]
fn a_type_alias_of_a_view_is_a_parameter() {
    type Others<'a> = View<'a, (Entity, &'static Position)>;
    fn follow(mut bodies: Query<(Entity, &mut Velocity)>, others: Others<'_>) {
        for (entity, velocity) in &mut bodies {
            velocity.x = others.iter().filter(|other| other.0 != entity).map(|other| other.1.x).sum();
        }
    }
    let (mut world, free, frozen) = moving_world();
    world.set(frozen, &Position { x: 9.0 }).unwrap();
    run(&mut world, system(follow).as_ref()).unwrap();
    assert_eq!(world.get::<Velocity>(free).unwrap().x, 9.0);
}

#[test]
fn an_index_is_built_once_for_all_jobs_of_a_node() {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    struct Sum(f32);
    fn count(mut bodies: Query<&mut Velocity>, others: View<&Position>) {
        let sum = others.index(|others| {
            BUILT.fetch_add(1, Ordering::Relaxed);
            Sum(others.iter().map(|place| place.x).sum())
        });
        bodies.for_each(|velocity| velocity.x = sum.0);
    }
    let (world, ..) = moving_world();
    let system = system(count);
    let rows = shared_rows(&world, &system.descriptor().views[0]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut job = JobInput::new(Time::default(), 0);
                job.queries = vec![Vec::new()];
                job.views = vec![&rows];
                system.run(&job).unwrap();
            });
        }
    });
    assert_eq!(BUILT.load(Ordering::Relaxed), 1);
}

#[test]
fn a_view_finds_rows_by_entity() {
    fn look(mut bodies: Query<(Entity, &mut Velocity)>, all: View<(&Position, Option<&Name>), Without<Frozen>>) {
        for (entity, velocity) in &mut bodies {
            velocity.x =
                all.get(entity).map_or(-1.0, |(place, name)| place.x + name.map_or(0.0, |name| name.text.len() as f32));
        }
        assert!(all.get(Entity::from_bits(999)).is_none());
        assert_eq!((all.len(), all.is_empty(), (&all).into_iter().count()), (1, false, 1));
    }
    let (mut world, free, frozen) = moving_world();
    world.insert(free, (Name { text: "free".into() },)).unwrap();
    run(&mut world, system(look).as_ref()).unwrap();
    assert_eq!(world.get::<Velocity>(free).unwrap().x, 5.0);
    assert_eq!(world.get::<Velocity>(frozen).unwrap().x, -1.0);
}

#[test]
fn documents_are_read_and_written() {
    fn shout(mut names: Query<&mut Name>) {
        names.for_each(|name| name.text.make_ascii_uppercase());
    }
    let mut world = World::default();
    let quiet = world.spawn((Name { text: "quiet".into() },));
    run(&mut world, system(shout).as_ref()).unwrap();
    assert_eq!(world.get::<Name>(quiet).unwrap().text, "QUIET");
}

#[test]
fn resources_are_read_and_written() {
    fn sum(mut total: ResMut<Total>, places: View<&Position>) {
        total.sum = places.iter().map(|place| place.x).sum();
    }
    fn take(mut bodies: Query<&mut Position>, total: Res<Total>) {
        bodies.for_each(|place| place.x = total.sum);
    }
    let (mut world, free, _) = moving_world();
    let missing = run(&mut world, system(take).as_ref()).unwrap_err();
    assert_eq!(missing, JobError::NoResource { system: "test".into(), resource: "test.Total" });
    let resource = world.spawn((Total::default(),));
    run(&mut world, system(sum).as_ref()).unwrap();
    assert_eq!(world.get::<Total>(resource).unwrap().sum, 2.0);
    run(&mut world, system(take).as_ref()).unwrap();
    assert_eq!(place(&world, free), 2.0);
}

#[test]
fn a_spawned_entity_is_usable_in_the_same_job() {
    fn breed(mut commands: Commands, mut hits: EventWriter<Hit>, mut shouts: EventWriter<Shout>) {
        let child = commands.spawn((Position { x: 3.0 },));
        commands.entity(child).insert((Velocity { x: 1.0 },)).remove::<(Position,)>();
        let other = commands.spawn((Frozen,));
        commands.despawn(other);
        hits.send(Hit { who: child });
        shouts.send_all([Shout { who: other, text: "!".into() }, Shout { who: child, text: "?".into() }]);
    }
    let mut output = run(&mut World::default(), system(breed).as_ref()).unwrap();
    let commands: Vec<Command<'_>> = decode(output.commands.bytes()).collect::<Result<_, _>>().unwrap();
    let child = Entity::provisional(0);
    assert!(matches!(commands[0], Command::Spawn(entity, _) if entity == child));
    assert!(matches!(commands[1], Command::Insert(entity, _) if entity == child));
    assert!(matches!(commands[2], Command::Remove(entity, _) if entity == child));
    assert!(matches!(commands[4], Command::Despawn(entity) if entity == Entity::provisional(1)));

    // Whoever applies the commands gives final numbers to the entities in the events too.
    let real = |entity: Entity| Entity::from_bits(entity.provisional_number().unwrap() + 100);
    output.events[0].1.replace_entities(&Hit::schema().entity_offsets(), real);
    output.events[1].1.replace_entities(&[], real);
    assert_eq!(
        EventReader::<Hit>::new(output.events[0].1.as_slice()).iter().collect::<Vec<_>>(),
        [&Hit { who: Entity::from_bits(100) }]
    );
    let shouts: Vec<u64> =
        EventReader::<Shout>::new(output.events[1].1.as_slice()).iter().map(|shout| shout.who.to_bits()).collect();
    assert_eq!(shouts, [101, 100]);
}

#[test]
fn events_of_every_kind_are_read() {
    fn listen(mut total: ResMut<Total>, hits: EventReader<Hit>, shouts: EventReader<Shout>, bells: EventReader<Bell>) {
        let text: String = shouts.iter().map(|shout| shout.text.as_str()).collect();
        assert_eq!((text.as_str(), hits.undecoded()), ("ab", 0));
        total.sum = (hits.iter().map(|hit| hit.who.to_bits()).sum::<u64>() + bells.len() as u64) as f32;
    }
    let mut world = World::default();
    let resource = world.spawn((Total::default(),));
    let hit = |bits| Hit { who: Entity::from_bits(bits) };
    let shout = |text: &str| Shout { who: Entity::NONE, text: text.into() };
    let unread = Unread::default().with(&[hit(1), hit(2)]).with(&[shout("a"), shout("b")]).with(&[Bell; 3]);
    run_at(&mut world, system(listen).as_ref(), Time::default(), &unread).unwrap();
    assert_eq!(world.get::<Total>(resource).unwrap().sum, 6.0);
}

#[test]
fn random_numbers_depend_on_system_tick_and_entity_only() {
    fn roll(rng: Rng, mut bodies: Query<(Entity, &mut Position)>) {
        for (entity, place) in &mut bodies {
            place.x = rng.of(entity).f32();
        }
    }
    let (mut world, free, frozen) = moving_world();
    let system = system(roll);
    run(&mut world, system.as_ref()).unwrap();
    let first = (place(&world, free), place(&world, frozen));
    run(&mut world, system.as_ref()).unwrap();
    assert_eq!(first, (place(&world, free), place(&world, frozen)));
    assert_ne!(first.0, first.1);
    run_at(&mut world, system.as_ref(), Time::at(2, 0.5), &Unread::default()).unwrap();
    assert_ne!(first.0, place(&world, free));
}

#[test]
fn filters_reach_the_query() {
    fn some(mut bodies: Query<&mut Position, (Changed<Velocity>, Or<(With<Frozen>, With<Name>)>)>) {
        bodies.for_each(|place| place.x = 0.0);
    }
    let (mut world, free, frozen) = moving_world();
    run(&mut world, system(some).as_ref()).unwrap();
    assert_eq!((place(&world, free), place(&world, frozen)), (1.0, 0.0));
}

#[test]
fn a_panic_is_an_error_that_names_the_system() {
    fn fall(_bodies: Query<&Position>) {
        panic!("over {}", "board");
    }
    let error = run(&mut World::default(), system(fall).as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "system `test` panicked: over board");
}

#[test]
fn a_job_for_another_declaration_is_refused() {
    fn look(_bodies: Query<&Position>) {}
    let error = system(look).run(&JobInput::new(Time::default(), 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a job of system `test` brings no rows for a query: it was made for another declaration"
    );
}
