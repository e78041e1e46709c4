//! The server is killed, or stands still, while records are on their way.

use std::collections::BTreeMap;
use std::time::Duration;

use engine_component::Entity;
use engine_net::messages::Reply;

use crate::place::{Outside, Place, one};

/// Spawns as long as there are answers; those that were answered.
fn spawn_many(outside: &Outside, round: usize, acked: &mut BTreeMap<String, Entity>) {
    for number in 0..200 {
        let id = format!("{round}-{number}");
        match outside.try_act(&id, one(), Duration::from_millis(200)) {
            Some(Reply::Ok(done)) => drop(acked.insert(id, done.entities[0])),
            _ => return,
        }
    }
}

#[test]
fn what_was_answered_outlives_servers_that_are_killed() {
    let mut place = Place::new();
    let mut leader = place.lead(&["--rate", "200", "--time", "dilate"]);
    leader.wait_for_tick(10);
    let mut acked = BTreeMap::new();
    for round in 0..4 {
        std::thread::scope(|scope| {
            let (started, go) = crossbeam_channel::bounded::<()>(1);
            let (outside, acked) = (place.outside(), &mut acked);
            scope.spawn(move || {
                outside.spawn(&format!("start-{round}"));
                started.send(()).unwrap();
                spawn_many(&outside, round, acked);
            });
            go.recv().unwrap();
            place.server.kill();
        });
        place.server.restart().unwrap();
        place.outside().spawn(&format!("after-{round}"));
    }
    drop(leader);
    let _later = place.lead(&[]);
    let outside = place.outside();
    for (id, entity) in &acked {
        assert!(outside.is_there(*entity), "{id}");
        assert_eq!(outside.act(id, one()).entities, [*entity], "{id} is done once");
    }
}

#[test]
fn a_server_that_stands_still_for_longer_than_a_lease_leaves_one_leader() {
    let place = Place::new();
    let rate = ["--rate", "200", "--time", "dilate", "--standby"];
    let mut first = place.lead(&rate);
    first.wait_for_tick(10);
    let mut second = place.lead(&rate);
    second.wait_for("standing by");
    let outside = place.outside();
    let entity = outside.spawn("before");
    place.server.pause().unwrap();
    first.wait_for("standing by");
    place.server.resume().unwrap();
    let after = outside.spawn("after");
    let streams = place.streams(1024);
    let epoch = outside.status().epoch;
    let reached = outside.status().tick;
    outside.until("it goes on", |status| (status.tick > reached + 300).then_some(()));
    assert_eq!(outside.status().epoch, epoch, "nobody takes it away again");
    let epochs = place.epochs(&streams);
    assert!(epochs.len() <= 3 && epochs.last() == Some(&epoch), "{epochs:?}");
    assert!(outside.is_there(entity) && outside.is_there(after));
}
