//! Payloads that no honest program makes.

use bytes::Bytes;
use engine_net::parcel::ResultManifest;
use engine_net::{ChunkKind, ChunkPrefix, strict};

/// Bytes that are no message, each in a way of its own. `honest` is a message that would be one.
pub(crate) fn garbage(honest: &[u8]) -> Vec<(&'static str, Bytes)> {
    // An array, a map, a text and a blob that claim to have four billion of what follows.
    let claim = |marker: u8| [marker, 0xff, 0xff, 0xff, 0xff, 1].to_vec();
    let all = [
        ("nothing", Vec::new()),
        ("a byte that MessagePack does not have", vec![0xc1]),
        ("text", b"hello, world".to_vec()),
        ("70,000 times 0xff", vec![0xff; 70_000]),
        ("10,000 levels", [vec![0x91; 10_000], vec![0xc0]].concat()),
        ("10,000 levels of maps", [[0x81, 0xa1, b'x'].repeat(10_000), vec![0xc0]].concat()),
        ("900,000 times nil", [vec![0xdd, 0, 0x0d, 0xbb, 0xa0], vec![0xc0; 900_000]].concat()),
        ("cut off", honest[..honest.len().saturating_sub(1)].to_vec()),
        ("cut in half", honest[..honest.len() / 2].to_vec()),
        ("a byte too many", [honest, &[0]].concat()),
        ("an array of four billion", claim(0xdd)),
        ("a map of four billion", claim(0xdf)),
        ("a text of four billion", claim(0xdb)),
        ("a blob of four billion", claim(0xc6)),
    ];
    all.map(|(name, bytes)| (name, bytes.into())).into()
}

/// The manifest of a result without commands and events.
pub(crate) fn empty() -> ResultManifest {
    ResultManifest { compute_ns: 0, wait_ns: 0, rest_ns: 0, jobs: Vec::new(), mapped: Vec::new() }
}

/// A section, as it is written: what it says need not be true.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) kind: u8,
    pub(crate) part: u16,
    pub(crate) column: u16,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) data: &'a [u8],
    pub(crate) bitmap: Option<&'a [u8]>,
}

/// Rows of the first column of the first part.
pub(crate) fn plain(rows: u32, data: &[u8]) -> Section<'_> {
    Section { kind: 0, part: 0, column: 0, first_row: 0, rows, data, bitmap: None }
}

impl Section<'_> {
    fn write(&self, payload: &mut Vec<u8>) {
        payload.push(if self.bitmap.is_some() { 0x98 } else { 0x97 });
        payload.push(self.kind);
        for number in [self.part, self.column] {
            payload.push(0xcd);
            payload.extend(number.to_be_bytes());
        }
        for number in [self.first_row, self.rows] {
            payload.push(0xce);
            payload.extend(number.to_be_bytes());
        }
        // Two bytes before the padding, five behind it.
        let pad = (8 - (payload.len() + 7) % 8) % 8;
        payload.extend([0xc4, pad as u8]);
        payload.extend(&[0; 8][..pad]);
        for bytes in [Some(self.data), self.bitmap].into_iter().flatten() {
            payload.push(0xc6);
            payload.extend((bytes.len() as u32).to_be_bytes());
            payload.extend(bytes);
        }
    }
}

/// A result of one chunk, in answer to a job.
pub(crate) fn result(job: &ChunkPrefix, manifest: &ResultManifest, sections: &[Section<'_>]) -> Bytes {
    chunk(&job.answer(ChunkKind::Result), &strict::encode(manifest), sections)
}

/// A chunk of anything.
pub(crate) fn chunk(prefix: &ChunkPrefix, manifest: &[u8], sections: &[Section<'_>]) -> Bytes {
    let mut payload = [&prefix.encode()[..], manifest].concat();
    sections.iter().for_each(|section| section.write(&mut payload));
    payload.into()
}
