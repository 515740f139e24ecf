//! The engine, one operation a file, by the rules of JMS 1.1, OpenWire and ActiveMQ.

#![allow(missing_docs, reason = "tests say what they check by their names")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test bench may fail loudly")]
#![allow(dead_code, reason = "the bench serves more than is asked of it at one time")]

mod ack;
mod advisory;
mod aside;
mod bench;
mod browse;
mod composite;
mod crash;
mod dead_letter;
mod dedup;
mod destinations;
mod durable;
mod exclusive;
mod expiry;
mod flow;
mod groups;
mod inactive;
mod link_random;
mod links;
mod links_full;
mod memory;
mod network;
mod policy;
mod pull;
mod queue;
mod random;
mod recent;
mod redelivery;
mod registry;
mod repeat;
mod slow;
mod spool;
mod topic;
mod transaction;
