//! Engine's own tick over NATS: a coordinator in this process, instances in processes of their own.

use anyhow::Result;

use crate::case::Contender;

/// A world of so many moving entities, with so many instances of its one system.
#[expect(clippy::unnecessary_wraps, reason = "starting processes can fail")]
pub(crate) fn tick(_entities: usize, _instances: usize) -> Result<Option<Contender>> {
    Ok(None)
}
