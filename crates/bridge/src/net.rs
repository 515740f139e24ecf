//! Bridges on tokio: [`Link`] keeps one up from here to a remote broker, [`Mirror`] is the other half of a peer's
//! duplex bridge. One loop owns the [`Bridge`](crate::Bridge); each connection has a task that reads, writes and
//! keeps it alive.

mod clock;
mod drive;
mod link;
mod mirror;
mod port;
mod status;

pub use drive::LocalDoor;
pub use link::{Link, Retry};
pub use mirror::{Ends, Mirror};
pub use status::{LinkState, LinkStatus, Rates};
