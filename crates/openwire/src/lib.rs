//! OpenWire 1 to 12, the wire protocol of ActiveMQ Classic: every command, both encodings, both directions.
//!
//! It is not a client nor a broker: it opens no socket, keeps no clock and knows no queue. Bytes in, commands out,
//! and back. Enough for a broker, a client, a bridge, a proxy or a recorder.
//!
//! * [`Framer`] cuts a stream into frames; [`WireFormat`] turns frames into [`Command`]s and back, with the caches
//!   of one connection; [`WireFormatOptions`] and [`Negotiated`] are the handshake.
//! * [`Command`] is an enum over one struct per type ([`ConsumerInfo`], [`MessageAck`], …); all kinds of messages
//!   share [`Message`]. The table in `structures.rs` is the only place that lists fields.
//! * [`Body`], [`PrimitiveMap`] and [`Properties`] read and write what is inside messages; [`WireStr`] is text that
//!   survives unchanged.
//!
//! Invariant: whatever bytes a peer sends, the answer is a command or an [`Error`], never a panic, and memory stays
//! within [`Limits`] and a small multiple of the frame.
//! Invariant: a command that was decoded encodes to the same bytes, unless a peer chose a form that Java never
//! writes.
//! Invariant: a failed encode leaves the output and the cache as they were.
//! Invariant: no class is looked up by a name from the wire; exceptions are text.
//!
//! ```
//! use ferromq_openwire::{Command, Destination, Framer, Limits, Message, MessageKind, WireFormat, WireFormatOptions};
//!
//! // Both sides greet, and come to the same agreement.
//! let options = WireFormatOptions::default();
//! let mut client = WireFormat::new(Limits::default());
//! let mut broker = client.clone();
//! client.renegotiate(&options, &options.to_info()?)?;
//! broker.renegotiate(&options, &options.to_info()?)?;
//!
//! let mut message = Message::new(MessageKind::Text);
//! message.destination = Some(Destination::queue("orders"));
//! message.set_text("two of everything")?;
//!
//! let mut bytes = Vec::new();
//! client.encode(&Command::from(message.clone()), &mut bytes)?;
//!
//! let mut framer = Framer::new(broker.max_frame_size());
//! framer.feed(&bytes);
//! let frame = framer.next_frame()?.expect("one whole frame");
//! assert_eq!(broker.decode(frame)?, Command::from(message));
//! # Ok::<(), ferromq_openwire::Error>(())
//! ```

mod body;
mod codec;
mod destination;
mod error;
pub mod fields;
mod frame;
mod ids;
#[cfg(feature = "json")]
pub mod json;
mod limits;
mod message;
mod negotiate;
mod object;
mod properties;
mod structures;
mod table;
mod text;
mod throwable;
mod transaction;
mod value;
mod wire_format;

pub use body::{Body, Inflated};
pub use destination::{Destination, DestinationKind};
pub use error::{Error, ErrorKind, Result};
pub use frame::Framer;
pub use limits::Limits;
pub use message::{AckType, MessageKind};
pub use negotiate::{KeepAlive, MAGIC, MAX_VERSION, Negotiated, WireFormatOptions};
pub use object::{ObjectId, ObjectRef};
pub use properties::{Entries, Properties, RawStr, ValueRef};
pub use structures::*;
pub use text::WireStr;
pub use throwable::{ExceptionClass, StackFrame, Throwable};
pub use transaction::{TransactionId, TransactionType};
pub use value::{PrimitiveMap, Value};
pub use wire_format::WireFormat;
