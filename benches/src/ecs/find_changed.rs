//! One row in twenty has changed: finding those, and reading them.
//!
//! flecs knows which tables have changed, not which rows, so it has no part in this.

use engine_component::query::{Changed, Query};
use engine_component::{BitRows, World};
use engine_system::IntoSystem;
use std::cell::Cell;

use super::ENTITIES;
use super::components::engine_world;
use super::components::ours::Position;
#[cfg(feature = "peers")]
use super::components::theirs;
use super::shard_kernel::Shard;
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::repeated;
#[cfg(feature = "peers")]
use crate::measure::with_fresh;

/// One row in so many.
const EVERY: usize = 20;

pub(crate) fn cases() -> Vec<Case> {
    let unit = Unit::Microseconds;
    vec![
        Case {
            name: "ecs/find_changed",
            about: "find and read the 5 % of 10,000 rows that changed",
            unit,
            contenders: || contenders(ENTITIES),
        },
        Case {
            name: "ecs/find_changed_million",
            about: "the same of 1,000,000 rows",
            unit,
            contenders: || contenders(1_000_000),
        },
        Case {
            name: "ecs/changed_filter_million",
            about: "the same by a system with `Changed`, in one job",
            unit,
            contenders: || Ok(vec![filter(1_000_000)?, hand(1_000_000)]),
        },
    ]
}

fn contenders(rows: usize) -> anyhow::Result<Vec<Contender>> {
    Ok(vec![
        engine(rows)?,
        hand(rows),
        #[cfg(feature = "peers")]
        bevy(rows),
        #[cfg(feature = "peers")]
        hecs(rows),
    ])
}

fn some_of(rows: usize) -> impl Iterator<Item = usize> {
    (0..rows).step_by(EVERY)
}

/// By a tracker, as watches and hooks do.
fn engine(rows: usize) -> anyhow::Result<Contender> {
    let mut world: World = engine_world(rows, false);
    let tracker = world.track(<Position as engine_component::Data>::ID)?;
    world.clear_tracker(<Position as engine_component::Data>::ID, tracker);
    let entities = world.tables()[0].entities().to_vec();
    for row in some_of(rows) {
        world.set(entities[row], &Position { value: engine_math::Vec3::Y })?;
    }
    Ok(repeated(OURS, 1, move || {
        let mut sum = 0.0;
        for table in world.tables() {
            let Some(index) = table.column_index(<Position as engine_component::Data>::ID) else { continue };
            let positions = table.column(index).as_slice::<Position>();
            sum += table.column(index).tracked(tracker).iter_ones().map(|row| positions[row].value.y).sum::<f32>();
        }
        std::hint::black_box(sum);
    }))
}

thread_local! {
    static SUM: Cell<f32> = const { Cell::new(0.0) };
}

fn look(mut moved: Query<&Position, Changed<Position>>) {
    let mut sum = 0.0;
    moved.for_each(|position| sum += position.value.y);
    SUM.set(sum);
}

fn filter(rows: usize) -> anyhow::Result<Contender> {
    let system = look.into_system("look")?;
    let shard = Shard::new(rows);
    let mut changed = BitRows::new(rows);
    some_of(rows).for_each(|row| changed.set(row));
    Ok(repeated(OURS, 1, move || {
        let ran = system.run(&shard.job_on_changed(changed.clone()));
        std::hint::black_box((SUM.get(), ran.is_ok()));
    }))
}

/// A bit for each row.
fn hand(rows: usize) -> Contender {
    let positions = vec![engine_math::Vec3::Y; rows];
    let mut bits = vec![0_u64; rows.div_ceil(64)];
    some_of(rows).for_each(|row| bits[row / 64] |= 1 << (row % 64));
    repeated("hand", 1, move || {
        let mut sum = 0.0;
        for (place, word) in bits.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                sum += positions[place * 64 + word.trailing_zeros() as usize].y;
                word &= word - 1;
            }
        }
        std::hint::black_box(sum);
    })
}

#[cfg(feature = "peers")]
fn bevy(rows: usize) -> Contender {
    use bevy_ecs::query::Changed;
    let mut world = super::components::bevy_world(rows, false);
    world.clear_trackers();
    let mut all = world.query::<&mut theirs::Position>();
    for mut position in all.iter_mut(&mut world).step_by(EVERY) {
        position.value = engine_math::Vec3::Y;
    }
    let mut moved = world.query_filtered::<&theirs::Position, Changed<theirs::Position>>();
    repeated("bevy_ecs", 1, move || {
        let mut sum = 0.0;
        moved.iter(&world).for_each(|position| sum += position.value.y);
        std::hint::black_box(sum);
    })
}

/// It compares with a copy of all values, which it brings up to date as it goes.
#[cfg(feature = "peers")]
fn hecs(rows: usize) -> Contender {
    use std::cell::RefCell;
    use std::rc::Rc;
    #[derive(Clone, Copy, PartialEq)]
    struct Moving(engine_math::Vec3);
    let mut world = hecs::World::new();
    world.spawn_batch((0..rows).map(|_| (Moving(engine_math::Vec3::X),))).for_each(drop);
    let world = Rc::new(RefCell::new(world));
    let mut tracker = hecs::ChangeTracker::<Moving>::new();
    drop(tracker.track(&mut world.borrow_mut()));
    let changing = Rc::clone(&world);
    let change = move || {
        changing
            .borrow_mut()
            .query_mut::<&mut Moving>()
            .into_iter()
            .step_by(EVERY)
            .for_each(|moving| moving.0.y += 1.0);
    };
    with_fresh("hecs", change, move |()| {
        let mut world = world.borrow_mut();
        let mut changes = tracker.track(&mut world);
        changes.changed().map(|(_, _, now)| now.0.y).sum::<f32>()
    })
}
