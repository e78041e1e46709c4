//! Shortening the log behind a keyframe.
//!
//! Records of ticks and parts up to a sequence are purged by their subjects. The last epoch record always stays:
//! every append is guarded by its sequence. Earlier ones behind the sequence go, so that the stream's first
//! sequence moves on and its files can be removed.

use super::{JetError, Kind, Names, api::Api, streams::Info};

/// The server holds the stream's lock for a whole purge; so many sequences at a time let appends in between.
const STEP: u64 = 1024;

/// Removes records up to and with `up_to`; returns how many.
pub(super) async fn truncate(api: &Api, names: &Names, up_to: u64) -> Result<u64, JetError> {
    let stream = names.log();
    let info = api.call::<Info>("look at the log", &format!("STREAM.INFO.{stream}"), &serde_json::Value::Null).await?;
    let end = up_to.min(info.state.last_seq) + 1;
    let mut removed = 0;
    let mut before = info.state.first_seq;
    while before < end {
        before = (before + STEP).min(end);
        for kind in [Kind::Tick, Kind::Part] {
            removed += api.purge(&stream, &names.record(kind), Some(before)).await?;
        }
    }
    // Asked for after the end was decided: a newer one only means that fewer go.
    if let Some(epoch) = api.last(&stream, &names.record(Kind::Epoch)).await? {
        removed += api.purge(&stream, &names.record(Kind::Epoch), Some(end.min(epoch.sequence))).await?;
    }
    Ok(removed)
}
