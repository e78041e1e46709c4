//! The world log: what makes a world outlive its processes.
//!
//! A world is a function of its program, its seed, and what every tick was given from outside. The log keeps the
//! latter, one [record](record) after another, each naming the hash of the one before it. Whoever reads it
//! [verifies](chain) that nothing is missing, was changed, or was written by someone who no longer reigned.

pub mod chain;
pub mod record;

#[cfg(test)]
mod tests;
