//! Settings that change while the world runs, and the time that follows from them.
//!
//! They come as they stand in their bucket, and take effect between two ticks, never in one. What took effect is an
//! input of the next record, as a command is. So who repeats the records has the same rate in every tick, and the same
//! time: a tick takes one part in *rate* of a second, and what passed before the rate changed is carried along.
//!
//! An entry takes effect once. Whoever takes over finds the same bucket, and leaves alone what its records say was
//! taken already, also when a command has paused the world since, or let it go on: the last change wins.

use std::collections::BTreeMap;

use engine_net::messages::command::Action;
use engine_net::messages::status::{RefusedSetting, SettingStatus};
use engine_system::Time;
use serde::{Deserialize, Serialize};

use super::Coordinator;
use crate::record::Input;
use crate::run_time::{Entry, Key, Setting, Wrong};

/// Entries that are refused and told in the status, at the most; others are counted.
const MAX_REFUSED: usize = 8;

/// What is known of the bucket.
#[derive(Debug, Default)]
pub(super) struct RunTime {
    /// Taken when no tick runs; the newest of each key.
    waiting: BTreeMap<Key, (u64, Setting)>,
    applied: BTreeMap<Key, Applied>,
    refused: BTreeMap<String, (u64, Wrong)>,
    /// Since when the rate is what it is.
    since: Since,
}

/// What took effect last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Applied {
    revision: u64,
    setting: Setting,
    /// The tick before it took effect.
    tick: u64,
}

/// The tick after which the rate changed, and the seconds until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Since {
    tick: u64,
    elapsed: f64,
}

/// What a keyframe has to carry of it, once something was set.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunTimeState {
    since: Since,
    applied: Vec<Applied>,
}

impl RunTimeState {
    /// Whether it may be of a world at this tick.
    pub(super) fn check(&self, tick: u64) -> Result<(), String> {
        let Since { tick: since, elapsed } = self.since;
        if since > tick || !elapsed.is_finite() || elapsed < 0.0 {
            return Err(format!("{elapsed} s until tick {since}"));
        }
        if self.applied.len() > Key::ALL.len() {
            return Err(format!("{} settings that took effect", self.applied.len()));
        }
        self.applied.iter().try_for_each(|applied| applied.setting.check()).map_err(|wrong| wrong.to_string())
    }
}

impl RunTime {
    /// None of a world in which nothing was ever set: its state is as it was before there were settings.
    pub(super) fn state(&self) -> Option<RunTimeState> {
        let applied: Vec<Applied> = self.applied.values().cloned().collect();
        (!applied.is_empty()).then_some(RunTimeState { since: self.since, applied })
    }

    pub(super) fn restored(state: RunTimeState) -> Self {
        let applied = state.applied.into_iter().map(|applied| (applied.setting.key(), applied)).collect();
        Self { applied, since: state.since, ..Self::default() }
    }
}

impl Coordinator {
    /// The bucket of settings is like this now. What is new in it takes effect before the next tick; what is wrong is
    /// refused, with a warning, and the world goes on as before. A key that is gone changes nothing.
    pub fn set_run_time(&mut self, now: u64, bucket: &[Entry]) {
        let mut refused = BTreeMap::new();
        for entry in bucket {
            match entry.read() {
                Ok(setting) => drop(self.run_time.waiting.insert(setting.key(), (entry.revision, setting))),
                Err(wrong) => {
                    let told = (entry.revision, wrong);
                    if self.run_time.refused.get(&entry.key) != Some(&told) {
                        self.refuse_setting(entry, &told.1);
                    }
                    if refused.len() < MAX_REFUSED {
                        refused.insert(entry.key.clone(), told);
                    }
                }
            }
        }
        self.run_time.refused = refused;
        self.advance(now);
    }

    fn refuse_setting(&mut self, entry: &Entry, wrong: &Wrong) {
        self.figures.count("refused.setting");
        let key: String = entry.key.chars().take(64).collect();
        let reason = wrong.to_string();
        tracing::warn!(key, revision = entry.revision, reason, known = Key::known(), "a run-time setting is refused");
    }

    /// Between two ticks: takes what waits.
    pub(super) fn apply_settings(&mut self) {
        if self.recovering || self.replayed.is_some() {
            return;
        }
        for (key, (revision, setting)) in std::mem::take(&mut self.run_time.waiting) {
            let known = self.run_time.applied.get(&key);
            if known.is_some_and(|known| known.revision == revision && known.setting == setting) {
                continue;
            }
            let input = Input::Setting { revision, setting: setting.clone() };
            // A world that stands still without a log makes no record: there, what is set again and again must not pile up.
            let is_recorded = self.keeps_log();
            match self.inputs.last() {
                Some(Input::Setting { setting: last, .. }) if last.key() == key && !is_recorded => {
                    self.inputs.pop();
                    self.inputs.push(input);
                }
                _ => self.inputs.push(input),
            }
            tracing::info!(key = key.name(), revision, value = setting.value(), "a run-time setting takes effect");
            self.take_effect(revision, setting);
        }
    }

    /// Does again what a record says.
    pub(super) fn repeat_setting(&mut self, revision: u64, setting: Setting) -> Result<(), Wrong> {
        setting.check()?;
        self.take_effect(revision, setting);
        Ok(())
    }

    fn take_effect(&mut self, revision: u64, setting: Setting) {
        let tick = self.tick;
        match setting {
            Setting::Rate(rate) if rate != self.settings.rate => {
                self.run_time.since = Since { tick, elapsed: self.time(tick).elapsed };
                self.settings.rate = rate;
                // The next tick is not to wait for what was slower.
                self.next_tick_at = self.next_tick_at.min(self.now.saturating_add(self.interval()));
            }
            Setting::Paused(paused) => {
                let action = if paused { Action::Pause {} } else { Action::Resume {} };
                // As by a command: neither of the two is ever refused.
                let _ = self.control(&action);
            }
            Setting::Rate(_) | Setting::LogLevel(_) => {}
        }
        self.run_time.applied.insert(setting.key(), Applied { revision, setting, tick });
    }

    /// The time that systems see in a tick: of the next one, or of one since the rate changed last.
    pub(super) fn time(&self, tick: u64) -> Time {
        let (Since { tick: from, elapsed }, dt) = (self.run_time.since, self.settings.dt());
        // A product, not a sum over ticks: in a world whose rate never changed it is what it always was.
        Time { tick, dt, elapsed: elapsed + tick.saturating_sub(from) as f64 * f64::from(dt) }
    }

    /// What the coordinator's process is to log, if that was ever set.
    #[must_use]
    pub fn log_level(&self) -> Option<&str> {
        match self.run_time.applied.get(&Key::LogLevel) {
            Some(Applied { setting: Setting::LogLevel(filter), .. }) => Some(filter),
            _ => None,
        }
    }

    pub(super) fn settings_status(&self) -> (Vec<SettingStatus>, Vec<RefusedSetting>) {
        let applied = self.run_time.applied.values().map(|applied| SettingStatus {
            key: applied.setting.key().name().to_owned(),
            value: applied.setting.value(),
            revision: applied.revision,
            tick: applied.tick,
        });
        let refused = self.run_time.refused.iter().map(|(key, (revision, wrong))| RefusedSetting {
            key: key.chars().take(64).collect(),
            revision: *revision,
            reason: wrong.to_string(),
        });
        (applied.collect(), refused.collect())
    }
}
