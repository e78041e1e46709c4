//! A keyframe as one file.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `ENGINEKF` |
//! | 8..12 | format, 1 |
//! | 12..16 | 0 |
//! | … | messages, each behind its length (`u32`): first the keyframe's [head](crate::log::keyframe), then the pieces of the coordinator's state, then the parts of the world's [image](engine_component::image) |
//! | 4 | 0: no more messages |
//! | 8 | bytes of the whole file (`u64`) |
//! | last 16 | XXH3-128 of all before |
//!
//! Numbers are little endian. No message is empty. The head's position is that of the log the keyframe was taken
//! from; a world that is made of the file begins a log of its own behind it.

use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use engine_component::World;
use engine_component::image::{Limits, Restore};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::app::Result;
use crate::log::keyframe::{Head, KeyframeError};

const MAGIC: &[u8; 8] = b"ENGINEKF";
const FORMAT: u32 = 1;
const HEADER: usize = 16;
const FOOTER: usize = 4 + 8 + 16;
/// Bytes of a file, at the most: a world of that size can't be restored.
const MAX_BYTES: u64 = 17 << 30;

/// A keyframe in memory: its head, and the messages that it names.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What it is of.
    pub head: Head,
    /// The pieces of the state, then the parts of the image.
    pub messages: Vec<Bytes>,
}

impl Stored {
    /// Puts state and world together; every byte is checked.
    ///
    /// # Errors
    /// When anything is damaged.
    pub fn open(&self) -> Result<(Vec<u8>, World), KeyframeError> {
        let mut restore = Restore::new(self.head.image(), Limits::default())?;
        let (pieces, parts) = self.messages.split_at(self.head.state_pieces().min(self.messages.len()));
        for part in parts {
            restore.part(part)?;
        }
        Ok((self.head.state(pieces)?, restore.finish()?))
    }
}

/// A file that is being written beside its place, and moved there when it is complete.
#[derive(Debug)]
pub struct Writer {
    out: Option<BufWriter<std::fs::File>>,
    hash: Hash,
    bytes: u64,
    beside: PathBuf,
    place: PathBuf,
}

struct Hash(Xxh3);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Writer {
    /// Begins a file with a head.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn create(place: &Path, head: &Head) -> Result<Self> {
        let name = place.file_name().with_context(|| format!("{} is no file", place.display()))?.to_string_lossy();
        let beside = place.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = std::fs::File::create(&beside).with_context(|| format!("writing {}", place.display()))?;
        let out = Some(BufWriter::with_capacity(1 << 20, file));
        let mut writer = Self { out, hash: Hash(Xxh3::new()), bytes: 0, beside, place: place.to_owned() };
        writer.put(MAGIC)?;
        writer.put(&FORMAT.to_le_bytes())?;
        writer.put(&0_u32.to_le_bytes())?;
        writer.message(&head.encode())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.0.update(bytes);
        self.bytes += bytes.len() as u64;
        let out = self.out.as_mut().context("the file is closed")?;
        out.write_all(bytes).with_context(|| format!("writing {}", self.place.display()))
    }

    /// Adds a message.
    ///
    /// # Errors
    /// When it can't be written, is empty, or is larger than 4 GiB.
    pub fn message(&mut self, message: &[u8]) -> Result<()> {
        let length = u32::try_from(message.len()).ok().filter(|length| *length > 0);
        let length = length.with_context(|| format!("a message of {} bytes", message.len()))?;
        self.put(&length.to_le_bytes())?;
        self.put(message)
    }

    /// Ends the file, and moves it to its place; answers its bytes.
    ///
    /// # Errors
    /// When it can't be written; then the place is as it was.
    pub fn finish(mut self) -> Result<u64> {
        self.put(&0_u32.to_le_bytes())?;
        let bytes = self.bytes + 8 + 16;
        self.put(&bytes.to_le_bytes())?;
        let sum = self.hash.0.digest128();
        self.put(&sum.to_le_bytes())?;
        let writing = format!("writing {}", self.place.display());
        let out = self.out.take().context("the file is closed")?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).context(writing.clone())?;
        file.sync_all().context(writing.clone())?;
        std::fs::rename(&self.beside, &self.place).context(writing)?;
        Ok(bytes)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It is gone already when it was moved.
        let _ = std::fs::remove_file(&self.beside);
    }
}

/// Reads a file whole; its checksum and its frame are checked, what is in the messages is not yet.
///
/// # Errors
/// When it is none, of another format, or damaged.
pub fn read(path: &Path) -> Result<Stored> {
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("reading {shown}"))?;
    let said = file.metadata().with_context(|| format!("reading {shown}"))?.len();
    if said > MAX_BYTES {
        bail!("{shown} has {said} bytes: no keyframe that can be restored is so large");
    }
    let mut bytes = Vec::with_capacity(said as usize);
    file.take(MAX_BYTES).read_to_end(&mut bytes).with_context(|| format!("reading {shown}"))?;
    parse(bytes.into()).map_err(|why| anyhow!("{shown} can't be used: {why}"))
}

fn parse(bytes: Bytes) -> Result<Stored, String> {
    if !bytes.starts_with(MAGIC) {
        return Err("it is no keyframe that `engine snapshot export` has written".into());
    }
    let cut = || "it is cut short".to_owned();
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let format = number(8).ok_or_else(cut)?;
    if format != FORMAT {
        return Err(format!("its format is {format}, this engine reads {FORMAT}"));
    }
    let (body, sum) = bytes.split_last_chunk::<16>().ok_or_else(cut)?;
    if xxh3_128(body) != u128::from_le_bytes(*sum) {
        return Err("its checksum is not that of its bytes: it was cut short, or changed".into());
    }
    let end = bytes.len().checked_sub(FOOTER).filter(|end| *end >= HEADER).ok_or_else(cut)?;
    let (mut at, mut messages) = (HEADER, Vec::new());
    while at < end {
        let length = number(at).ok_or_else(cut)? as usize;
        let stop = (at + 4).checked_add(length).filter(|stop| *stop <= end && length > 0);
        let stop = stop.ok_or_else(|| format!("byte {at}: a message of {length} bytes can't be here"))?;
        messages.push(bytes.slice(at + 4..stop));
        at = stop;
    }
    let total = bytes.get(end + 4..end + 12).map_or(0, |total| {
        let mut number = [0; 8];
        number.copy_from_slice(total);
        u64::from_le_bytes(number)
    });
    if number(end) != Some(0) || total != bytes.len() as u64 || number(12) != Some(0) {
        return Err("its frame is not one that this engine writes".into());
    }
    if messages.is_empty() {
        return Err("it has no head".into());
    }
    let head = Head::decode(&messages.remove(0)).map_err(|error| error.to_string())?;
    Ok(Stored { head, messages })
}
