//! Two builds of the same components: the world keeps one layout, an instance of the other build reads and
//! writes its own, and the world is the same bit for bit.

use engine_app::App;
use engine_component::query::Query;
use engine_component::{Component, Entity, Event};
use engine_system::{Commands, EventReader, EventWriter, IntoSystem, Res, ResMut, View};

use crate::loopback::{Loopback, settings};

/// Systems and components as the world has them.
mod old {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Body")]
    pub(super) struct Body {
        pub(super) x: f32,
        pub(super) steps: u32,
        pub(super) friend: Entity,
        #[component(default = 5)]
        pub(super) color: u32,
        #[component(default = 0)]
        pub(super) team: u32,
    }

    #[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[component(name = "t.Label", document)]
    pub(super) struct Label {
        pub(super) text: String,
        pub(super) seen: u32,
        #[component(default = true)]
        pub(super) shown: bool,
        pub(super) who: Vec<Entity>,
    }

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Total")]
    pub(super) struct Total {
        pub(super) count: u64,
        pub(super) secret: u64,
    }

    #[derive(Event, Clone, Copy, Debug)]
    #[repr(C)]
    #[event(name = "t.Stepped")]
    pub(super) struct Stepped {
        pub(super) who: Entity,
        pub(super) steps: u32,
        #[event(default = 1)]
        pub(super) weight: u32,
    }

    #[derive(Event, Clone, Debug, Serialize, Deserialize)]
    #[event(name = "t.Said", document)]
    pub(super) struct Said {
        pub(super) text: String,
        pub(super) who: Entity,
    }

    pub(super) fn walk(
        mut bodies: Query<(Entity, &mut Body, &mut Label)>,
        mut commands: Commands,
        mut stepped: EventWriter<Stepped>,
        mut said: EventWriter<Said>,
    ) {
        for (entity, body, label) in &mut bodies {
            if body.steps % 3 == 0 {
                body.steps += 1;
                continue;
            }
            body.x += 0.5;
            body.steps += 1;
            label.seen += body.steps;
            label.who.push(entity);
            stepped.send(Stepped { who: entity, steps: body.steps, weight: 1 });
            said.send(Said { text: label.text.clone(), who: entity });
            if body.steps % 5 == 0 {
                let child = commands.spawn((Body { x: 0.25, steps: 1, friend: entity, color: 5, team: 0 },));
                let text = "child".to_owned();
                let label = Label { text, seen: 2, shown: true, who: vec![entity] };
                commands.entity(child).insert((label,));
                body.friend = child;
            }
        }
    }

    pub(super) fn count(
        stepped: EventReader<Stepped>,
        said: EventReader<Said>,
        bodies: View<(Entity, &Body, &Label)>,
        mut total: ResMut<Total>,
    ) {
        for event in stepped.iter() {
            let (_, body, label) = bodies.get(event.who).unwrap();
            total.count += u64::from(event.steps + body.steps + label.seen);
        }
        total.count += said.iter().map(|said| said.who.to_bits() + said.text.len() as u64).sum::<u64>();
    }

    /// Reads what is never written back.
    pub(super) fn look(total: Res<Total>, mut bodies: Query<&mut Body>) {
        for body in &mut bodies {
            if total.count.is_multiple_of(2) {
                body.x += 0.125;
            }
        }
    }

    pub(super) fn app() -> App {
        App::new("t")
            .add_system("walk", walk.spawns::<(Body, Label)>())
            .add_system("count", count)
            .add_system("look", look)
    }
}

/// The same, with fields that were widened, moved, renamed, added and taken away.
mod new {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Body", version = 2)]
    pub(super) struct Body {
        pub(super) friend: Entity,
        pub(super) x: f64,
        #[component(default = 7)]
        pub(super) added: u64,
        #[component(was = "steps")]
        pub(super) strides: u64,
    }

    #[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[component(name = "t.Label", document, version = 2)]
    pub(super) struct Label {
        pub(super) who: Vec<Entity>,
        #[component(default = 3)]
        pub(super) added: u8,
        #[component(was = "text")]
        pub(super) name: String,
        pub(super) seen: u64,
    }

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Total", version = 2)]
    pub(super) struct Total {
        pub(super) count: u64,
    }

