//! OpenWire sessions: frames of versions 1 to 12 ⇄ intents and effects.

mod commands;
mod inbound;
mod monitor;
mod names;
mod outbound;
mod properties;
mod registry;
mod session;
mod streams;

/// What bridges say over a connection that they share with a session.
pub use ferromq_openwire::{BrokerInfo, Command};
pub use properties::OpenWireProperties;
pub use session::Session;
