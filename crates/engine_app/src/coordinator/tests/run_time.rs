//! Settings that change while the world runs: when they take effect, what time it is then, and what is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_component::query::Query;
use engine_component::{Component, World};
use engine_net::messages::command::Action;
use engine_net::strict;
use engine_system::{System, Time};

use super::script::{Script, app, drift, settings};
use crate::coordinator::{Coordinator, Output, RestoreError};
use crate::record::{Input, TickRecord};
use crate::run_time::{Entry, Setting};
use crate::{App, Settings, TimeMode};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "test.Clock")]
struct Clock {
    elapsed: f64,
    passed: f64,
}

fn tell(time: Time, mut clocks: Query<&mut Clock>) {
    for clock in &mut clocks {
        clock.elapsed = time.elapsed;
        clock.passed += f64::from(time.dt);
    }
}

/// A world that has nothing but a clock.
fn clock() -> App {
    App::new("clock").add_system("tell", tell).on_start(|start| {
        start.world.spawn((Clock { elapsed: 0.0, passed: 0.0 },));
        Ok(())
    })
}

fn systems() -> Vec<(Arc<dyn System>, bool)> {
    clock().into_systems().unwrap().into_iter().map(|system| (system, true)).collect()
}

/// A world with its records, computed here.
struct Here {
    coordinator: Coordinator,
    now: u64,
    records: Vec<TickRecord>,
}

impl Here {
    fn new(settings: Settings) -> Self {
        let (mut coordinator, _) = clock().into_coordinator(settings, &BTreeMap::new(), |_| true, 7).unwrap();
        coordinator.keep_log(1000);
        Self { coordinator, now: 1, records: Vec::new() }
    }

    fn step(&mut self, ticks: u64) {
        self.coordinator.step(ticks);
        self.settle();
    }

    fn set(&mut self, bucket: &[(&str, u64, &str)]) {
        let bucket: Vec<Entry> = bucket.iter().map(|(key, revision, value)| entry(key, *revision, *value)).collect();
        self.coordinator.set_run_time(self.now, &bucket);
        self.settle();
    }

    /// Does all that can be done at this time.
    fn settle(&mut self) {
        self.coordinator.clock(self.now);
        while let Some(output) = self.coordinator.next_output() {
            match output {
                Output::Run(job) => {
                    let number = job.number();
                    self.coordinator.local_done(self.now, number, job.run());
                }
                Output::Record { record, .. } => {
                    self.records.push(TickRecord::from_bytes(&record).unwrap());
                    self.coordinator.durable(self.now, self.records.len() as u64);
                }
                Output::Send { .. } | Output::Keep(_) => {}
            }
            self.coordinator.clock(self.now);
        }
    }

    fn clock(&mut self) -> Clock {
        let world = self.coordinator.world_mut().unwrap();
        world.with_query::<&Clock, (), _>(|clocks| *clocks.iter().next().unwrap()).unwrap()
    }

    fn repeat(&mut self, record: &TickRecord) {
        self.coordinator.replay(record).unwrap();
        self.settle();
        assert_eq!(self.coordinator.committed(), (record.tick, record.hash));
    }
}

fn entry(key: &str, revision: u64, value: impl Into<Vec<u8>>) -> Entry {
    Entry { key: key.into(), revision, value: value.into().into() }
}

/// Ticks at three rates, with a pause and a log level between.
fn recorded() -> Here {
    let mut here = Here::new(Settings { rate: 64.0, ..settings() });
    here.step(3);
    here.set(&[("rate", 1, "16")]);
    here.step(2);
    here.set(&[("rate", 1, "16"), ("log_level", 2, "debug"), ("paused", 3, "true")]);
    here.step(4);
    here.set(&[("rate", 4, "2"), ("log_level", 2, "debug"), ("paused", 3, "true")]);
    here.step(1);
    here
}

#[test]
fn the_time_is_right_over_changes_of_the_rate() {
    let mut here = recorded();
    let due = 3.0 / 64.0 + 6.0 / 16.0 + 0.5;
    assert_eq!(here.clock(), Clock { elapsed: due, passed: due });
    let status = here.coordinator.status(1);
    assert_eq!((status.rate, status.budget_ms), (2.0, 0.0), "as fast as possible");
}

