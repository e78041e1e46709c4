//! The stored state of a coordinator, beside the image of its world; and records that are replayed on top of it.

use std::sync::{Arc, OnceLock};

use engine_app::coordinator::{Coordinator, Output, RestoreError};
use engine_app::record::TickRecord;
use engine_component::image::Limits;
use engine_net::strict;
use engine_system::System;

use super::image::Image;
use crate::script::{Script, Writer};
use crate::{Seeds, app, bits, cluster};

/// A world in the middle of its life, and what happened next.
struct Stored {
    image: Image,
    state: Vec<u8>,
    records: Vec<Vec<u8>>,
}

fn local() -> Vec<(Arc<dyn System>, bool)> {
    cluster::systems().into_iter().map(|system| (system, true)).collect()
}

fn stored() -> &'static Stored {
    static STORED: OnceLock<Stored> = OnceLock::new();
    STORED.get_or_init(|| {
        let blueprint = app::app().into_blueprint(&Default::default(), &|_| true).expect("the app has no mistakes");
        let settings = || engine_app::Settings { paused: true, ..app::settings() };
        let mut coordinator = blueprint.coordinator(settings(), 7).expect("the app has no mistakes");
        tick(&mut coordinator, 6);
        while coordinator.next_commit().is_some() {}
        let state = coordinator.state().expect("no tick runs");
        tick(&mut coordinator, 2);
        let records = std::iter::from_fn(|| coordinator.next_commit()).map(|commit| strict::encode(&commit.record));
        let records = records.collect();
        let mut earlier = blueprint.coordinator(settings(), 7).expect("the app has no mistakes");
        tick(&mut earlier, 6);
        Stored { image: Image::of(&mut earlier.into_world()), state, records }
    })
}

/// Runs ticks, with all jobs here.
fn tick(coordinator: &mut Coordinator, ticks: u64) {
    let (mut now, last) = (1, coordinator.committed().0 + ticks);
    coordinator.step(ticks);
    for _ in 0..50 * ticks {
        now += 1_000_000;
        coordinator.clock(now);
        while let Some(output) = coordinator.next_output() {
            if let Output::Run(job) = output {
                let number = job.number();
                coordinator.local_done(now, number, job.run());
            }
        }
        if coordinator.committed().0 >= last {
            return;
        }
    }
}

pub(super) fn run(input: &[u8]) {
    let stored = stored();
    let mut script = Script::new(input);
    let how = script.byte();
    let state = match how % 4 {
        0 => stored.state.clone(),
        1 => script.block().to_vec(),
        _ => script.damaged(&stored.state).to_vec(),
    };
    let Some(mut coordinator) = restore(stored, state) else { return };
    let written = coordinator.state().expect("no tick runs");
    let again = restore(stored, written.clone()).expect("what was written can be restored");
    assert_eq!(again.state(), Some(written), "and is the same");
    if how & 4 == 0 {
        return;
    }
    coordinator.begin_recovery();
    for _ in 0..script.byte() % 4 {
        let bytes = match script.byte() % 3 {
            0 => script.choose(&stored.records).clone(),
            1 => script.block().to_vec(),
            _ => {
                let record = script.choose(&stored.records);
                script.damaged(record).to_vec()
            }
        };
        let Ok(record) = TickRecord::from_bytes(&bytes) else { continue };
        // A record that does not fit leaves a world of which nothing is used any more.
        if coordinator.replay(&record).is_err() {
            return;
        }
        tick(&mut coordinator, 1);
    }
    bits::check_stored(coordinator.world());
}

/// A coordinator of these bytes, with the hash mended in them that no damage would survive.
fn restore(stored: &Stored, mut state: Vec<u8>) -> Option<Coordinator> {
    for _ in 0..2 {
        let world = stored.image.restore(Limits::default()).expect("the image is honest");
        match Coordinator::restore(app::settings(), world, local(), &state, 8) {
            Ok(coordinator) => return Some(coordinator),
            Err(RestoreError::Hash { expected, found, .. }) => {
                let (old, new) = (rmp_serde::to_vec(&expected).ok()?, rmp_serde::to_vec(&found).ok()?);
                let at = state.windows(old.len()).position(|window| window == old)?;
                state.splice(at..at + old.len(), new);
            }
            Err(_) => return None,
        }
    }
    None
}

pub(super) fn seeds() -> Seeds {
    let stored = stored();
    let replay =
        stored.records.iter().fold(Writer::default().byte(4).byte(2), |script, record| script.byte(1).block(record));
    vec![
        ("honest", vec![0]),
        ("whole", Writer::default().byte(1).block(&stored.state).end()),
        ("replay", replay.end()),
        ("damaged", Writer::default().byte(6).byte(1).byte(1).short(40).byte(2).byte(1).byte(0).byte(0).end()),
    ]
}
