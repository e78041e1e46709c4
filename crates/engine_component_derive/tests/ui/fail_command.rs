use engine_component::{Command, Event};

#[derive(Command)]
#[command(name = "shop.purchase")]
struct TwoTokens;

#[derive(Command)]
#[command(name = "world.entity.spawn")]
struct TheEngines;

#[derive(Command)]
#[command(name = "shop.*.purchase")]
struct Wildcard;

#[derive(Command)]
#[command(name = "shop.player.purchase", answers = u64)]
struct Typo;

#[derive(serde::Serialize, serde::Deserialize, Command)]
#[command(name = "shop.player.give", document)]
struct TwoKeys {
    #[command(key)]
    from: String,
    #[command(key)]
    to: String,
}

#[derive(Command, Event)]
#[command(name = "shop.player.both")]
#[event(name = "shop.Both")]
struct Both;

fn main() {}
