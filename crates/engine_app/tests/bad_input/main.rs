//! A live coordinator, a live instance and a real server, and somebody on it who sends whatever can be sent.
//! Nothing of it changes the world: after each attack it goes on, and is what it would have been.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod connections;
mod floods;
mod forgery;
mod instance;
mod registrations;
mod replies;
mod requests;
mod results;
mod world;
