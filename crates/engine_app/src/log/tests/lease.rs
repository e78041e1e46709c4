//! One contender for the lease, step by step.

use super::super::lease::{Created, Entry, Lease, LeaseOutput, LeaseSettings, LeaseToken, Renewed, Role, Watched};

const MS: u64 = 1_000_000;
const TTL: u64 = 3_000 * MS;

fn lease() -> Lease {
    Lease::new("north".into(), LeaseSettings::default(), 0)
}

fn outputs(lease: &mut Lease) -> Vec<LeaseOutput> {
    std::iter::from_fn(|| lease.output()).collect()
}

fn token(lease: &mut Lease) -> LeaseToken {
    match outputs(lease)[..] {
        [LeaseOutput::Create { token } | LeaseOutput::Renew { token, .. } | LeaseOutput::Read { token }] => token,
        ref other => panic!("{other:?}"),
    }
}

fn held(holder: &str, revision: u64) -> Entry {
    Entry { holder: holder.into(), revision, ttl: Some(TTL) }
}

/// Leads since time 0, with revision 5.
fn leader() -> Lease {
    let mut lease = lease();
    let read = token(&mut lease);
    lease.read(read, None, 0);
    let create = token(&mut lease);
    lease.created(create, Created::Ok(5), 10 * MS);
    assert_eq!((lease.role(), lease.term()), (&Role::Leading { until: TTL - TTL / 16 }, 1));
    lease
}

#[test]
fn a_free_lease_is_taken_and_renewed_each_third_of_its_time() {
    let mut lease = leader();
    assert_eq!(lease.wakes_at(), TTL / 3);
    lease.clock(TTL / 3);
    let renew = outputs(&mut lease);
    let [LeaseOutput::Renew { token, revision: 5 }] = renew[..] else { panic!("{renew:?}") };
    lease.renewed(token, Renewed::Ok(6), TTL / 3 + MS);
    assert_eq!((lease.role(), lease.term()), (&Role::Leading { until: TTL / 3 + TTL - TTL / 16 }, 1));
}

#[test]
fn after_a_long_stop_it_stands_by_before_anything_else() {
    let mut stopped = leader();
    let later = TTL / 2 + 11 * MS;
    assert!(stopped.leads(TTL / 2) && !stopped.leads(later));
    stopped.clock(later);
    assert!(matches!(stopped.role(), Role::Standby { .. }));
    assert!(matches!(outputs(&mut stopped)[..], [LeaseOutput::Read { .. }]));
    // Even when the call brings the good news of a renewal.
    let mut stopped = leader();
    stopped.clock(TTL / 3);
    let renew = token(&mut stopped);
    stopped.renewed(renew, Renewed::Ok(6), TTL / 3 + TTL / 2 + 1);
    assert!(matches!(stopped.role(), Role::Standby { .. }));
    // What it was about to send is gone.
    let mut stopped = leader();
    stopped.clock(TTL / 3);
    stopped.release(TTL / 3 + TTL / 2 + 1);
    assert_eq!(outputs(&mut stopped), []);
}

#[test]
fn its_own_entry_is_taken_up_again_in_a_new_term() {
    let mut lease = leader();
    lease.clock(2 * TTL / 3);
    let read = token(&mut lease);
    lease.read(read, Some(held("north", 5)), 2 * TTL / 3);
    let renew = outputs(&mut lease);
    let [LeaseOutput::Renew { token, revision: 5 }] = renew[..] else { panic!("{renew:?}") };
    lease.renewed(token, Renewed::Ok(8), 2 * TTL / 3);
    assert_eq!((lease.leads(2 * TTL / 3), lease.term()), (true, 2));
}

#[test]
fn a_lost_renewal_that_went_through_is_found() {
    let mut lease = leader();
    lease.clock(TTL / 3);
    let renew = token(&mut lease);
    lease.renewed(renew, Renewed::Lost, TTL / 3);
    lease.clock(lease.wakes_at());
    let renew = token(&mut lease);
    let now = TTL / 3 + TTL / 16;
    lease.renewed(renew, Renewed::Refused, now);
    let read = token(&mut lease);
    lease.read(read, Some(held("north", 6)), now);
    let again = outputs(&mut lease);
    let [LeaseOutput::Renew { token, revision: 6 }] = again[..] else { panic!("{again:?}") };
    lease.renewed(token, Renewed::Ok(7), now);
    assert_eq!((lease.leads(now), lease.term()), (true, 1));
}

#[test]
fn without_answers_belief_ends_before_the_lease_does() {
    let mut lease = leader();
    let mut now = 10 * MS;
    while matches!(lease.role(), Role::Leading { .. }) {
        assert!(now < TTL - TTL / 16);
        now = lease.wakes_at();
        lease.clock(now);
        let _ = outputs(&mut lease);
    }
    assert_eq!(now, TTL - TTL / 16);
}

