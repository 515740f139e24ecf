//! The core of a bridge between two brokers that the tests play: what it says to each, in which order, whatever happens.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

mod clocks;
mod copies;
mod demand;
mod durables;
mod login;
mod played;
mod rivals;
mod stream;
mod traffic;
