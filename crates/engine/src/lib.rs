//! Queues, topics and durable subscriptions; dispatch, acknowledgement, redelivery, transactions, flow control,
//! expiry and advisories: everything a broker decides, and nothing of how bytes travel.
//!
//! One owner calls `Engine::handle` with one [`Input`] after another and carries out the [`Output`]s. The engine
//! never sees a frame, a file, a socket, a clock or a thread.
//!
//! Invariant (*durable-before-reply*): a reply to a persistent send, acknowledgement or commit, and every delivery
//! of a persistent message, stays inside the engine until [`Input::Persisted`] covers the ticket that stored it; so
//! whoever drives the engine may let every output leave at once.

mod ack;
mod advisory;
mod api;
mod arena;
mod attach;
mod browse;
mod census;
mod consumer;
mod dead_letter;
mod dedup;
mod dispatch;
mod durable;
mod engine;
mod expiry;
mod filter;
mod flow;
mod groups;
mod load;
mod outbox;
mod place;
mod policy;
mod pull;
mod queue;
mod recover;
mod redelivery;
mod registry;
mod send;
mod sessions;
mod settings;
mod topic;
mod topology;
mod transaction;
mod view;
mod window;

pub use api::*;
pub use engine::{Engine, Outputs};
pub use policy::{
    DeadLetterPolicy, DeadLetterTarget, PendingLimit, Policies, Policy, PolicyAdvisories, PrefetchPolicy,
};
pub use settings::{DedupSettings, Limits, NoSpace, Settings, VirtualTopic};
pub use view::{BrokerView, ConnectionView, ConsumerView, Counters, DestinationView, DurableView, View};
