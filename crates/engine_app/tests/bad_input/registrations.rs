//! Instances that are none, or are of another world.

use engine_component::{Component, Data, query::Query};
use engine_net::messages::Reply;
use engine_net::messages::register::{Register, RegisterReply};
use engine_net::name::is_token;
use engine_net::strict;
use engine_net::subject::Sender;
use engine_system::IntoSystem;

use crate::world::{Gate, HONEST, World, app};

/// Of the same name as the world's, and otherwise of none.
#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "bad.Position")]
struct Elsewhere {
    x: u64,
    hidden: u32,
    #[component(default = 5)]
    other: u32,
}

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "bad.Novelty")]
struct Novelty {
    x: f32,
}

fn novel(mut all: Query<&mut Novelty>) {
    all.iter_mut().for_each(drop);
}

/// Two names with one XXH3-64, found with a search of 2^33 steps: ids of components can collide.
#[derive(Component, Clone, Copy)]
#[component(name = "bad.ujoljmpxui5h")]
struct One;

#[derive(Component, Clone, Copy)]
#[component(name = "bad.e2pl31io00qs")]
struct Other;

/// What an honest process of this world sends.
pub(crate) fn honest(name: &str) -> Register {
    let systems = app(Gate::default()).into_systems().unwrap();
    Register {
        instance: name.into(),
        nonce: 1 << 40,
        protocol: engine_net::PROTOCOL,
        engine: "test".into(),
        host: "here".into(),
        pid: 1,
        systems: systems.iter().map(|system| system.descriptor().clone()).collect(),
        schemas: systems.iter().flat_map(|system| system.schemas()).cloned().collect(),
        max_payload: 1 << 20,
        keep_bytes: 1 << 20,
    }
}

/// Registers on the subject where it belongs, or where one with names that can't stand in a subject would be sent.
fn join(world: &mut World, register: &Register) -> RegisterReply {
    let systems = register.systems_token().unwrap_or_else(|_| "+".into());
    let instance = if is_token(&register.instance) { register.instance.as_str() } else { "mallory" };
    let subject = world.subjects.register(Sender { systems: &systems, instance });
    world.ask::<RegisterReply>(&subject, strict::encode(register))
}

#[test]
fn who_may_register_one_system_registers_no_other() {
    let mut world = World::start();
    let honest = honest("mallory");
    let foreign = [("lurk", "mallory"), ("+", "mallory"), ("drift+lurk", "mallory"), ("drift", "eve")];
    for (systems, instance) in foreign {
        let subject = world.subjects.register(Sender { systems, instance });
        match world.ask::<RegisterReply>(&subject, strict::encode(&honest)) {
            Reply::Error(problem) => {
                assert_eq!(problem.code, "bad_subject");
                let said = format!("`drift.mallory`, its subject says `{systems}.{instance}`");
                assert!(problem.message.contains(&said), "{problem:?}");
            }
            accepted => panic!("{accepted:?}"),
        }
    }
    assert_eq!(world.counter("refused.bad_subject"), 4);
    assert_eq!(world.status().systems[0].instances.len(), 1, "nobody joined by it");
    world.step();
}

#[test]
fn registrations_that_do_not_fit_are_refused_with_a_reason() {
    let mut world = World::start();
    let world = &mut world;
    let mut refused = |code: &str, says: &[&str], change: &dyn Fn(&mut Register)| {
        let mut register = honest("mallory");
        change(&mut register);
        let counter = format!("refused.{code}");
        let before = world.counter(&counter);
        match join(world, &register) {
            Reply::Ok(accepted) => panic!("{code}: it is accepted: {accepted:?}"),
            Reply::Error(problem) => {
                assert_eq!(problem.code, code, "{}", problem.message);
                assert!(says.iter().all(|word| problem.message.contains(word)), "{}", problem.message);
            }
        }
        assert_eq!(world.counter(&counter), before + 1);
        assert_eq!(world.status().systems.len(), 1, "nothing of it stays");
        world.step();
    };
    let diff = ["bad.Position", "mallory", "f32", "u64"];
    refused("schema", &diff, &|register| register.schemas = vec![Elsewhere::schema()]);
    for name in ["", "a b", "a.b", "*", ">", "$SYS", "ü", "a\r\nPUB x 0", &"n".repeat(1000)] {
        refused("bad_name", &[], &|register| register.instance = name.to_owned());
    }
    for name in ["x.>", "a b", "", "drift.*"] {
        refused("bad_name", &[], &|register| register.systems[0].name = name.to_owned());
        refused("bad_name", &[], &|register| register.systems[0].options.after.push(name.to_owned()));
        refused("bad_schema", &[], &|register| register.schemas[0].name = format!("{name}\n"));
    }
    refused("protocol", &["protocol 1", "same engine"], &|register| register.protocol = 1);
    refused("system", &["drift", "same build"], &|register| register.systems[0].options.every = 2);
    refused("bad_system", &["every"], &|register| register.systems[0].options.every = 0);
    refused("too_many", &["300 systems"], &|register| register.systems = vec![register.systems[0].clone(); 300]);
    refused("too_many", &["2000 schemas"], &|register| register.schemas = vec![Novelty::schema(); 2000]);
    refused("taken", &[HONEST], &|register| register.instance = HONEST.into());
    let both = ["bad.ujoljmpxui5h", "bad.e2pl31io00qs"];
    refused("collision", &both, &|register| register.schemas.extend([One::schema(), Other::schema()]));
    // With a system that is all right before the one that is not.
    let system =
        |name: &str, system: engine_system::SystemConfig| system.into_system(name).unwrap().descriptor().clone();
    refused("system", &["drift"], &|register| {
        register.schemas.push(Novelty::schema());
        register.systems.insert(0, system("novel", novel.configure()));
        register.systems[1].commands = false;
    });
    refused("bad_system", &["circle", "drift", "novel"], &|register| {
        register.schemas.push(Novelty::schema());
        register.systems.push(system("novel", novel.before("drift").after("drift")));
    });
}

/// The first one is there, and used, when the second one comes.
#[test]
fn two_components_with_one_id() {
    let mut world = World::start();
    let first = Register { schemas: vec![One::schema()], ..honest("mallory") };
    let reply = join(&mut world, &first);
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
    let second = Register { schemas: vec![Other::schema()], ..honest("eve") };
    match join(&mut world, &second) {
        Reply::Error(problem) => {
            assert_eq!(problem.code, "collision");
            assert!(problem.message.contains(One::NAME) && problem.message.contains(Other::NAME), "{problem:?}");
            assert!(problem.message.contains("rename"), "{problem:?}");
        }
        accepted => panic!("{accepted:?}"),
    }
    assert_eq!(world.counter("refused.collision"), 1);
    world.step();
}

/// The same, while a tick is open and waits for the honest instance.
#[test]
fn registrations_in_the_middle_of_a_tick() {
    let mut world = World::start();
    world.gate.set_closed(true);
    let commit = world.begin();
    world.next_job();
    let refused = Register { protocol: 9, ..honest("mallory") };
    let reply = join(&mut world, &refused);
    assert!(matches!(reply, Reply::Error(problem) if problem.code == "protocol"));
    // It says that it runs the system, and does nothing: it is given up, or somebody else is faster with its jobs.
    assert!(matches!(join(&mut world, &honest("ghost")), Reply::Ok(_)));
    world.gate.set_closed(false);
    world.finish(commit);
    world.step();
    world.step();
    assert!(world.counter("lost_instances") + world.counter("speculative.won") > 0);
    assert_eq!(world.counter("quarantined"), 0);
}
