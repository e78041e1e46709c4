//! `engine acl` for worlds that answer commands of programs outside, and keep what happened.

use std::sync::atomic::Ordering;

use engine_app::{App, Stop};
use engine_component::{Command, Event};
use engine_net::config::ConnectionConfig;
use engine_system::runner::{InstanceOptions, run_instance};
use engine_system::{CommandHandler, EventWriter};

use crate::house::House;
use crate::world::{Process, refusal, text, until};

#[derive(Clone, Copy, Command)]
#[repr(C)]
#[command(name = "bell.tower.ring", answer = String)]
struct Ring {
    times: u32,
}

#[derive(Clone, Copy, Event)]
#[repr(C)]
#[event(name = "bell.Rang")]
struct Rang {
    times: u32,
}

fn ring(orders: CommandHandler<Ring>, mut rang: EventWriter<Rang>) {
    for order in &orders {
        rang.send(Rang { times: order.times });
        orders.answer(order, format!("for {}", order.by().unwrap_or("nobody")));
    }
}

const ARGUMENTS: [&str; 7] =
    ["coordinator", "system:ring", "client:ada@bell", "client:eve@shop", "metrics:eye", "--keep-events", "bell"];

#[test]
fn a_world_answers_and_keeps_events_with_these_permissions() {
    let house = House::of(&ARGUMENTS);
    let arguments = ["coordinator", "--durability", "server", "--expect", "ring", "--keep-events", "bell"];
    let _coordinator = Process(house.start("main-coordinator", &arguments));
    let stop = Stop::default();
    let options = InstanceOptions { stop: stop.flag(), ..InstanceOptions::default() };
    let systems = App::new("bell").add_system("ring", ring).into_systems().unwrap();
    let config = ConnectionConfig { wait_for_server: true, ..house.config("main-system-ring") };
    let instance = std::thread::spawn(move || run_instance(&config, systems, options));
    let status = || text(&house.run("main-metrics-eye", &["status"]).stdout);
    until("the world runs", || status().contains("running"));

    let give = ["command", "bell.tower.ring", "times=3"];
    assert_eq!(house.says("main-client-bell-ada", &give), "\"for ada\"\n");
    until("what happened is stored", || status().contains("none waits"));
    let error = refusal(&house.run("main-client-shop-eve", &give));
    assert!(error.contains("command.bell.tower.ring.eve"), "{error}");
    let error = refusal(&house.run("main-metrics-eye", &give));
    assert!(error.contains("command.bell.tower.ring"), "{error}");
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap().unwrap();
}
