//! OpenWire sessions: frames of versions 1 to 12 ⇄ intents and effects.

mod commands;
mod inbound;
mod monitor;
mod names;
mod outbound;
mod properties;
mod registry;
mod session;

pub use properties::OpenWireProperties;
pub use session::Session;
