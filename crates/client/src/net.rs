//! The asynchronous client on tokio: one driver task per connection owns socket and planner; handles talk to it
//! through bounded channels, and get their messages from mailboxes.

mod clock;
mod connection;
mod consumer;
mod dial;
mod driver;
mod fanout;
mod list;
mod mailbox;
mod order;
mod outage;
mod producer;
mod requester;
mod session;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

pub use connection::{Connection, Failures};
pub use consumer::Consumer;
pub use fanout::Fanout;
pub use producer::{Producer, Receipt};
pub use requester::Requester;
pub use session::Session;
pub use stream::Stream;
