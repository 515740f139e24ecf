//! Queues, topics and durable subscriptions; dispatch, acknowledgement, redelivery, transactions, flow control,
//! expiry and advisories: everything a broker decides, and nothing of how bytes travel.
//!
//! One owner calls `Engine::handle` with one [`Input`] after another and carries out the [`Output`]s. The engine
//! never sees a frame, a file, a socket, a clock or a thread.
//!
//! Invariant (*durable-before-reply*): a reply to a persistent send, acknowledgement or commit, and every delivery
//! of a persistent message, stays inside the engine until [`Input::Persisted`] covers the ticket that stored it; so
//! whoever drives the engine may let every output leave at once.
//! Invariant (*conservation*): what came into a destination was acknowledged, has expired, became a dead letter, was
//! discarded by a named rule, or is held; [`Engine::check_invariants`] counts.
//!
//! [`Engine`] · [`Input`] · [`Output`] · [`Intent`] · [`Settings`] · [`Policy`] · [`View`]
//!
//! ```
//! use std::sync::Arc;
//! use ferromq_engine::{ConnId, Effect, Engine, Input, Intent, Output, Settings, Tag};
//! use ferromq_model::{ConnectionFacts, Encoding, Epoch, Now, PropertyCodec, Value};
//!
//! #[derive(Debug)]
//! struct Plain; // messages without properties
//! impl PropertyCodec for Plain {
//!     fn property(&self, _: Encoding, _: &bytes::Bytes, _: &str) -> Option<Value> {
//!         None
//!     }
//!     fn with_properties(&self, _: Encoding, _: Option<&bytes::Bytes>, _: &[(&str, Value)]) -> bytes::Bytes {
//!         bytes::Bytes::new()
//!     }
//! }
//!
//! let mut engine = Engine::new(Settings::default(), Arc::new(Plain), Epoch::default());
//! let (conn, mut out) = (ConnId(1), Vec::new());
//! engine.handle(Now::default(), Input::Attach { conn }, &mut out);
//! let facts = ConnectionFacts { connection: "ID:a-1".into(), client_id: "a".into(), ..Default::default() };
//! let intent = Intent::Connect(Arc::new(facts));
//! engine.handle(Now::default(), Input::Intent { conn, tag: Some(Tag(1)), intent }, &mut out);
//! assert!(matches!(out[..], [Output::Reply { effect: Effect::Done, .. }]));
//! ```

mod ack;
mod advisory;
mod api;
mod arena;
mod aside;
mod attach;
mod backlog;
mod browse;
mod census;
mod consumer;
mod dead_letter;
mod dedup;
mod dispatch;
mod durable;
mod engine;
mod expiry;
mod fed;
mod filter;
mod flow;
mod groups;
mod inactive;
mod links;
mod load;
mod outbox;
mod place;
mod policy;
mod pull;
mod queue;
mod recent;
mod recover;
mod redelivery;
mod registry;
mod repeat;
mod send;
mod sessions;
mod settings;
mod slow;
mod spool;
mod subscription;
mod topic;
mod topology;
mod transaction;
mod view;
mod window;

pub use api::*;
pub use engine::{Engine, Outputs};
pub use ferromq_store::SubscriptionRecord;
pub use links::own_id;
pub use policy::{
    AbortSlow, DeadLetterPolicy, DeadLetterTarget, NetworkRule, PendingLimit, Policies, Policy,
    PolicyAdvisories, PrefetchPolicy, Recovery,
};
pub use settings::{Composite, DedupSettings, Limits, NoSpace, Settings, SpoolSettings, VirtualTopic};
pub use view::{
    BrokerView, ConnectionView, ConsumerView, Counters, DestinationView, DurableView, StreamEntry,
    StreamView, View,
};
