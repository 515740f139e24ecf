//! Protocol sessions: the only room that knows both frames and the engine.
//!
//! A [`Session`] is one peer's connection without its socket. Bytes go in, [`ferromq_engine::Input`]s come out;
//! what the engine answers goes in, bytes come out. One module per protocol; [`openwire`] is the first.
//!
//! Not in here: sockets and threads (`ferromq-net`), what a message does (`ferromq-engine`), the bytes of a command
//! (`ferromq-openwire`).
//!
//! * [`Session`], [`SessionSettings`], [`SessionLimits`]: one connection, and what it may do.
//! * [`Login`]: who may come in.
//! * [`Cluster`]: the brokers that clients of a listener are told of.
//! * [`SessionError`]: why a connection ended; its `kind()` says whose fault that was.
//! * [`openwire::OpenWireProperties`]: how the engine reads properties that stay in their encoding.
//!
//! Invariant: whatever a peer sends ends in an input, an answer or a [`SessionError`], never in a panic.
//! Invariant: frames are decoded one at a time and only when the driver asks, so what a session holds is bounded by
//! the largest frame, its limits, and the output that the driver has not taken.
//! Invariant: an engine hears `Attach` first and `Detach` last, once each.
//!
//! ```
//! use std::sync::Arc;
//! use ferromq_engine::ConnId;
//! use ferromq_gateway::{Session, SessionSettings};
//! use ferromq_model::{Now, Text};
//!
//! let settings = Arc::new(SessionSettings::default());
//! let mut session = Session::new(settings, ConnId(1), Text::from("tcp://127.0.0.1:4711"), Now::default());
//! let mut out = Vec::new();
//! assert!(session.transmit(&mut out), "a broker greets at once");
//! assert!(session.poll_input(Now::default()).is_none(), "and waits for the peer's greeting");
//! ```

mod cluster;
mod error;
mod login;
pub mod openwire;
mod settings;

pub use cluster::{Cluster, PeerBroker};
pub use error::{ErrorKind, SessionError};
pub use login::{Credentials, Login, LoginQuestion, LoginRefused, OpenDoor};
pub use openwire::Session;
pub use settings::{BrokerIdentity, SessionLimits, SessionSettings};
