//! What a world was given from outside, and by whom: read from its records, each of them verified.

use anyhow::{Context, anyhow};

use super::{PARALLEL, Past};
use crate::app::Result;
use crate::log::chain::Verifier;
use crate::log::jet::JetError;
use crate::log::record::Body;
use crate::record::{Input, TickRecord};

/// Something that happened to a world.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A coordinator began to reign.
    Reign,
    /// It was given something, or refused it.
    Given(Input),
}

/// When it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The tick that it was part of; of what was given while the world stood still, the tick before.
    pub tick: u64,
    /// The reign.
    pub epoch: u64,
}

/// Tells, in order, what the world was given in the ticks from `from` to `to`, as far as the log still has them.
///
/// # Errors
/// When the log is damaged, or the server doesn't give it, or `each` fails.
pub fn audit(past: &Past, from: u64, to: u64, mut each: impl FnMut(When, &What) -> Result) -> Result {
    let first = past.before(from.saturating_sub(1)).or_else(|_| past.of_tick(past.oldest()))?;
    let keyframe = past.look(first)?.with_context(|| removed(first.tick))?;
    let position = keyframe.head.position;
    let mut verifier = Verifier::from(position);
    for message in past.streams().read_range(position.seq + 1, past.tail().last, PARALLEL) {
        let message = match message {
            Ok(message) => message,
            Err(JetError::Gap { .. }) => return Err(anyhow!(removed(first.tick))),
            Err(error) => return Err(error.into()),
        };
        let Some(record) = verifier.feed(message.sequence, &message.payload)? else { continue };
        let when = When { tick: record.tick, epoch: record.epoch };
        if when.tick > to {
            break;
        }
        if when.tick < from {
            continue;
        }
        match record.body {
            Body::Epoch(_) => each(when, &What::Reign)?,
            Body::Tick(bytes) => {
                let record = TickRecord::from_bytes(&bytes)
                    .map_err(|error| anyhow!("the record of tick {} can't be read: {error}", when.tick))?;
                record.inputs.into_iter().try_for_each(|input| each(when, &What::Given(input)))?;
            }
        }
    }
    Ok(())
}

fn removed(tick: u64) -> String {
    format!(
        "what is behind the keyframe of tick {tick} was removed meanwhile, as a running world does with old records: try \
         again, or keep more of them (`coordinator --keyframes`)"
    )
}
