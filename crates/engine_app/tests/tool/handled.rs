//! `engine command`: what a system answers.

use engine_app::{App, Settings};
use engine_component::query::Query;
use engine_component::{Command, Entity};
use engine_system::{CommandHandler, Commands};
use serde::{Deserialize, Serialize};

use crate::world::{Alive, Health, World, app};

#[derive(Serialize, Deserialize, Command)]
#[command(name = "t.patient.heal", document, answer = u32)]
struct Heal {
    #[command(key)]
    patient: Entity,
    #[command(default = 1)]
    points: u32,
}

/// Answered with whoever came.
#[derive(Clone, Copy, Command)]
#[repr(C)]
#[command(name = "t.patient.admit", answer = Vec<Entity>)]
struct Admit {
    health: u32,
}

fn heal(orders: CommandHandler<Heal>, mut patients: Query<(Entity, &mut Health)>) {
    for (entity, health) in &mut patients {
        for order in orders.iter().filter(|order| order.patient == entity) {
            health.0 += order.points;
            orders.answer(order, health.0);
        }
    }
}

fn admit(orders: CommandHandler<Admit>, mut commands: Commands) {
    for order in &orders {
        match order.by() {
            Some("stranger") => orders.refuse(order, "stranger", "nobody knows you"),
            _ => orders.answer(order, vec![commands.spawn((Health(order.health), Alive))]),
        }
    }
}

fn hospital() -> App {
    app().add_system("heal", heal).add_system("admit", admit)
}

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn a_system_answers() {
    let world = World::start(hospital(), Settings::default());
    let admitted = world.says(&["command", "t.patient.admit", "health=5"]);
    assert_eq!(admitted, "[{\"$entity\":1}]\n");
    assert_eq!(world.says(&["command", "t.patient.heal", "patient=1"]), "6\n");
    assert_eq!(world.says(&["command", "t.patient.heal", r#"{"patient": 1, "points": 3}"#, "--id", ID]), "9\n");
    assert_eq!(world.says(&["command", "t.patient.heal", "patient=1", "points=3", "--id", ID]), "9\n", "once");
    assert_eq!(world.query(&["t.Health"])[0]["t.Health"], 9);
}

#[test]
fn refusals_say_what_to_do() {
    let world = World::start(hospital(), Settings::default());
    let refuses = |arguments: &[&str]| world.refuses(&[&["command"], arguments].concat());
    assert!(refuses(&["t.patient.heal", "patient=77"]).contains("nothing of it answered (unanswered)"));
    assert!(refuses(&["t.patient.heal", "patent=1"]).contains("is `patient` meant?"));
    assert!(refuses(&["t.patient.heal", "patient"]).contains("FIELD=VALUE"));
    assert!(refuses(&["t.patient.heal", "{patient"]).contains("neither JSON nor TOML"));
    assert!(refuses(&["t.patient.heal", "patient=1", "--id", "5"]).contains("a UUID is expected"));
    assert!(refuses(&["t.patient.bury", "patient=1"]).contains("nobody answers `t.patient.bury` in world `main`"));
    for name in ["world.entity.spawn", "t.patient", "t.patient.>"] {
        assert!(refuses(&[name]).contains("no name of such a command"), "{name}");
    }
    let named = [("--identity", "stranger"), ("--identity", "ada")];
    let [refused, answered] =
        named.map(|(flag, who)| world.engine(&["command", "t.patient.admit", "health=1", flag, who]).status.success());
    assert!(!refused && answered);
}
