//! Queues, topics and durable subscriptions; dispatch, acknowledgement, redelivery, transactions, flow control,
//! expiry and advisories: everything a broker decides, and nothing of how bytes travel.
//!
//! One owner calls `Engine::handle` with one [`Input`] after another and carries out the [`Output`]s. The engine
//! never sees a frame, a file, a socket, a clock or a thread.
//!
//! Invariant (*durable-before-reply*): a reply to a persistent send, acknowledgement or commit, and every delivery
//! of a persistent message, stays inside the engine until [`Input::Persisted`] covers the ticket that stored it; so
//! whoever drives the engine may let every output leave at once.

mod api;
mod engine;
mod policy;
mod settings;
mod view;

pub use api::*;
pub use engine::{Engine, Outputs};
pub use policy::{
    DeadLetterPolicy, DeadLetterTarget, PendingLimit, Policies, Policy, PolicyAdvisories, PrefetchPolicy,
};
pub use settings::{DedupSettings, Limits, NoSpace, Settings, VirtualTopic};
pub use view::{BrokerView, ConnectionView, ConsumerView, Counters, DestinationView, DurableView, View};
