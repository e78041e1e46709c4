//! The world log: what makes a world outlive its processes.
//!
//! A world is a function of its program, its seed, and what every tick was given from outside. The log keeps the
//! latter, one [record](record) after another, each naming the hash of the one before it. Whoever reads it
//! [verifies](chain) that nothing is missing, was changed, or was written by someone who no longer reigned; whoever
//! [writes](writer) it proves with every message that the reign still is its own. Who may try to reign is said by a
//! [lease](lease), which keeps contenders apart, but promises nothing: safety is the log's alone.
//!
//! Nothing in these four reads a clock, waits, or talks to a server. Time is nanoseconds that are passed in; they only
//! ever grow. What is to be sent is handed out, and what came back is handed in. So the same code runs over JetStream
//! ([`jet`], driven by the [`keeper`]'s thread), and in a simulator over a [virtual stream](virtual_stream) and a
//! [virtual store](virtual_store). [`recovery`] brings a world back from a [`keyframe`] and the records behind it.

pub mod args;
pub mod chain;
pub mod jet;
pub mod keeper;
pub mod keyframe;
pub mod lease;
pub mod link;
pub mod record;
pub mod recovery;
pub mod virtual_store;
pub mod virtual_stream;
pub mod writer;

#[cfg(test)]
mod tests;
