//! The URIs of ActiveMQ: where a broker listens, and where clients and bridges connect.
//!
//! `tcp://host:61616?wireFormat.maxInactivityDuration=30000`, `failover:(tcp://a:61616,tcp://b:61616)?randomize=false`,
//! `static:(…)`, `masterslave:(…)`, `multicast://default?group=prod`, `vm://name`, and their nested forms.
//!
//! This crate opens no socket, resolves no name and reads no environment. It is not a general URI library: it takes
//! what ActiveMQ takes, and refuses with a column and a remedy what ActiveMQ would misread in silence.
//!
//! Main types: [`Uri`] for any of them; [`ListenerUri`] and [`ConnectUri`] with typed options, [`FailoverOptions`],
//! [`MulticastOptions`]; [`Options`] and [`OptionReader`] to read further ones; [`UriError`].
//!
//! Invariants:
//! * Length, nesting and number of components are bounded ([`MAX_URI_BYTES`], [`MAX_NESTING`], [`MAX_COMPONENTS`]).
//! * The printed form of a URI parses to an equal URI.
//! * An option that nobody asked for is an error that names the nearest one: no misspelt limit is ever ignored.
//!
//! ```
//! use ferromq_uri::{ListenerUri, Uri};
//!
//! let listener = ListenerUri::parse("tcp://0.0.0.0:61616?maximumConnections=1000&wireFormat.maxFrameSize=104857600")?;
//! assert_eq!(listener.options.maximum_connections, Some(1000));
//! assert_eq!(listener.options.wire_format.max_frame_bytes, Some(104_857_600));
//!
//! let pair: Uri = "failover:(tcp://a:61616,tcp://b:61616)?randomize=false".parse()?;
//! assert_eq!(pair.components().len(), 2);
//!
//! let error = ListenerUri::parse("tcp://0.0.0.0:61616?maximumConections=10").unwrap_err();
//! assert!(error.to_string().contains("did you mean maximumConnections?"));
//! # Ok::<(), ferromq_uri::UriError>(())
//! ```

mod endpoint;
mod error;
mod failover;
mod multicast;
mod nearest;
mod options;
mod parse;
mod percent;
mod scheme;
mod typed;
mod uri;

pub use endpoint::{Endpoint, Host};
pub use error::{ErrorKind, UriError};
pub use failover::FailoverOptions;
pub use multicast::MulticastOptions;
pub use nearest::nearest;
pub use options::{OptionReader, Options};
pub use parse::{MAX_COMPONENTS, MAX_NESTING, MAX_URI_BYTES};
pub use scheme::{Protocol, Scheme, Shape};
pub use typed::{
    ConnectOptions, ConnectUri, ConnectorOptions, ListenerOptions, ListenerUri, SocketOptions, TlsOptions,
    WireFormatOptions,
};
pub use uri::{Target, Uri};

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
