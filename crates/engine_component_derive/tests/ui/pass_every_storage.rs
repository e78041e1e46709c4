#![forbid(unsafe_code)]

use engine_component::{Command, Component, Entity, Event, Invalid, Plain};

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Inner {
    parts: [f32; 3],
    flags: u32,
}

#[derive(Clone, Copy, Component)]
#[component(name = "test.Outer", version = 2, finite)]
#[repr(C, align(16))]
struct Outer {
    of: Entity,
    inner: Inner,
    #[component(default = 3, was = "count")]
    number: u64,
}

#[derive(Clone, Copy, Component)]
#[component(name = "test.Wrapper")]
#[repr(transparent)]
struct Wrapper(Inner);

#[derive(Component)]
#[component(name = "test.Marked")]
struct Marked;

#[derive(serde::Serialize, serde::Deserialize, Event)]
#[event(name = "test.Said", document)]
struct Said {
    text: String,
    #[event(default = Vec::new())]
    to: Vec<Entity>,
}

#[derive(Event)]
#[event(name = "test.Never", version = 3, validate = never)]
struct Never;

fn never(_: &Never) -> Result<(), Invalid> {
    Err(Invalid::new("never"))
}

#[derive(serde::Serialize, serde::Deserialize, Command)]
#[command(name = "test.player.say", document, answer = Result<u64, String>, validate = Self::check)]
struct Say {
    #[command(key)]
    player: u64,
    text: String,
}

impl Say {
    fn check(&self) -> Result<(), Invalid> {
        if self.text.is_empty() { Err(Invalid::new("nothing is said")) } else { Ok(()) }
    }
}

#[derive(Command)]
#[command(name = "test.clock.tick")]
struct Tick;

fn main() {
    let nothing = Say { player: 7, text: String::new() };
    assert_eq!(Command::key(&nothing), "7");
    assert!(Command::validate(&nothing).is_err() && Event::validate(&Never).is_err());
    assert_eq!(Command::key(&Tick), "all");
}
