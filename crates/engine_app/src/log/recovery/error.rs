//! Why a world can't be recovered, in words that say what to do.

use thiserror::Error;

use crate::log::chain::ChainError;
use crate::log::jet::JetError;
use crate::log::keyframe::KeyframeError;

/// Why a world can't be recovered.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The server doesn't give it.
    #[error(transparent)]
    Jet(#[from] JetError),
    /// The chain of records breaks.
    #[error(
        "{error}. The log is good up to record {index}, tick {tick}: put a copy of the stream back, or give up what is \
         behind by starting once with `--recover-at {tick}`"
    )]
    Chain {
        /// Where, and how.
        error: ChainError,
        /// The last record before.
        index: u64,
        /// Its tick.
        tick: u64,
    },
    /// A record can't be read although its bytes are those that were written.
    #[error(
        "the record of tick {tick} can't be read: {why}. Start the build that wrote it, or give up what is behind tick \
         {last} by starting once with `--recover-at {last}`"
    )]
    Record {
        /// Its tick.
        tick: u64,
        /// Why.
        why: String,
        /// The last tick before.
        last: u64,
    },
    /// The newest keyframe is damaged.
    #[error(
        "the keyframe of tick {tick} (epoch {epoch}) can't be used: {error}. Put a copy of the stream of keyframes \
         back, or start once with `--recover-at {tick}`: an older keyframe will do when the log goes back to it"
    )]
    Keyframe {
        /// Its tick.
        tick: u64,
        /// The epoch that wrote it.
        epoch: u64,
        /// What is wrong.
        error: KeyframeError,
    },
    /// The keyframe is of another log than the one that is there.
    #[error(
        "the keyframe of tick {tick} belongs behind record {index}, which is not in the log: it was replaced by an \
         older copy, or its end is lost. Bring the stream back; or go on from the keyframe, and give up what came \
         behind it, by starting once with `--recover-at {tick}`"
    )]
    OtherLog {
        /// Its tick.
        tick: u64,
        /// Its record.
        index: u64,
    },
    /// What was asked for was done before: to do it again would give up what came since.
    #[error(
        "what was behind tick {tick} is given up already: the present reign began there, and the log is whole up to \
         tick {last}. Start without `--recover-at`"
    )]
    Done {
        /// The tick that was asked for.
        tick: u64,
        /// The last tick that is there.
        last: u64,
    },
    /// The world was to begin with a keyframe of another one, which was not written to its end.
    #[error(
        "the world was to go on from tick {tick} of another one, and the keyframe is missing: give the command again \
         that began it (`branch`, or `engine snapshot import`), or remove its streams and begin anew"
    )]
    Unfinished {
        /// The tick.
        tick: u64,
    },
    /// There are records, and no keyframe to begin with.
    #[error(
        "the log has records, but no keyframe that can be read{}: put a copy of the stream of keyframes back; a new \
         world needs another name, or empty streams", at(.0)
    )]
    NoKeyframe(Option<u64>),
    /// The log is shorter than it was.
    #[error(
        "the log ends at record {last}, and was acknowledged up to record {mark}: acknowledged ticks behind tick {tick} \
         are gone, perhaps since a file was damaged or an old copy was put back. Bring the stream back; or accept the \
         loss by starting once with `--recover-at {tick}`"
    )]
    Short {
        /// The last record that is there.
        last: u64,
        /// The last one that was acknowledged.
        mark: u64,
        /// The last tick that is there.
        tick: u64,
    },
    /// The record that was acknowledged is another one.
    #[error(
        "record {index} was acknowledged with other contents: the log was replaced. Bring the stream back; or \
         accept the loss by starting once with `--recover-at {tick}`"
    )]
    Replaced {
        /// Its number.
        index: u64,
        /// The last tick that is there.
        tick: u64,
    },
}

fn at(tick: &Option<u64>) -> String {
    tick.map_or_else(String::new, |tick| format!(" and is not behind tick {tick}"))
}
