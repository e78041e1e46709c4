//! What the streams are to be like, and how patient their client is.

use std::time::Duration;

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The server has the record. It survives the death of every process, the server's included, because the
    /// operating system writes what they left behind. It does not survive a power cut or a crash of the
    /// operating system: by default a server syncs every two minutes.
    #[default]
    Server,
    /// The server has written the record through to its disk. Needs `sync_interval: always` in the server's
    /// configuration, which is verified: by the log's user, if its account imports `$SYS.REQ.SERVER.PING.VARZ`, else
    /// by the user of the system account in the connection's settings; else opening fails.
    Disk,
}

/// Limits and times. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct JetSettings {
    /// Copies of each stream: 1, or 3 (5) in a cluster.
    pub replicas: u8,
    /// The log's size, at the most; when it is full, appends are refused and nothing is dropped. The server
    /// reserves it.
    pub log_bytes: u64,
    /// The size of all keyframes together, at the most. The server reserves it.
    pub key_bytes: u64,
    /// How long the server remembers the ids of messages.
    pub duplicate_window: Duration,
    /// How long an append or a question may take until it counts as lost.
    pub answer_timeout: Duration,
    /// Appends that may be under way.
    pub appends_in_flight: usize,
    /// Bytes of appends that may be under way.
    pub append_bytes_in_flight: usize,
    /// Bytes of one message of a keyframe; 64 KiB at least, and less where the server takes less.
    pub key_message_bytes: usize,
    /// Bytes of keyframes that may be under way: with more of them, appends wait longer for the disk.
    pub key_bytes_in_flight: usize,
    /// Bytes of keyframes a second, at the most: what is left of the disk and the server is for appends.
    pub key_bytes_per_second: u64,
    /// The high-water mark is written when it is older than this …
    pub mark_every: Duration,
    /// … or behind by so many records.
    pub mark_records: u64,
}

impl Default for JetSettings {
    fn default() -> Self {
        Self {
            replicas: 1,
            log_bytes: 4 << 30,
            key_bytes: 4 << 30,
            duplicate_window: Duration::from_secs(120),
            answer_timeout: Duration::from_secs(3),
            appends_in_flight: 256,
            append_bytes_in_flight: 32 << 20,
            key_message_bytes: 128 << 10,
            key_bytes_in_flight: 128 << 10,
            key_bytes_per_second: 100_000_000,
            mark_every: Duration::from_millis(500),
            mark_records: 64,
        }
    }
}
