//! Sockets: listeners, one driver loop for each connection, back-pressure, and an orderly end.
//!
//! Not in here: what the bytes mean (`ferromq-gateway`), what happens to a message (`ferromq-engine`), and which
//! thread runs what (`ferromq-broker`).
//!
//! * [`ListenAddress`], [`Reservation`], [`Listener`]: where to listen; a port is taken before the store is
//!   opened, and opened when the broker is ready.
//! * [`Mailbox`], [`Inbox`], [`Letter`]: the way to the engine, in batches, bounded by what drivers may read; with a
//!   [`Hand`], few letters are seen to by whoever brings them.
//! * [`Lanes`], [`Spread`]: the threads that connections live on.
//! * [`Switchboard`], [`Outbox`], [`Parcel`]: the way back, one wake-up for each connection and batch.
//! * [`Reception`]: a number, a session and a driver loop for each connection.
//! * [`turn_away`]: refuses a connection to a broker that does not serve now.
//! * [`Drain`], [`Census`]: nothing new begins, what is in flight ends, everybody has left.
//!
//! Invariants: whoever has the engine never waits for a socket; a driver reads from its socket only while the
//! engine's mailbox has room and its own outbox is not full, so memory per connection is bounded whatever a
//! peer sends or refuses to read.
//!
//! ```
//! use ferromq_net::{ListenAddress, Reservation};
//! let address: ListenAddress = "tcp://127.0.0.1:0".parse()?;
//! let taken = Reservation::new(address)?;
//! assert!(taken.is_loopback() && !taken.url().ends_with(":0"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod connection;
mod drain;
mod farewell;
mod grumbles;
mod lanes;
mod letter;
mod listener;
mod mailbox;
mod outbox;
mod owed;
mod reception;
mod refusal;
mod switchboard;
mod wire;

pub use address::{AddressError, ListenAddress};
pub use drain::{Census, Drain, Plug, Seat, drain};
pub use lanes::{Lanes, Spread};
pub use letter::{Letter, Look};
pub use listener::{ListenError, Listener, Reservation};
pub use mailbox::{Hand, Inbox, Mailbox, Seen, mailbox};
pub use outbox::{Outbox, Parcel};
pub use reception::{MirrorCall, MirrorHost, PeerHost, Reception};
pub use refusal::turn_away;
pub use switchboard::Switchboard;
