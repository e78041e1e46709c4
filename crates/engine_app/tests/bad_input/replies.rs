//! An answer is published with the coordinator's rights: it goes to inboxes, and nowhere else.

use engine_net::messages::command::{Action, Command};
use engine_net::messages::query::QueryRequest;
use engine_net::strict;
use futures_util::StreamExt;

use crate::registrations::honest;
use crate::world::{EPOCH, HONEST, World, who};

#[test]
fn an_answer_never_goes_where_somebody_listens_with_rights() {
    let mut world = World::start();
    let subjects = world.subjects.clone();
    let bad = [
        "$JS.API.STREAM.DELETE.engine".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SRV.PING".to_owned(),
        subjects.hello(),
        subjects.register(who(HONEST)),
        subjects.status(),
        subjects.changed(EPOCH, who(HONEST)),
        subjects.schedule("drift", HONEST),
        subjects.rejected(who(HONEST)),
        "engine.another.coord.hello".to_owned(),
        "engine.main".to_owned(),
        "engine_log.main.tick".to_owned(),
        "engine_log.another.epoch".to_owned(),
        "engine_key.main.1.0.0.manifest".to_owned(),
        "engine_lease.main".to_owned(),
        "engine_mark.main".to_owned(),
    ];
    let command = Command::new("evil", Action::Pause {});
    let requests = [
        (subjects.status(), Vec::new()),
        (subjects.discovery("coordinator"), Vec::new()),
        (subjects.register(who("mallory")), strict::encode(&honest("mallory"))),
        (subjects.query(), strict::encode(&QueryRequest::default())),
        (subjects.schemas(), vec![0x81, 0xa5, b'a', b'f', b't', b'e', b'r', 0xc0]),
        (subjects.command("world", "sim", "pause"), strict::encode(&command)),
        (subjects.leave(who(HONEST)), vec![0xc1]),
        (subjects.watch(), vec![0xc1]),
    ];
    let mut count = 0;
    for reply in &bad {
        let mut listener = world.subscribe(reply);
        for (subject, payload) in &requests {
            let sent = world.client.publish_with_reply(subject.clone(), reply.clone(), payload.clone().into());
            world.wait(sent).unwrap();
            count += 1;
        }
        world.until_counter("refused.reply_subject", count);
        // A message of our own is the first that comes: what the coordinator had sent would be before it.
        world.publish(reply, "fence");
        let own = [&requests[2].1[..], b"fence", b""];
        let first = world.wait(async {
            loop {
                // Requests to the coordinator's own subjects are seen as well.
                let message = listener.next().await.unwrap();
                let is_request = message.reply.is_some();
                if !is_request {
                    return message.payload;
                }
            }
        });
        assert!(own.contains(&&first[..]), "{reply}: {first:?}");
        world.step();
    }
    assert_eq!(world.status().systems[0].instances.len(), 1, "nobody joined by it");
}
