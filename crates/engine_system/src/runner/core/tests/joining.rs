//! Joining, following coordinators, leaving.

use super::*;

#[test]
fn it_asks_at_once_and_then_less_and_less_often() {
    let mut bench = Bench::new();
    let said = bench.look();
    let [Said::Register(register)] = &said[..] else { panic!("a registration, and nothing else") };
    assert_eq!((register.instance.as_str(), register.nonce, register.max_payload), ("i", 5, 1 << 20));
    let names: Vec<&str> = register.systems.iter().map(|system| system.name.as_str()).collect();
    assert_eq!(names, ["add", "count", "watch"]);
    assert_eq!(register.schemas.len(), 2, "each schema once");
    assert!(bench.later(10_000).is_empty(), "one request at a time");
    for pause in [50, 100, 250, 500, 1000, 1000, 1000] {
        bench.core.unanswered();
        assert!(bench.later(pause - 1).is_empty(), "{pause}");
        assert_eq!(registrations(&bench.later(1)), 1, "{pause}");
    }
}

#[test]
fn who_is_accepted_is_ready_and_says_so() {
    let mut bench = Bench::new();
    bench.look();
    bench.accept(EPOCH, SLOT);
    let heartbeats = heartbeats(bench.look());
    assert_eq!((heartbeats[0].epoch, heartbeats[0].slot), (EPOCH, SLOT));
    assert_eq!(registrations(&bench.later(5_000)), 0);
}

#[test]
fn a_coordinator_without_room_is_asked_again_and_one_that_refuses_is_not() {
    let mut bench = Bench::new();
    for code in ["overloaded", "taken"] {
        bench.look();
        bench.core.answered(bench.now, &problem(code)).unwrap();
        assert_eq!(registrations(&bench.later(1000)), 1, "{code}");
    }
    assert_eq!(bench.core.answered(bench.now, &problem("schema")), Err("there is a reason".into()));
}

#[test]
fn an_answer_that_can_not_be_read_is_no_answer() {
    let mut bench = Bench::new();
    bench.look();
    bench.core.answered(bench.now, b"\xc1").unwrap();
    assert_eq!(registrations(&bench.later(50)), 1);
}

#[test]
fn a_world_of_other_components_is_refused_with_the_difference() {
    let mut bench = Bench::new();
    bench.look();
    let Ok(Reply::Ok(mut reply)) = strict::decode::<RegisterReply>(&accepted(EPOCH, SLOT), RegisterReply::LIMIT) else {
        panic!()
    };
    reply.components[0].schema.fields[0].ty = "f32".parse().unwrap();
    let error = bench.core.answered(bench.now, &strict::encode(&RegisterReply::Ok(reply))).unwrap_err();
    assert!(error.contains("`t.Number` is another type in this world than in this build"), "{error}");
    assert!(error.contains("f32 cannot be read as u32"), "{error}");
}

#[test]
fn a_new_epoch_ends_everything_that_is_open() {
    let mut bench = Bench::ready();
    let work = only_work(bench.give(&short_job(1, 0)));
    bench.give(&long_job(1, 1)[..3]);
    bench.hello(EPOCH + 1);
    assert_eq!(registrations(&bench.look()), 1);
    assert!(!bench.core.wants(&work));
    assert!(bench.compute(work).is_empty(), "the result is nobody's");
    bench.accept(EPOCH + 1, SLOT);
    assert!(asks(&bench.later(5_000)).is_empty());
    assert!(bench.give(&short_job(1, 2)).is_empty(), "a job of the old epoch");
}

#[test]
fn the_same_epoch_may_say_hello_again() {
    let mut bench = Bench::ready();
    bench.hello(EPOCH);
    assert_eq!(registrations(&bench.look()), 1, "its coordinator has lost the connection");
}

#[test]
fn a_deposed_coordinator_is_not_listened_to() {
    let mut bench = Bench::ready();
    bench.hello(EPOCH - 1);
    assert_eq!(registrations(&bench.look()), 0);
    bench.hello(EPOCH + 1);
    bench.look();
    bench.accept(EPOCH, SLOT + 1);
    assert_eq!(registrations(&bench.later(50)), 1, "it is asked again, until the new one answers");
    bench.core.hello(b"\xc1");
    bench.accept(EPOCH + 1, SLOT);
    assert_eq!(heartbeats(bench.look())[0].refused, 1, "a hello that can't be read");
}

#[test]
fn who_is_not_known_any_more_registers_again() {
    for reason in [RejectReason::WrongInstance, RejectReason::ForeignEpoch] {
        let mut bench = Bench::ready();
        bench.run(&short_job(1, 0));
        bench.reject(&prefix(1, 0), reason);
        assert_eq!(registrations(&bench.look()), 1, "{reason:?} of a result");
        let mut bench = Bench::ready();
        bench.reject(&prefix(0, 0), reason);
        assert_eq!(registrations(&bench.look()), 1, "{reason:?} of a heartbeat");
    }
}

#[test]
fn other_refusals_and_those_of_an_earlier_registration_change_nothing() {
    let mut bench = Bench::ready();
    bench.run(&short_job(1, 0));
    bench.reject(&prefix(1, 0), RejectReason::Claimed);
    bench.reject(&prefix(1, 7), RejectReason::WrongInstance);
    assert_eq!(registrations(&bench.look()), 0);
    assert_eq!(of_kind(&bench.resend(&prefix(1, 0), &[]), ChunkKind::Result).len(), 1, "the result is still there");
}

#[test]
fn a_lost_connection_ends_everything_that_is_open() {
    let mut bench = Bench::ready();
    bench.give(&long_job(1, 1)[..3]);
    bench.core.forget_everything();
    assert_eq!(registrations(&bench.look()), 1);
    assert!(asks(&bench.later(5_000)).is_empty());
}

#[test]
fn it_leaves_when_nothing_is_open() {
    let mut bench = Bench::ready();
    let work = only_work(bench.give(&short_job(1, 0)));
    bench.core.leave();
    let said = bench.look();
    let [Said::Leave(leave)] = &said[..] else { panic!("a farewell") };
    assert_eq!((leave.instance.as_str(), leave.slot, leave.epoch), ("i", SLOT, EPOCH));
    assert!(bench.later(500).is_empty(), "one request at a time");
    bench.core.answered(bench.now, &open_jobs(1)).unwrap();
    assert!(bench.later(99).is_empty());
    assert_eq!(of_kind(&bench.compute(work), ChunkKind::Result).len(), 1, "it finishes what it has");
    assert!(matches!(bench.later(1)[..], [Said::Leave(_)]));
    assert!(!bench.core.is_gone());
    bench.core.answered(bench.now, &open_jobs(0)).unwrap();
    assert!(bench.core.is_gone());
}

#[test]
fn it_leaves_without_a_farewell_when_nobody_answers() {
    let mut bench = Bench::ready();
    bench.core.leave();
    for _ in 0..3 {
        assert!(!bench.core.is_gone());
        assert!(matches!(bench.later(100)[..], [Said::Leave(_)]));
        bench.core.unanswered();
    }
    assert!(bench.core.is_gone());
}

#[test]
fn who_is_not_registered_leaves_at_once() {
    let mut bench = Bench::new();
    bench.look();
    bench.core.leave();
    assert!(bench.core.is_gone());

    let mut bench = Bench::ready();
    bench.core.leave();
    bench.hello(EPOCH + 1);
    assert_eq!(registrations(&bench.look()), 0, "who wants to leave does not join again");
    assert!(bench.core.is_gone());
}
