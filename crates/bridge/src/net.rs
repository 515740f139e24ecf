//! Bridges on tokio: [`Link`] keeps one up from here to a remote broker, [`Mirror`] is the other half of a peer's
//! duplex bridge. One loop owns the [`Bridge`](crate::Bridge) and its connections.

mod clock;
mod drive;
mod line;
mod link;
mod mirror;
mod port;
mod status;
mod ways;

pub use drive::LocalDoor;
pub use link::{Link, Retry};
pub use mirror::{Ends, Mirror};
pub use status::{LinkState, LinkStatus, Rates};
