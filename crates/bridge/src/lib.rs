//! Bridges between brokers: messages go to where their consumers are.
//!
//! A [`Bridge`] has a client's connection to each of two brokers. It hears from the remote one, by consumer
//! advisories, what is wanted there, subscribes to that at the local one, and sends what it gets to the remote one.
//! It needs no broker of its own and works between any two that speak OpenWire, FerroMQ or ActiveMQ.
//!
//! It is no broker and stores nothing: a message is acknowledged at the local broker when the remote one has
//! answered for it.
//!
//! * [`Settings`], [`Rule`]: a network connector's attributes, with ActiveMQ's names and defaults.
//! * [`Bridge`]: the core, commands in and [`Order`]s out; no IO, no clock.
//! * The feature `net` has `Link` and `Mirror`, which supervise a bridge on tokio.
//!
//! Invariant: a message is acknowledged only after the remote broker has stored it, or refused it for good.
//! Invariant: a refused message is a dead letter of its queue, never the end of the bridge.
//! Invariant: a broker's id never comes into a path twice, but on the way back of a message that nobody else wants.
//!
//! ```
//! use ferromq_bridge::{Bridge, Order, Settings, Side};
//! use ferromq_openwire::{BrokerId, BrokerInfo, Command, WireStr};
//!
//! let mut bridge = Bridge::new(Settings::default(), "1-2-3");
//! let info = |name: &str| {
//!     let id = BrokerId { value: Some(WireStr::from(format!("ID:{name}:1").as_str())) };
//!     Command::from(BrokerInfo { broker_id: Some(id), broker_name: Some(WireStr::from(name)), ..Default::default() })
//! };
//! bridge.handle(Side::Local, info("here"), Default::default());
//! bridge.handle(Side::Remote, info("there"), Default::default());
//! // Both are known: it logs in at both, and listens to who consumes over there.
//! let said: Vec<Order> = std::iter::from_fn(|| bridge.poll()).collect();
//! for side in [Side::Local, Side::Remote] {
//!     let logs_in = |order: &Order| matches!(order, Order::Say(to, Command::ConnectionInfo(_)) if *to == side);
//!     assert!(said.iter().any(logs_in));
//! }
//! ```

mod core;
mod demand;
mod forward;
mod ledger;
#[cfg(feature = "net")]
mod net;
mod properties;
mod rivals;
mod settings;

pub use self::core::{Bridge, Counts, Ending, Order, Side};
pub use ledger::DestinationCounts;
#[cfg(feature = "net")]
pub use net::{Ends, Link, LinkState, LinkStatus, LocalDoor, Mirror, Rates, Retry};
pub use settings::{Login, Rule, Settings};

/// The examples of the README compile.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
