//! Finds brokers by multicast, and tells others of one's own, as ActiveMQ's multicast agent does.
//!
//! Each broker says a few times a second, in a datagram, where it listens; who hears it links to it or connects to it.
//! ActiveMQ's agents are heard, and hear this one.
//!
//! It connects to nobody, and what it finds is a hint: anybody in the network can say anything.
//!
//! * [`Agent`]: who is there, by what was heard and when; datagrams in and out, no IO, no clock.
//! * [`Datagram`]: the text on the wire.
//! * The feature `net` has `Multicast`, an agent with its socket on tokio.
//!
//! Invariant: no options come from the network, only hosts and ports.
//! Invariant: brokers that are remembered, and the length of what is read, are bounded.
//!
//! ```
//! use ferromq_discovery::{Agent, Output};
//! use ferromq_model::Instant;
//! use ferromq_uri::MulticastOptions;
//!
//! let options = MulticastOptions::default();
//! let mut here = Agent::new(&options, vec!["tcp://here:61616".to_owned()]);
//! let mut there = Agent::new(&options, Vec::new());
//! here.tick(Instant(0));
//! let Some(Output::Send(said)) = here.poll() else { panic!("it tells of itself at once") };
//! assert_eq!(said, b"default.ActiveMQ-4.alive.%localhost%tcp://here:61616");
//! there.heard(&said, Instant(0));
//! assert!(matches!(there.poll(), Some(Output::Found(uri)) if uri.to_string() == "tcp://here:61616"));
//! ```

mod agent;
mod datagram;
#[cfg(feature = "net")]
mod net;

pub use agent::{Agent, MAX_BROKERS, Output};
pub use datagram::{Datagram, MAX_DATAGRAM_BYTES, State};
#[cfg(feature = "net")]
pub use net::{JoinError, Multicast};