#[test]
fn an_entry_of_another_ends_leadership_and_an_old_one_does_not() {
    let mut lease = leader();
    lease.watched(Watched::Gone { revision: 4 }, 20 * MS);
    lease.watched(Watched::Held(held("south", 3)), 20 * MS);
    lease.watched(Watched::Held(held("north", 6)), 20 * MS);
    assert!(lease.leads(20 * MS));
    lease.watched(Watched::Held(held("south", 9)), 20 * MS);
    assert_eq!(lease.role(), &Role::Standby { holder: Some("south".into()) });
}

#[test]
fn handing_over_frees_the_lease_at_once_and_fencing_rests() {
    for fenced in [false, true] {
        let mut lease = leader();
        match fenced {
            true => lease.fenced(20 * MS),
            false => lease.release(20 * MS),
        }
        assert_eq!(outputs(&mut lease), [LeaseOutput::Release { revision: 5 }]);
        assert_eq!(lease.role(), &Role::Resting { until: 20 * MS + TTL });
        // The lease is free all the time, and the log moves for a while longer than the rest.
        let mut now;
        let moving = 20 * MS + TTL + TTL / 4;
        let created = loop {
            now = lease.wakes_at();
            lease.clock(now);
            if now < moving {
                lease.log_moved(now);
            }
            match outputs(&mut lease)[..] {
                [LeaseOutput::Read { token }] => lease.read(token, None, now),
                [] => {}
                ref other => panic!("{other:?}"),
            }
            if let Some(output) = lease.output() {
                assert!(matches!(output, LeaseOutput::Create { .. }));
                break now;
            }
        };
        assert!(created > moving + TTL / 4 && created < moving + TTL / 2 + 250 * MS, "{}", created / MS);
    }
}

#[test]
fn a_standby_that_hears_of_a_free_lease_takes_it_at_once() {
    let mut lease = lease();
    let read = token(&mut lease);
    lease.read(read, Some(held("south", 3)), 0);
    assert_eq!(lease.role(), &Role::Standby { holder: Some("south".into()) });
    lease.watched(Watched::Gone { revision: 4 }, 20 * MS);
    let read = token(&mut lease);
    lease.read(read, None, 21 * MS);
    assert!(matches!(outputs(&mut lease)[..], [LeaseOutput::Create { .. }]));
}

#[test]
fn demoting_sends_nothing() {
    let mut lease = leader();
    lease.demote(20 * MS);
    assert_eq!(outputs(&mut lease), []);
    assert!(matches!(lease.role(), Role::Resting { .. }));
}

/// The lease of another, looked at again and again as it asks for it, until it asks for something else.
fn look_until(lease: &mut Lease, entry: impl Fn(u64) -> Entry) -> (u64, LeaseOutput) {
    let mut now = 0;
    for _ in 0..1000 {
        match outputs(lease)[..] {
            [LeaseOutput::Read { token }] => lease.read(token, Some(entry(now)), now),
            [ref other] => return (now, other.clone()),
            [] => {
                now = lease.wakes_at();
                lease.clock(now);
            }
            ref other => panic!("{other:?}"),
        }
    }
    (now, LeaseOutput::Release { revision: 0 })
}

#[test]
fn what_a_store_is_late_to_remove_is_replaced_when_its_time_is_over() {
    let mut lease = lease();
    let (now, asked) = look_until(&mut lease, |_| held("south", 9));
    let LeaseOutput::Replace { token, revision: 9 } = asked else { panic!("{asked:?}") };
    assert_eq!(now, TTL, "not before, and as soon as it may be");
    lease.created(token, Created::Ok(10), now + MS);
    assert_eq!(lease.role(), &Role::Leading { until: TTL + TTL - TTL / 16 });
}

#[test]
fn what_is_renewed_is_not_replaced() {
    let (_, asked) = look_until(&mut lease(), |now| held("south", now / (TTL / 3)));
    assert!(matches!(asked, LeaseOutput::Release { revision: 0 }), "{asked:?}");
    // Nor is an entry of which nobody knows how long it lives.
    let (_, asked) = look_until(&mut lease(), |_| Entry { ttl: None, ..held("south", 9) });
    assert!(matches!(asked, LeaseOutput::Release { revision: 0 }), "{asked:?}");
}

#[test]
fn a_replacement_that_came_too_late_looks_again() {
    let mut lease = lease();
    let (now, asked) = look_until(&mut lease, |_| held("south", 9));
    let LeaseOutput::Replace { token, .. } = asked else { panic!("{asked:?}") };
    lease.created(token, Created::Exists(held("south", 10)), now + MS);
    assert_eq!(lease.role(), &Role::Standby { holder: Some("south".into()) });
    assert!(outputs(&mut lease).is_empty() && lease.wakes_at() > now + MS, "the new one has all of its time");
}
