//! Worlds with a log, on real servers and in real processes: whatever is damaged, full, cut off, killed or stopped,
//! nothing that was answered is lost without a word, and there is one leader.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod attack;
mod damage;
mod faults;
mod keeper;
mod kept_events;
mod leaders;
mod opening;
mod place;
mod room;
