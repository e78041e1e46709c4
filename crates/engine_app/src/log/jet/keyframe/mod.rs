//! Keyframes: the world at a tick, in large messages, the manifest last.
//!
//! A keyframe is there when its manifest is. The manifest is published with a guard on its first part's message: if
//! that was cleaned up in the meantime (by a new coordinator that took it for a dead one's rest) the manifest is
//! refused. Names hold the epoch, the tick and a number of the writer, so that two coordinators, or two attempts of
//! one, never mix.

mod frame;
mod read;
mod write;

use std::{collections::BTreeMap, fmt};

use serde_json::json;

pub use read::{KeyframeParts, KeyframeReader};

pub(super) use read::{manifest, open};
pub(super) use write::{Writer, write};

use super::{JetError, Names, api::Api, streams::Info};

const MANIFEST: &str = "manifest";

/// The name of a keyframe. The order is age: a later epoch's is newer, whatever its tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyframeId {
    /// The epoch of its coordinator.
    pub epoch: u64,
    /// The tick after which the world was like that.
    pub tick: u64,
    /// Who wrote it, and in which attempt; a number without meaning.
    pub writer: u64,
}

impl KeyframeId {
    fn root(&self, names: &Names) -> String {
        format!("{}{self}.", names.key_root())
    }

    fn part(&self, names: &Names, number: u32) -> String {
        format!("{}{number}", self.root(names))
    }

    fn manifest(&self, names: &Names) -> String {
        format!("{}{MANIFEST}", self.root(names))
    }

    /// The keyframe that a subject belongs to, and the subject's last token.
    fn of<'a>(names: &Names, subject: &'a str) -> Option<(Self, &'a str)> {
        let mut tokens = subject.strip_prefix(&names.key_root())?.split('.');
        let mut number = |radix| u64::from_str_radix(tokens.next()?, radix).ok();
        let id = Self { epoch: number(10)?, tick: number(10)?, writer: number(16)? };
        let last = tokens.next()?;
        tokens.next().is_none().then_some((id, last))
    }
}

impl fmt::Display for KeyframeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:x}", self.epoch, self.tick, self.writer)
    }
}

/// What there is of each keyframe.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    parts: u64,
    manifest: bool,
}

async fn all(api: &Api, names: &Names) -> Result<BTreeMap<KeyframeId, Found>, JetError> {
    let mut found = BTreeMap::<_, Found>::new();
    let mut offset = 0;
    loop {
        let question = json!({ "subjects_filter": format!("{}>", names.key_root()), "offset": offset });
        let what = "list the keyframes";
        let info: Info = api.call(what, &format!("STREAM.INFO.{}", names.keys()), &question).await?;
        let subjects = info.state.subjects;
        if subjects.is_empty() {
            return Ok(found);
        }
        offset += subjects.len();
        for (subject, messages) in &subjects {
            let Some((id, last)) = KeyframeId::of(names, subject) else { continue };
            let entry = found.entry(id).or_default();
            if last == MANIFEST { entry.manifest = true } else { entry.parts += messages }
        }
    }
}

/// Those that are complete, the newest first.
pub(super) async fn list(api: &Api, names: &Names) -> Result<Vec<KeyframeId>, JetError> {
    let all = all(api, names).await?;
    Ok(all.into_iter().rev().filter(|(_, found)| found.manifest && found.parts > 0).map(|(id, _)| id).collect())
}

/// The manifest goes first: what is left after a crash is no keyframe, and is cleaned up.
pub(super) async fn delete(api: &Api, names: &Names, id: KeyframeId) -> Result<u64, JetError> {
    let manifest = api.purge(&names.keys(), &id.manifest(names), None).await?;
    Ok(manifest + api.purge(&names.keys(), &format!("{}*", id.root(names)), None).await?)
}

/// Keeps the newest `keep`, and removes what dead writers left: parts without manifest of earlier epochs, and those
/// of this epoch that nobody `is_writing`.
pub(super) async fn retain(
    api: &Api,
    names: &Names,
    keep: usize,
    epoch: u64,
    is_writing: impl Fn(&KeyframeId) -> bool,
) -> Result<u64, JetError> {
    let mut complete = 0;
    let mut removed = 0;
    for (id, found) in all(api, names).await?.into_iter().rev() {
        let unwanted = if found.manifest && found.parts > 0 {
            complete += 1;
            complete > keep
        } else {
            id.epoch < epoch || (id.epoch == epoch && !is_writing(&id))
        };
        if unwanted {
            removed += delete(api, names, id).await?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_from_its_subjects() {
        let names = Names::new("w").unwrap();
        let id = KeyframeId { epoch: 3, tick: 1200, writer: 0xbeef };
        assert_eq!(id.part(&names, 7), "engine_key.w.3.1200.beef.7");
        assert_eq!(KeyframeId::of(&names, &id.part(&names, 7)), Some((id, "7")));
        assert_eq!(KeyframeId::of(&names, &id.manifest(&names)), Some((id, "manifest")));
        for foreign in ["engine_key.w.3.1200.beef", "engine_key.w.3.1200.beef.7.8", "engine_key.v.3.1.1.1"] {
            assert_eq!(KeyframeId::of(&names, foreign), None, "{foreign}");
        }
        let older = KeyframeId { epoch: 2, tick: 9999, writer: 0 };
        assert!(older < id, "a deposed coordinator's ticks don't count");
    }
}