#[test]
fn a_world_whose_rate_never_changed_has_the_time_that_it_always_had() {
    let mut here = Here::new(Settings { rate: 60.0, ..settings() });
    here.step(1000);
    assert_eq!(here.clock().elapsed, Time::at(1000, (1.0_f64 / 60.0) as f32).elapsed);
    let state = here.coordinator.state().unwrap();
    let has = |what: &[u8]| state.windows(what.len()).any(|window| window == what);
    let first = [strict::encode("format"), strict::encode(&1_u32)].concat();
    assert!(has(&first) && !has(b"run_time"), "who knows of no settings can read it");
}

#[test]
fn records_bring_back_every_rate_and_every_hash() {
    let first = recorded();
    let settings_of = |record: &TickRecord| {
        let inputs = record.inputs.iter().filter(|input| matches!(input, Input::Setting { .. }));
        inputs.count()
    };
    assert_eq!(first.records.iter().map(settings_of).sum::<usize>(), 4);
    // From the beginning, and from the state behind each record: as a replay does it, and a successor.
    for begin in 0..=first.records.len() {
        let mut second = Here::new(Settings { rate: 64.0, ..settings() });
        second.coordinator.begin_recovery();
        first.records[..begin].iter().for_each(|record| second.repeat(record));
        let state = second.coordinator.state().unwrap();
        let world = std::mem::take(&mut second.coordinator.world);
        let third = Coordinator::restore(settings(), world, systems(), &state, 9).unwrap();
        let mut third = Here { coordinator: third, now: 1, records: Vec::new() };
        third.coordinator.begin_recovery();
        first.records[begin..].iter().for_each(|record| third.repeat(record));
        assert_eq!(third.coordinator.state(), first.coordinator.state(), "from record {begin}");
        assert_eq!(third.coordinator.log_level(), Some("debug"));
        assert_eq!(third.coordinator.settings().rate, 2.0);
    }
}

/// A tick has one `dt` for all its jobs, wherever they run and however often they are tried.
#[test]
fn nothing_takes_effect_in_the_middle_of_a_tick() {
    let mut script = Script::with(app(drift), settings(), &["a"]);
    script.coordinator.keep_log(1000);
    script.begin();
    assert!(script.coordinator.is_running());
    script.coordinator.set_run_time(script.now, &[entry("rate", 1, "5"), entry("paused", 2, "false")]);
    assert_eq!(script.coordinator.settings().rate, settings().rate);
    script.deliver_all();
    script.pass(1);
    assert_eq!(script.coordinator.settings().rate, 5.0);
    script.deliver_all();
    let records: Vec<TickRecord> =
        script.records.iter().map(|record| TickRecord::from_bytes(record).unwrap()).collect();
    assert!(records[0].inputs.iter().all(|input| !matches!(input, Input::Setting { .. })), "{records:?}");
    let set: Vec<&Input> = records[1].inputs.iter().collect();
    let due = [
        Input::Setting { revision: 1, setting: Setting::Rate(5.0) },
        Input::Setting { revision: 2, setting: Setting::Paused(false) },
    ];
    assert_eq!(set, [&due[0], &due[1]]);
    assert_eq!(
        (records[1].tick, script.coordinator.status(1).state),
        (2, engine_net::messages::status::SimState::Running)
    );
}

