//! Robots in a yard, sent about by programs outside.
//!
//! A program gives a command, a system answers it, and the answer arrives when the tick that it was part of is durable:
//! whatever dies meanwhile, each order counts once. `tests/exactly_once.rs` kills everything.

use std::collections::BTreeMap;

use engine::component::Invalid;
use engine::prelude::*;
use serde::{Deserialize, Serialize};

/// From the middle of the yard to its walls, in metres.
const HALF: f32 = 50.0;
/// Metres a second.
const SPEED: f32 = 2.0;

/// A robot, and how often it was sent somewhere.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "yard.Robot")]
pub struct Robot {
    /// What programs outside call it.
    pub number: u32,
    /// Orders that it had.
    pub orders: u32,
}

/// Where it is, in metres from the middle of the yard.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "yard.Place", finite)]
pub struct Place {
    /// On the ground.
    pub at: Vec2,
}

/// Where it goes.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "yard.Goal", finite)]
pub struct Goal {
    /// On the ground.
    pub at: Vec2,
}

/// Sends a robot somewhere.
#[derive(Command, Clone, Copy, Debug)]
#[repr(C)]
#[command(name = "yard.robot.go", answer = Going, finite, validate = Go::check)]
pub struct Go {
    /// Which.
    #[command(key)]
    pub robot: u32,
    /// Where to.
    pub to: Vec2,
}

impl Go {
    fn check(&self) -> Result<(), Invalid> {
        if self.to.abs().max_element() <= HALF {
            Ok(())
        } else {
            Err(Invalid::new(format_args!("the yard ends {HALF} m from its middle")))
        }
    }
}

/// What whoever sent a robot is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Going {
    /// How many orders the robot had, with this one.
    pub orders: u32,
    /// How far it has to go, in metres.
    pub distance: f32,
}

/// A robot is where it was sent.
#[derive(Event, Clone, Copy, Debug)]
#[repr(C)]
#[event(name = "yard.Arrived")]
pub struct Arrived {
    /// Which.
    pub robot: u32,
    /// By which of its orders.
    pub orders: u32,
}

/// The yard.
#[must_use]
pub fn app() -> App {
    App::new("yard")
        .about("Robots in a yard, sent about by programs outside")
        .option("robots", "1000", "Robots at the start")
        .on_start(|start| {
            let robots: u32 = start.option("robots")?;
            let mut rng = start.rng("places").of(Entity::NONE);
            for number in 0..robots {
                let at = Vec2::new(rng.range(-HALF..HALF), rng.range(-HALF..HALF));
                start.world.spawn((Robot { number, orders: 0 }, Place { at }, Goal { at }));
            }
            Ok(())
        })
        .add_system("obey", obey)
        .add_system("drive", drive)
}

/// Takes orders. Each shard gets all of them, and answers those to its own robots; one to a robot that nobody has is
/// answered by nobody, and refused.
fn obey(orders: CommandHandler<Go>, mut robots: Query<(&mut Robot, &Place, &mut Goal)>) {
    let mut of_robot = BTreeMap::<u32, Vec<_>>::new();
    for order in &orders {
        of_robot.entry(order.robot).or_default().push(order);
    }
    if of_robot.is_empty() {
        return;
    }
    for (robot, place, goal) in &mut robots {
        for order in of_robot.get(&robot.number).into_iter().flatten() {
            robot.orders += 1;
            goal.at = order.to;
            orders.answer(order, Going { orders: robot.orders, distance: place.at.distance(order.to) });
        }
    }
}

fn drive(time: Time, mut robots: Query<(&Robot, &mut Place, &Goal)>, mut arrived: EventWriter<Arrived>) {
    for (robot, place, goal) in &mut robots {
        let way = goal.at - place.at;
        if way == Vec2::ZERO {
            continue;
        }
        let step = SPEED * time.dt;
        if way.length() > step {
            place.at += way.normalize() * step;
        } else {
            place.at = goal.at;
            arrived.send(Arrived { robot: robot.number, orders: robot.orders });
        }
    }
}
