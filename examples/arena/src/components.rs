//! What fighters are made of.

use engine::prelude::*;
use serde::{Deserialize, Serialize};

/// Where a fighter stands, in metres. Plain: a column of these is one block of memory.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "arena.Position", finite)]
pub struct Position {
    /// Metres east and north of the middle.
    pub at: Vec2,
}

/// How a fighter moves, in metres a second.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "arena.Velocity", finite)]
pub struct Velocity {
    /// Metres a second.
    pub by: Vec2,
}

/// Whose side a fighter is on.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[component(name = "arena.Team")]
pub struct Team {
    /// 0 to [`Team::COUNT`] - 1.
    pub number: u32,
}

impl Team {
    /// Teams on the plane.
    pub const COUNT: u32 = 4;
}

/// What a fighter can still take.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[component(name = "arena.Health")]
pub struct Health {
    /// 100 when fresh; at 0 the fighter falls.
    pub points: i32,
}

/// Time until the next blow.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "arena.Cooldown", finite)]
pub struct Cooldown {
    /// Seconds.
    pub left: f32,
}

/// A fighter's story: a document, since it has strings and a list.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "arena.Chronicle", document)]
pub struct Chronicle {
    /// What the crowd shouts.
    pub name: String,
    /// The latest blows that the fighter took, newest last; at most [`Chronicle::LENGTH`].
    pub hits: Vec<Hit>,
}

impl Chronicle {
    /// Blows that a chronicle remembers.
    pub const LENGTH: usize = 4;
}

/// A blow, as the one who took it remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Who struck.
    pub by: Entity,
    /// How hard.
    pub points: i32,
    /// When.
    pub tick: u64,
}

/// A tag, without data: badly hurt fighters run away.
#[derive(Component, Clone, Copy, Debug, Default)]
#[component(name = "arena.Wounded")]
pub struct Wounded;

/// A round obstacle.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "arena.Pillar", finite)]
pub struct Pillar {
    /// Its middle.
    pub at: Vec2,
    /// Metres.
    pub radius: f32,
}

/// A resource: one for the whole world.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[component(name = "arena.Score")]
pub struct Score {
    /// Fighters that fell to each team.
    pub felled: [u32; Team::COUNT as usize],
}

/// Somebody was struck.
#[derive(Event, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[event(name = "arena.Damage")]
pub struct Damage {
    /// Who was struck.
    pub victim: Entity,
    /// Who struck.
    pub by: Entity,
    /// How hard.
    pub points: i32,
    /// The team of the one who struck.
    pub team: u32,
}

/// Somebody fell.
#[derive(Event, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[event(name = "arena.Fallen")]
pub struct Fallen {
    /// Who fell.
    pub who: Entity,
    /// The team that has the merit.
    pub to_team: u32,
    /// The team that lost a fighter.
    pub of_team: u32,
}
