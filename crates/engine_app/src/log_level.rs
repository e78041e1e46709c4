//! What this process logs may change while it runs: by the run-time setting `log_level`.

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::run_time::read_filter;

type Change = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();

/// The process logs through a filter that may be changed like this. Only the first one counts, as there is only one
/// subscriber.
pub(crate) fn may_change(change: impl Fn(EnvFilter) -> Result<(), String> + Send + Sync + 'static) {
    let _ = CHANGE.set(Box::new(change));
}

/// From now on this is logged. A program with a subscriber of its own is left alone.
pub(crate) fn set(filter: &str) {
    let Some(change) = CHANGE.get() else {
        return tracing::warn!(filter, "this program logs in its own way: the setting `log_level` changes nothing");
    };
    let changed = read_filter(filter).map_err(|wrong| wrong.to_string()).and_then(change);
    if let Err(error) = changed {
        tracing::warn!(filter, error, "the process goes on logging as before");
    }
}
