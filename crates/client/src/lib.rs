//! An OpenWire client for FerroMQ and any ActiveMQ.
//!
//! It comes in two layers. [`Core`] is the planner: orders of the application and bytes of the broker go in, bytes
//! and events come out; it does no IO and reads no clock. The feature `net` adds the asynchronous client on tokio:
//! a `Connection` with producers, consumers, transactions, browsers and requests.
//!
//! It is not a broker, and it does not reconnect yet: a lost connection is an error to everybody who uses it.
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
mod link;
mod message;
#[cfg(feature = "net")]
mod net;
mod settings;

pub use self::core::{AckMode, ConsumerKey, ConsumerSpec, Core, Event, ProducerKey, SessionKey};
pub use error::{Error, ErrorKind, Result};
pub use ferromq_model::{Instant, Now, WallTime};
pub use ferromq_openwire::{Body, Destination, Message, MessageId, PrimitiveMap, Value, WireStr};
pub use message::{Delivery, IntoValue, Outgoing};
#[cfg(feature = "net")]
pub use net::{Connection, Consumer, Failures, Producer, Receipt, Requester, Session};
pub use settings::{ConnectOptions, PrefetchPolicy, RedeliveryPolicy};

/// The examples of the README compile.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
