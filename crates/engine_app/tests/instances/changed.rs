//! `Changed` filters over tables that lack one of the components: the bitmaps of an instance are those of
//! the world.

use engine_app::App;
use engine_component::query::{Changed, Or, Query};
use engine_component::{Component, Entity};

use crate::loopback::{Loopback, settings};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Heat")]
struct Heat(u32);

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Wind")]
struct Wind(u32);

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Alarms")]
struct Alarms(u32);

fn weather(mut heats: Query<(Entity, Option<&mut Heat>, Option<&mut Wind>)>) {
    for (entity, heat, wind) in &mut heats {
        match (heat, wind) {
            (Some(heat), None) if entity.to_bits() % 3 == 0 => heat.0 += 1,
            (None, Some(wind)) if entity.to_bits() % 5 == 0 => wind.0 += 1,
            (Some(heat), Some(wind)) if entity.to_bits() % 7 == 0 => {
                heat.0 += 1;
                wind.0 += 1;
            }
            _ => {}
        }
    }
}

fn alarm(mut alarms: Query<&mut Alarms, Or<(Changed<Heat>, Changed<Wind>)>>) {
    for alarms in &mut alarms {
        alarms.0 += 1;
    }
}

fn app() -> App {
    App::new("t").add_system("weather", weather).add_system("alarm", alarm).on_start(|start| {
        for number in 0..100 {
            start.world.spawn((Alarms(0), Heat(number)));
            start.world.spawn((Alarms(0), Wind(number)));
            start.world.spawn((Alarms(0), Heat(number), Wind(number)));
        }
        Ok(())
    })
}

#[test]
fn either_of_two_changes_is_seen_where_only_one_of_them_can_be() {
    let alone = Loopback::new(app(), settings(6), true).finish();
    let mut remote = Loopback::new(app(), settings(6), false);
    remote.join_app("one", app());
    assert_eq!(remote.finish(), alone);
    let counts: Vec<u32> = (1..=300).map(|n| remote.world().get::<Alarms>(Entity::from_bits(n)).unwrap().0).collect();
    // All rows are news in the first tick; in each of the others those that the weather touched.
    for (index, alarms) in counts.iter().enumerate() {
        let (entity, step) = (index + 1, [3, 5, 7][index % 3]);
        assert_eq!(*alarms, if entity % step == 0 { 6 } else { 1 }, "entity {entity}");
    }
}
