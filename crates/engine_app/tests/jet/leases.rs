//! The lease: taken once, renewed, and it ends.

use std::time::{Duration, Instant};

use engine_app::log::jet::{JetEvent, LeaseAnswer, LeaseState, Streams, Token};

use crate::place::{open, server, until};

fn answer(streams: &Streams, mine: Token) -> LeaseAnswer {
    until(streams, |event| match event {
        JetEvent::Lease { token, answer } if token == mine => Some(answer),
        _ => None,
    })
}

fn held(answer: LeaseAnswer) -> u64 {
    match answer {
        LeaseAnswer::Held { revision } => revision,
        other => panic!("{other:?}"),
    }
}

fn holder(state: &LeaseState) -> &[u8] {
    state.holder.as_deref().unwrap_or_default()
}

fn seen(streams: &Streams, mut fits: impl FnMut(&LeaseState) -> bool) -> LeaseState {
    until(streams, |event| match event {
        JetEvent::LeaseSeen(state) if fits(&state) => Some(state),
        _ => None,
    })
}

#[test]
fn one_has_it_and_gives_it_back() {
    let server = server();
    let (ann, bob) = (open(&server), open(&server));
    let revision = held(answer(&ann, ann.lease_acquire("ann".into(), 60).unwrap()));
    match answer(&bob, bob.lease_acquire("bob".into(), 60).unwrap()) {
        LeaseAnswer::Taken(state) => assert_eq!((holder(&state), state.revision), (&b"ann"[..], revision)),
        other => panic!("{other:?}"),
    }
    let newer = held(answer(&ann, ann.lease_renew("ann".into(), 60, revision).unwrap()));
    assert!(newer > revision);
    // Who names a revision that is over has lost it.
    assert!(matches!(answer(&ann, ann.lease_renew("ann".into(), 60, revision).unwrap()), LeaseAnswer::Taken(_)));
    assert!(matches!(answer(&ann, ann.lease_release(revision).unwrap()), LeaseAnswer::Taken(_)));
    assert!(matches!(answer(&ann, ann.lease_release(newer).unwrap()), LeaseAnswer::Released));
    let taken = held(answer(&bob, bob.lease_acquire("bob".into(), 60).unwrap()));
    let mine = ann.lease_read().unwrap();
    let state = until(&ann, |event| match event {
        JetEvent::LeaseRead { token, state } if token == mine => Some(state.unwrap()),
        _ => None,
    });
    assert_eq!((holder(&state), state.revision), (&b"bob"[..], taken));
}

#[test]
fn a_renewed_lease_ends_too_and_whoever_watches_sees_it() {
    let server = server();
    let (ann, bob) = (open(&server), open(&server));
    bob.lease_watch(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(seen(&bob, |_| true), LeaseState::default(), "what it is comes first");
    let first = held(answer(&ann, ann.lease_acquire("ann".into(), 1).unwrap()));
    let renewed_at = Instant::now();
    let revision = held(answer(&ann, ann.lease_renew("ann".into(), 2, first).unwrap()));
    assert_eq!(holder(&seen(&bob, |state| state.revision == revision)), b"ann");
    seen(&bob, |state| state.holder.is_none());
    let lasted = renewed_at.elapsed();
    assert!(lasted >= Duration::from_millis(1900), "the first time to live must not count: {lasted:?}");
    // It is free, and the old revision is worth nothing.
    match answer(&ann, ann.lease_renew("ann".into(), 2, revision).unwrap()) {
        LeaseAnswer::Taken(state) => assert_eq!(state.holder, None),
        other => panic!("{other:?}"),
    }
    held(answer(&bob, bob.lease_acquire("bob".into(), 60).unwrap()));
}

#[test]
fn a_lease_outlives_a_restart_of_the_server_and_ends_nevertheless() {
    let mut server = server();
    let ann = open(&server);
    let first = held(answer(&ann, ann.lease_acquire("ann".into(), 60).unwrap()));
    held(answer(&ann, ann.lease_renew("ann".into(), 2, first).unwrap()));
    server.restart().unwrap();
    until(&ann, |event| matches!(event, JetEvent::Up { .. }).then_some(()));
    ann.lease_watch(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(holder(&seen(&ann, |_| true)), b"ann");
    seen(&ann, |state| state.holder.is_none());
}
