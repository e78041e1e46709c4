//! Events, live or from the stream of their domain.
//!
//! [`Live`] shows what happens while somebody listens, and forgets it. A [`Durable`] is a consumer of the stream that the
//! server keeps the place of: each event is given to its handler until that says what became of it, at any number of
//! processes that share the name. Both see the events of outcomes, of publishers and of a world alike.

mod durable;
mod live;
mod verdict;

pub use durable::{Depth, Durable, StartAt};
pub use live::Live;
pub use verdict::{EventHandler, Verdict};
