//! A small world with one of everything that travels.
//!
//! Its systems must stand whatever comes: instances run them on values that were made up.

use engine::component::Invalid;
use engine::prelude::*;
use engine_app::TimeMode;
use serde::{Deserialize, Serialize};

/// Where it is.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "fuzz.Place", finite)]
pub struct Place {
    /// On the plane.
    pub at: Vec2,
}

/// What it hangs on.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "fuzz.Link")]
pub struct Link {
    /// Whom.
    pub to: Entity,
    /// How much.
    #[component(default = 1)]
    pub weight: u32,
    /// Nothing.
    #[component(default = [0, 0])]
    pub spare: [u16; 2],
}

/// What happened to it.
#[derive(Component, Clone, Debug, Default, Serialize, Deserialize)]
#[component(name = "fuzz.Story", document)]
pub struct Story {
    /// By whom.
    pub friend: Option<Entity>,
    /// How hard.
    pub hits: Vec<u32>,
    /// In words.
    pub text: String,
}

/// Only this.
#[derive(Component, Clone, Copy, Debug)]
#[component(name = "fuzz.Drawn")]
pub struct Drawn;

/// A resource.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "fuzz.Wind")]
pub struct Wind {
    /// How strong.
    pub by: f32,
    /// How often somebody asked.
    pub asked: u32,
}

/// One hits another.
#[derive(Event, Clone, Copy, Debug)]
#[repr(C)]
#[event(name = "fuzz.Hit")]
pub struct Hit {
    /// Whom.
    pub whom: Entity,
    /// How hard.
    pub points: u32,
    /// Nothing.
    pub spare: u32,
}

/// Something is told.
#[derive(Event, Clone, Debug, Serialize, Deserialize)]
#[event(name = "fuzz.Tale", document)]
pub struct Tale {
    /// Of whom.
    pub of: Entity,
    /// What.
    pub text: String,
}

/// It rings.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "fuzz.Bell")]
pub struct Bell;

/// Somebody outside tells something of it.
#[derive(Command, Clone, Debug, Serialize, Deserialize)]
#[command(name = "fuzz.story.tell", document, answer = u32, validate = Tell::check)]
pub struct Tell {
    /// Of whom.
    #[command(key)]
    pub of: Entity,
    /// What.
    pub text: String,
}

impl Tell {
    fn check(&self) -> Result<(), Invalid> {
        if self.text.len() < 1000 { Ok(()) } else { Err(Invalid::new("nobody listens so long")) }
    }
}

/// The systems, in their order.
pub const SYSTEMS: [&str; 5] = ["walk", "strike", "suffer", "renew", "hear"];
/// Rows of a shard.
pub const ROWS: usize = 64;
/// Entities at the start.
pub const ENTITIES: u32 = 80;

/// The app.
#[must_use]
pub fn app() -> App {
    App::new("fuzz")
        .add_system("walk", walk)
        .add_system("strike", strike.every(2))
        .add_system("suffer", suffer.whole())
        .add_system("renew", renew)
        .add_system("hear", hear)
        .on_start(|start| {
            start.world.insert_resource(Wind { by: 0.5, asked: 0 });
            for number in 0..ENTITIES {
                let place = Place { at: Vec2::new((number % 9) as f32, (number / 9) as f32) };
                let link = Link { to: Entity::from_bits(u64::from(number) + 1), weight: number, spare: [0; 2] };
                let entity = start.world.spawn((place, link));
                if number % 16 == 0 {
                    start.world.insert(entity, (Story::default(),))?;
                }
                if number % 20 == 0 {
                    start.world.insert(entity, (Drawn,))?;
                }
            }
            Ok(())
        })
}

/// The settings that it is run with.
#[must_use]
pub fn settings() -> Settings {
    Settings { rows_per_shard: ROWS, time: TimeMode::Fast, threads: 1, chunk_bytes: 512, ..Settings::default() }
}

fn walk(wind: Res<Wind>, mut walkers: Query<(&mut Place, &Link)>) {
    let by = if wind.by.is_finite() { wind.by } else { 0.0 };
    for (place, link) in &mut walkers {
        place.at = (place.at + Vec2::new(by, (link.weight % 8) as f32)).clamp(Vec2::splat(-50.0), Vec2::splat(50.0));
    }
}

fn strike(rng: Rng, near: Query<(Entity, &Place)>, mut hits: EventWriter<Hit>, mut bells: EventWriter<Bell>) {
    for (entity, place) in &near {
        let mut rng = rng.of(entity);
        if place.at.x < 20.0 && rng.chance(0.2) {
            hits.send(Hit { whom: entity, points: 1 + rng.below(2), spare: 0 });
            bells.send(Bell);
        }
    }
}

fn suffer(
    hits: EventReader<Hit>,
    bells: EventReader<Bell>,
    mut wind: ResMut<Wind>,
    others: View<&Place>,
    mut bodies: Query<(Entity, &mut Story)>,
    mut tales: EventWriter<Tale>,
) {
    wind.asked = wind.asked.wrapping_add(1 + bells.iter().count() as u32);
    for (entity, story) in &mut bodies {
        let points: Vec<u32> = hits.iter().filter(|hit| hit.whom == entity).map(|hit| hit.points).collect();
        if points.is_empty() || story.hits.len() > 16 {
            continue;
        }
        story.hits.extend(points.iter().take(4));
        story.text = format!("one of {}", others.iter().count());
        tales.send(Tale { of: entity, text: story.text.clone() });
    }
}

fn renew(rng: Rng, worn: Query<(Entity, &Story), Changed<Story>>, tales: EventReader<Tale>, mut commands: Commands) {
    for (entity, story) in &worn {
        let mut rng = rng.of(entity);
        if story.hits.len() < 3 || rng.chance(0.5) {
            continue;
        }
        commands.despawn(entity);
        let place = Place { at: Vec2::new(rng.range(-9.0..9.0), 0.0) };
        let fresh = commands.spawn((place, Link { to: entity, weight: 1, spare: [0; 2] }));
        let text = format!("after {}", tales.iter().count());
        commands.insert(fresh, (Drawn, Story { friend: Some(fresh), hits: vec![0], text }));
    }
}

fn hear(told: CommandHandler<Tell>, mut stories: Query<(Entity, &mut Story)>) {
    for (entity, story) in &mut stories {
        for tell in told.iter().filter(|tell| tell.of == entity) {
            story.text.clone_from(&tell.text);
            told.answer(tell, tell.text.len() as u32);
        }
    }
}