    #[derive(Event, Clone, Copy, Debug)]
    #[repr(C)]
    #[event(name = "t.Stepped", version = 2)]
    pub(super) struct Stepped {
        pub(super) steps: u64,
        pub(super) who: Entity,
    }

    #[derive(Event, Clone, Debug, Serialize, Deserialize)]
    #[event(name = "t.Said", document, version = 2)]
    pub(super) struct Said {
        pub(super) who: Entity,
        #[event(default = 1)]
        pub(super) volume: u8,
        pub(super) text: String,
    }

    pub(super) fn walk(
        mut bodies: Query<(Entity, &mut Body, &mut Label)>,
        mut commands: Commands,
        mut stepped: EventWriter<Stepped>,
        mut said: EventWriter<Said>,
    ) {
        for (entity, body, label) in &mut bodies {
            assert_eq!((body.added, label.added), (7, 3), "what is not stored has its default in every tick");
            (body.added, label.added) = (8, 4);
            if body.strides % 3 == 0 {
                body.strides += 1;
                continue;
            }
            body.x += 0.5;
            body.strides += 1;
            label.seen += body.strides;
            label.who.push(entity);
            stepped.send(Stepped { who: entity, steps: body.strides });
            said.send(Said { text: label.name.clone(), who: entity, volume: 9 });
            if body.strides % 5 == 0 {
                let child = commands.spawn((Body { x: 0.25, strides: 1, added: 0, friend: entity },));
                let name = "child".to_owned();
                let label = Label { name, seen: 2, added: 0, who: vec![entity] };
                commands.entity(child).insert((label,));
                body.friend = child;
            }
        }
    }

    pub(super) fn count(
        stepped: EventReader<Stepped>,
        said: EventReader<Said>,
        bodies: View<(Entity, &Body, &Label)>,
        mut total: ResMut<Total>,
    ) {
        for event in stepped.iter() {
            let (_, body, label) = bodies.get(event.who).unwrap();
            total.count += event.steps + body.strides + label.seen;
        }
        total.count += said.iter().map(|said| said.who.to_bits() + said.text.len() as u64).sum::<u64>();
        assert!(said.iter().all(|said| said.volume == 1));
    }

    pub(super) fn look(total: Res<Total>, mut bodies: Query<&mut Body>) {
        for body in &mut bodies {
            if total.count.is_multiple_of(2) {
                body.x += 0.125;
            }
        }
    }

    pub(super) fn app() -> App {
        App::new("t")
            .add_system("walk", walk.spawns::<(Body, Label)>())
            .add_system("count", count)
            .add_system("look", look)
    }
}

const BODIES: u32 = 150;
const TICKS: u64 = 12;

fn world() -> App {
    old::app().on_start(|start| {
        start.world.insert_resource(old::Total { count: 0, secret: 77 });
        for number in 0..BODIES {
            let body =
                old::Body { x: number as f32, steps: number, friend: Entity::NONE, color: 100 + number, team: 1 };
            let text = format!("body {number}");
            start.world.spawn((body, old::Label { text, seen: 0, shown: number % 2 == 0, who: Vec::new() }));
        }
        Ok(())
    })
}

#[test]
fn an_instance_of_another_build_makes_the_same_world() {
    let alone = Loopback::new(world(), settings(TICKS), true).finish();
    let mut remote = Loopback::new(world(), settings(TICKS), false);
    remote.join_app("new", new::app());
    assert_eq!(remote.finish(), alone);
    assert_eq!(remote.refused.len(), 0);
    // What that build has never heard of is as it was.
    let world = remote.world();
    for number in 0..BODIES {
        let entity = Entity::from_bits(u64::from(number) + 2);
        assert_eq!(world.get::<old::Body>(entity).unwrap().color, 100 + number);
        assert_eq!(world.get::<old::Label>(entity).unwrap().shown, number % 2 == 0);
    }
    assert_eq!(world.resource::<old::Total>().unwrap().secret, 77);
    assert!(world.len() > BODIES as usize + 1, "children were spawned");
}

#[test]
fn two_builds_work_side_by_side() {
    let alone = Loopback::new(world(), settings(TICKS), true).finish();
    let mut remote = Loopback::new(world(), settings(TICKS), false);
    remote.join_app("new", new::app());
    remote.join_app("old", old::app());
    assert_eq!(remote.finish(), alone);
}

