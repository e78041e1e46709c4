//! Chunks in every order, doubled, lost, asked for again.

use super::*;

#[test]
fn chunks_may_come_in_any_order() {
    let mut bench = Bench::ready();
    let chunks = long_job(1, 0);
    assert!(chunks.len() > 5);
    let said = bench.run(&chunks);
    let in_order = result(&said).digest().unwrap();
    let mut bench = Bench::ready();
    let backwards = bench.give(chunks.iter().rev());
    let said = bench.compute(only_work(backwards));
    assert_eq!(result(&said).digest().unwrap(), in_order);
}

#[test]
fn an_incomplete_job_is_not_run() {
    let chunks = long_job(1, 0);
    for missing in 0..chunks.len() {
        let mut bench = Bench::ready();
        let others = chunks.iter().enumerate().filter(|(number, _)| *number != missing);
        assert!(works(bench.give(others.map(|(_, chunk)| chunk))).is_empty(), "without chunk {missing}");
        assert_eq!(works(bench.give([&chunks[missing]])).len(), 1);
    }
}

#[test]
fn what_comes_twice_counts_once() {
    let mut bench = Bench::ready();
    let chunks = long_job(1, 0);
    let doubled: Vec<Bytes> = chunks.iter().flat_map(|chunk| [chunk.clone(), chunk.clone()]).collect();
    let work = only_work(bench.give(&doubled));
    assert!(bench.give(&chunks).is_empty(), "while it is computed");
    bench.compute(work);
    assert!(bench.give(&chunks).is_empty(), "when it is done");
    assert!(bench.later(2_000).iter().all(|said| matches!(said, Said::Heartbeat(_))), "nothing of it is missing");
}

#[test]
fn a_gap_is_asked_for_at_once_and_only_once() {
    let mut bench = Bench::ready();
    let chunks = long_job(1, 0);
    assert!(bench.give(&chunks[..2]).is_empty());
    assert_eq!(asks(&bench.give([&chunks[3]])), [(1, 0, 1, (2..3).chain(4..chunks.len() as u16).collect())]);
    assert!(bench.give([&chunks[5]]).is_empty());
}

#[test]
fn what_stays_away_is_asked_for_less_and_less_often() {
    let mut bench = Bench::ready();
    let chunks = long_job(1, 0);
    bench.give(&chunks[..4]);
    let rest: Vec<u16> = (4..chunks.len() as u16).collect();
    for pause in [50, 100, 200, 400, 800, 1000, 1000] {
        assert!(asks(&bench.later(pause - 1)).is_empty(), "before {pause}");
        assert_eq!(asks(&bench.later(1)), [(1, 0, 1, rest.clone())], "after {pause}");
    }
    // A chunk that comes shows that asking helps.
    bench.give([&chunks[4]]);
    assert!(asks(&bench.later(49)).is_empty());
    assert_eq!(asks(&bench.later(1)), [(1, 0, 1, rest[1..].to_vec())]);
    assert_eq!(works(bench.give(&chunks[5..])).len(), 1);
    assert!(asks(&bench.later(5_000)).is_empty());
}

#[test]
fn chunks_of_others_and_of_the_past_are_passed_over() {
    let mut bench = Bench::ready();
    let strangers = [
        ChunkPrefix { epoch: EPOCH - 1, ..prefix(5, 0) },
        ChunkPrefix { epoch: EPOCH + 1, ..prefix(5, 0) },
        ChunkPrefix { instance: SLOT - 1, ..prefix(5, 0) },
    ];
    for stranger in strangers {
        assert!(bench.give(&job(&stranger, &manifest("count", 1), &[2])).is_empty(), "{stranger:?}");
    }
    assert_eq!(works(bench.give(&short_job(5, 0))).len(), 1);
    assert_eq!(works(bench.give(&short_job(3, 0))).len(), 1, "two ticks ago");
    assert!(bench.give(&short_job(2, 0)).is_empty(), "three ticks ago");
    assert!(Bench::new().give(&short_job(1, 0)).is_empty(), "nobody is registered yet");
}

#[test]
fn a_chunk_for_a_later_registration_shows_that_an_answer_was_lost() {
    let mut bench = Bench::ready();
    bench.give(&job(&ChunkPrefix { instance: SLOT + 1, ..prefix(5, 0) }, &manifest("count", 1), &[2]));
    let said = bench.look();
    let [Said::Register(register)] = &said[..] else { panic!("a registration") };
    assert_eq!(register.nonce, 6, "another one, and no repetition of the last");
}

#[test]
fn a_later_tick_ends_what_is_incomplete() {
    let mut bench = Bench::ready();
    bench.give(&long_job(1, 0)[..2]);
    bench.give(&sharing_job(1, 1, 3));
    bench.give(&short_job(4, 0));
    assert!(asks(&bench.later(10_000)).is_empty());
}

#[test]
fn bytes_that_are_no_chunk_are_counted() {
    let mut bench = Bench::ready();
    let wrong_kind = control::working(&prefix(1, 0));
    let no_list = {
        let mut payload = control::encode(&prefix(1, 0), ChunkKind::Resend, &0_u8).to_vec();
        payload.push(0xc1);
        Bytes::from(payload)
    };
    assert!(bench.give(&[Bytes::new(), Bytes::from_static(&[0xff; 40]), wrong_kind, no_list]).is_empty());
    assert_eq!(heartbeats(bench.later(1000))[0].refused, 4);
}

#[test]
fn chunks_that_contradict_each_other_are_asked_for_anew() {
    let mut bench = Bench::ready();
    let chunks = long_job(1, 0);
    bench.give(&chunks[..4]);
    let mut other = chunks[2].to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert!(bench.give(&[Bytes::from(other)]).is_empty());
    assert_eq!(asks(&bench.later(50)), [(1, 0, 1, Vec::new())], "all of them: nobody knows which is wrong");
    assert_eq!(works(bench.give(&chunks)).len(), 1);
}

#[test]
fn a_job_waits_for_the_shared_input_of_its_node() {
    let mut bench = Bench::ready();
    assert!(bench.give(&sharing_job(1, 0, 3)).is_empty());
    assert!(bench.give(&shared_input(1, 8, &[1])).is_empty(), "that of another node");
    let said = bench.give(&shared_input(1, 3, &[5, 6]));
    let said = bench.compute(only_work(said));
    let sections = result(&said);
    let section = sections.sections().next().unwrap().unwrap();
    let engine_net::parcel::Body::Plain(bytes) = section.body else { panic!("all rows changed: {section:?}") };
    assert_eq!(bytes, [21, 0, 0, 0, 31, 0, 0, 0]);
    assert_eq!(works(bench.give(&sharing_job(1, 1, 3))).len(), 1, "it is there for the next job");
    assert!(bench.give(&sharing_job(2, 0, 3)).is_empty(), "and not for those of the next tick");
}

#[test]
fn each_shared_input_that_stays_away_is_asked_for() {
    let mut bench = Bench::ready();
    bench.give(&sharing_job(1, 0, 3));
    bench.give(&sharing_job(1, 1, 3));
    bench.give(&sharing_job(1, 2, 4));
    let nodes = [(1, 3, 2, Vec::new()), (1, 4, 2, Vec::new())];
    for pause in [50, 100, 200, 400] {
        assert!(asks(&bench.later(pause - 1)).is_empty(), "before {pause}");
        assert_eq!(asks(&bench.later(1)), nodes, "after {pause}");
    }
    assert_eq!(works(bench.give(&shared_input(1, 3, &[1]))).len(), 2);
    assert_eq!(asks(&bench.later(800)), nodes[1..]);
}
