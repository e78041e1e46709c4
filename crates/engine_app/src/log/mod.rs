//! The world log: what makes a world outlive its processes.
//!
//! A world is a function of its program, its seed, and what every tick was given from outside. The log keeps the
//! latter, one [record] after another, each naming the hash of the one before it. Whoever reads it
//! [verifies](chain) that nothing is missing, was changed, or was written by someone who no longer reigned; whoever
//! [writes](writer) it proves with every message that the reign still is its own. Who may try to reign is said by a
//! [lease], which keeps contenders apart, but promises nothing: safety is the log's alone.
//!
//! Nothing in these four reads a clock, waits, or talks to a server. Time is nanoseconds that are passed in; they only
//! ever grow. What is to be sent is handed out, and what came back is handed in. So the same code runs over JetStream
//! ([`jet`], driven by the [`keeper`]'s thread), and in a simulator over a [virtual stream](virtual_stream) and a
//! [virtual store](virtual_store). [`recovery`] brings a world back from a [`keyframe`] and the records behind it.
//!
//! ```
//! use bytes::Bytes;
//! use engine_app::log::chain::{Position, Verifier};
//! use engine_app::log::record::EpochBody;
//! use engine_app::log::virtual_stream::VirtualStream;
//! use engine_app::log::writer::{Begin, Limits, Output, Writer};
//!
//! let mut stream = VirtualStream::default();
//! let body = EpochBody { host: "north".into(), pid: 1, format: 1, wall_ms: 0 };
//! let begin = Begin { position: Position::GENESIS, last_seq: 0, epoch: 1, nonce: 7, body };
//! let mut writer = Writer::begin(begin, Limits::default(), 0)?;
//! for tick in 1..=3 {
//!     // Nothing is lost here, so there is nothing to be read.
//!     while let Some(Output::Publish(publish)) = writer.output() {
//!         match stream.publish(&publish) {
//!             Ok(seq) => writer.acked(publish.token, seq, 0),
//!             Err(refusal) => writer.refused(publish.token, refusal, 0),
//!         }
//!     }
//!     writer.append(tick, Bytes::from_static(b"what the tick was given"), 0)?;
//! }
//! assert_eq!(writer.durable(), (3, 2), "three records are stored: the epoch's, and those of ticks 1 and 2");
//!
//! let mut verifier = Verifier::new();
//! for (seq, stored) in stream.from(1) {
//!     verifier.feed(seq, &stored.bytes)?;
//! }
//! assert_eq!(verifier.position(), writer.position());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod args;
pub mod chain;
pub mod jet;
pub mod keeper;
pub mod keyframe;
pub mod lease;
pub mod link;
pub mod pace;
pub mod record;
pub mod recovery;
pub mod virtual_store;
pub mod virtual_stream;
pub mod writer;

#[cfg(test)]
mod tests;