mod wrong {
    use super::*;

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Body")]
    pub(super) struct Body {
        pub(super) x: [u8; 4],
        pub(super) mass: u32,
    }

    pub(super) fn walk(mut bodies: Query<&mut Body>) {
        for body in &mut bodies {
            body.mass = 0;
        }
    }

    #[derive(Event, Clone, Copy, Debug)]
    #[repr(C)]
    #[event(name = "t.Said")]
    pub(super) struct Said {
        pub(super) who: Entity,
    }

    pub(super) fn say(mut said: EventWriter<Said>) {
        said.send(Said { who: Entity::NONE });
    }
}

#[test]
fn an_instance_that_means_something_else_is_refused_and_the_world_goes_on() {
    let alone = Loopback::new(world(), settings(TICKS), true).finish();
    let mut remote = Loopback::new(world(), settings(TICKS), false);
    remote.join_app("wrong", App::new("t").add_system("other", wrong::walk));
    remote.join_app("talks", App::new("t").add_system("say", wrong::say));
    remote.until("both are refused", |this| this.refused.len() == 2);
    remote.join_app("old", old::app());
    assert_eq!(remote.finish(), alone, "nothing is left of who was refused: no system that nobody runs");
    let refusal = &remote.refused["wrong"];
    for line in [
        "`t.Body` is another type in this world than instance `wrong` offers:",
        "  field `x`: f32 at byte 0, offered [u8; 4] at byte 0",
        "  field `steps`: u32 at byte 4, not offered",
        "  field `mass`: not stored, and without a default",
    ] {
        assert!(refusal.contains(line), "{refusal}");
    }
    assert!(remote.refused["talks"].contains("storage: document, offered plain"), "{}", remote.refused["talks"]);
}

mod narrow {
    use super::*;

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Small")]
    pub(super) struct Small {
        pub(super) number: u8,
        pub(super) kept: u8,
    }

    #[derive(Component, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    #[component(name = "t.Small")]
    pub(super) struct Wide {
        pub(super) number: u32,
    }

    pub(super) fn count(mut all: Query<&mut Small>) {
        for small in &mut all {
            small.number += 100;
        }
    }

    pub(super) fn wide(mut all: Query<&mut Wide>) {
        for wide in &mut all {
            wide.number += 100;
        }
    }

    pub(super) fn spawn(mut all: Query<&mut Wide>, mut commands: Commands) {
        for wide in &mut all {
            wide.number += 1;
            commands.spawn((*wide,));
        }
    }
}

#[test]
fn a_number_that_the_world_has_no_room_for_fails_its_job_with_the_reason() {
    let world = || {
        App::new("t").add_system("count", narrow::count).on_start(|start| {
            start.world.spawn((narrow::Small { number: 100, kept: 1 },));
            Ok(())
        })
    };
    let mut remote = Loopback::new(world(), settings(2), false);
    remote.join_app("wide", App::new("t").add_system("count", narrow::wide));
    remote.finish();
    let small = *remote.world().get::<narrow::Small>(Entity::from_bits(1)).unwrap();
    assert_eq!(small, narrow::Small { number: 200, kept: 1 }, "the first tick counts, the second can't");
    let failure = remote.failures.first().unwrap();
    assert_eq!(failure.reason, "adapt");
    assert_eq!(failure.message, "`t.Small`: field `number`: 300 is no u8, and that is what is stored");
}

#[test]
fn a_new_value_without_what_the_world_wants_fails_its_job_with_the_reason() {
    let world = App::new("t").on_start(|start| {
        start.world.spawn((narrow::Small { number: 1, kept: 2 },));
        Ok(())
    });
    let settings = engine_app::Settings { expect: vec!["spawn".into()], ..settings(1) };
    let mut remote = Loopback::new(world, settings, false);
    remote.join_app("wide", App::new("t").add_system("spawn", narrow::spawn));
    remote.finish();
    let failure = remote.failures.first().unwrap();
    assert_eq!(failure.reason, "adapt");
    assert!(failure.message.starts_with("`t.Small`: a new value lacks `kept`"), "{}", failure.message);
    assert_eq!(remote.world().len(), 1);
}
