//! The words every room of FerroMQ shares: ids, epochs, time, destinations, messages and their limits.
//!
//! Plain data without behaviour that needs a socket, a disk or a clock. It is not a home for helpers: a type
//! belongs here only if two crates on different sides of the engine have to name it.
//!
//! * [`Destination`], [`DestinationPattern`]: queues and topics, wildcards, composites.
//! * [`Message`]: immutable, shared as `Arc<Message>`; header parsed once, properties and body kept in the
//!   encoding in which they came and read through a [`PropertyCodec`].
//! * [`Epoch`], [`Ticket`], [`Sequence`]: who writes, which unit of work, which place in the store's order.
//! * [`Instant`] (monotonic) and [`WallTime`] (calendar): two clocks which can't be mixed up.
//!
//! Invariant: a [`Message`] never changes once it is shared; facts of one delivery stand beside it.
//!
//! ```
//! use ferromq_model::{Destination, DestinationPattern};
//! let orders = Destination::queue("orders.eu.new");
//! assert!(DestinationPattern::new("orders.*.new").matches(&orders.name));
//! ```

mod advisory;
mod destination;
mod epoch;
mod ids;
mod message;
mod properties;
mod text;
mod time;

pub use advisory::{Advisory, ConnectionFacts, ConsumerFacts, NetworkFilter, NetworkScope, ProducerFacts};
pub use destination::{Destination, DestinationKind, DestinationPattern};
pub use epoch::{ClaimId, Epoch};
pub use ids::{
    ConsumerId, DestinationId, LocalTransactionId, MessageId, ProducerId, ProducerKey, Sequence, StreamId,
    StreamPosition, SubscriptionId, SubscriptionName, Ticket, TransactionId, Xid,
};
pub use message::{BodyKind, Delivery, Encoding, Extra, Message};
pub use properties::{PropertyCodec, Value};
pub use text::Text;
pub use time::{Instant, Now, WallTime};
