//! Bridges on tokio: [`Link`] keeps one up from here to a remote broker, [`Mirror`] is the other half of a peer's
//! duplex bridge. One loop owns the [`Bridge`](crate::Bridge) and its connections.

mod clock;
mod drive;
mod gauge;
mod line;
mod link;
mod local;
mod mirror;
mod peer;
mod port;
mod reach;
mod retry;
mod status;
mod told;
mod ways;

pub use link::Link;
pub use local::LocalDoor;
pub use mirror::{Ends, Mirror};
pub use retry::Retry;
pub use status::{LinkState, LinkStatus, Rates};
