//! What the buyer wants, and was told: written down before it is asked for, so that a kill forgets nothing.
//!
//! ```text
//! want <id> <player> <price>
//! done <id> <bought>
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// A purchase, as it was wanted.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) player: String,
    pub(crate) price: u64,
    /// Whether it was bought; `None` when no answer came yet.
    pub(crate) bought: Option<bool>,
}

pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(file.with_context(|| format!("can't open the journal {}", path.display()))?))
    }

    pub(crate) fn want(&self, id: &str, player: &str, price: u64) -> Result<()> {
        Ok((&self.0).write_all(format!("want {id} {player} {price}\n").as_bytes())?)
    }

    pub(crate) fn done(&self, id: &str, bought: bool) -> Result<()> {
        Ok((&self.0).write_all(format!("done {id} {bought}\n").as_bytes())?)
    }
}

/// All that is written, by id.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Want>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let mut wants = BTreeMap::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["want", id, player, price] => {
                let want = Want { player: player.to_owned(), price: price.parse()?, bought: None };
                wants.insert(id.to_owned(), want);
            }
            ["done", id, bought] => {
                let want = wants.get_mut(id).with_context(|| format!("{id} was done and never wanted"))?;
                want.bought = Some(bought.parse()?);
            }
            _ => anyhow::bail!("`{line}` is no line of a journal"),
        }
    }
    Ok(wants)
}