#[test]
fn the_last_change_wins_and_none_counts_twice() {
    let mut here = Here::new(Settings { paused: false, time: TimeMode::Dilate, rate: 10.0, ..settings() });
    let ticks_of = |here: &mut Here| {
        let before = here.coordinator.committed().0;
        (0..10).for_each(|_| {
            here.now += 100_000_000;
            here.settle();
        });
        here.coordinator.committed().0 - before
    };
    let bucket = [("paused", 5, "true")];
    assert!(ticks_of(&mut here) >= 9);
    here.set(&bucket);
    assert_eq!(ticks_of(&mut here), 0);
    // A command lets it go on; the bucket, which is as it was, doesn't stop it again.
    here.coordinator.control(&Action::Resume {}).unwrap();
    here.set(&bucket);
    assert!(ticks_of(&mut here) >= 9);
    let state = here.coordinator.state().unwrap();
    let world = std::mem::take(&mut here.coordinator.world);
    let next = Coordinator::restore(Settings { time: TimeMode::Dilate, ..settings() }, world, systems(), &state, 9);
    let mut next = Here { coordinator: next.unwrap(), now: here.now, records: Vec::new() };
    next.coordinator.keep_log(1000);
    next.set(&bucket);
    assert!(ticks_of(&mut next) >= 9, "a successor takes nothing twice");
    next.set(&[("paused", 6, "true")]);
    assert_eq!(ticks_of(&mut next), 0, "put again is a new entry");
    next.set(&[("paused", 2, "false")]);
    assert!(ticks_of(&mut next) >= 9, "a bucket that was made anew counts from the beginning");
}

#[test]
fn a_slower_world_does_not_wait_for_the_tick_that_was_due_before() {
    let mut here = Here::new(Settings { paused: false, time: TimeMode::Dilate, rate: 0.01, ..settings() });
    here.settle();
    let before = here.coordinator.committed().0;
    here.set(&[("rate", 1, "100")]);
    here.now += 10_000_000;
    here.settle();
    assert_eq!(here.coordinator.committed().0, before + 1);
}

#[test]
fn what_is_wrong_is_refused_once_and_told_and_changes_nothing() {
    let mut here = Here::new(settings());
    let wrong = [("rat", 1, "30"), ("rate", 2, "NaN"), ("paused", 3, "perhaps")];
    here.set(&wrong);
    here.set(&wrong);
    let count = |here: &Here| here.coordinator.status(1).counters.get("refused.setting").copied();
    assert_eq!(count(&here), Some(3), "each of them once");
    assert_eq!((here.records.len(), here.coordinator.settings().rate), (0, settings().rate));
    let refused = here.coordinator.status(1).refused_settings;
    let told: Vec<(&str, u64)> = refused.iter().map(|refused| (refused.key.as_str(), refused.revision)).collect();
    assert_eq!(told, [("paused", 3), ("rat", 1), ("rate", 2)]);
    assert!(refused[1].reason.contains("there are: rate, log_level, paused"), "{refused:?}");
    // Beside what is right.
    here.set(&[("rate", 4, "30"), ("paused", 5, "perhaps")]);
    let status = here.coordinator.status(1);
    assert_eq!((status.rate, status.refused_settings.len(), count(&here)), (30.0, 1, Some(4)));
    assert_eq!((status.settings[0].value.as_str(), status.settings[0].revision), ("30", 4));
    let many: Vec<Entry> = (0..1000).map(|number| entry(&format!("k{number}"), 10 + number, "1")).collect();
    here.coordinator.set_run_time(here.now, &many);
    assert_eq!(here.coordinator.status(1).refused_settings.len(), 8);
}

#[test]
fn stored_settings_that_can_not_be_are_refused() {
    let here = recorded();
    let state = here.coordinator.state().unwrap();
    let changed = |from: &[u8], to: &[u8]| {
        let at = state.windows(from.len()).rposition(|window| window == from).unwrap();
        let state = [&state[..at], to, &state[at + from.len()..]].concat();
        let restored = Coordinator::restore(settings(), World::default(), systems(), &state, 9);
        match restored {
            Err(RestoreError::Unreadable(why)) => why,
            other => panic!("{:?}", other.err()),
        }
    };
    let number = |value: f64| strict::encode(&value);
    let elapsed = 3.0 / 64.0 + 6.0 / 16.0;
    assert!(changed(&number(elapsed), &number(f64::NAN)).contains("NaN s until tick"), "a time that is none");
    assert!(changed(&number(2.0), &number(1e9)).contains("0.01 to 10000"), "a rate that nobody may set");
    let mut record = here.records.iter().find(|record| !record.inputs.is_empty()).unwrap().clone();
    record.inputs = vec![Input::Setting { revision: 1, setting: Setting::Rate(f64::INFINITY) }];
    let mut other = Here::new(settings());
    record.tick = 0;
    assert!(other.coordinator.replay(&record).unwrap_err().to_string().contains("is refused now"));
}
