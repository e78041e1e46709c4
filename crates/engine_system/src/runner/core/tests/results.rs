//! Results: what is in them, how long they are kept, how they are sent again.

use engine_net::parcel::{Body, ResultManifest};

use super::*;

fn chunks(said: &[Said]) -> Vec<Bytes> {
    of_kind(said, ChunkKind::Result).into_iter().map(|(_, payload)| payload).collect()
}

#[test]
fn a_result_is_sent_again_whole_or_in_part() {
    let mut bench = Bench::ready();
    let said = bench.run(&long_job(1, 0));
    let sent = chunks(&said);
    assert!(sent.len() > 3);
    assert!(chunks(&bench.resend(&prefix(1, 0), &[])) == sent);
    assert!(chunks(&bench.resend(&prefix(1, 0), &[1, 3])) == [sent[1].clone(), sent[3].clone()]);
    assert!(bench.resend(&prefix(1, 0), &[u16::MAX]).is_empty());
}

#[test]
fn results_are_kept_for_two_ticks() {
    let mut bench = Bench::ready();
    bench.run(&short_job(1, 0));
    bench.run(&short_job(3, 0));
    assert_eq!(chunks(&bench.resend(&prefix(1, 0), &[])).len(), 1);
    bench.run(&short_job(4, 0));
    assert!(bench.resend(&prefix(1, 0), &[]).is_empty(), "the tick is over");
    assert_eq!(chunks(&bench.resend(&prefix(3, 0), &[])).len(), 1);
}

#[test]
fn a_question_after_a_job_is_answered_by_where_it_is() {
    let mut bench = Bench::ready();
    assert_eq!(asks(&bench.resend(&prefix(1, 0), &[])), [(1, 0, 1, Vec::new())], "it never came");
    let job = long_job(1, 0);
    bench.give(&job[..job.len() - 2]);
    let last = job.len() as u16;
    assert_eq!(asks(&bench.resend(&prefix(1, 0), &[])), [(1, 0, 1, vec![last - 2, last - 1])]);
    let work = only_work(bench.give(&job));
    assert_eq!(of_kind(&bench.resend(&prefix(1, 0), &[]), ChunkKind::Working).len(), 1, "it is computed");
    bench.compute(work);
    bench.give(&sharing_job(1, 1, 3));
    assert_eq!(of_kind(&bench.resend(&prefix(1, 1), &[]), ChunkKind::Working).len(), 1, "it waits");
    let other = ChunkPrefix { attempt: 1, ..prefix(1, 0) };
    assert_eq!(asks(&bench.resend(&other, &[])), [(1, 0, 1, Vec::new())], "another attempt is another job");
}

#[test]
fn a_job_of_a_tick_that_is_over_is_given_up() {
    let mut bench = Bench::ready();
    let work = only_work(bench.give(&short_job(1, 0)));
    bench.give(&short_job(4, 0));
    assert!(!bench.core.wants(&work));
    assert!(bench.compute(work).is_empty());
}

#[test]
fn rows_that_did_not_change_do_not_travel() {
    let mut bench = Bench::ready();
    let odd: Vec<u32> = (0..500).map(|number| number * 2 + 15).collect();
    let said = bench.run(&job(&prefix(1, 0), &manifest("count", 500), &odd));
    assert_eq!(result(&said).sections().count(), 0);
    let manifest: ResultManifest = result(&said).manifest().unwrap();
    assert!(manifest.jobs.is_empty());
}

#[test]
fn few_changed_rows_are_packed_and_many_are_not() {
    let mut bench = Bench::ready();
    let mut few: Vec<u32> = (0..500).map(|number| number * 2 + 15).collect();
    (few[70], few[71], few[400]) = (2, 4, 6);
    let said = bench.run(&job(&prefix(1, 0), &manifest("count", 500), &few));
    let parcel = result(&said);
    let mut rows = Vec::new();
    for section in parcel.sections() {
        let section = section.unwrap();
        let Body::PackedPlain(bits, bytes) = section.body else { panic!("{section:?}") };
        let numbers = bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        rows.extend(bits.ones().map(|row| row + section.first_row as usize).zip(numbers));
    }
    assert_eq!(rows, [(70, 3), (71, 5), (400, 7)]);
    assert!(parcel.bytes() < 400, "{} bytes", parcel.bytes());
    let all = result(&bench.run(&long_job(1, 1)));
    assert!(all.sections().all(|section| matches!(section.unwrap().body, Body::Plain(_))));
}
