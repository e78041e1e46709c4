//! How an instance says how it is.

use engine_net::messages::heartbeat::{InstanceState, Versions};

use super::*;

#[test]
fn a_heartbeat_comes_as_often_as_the_coordinator_wants() {
    let mut bench = Bench::ready();
    for _ in 0..3 {
        assert!(bench.later(999).is_empty());
        assert_eq!(heartbeats(bench.later(1)).len(), 1);
    }
    assert_eq!(heartbeats(bench.later(10_000)).len(), 1, "what was missed is not made up for");
    assert_eq!(heartbeats(Bench::new().later(10_000)).len(), 0, "nobody to be alive for");
}

#[test]
fn it_tells_queue_work_and_versions() {
    let mut bench = Bench::ready();
    let works = works(bench.give(short_job(3, 0).iter().chain(&short_job(3, 1))));
    bench.give(&sharing_job(3, 2, 3));
    bench.give(&long_job(3, 3)[..2]);
    bench.core.set_memory(77);
    let heartbeat = heartbeats(bench.later(1000)).remove(0);
    assert_eq!((heartbeat.tick, heartbeat.queue, heartbeat.jobs), (3, 3, 0));
    assert_eq!((heartbeat.memory_bytes, heartbeat.state), (77, InstanceState::Ready));
    assert!(heartbeat.queue_bytes > 0);
    assert_eq!(heartbeat.asked_again, 2, "chunks of the long job, and a shared input");
    let versions = Versions { engine: env!("CARGO_PKG_VERSION").into(), protocol: engine_net::PROTOCOL, adapted: 0 };
    assert_eq!(heartbeat.versions, Some(versions));
    for work in works {
        bench.compute(work);
    }
    let later = heartbeats(bench.later(1000)).remove(0);
    assert_eq!((later.queue, later.jobs), (1, 2));
    assert!(later.queue_bytes < heartbeat.queue_bytes);
}

#[test]
fn load_is_the_share_of_the_time_in_systems() {
    let mut bench = Bench::ready();
    assert_eq!(heartbeats(bench.later(1000))[0].load, 0.0);
    let work = only_work(bench.give(&short_job(1, 0)));
    bench.core.begin(bench.now);
    let heartbeat = heartbeats(bench.later(1000)).remove(0);
    assert_eq!((heartbeat.load, heartbeat.queue), (1.0, 0), "a job that takes long is load before it is done");
    // It takes half of the next second too.
    let (started, ended) = (bench.now - 1000 * MS, bench.now + 500 * MS);
    let times = std::cell::Cell::new(started);
    let computed = work.run(&|| times.replace(ended));
    bench.core.computed(computed);
    bench.said();
    let heartbeat = heartbeats(bench.later(1000)).remove(0);
    assert_eq!(heartbeat.load, 0.5);
    assert_eq!(heartbeat.compute_ns, 1500 * MS);
}

#[test]
fn who_leaves_says_so() {
    let mut bench = Bench::ready();
    bench.core.leave();
    assert_eq!(heartbeats(bench.later(1000))[0].state, InstanceState::Leaving);
}

#[test]
fn components_that_are_adapted_are_counted() {
    let mut bench = Bench::new();
    bench.look();
    let Ok(Reply::Ok(mut reply)) = strict::decode::<RegisterReply>(&accepted(EPOCH, SLOT), RegisterReply::LIMIT) else {
        panic!()
    };
    let narrow = &mut reply.components[0].schema;
    (narrow.size, narrow.align, narrow.fields[0].ty) = (2, 2, "u16".parse().unwrap());
    bench.core.answered(bench.now, &strict::encode(&RegisterReply::Ok(reply))).unwrap();
    let versions = heartbeats(bench.look())[0].versions.clone().unwrap();
    assert_eq!(versions.adapted, 3, "of each of the three systems");
}
