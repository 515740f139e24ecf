//! An OpenWire client for FerroMQ and any ActiveMQ.
//!
//! It comes in layers. [`Core`] is the connection: orders of the application and bytes of the broker go in, bytes
//! and events come out; [`Planner`] decides which of several brokers to try, and when (`failover:(uri,uri,…)`). Both do
//! no IO and read no clock. The feature `net` adds the asynchronous client on tokio:
//! a `Connection` with producers, consumers, transactions, browsers and requests.
//!
//! It is not a broker. With a plain `tcp://` a lost connection is an error to everybody who uses it; with `failover:`
//! another broker takes its place, and nobody notices but by the time it takes.
//!
//! Invariant: without `net` no runtime is pulled in.
//! Invariant: everything is bounded: requests under way, bytes to be written, messages of a consumer.
//!
//! ```
//! use ferromq_client::{ConnectOptions, Core, Now};
//!
//! let options = ConnectOptions::parse("tcp://localhost:61616")?;
//! let core: Core<u32> = Core::new(options, "ID:example-1:1", Now::default())?;
//! // The greeting waits to be written; the broker sends its own at the same time.
//! assert_eq!(&core.output()[5..13], b"ActiveMQ");
//! # Ok::<(), ferromq_client::Error>(())
//! ```

mod core;
mod error;
mod failover;
mod link;
mod message;
#[cfg(feature = "net")]
mod net;
mod settings;

pub use self::core::{AckMode, ConsumerKey, ConsumerSpec, Core, Event, ProducerKey, SessionKey};
pub use error::{Error, ErrorKind, Result};
pub use failover::{Action, Address, Attempt, FailoverPolicy, Planner};
pub use ferromq_model::{Instant, Now, WallTime};
pub use ferromq_openwire::{Body, Destination, Message, MessageId, PrimitiveMap, Value, WireStr};
pub use link::{Link, Vital};
pub use message::{Delivery, IntoValue, Outgoing};
#[cfg(feature = "net")]
pub use net::{Connection, Consumer, Failures, Fanout, Producer, Receipt, Requester, Session, Stream};
pub use settings::{ConnectOptions, PrefetchPolicy, RedeliveryPolicy, TlsSettings};

/// The examples of the README compile.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
