//! OpenWire sessions.

mod properties;
mod session;

pub use properties::OpenWireProperties;
pub use session::Session;
