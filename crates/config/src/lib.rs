//! The configuration of a broker: a TOML file or an `activemq.xml`, `FERROMQ_…` variables and the command line, in this
//! order of weight, over defaults that are ActiveMQ's where ActiveMQ has one.
//!
//! This crate opens no file and reads no environment: texts come in with [`Input`], and [`load`] makes a checked
//! [`Config`] of them or a list of all mistakes. It knows no engine and no store either; it says what was asked for.
//!
//! Main types: [`Input`], [`load`], [`Loaded`], [`Config`]; [`Diagnostics`] and [`Diagnostic`]; [`Source`]; and for
//! ActiveMQ's files [`examine`] with its [`Report`], and [`related_files`].
//!
//! Invariants:
//! * Every value remembers where it comes from, and [`Loaded::effective`] prints it.
//! * A key that nobody asked for is an error with line, column and the nearest known key.
//! * All mistakes are reported at once.
//! * Without users the broker listens on loopback only, unless `auth.allow_anonymous_remote` says otherwise.
//! * Nothing in an `activemq.xml` is dropped in silence: each element and attribute is supported, ignored with a warning
//!   that says what differs for it, or rejected; what protects a broker is never ignored.
//! * No password is printed, neither by [`Loaded::effective`] nor by `Debug` nor in a diagnostic.
//!
//! ```
//! use ferromq_config::{Input, load};
//!
//! let input = Input::default()
//!     .file("ferromq.toml", "listen = ['tcp://127.0.0.1:61616']\n[store]\nsegment_bytes = '32 MiB'\n")
//!     .variable("FERROMQ_STORE_SYNC", "periodic")
//!     .flag("--name", "broker.name", "node-1");
//! let loaded = load(&input)?;
//! assert_eq!(loaded.config.broker.name, "node-1");
//! assert_eq!(loaded.config.store.segment_bytes, 32 << 20);
//! assert!(loaded.effective().contains("name = \"node-1\"  # --name"));
//!
//! let wrong = load(&Input::default().file("ferromq.toml", "[broker]\nnmae = 'x'\n")).unwrap_err();
//! assert_eq!(wrong.to_string(), "ferromq.toml:2:1: error: unknown key 'nmae' in [broker]; did you mean name?");
//!
//! let xml = r#"<broker xmlns="http://activemq.apache.org/schema/core" brokerName="b1" useJmx="true">
//!   <transportConnectors><transportConnector uri="tcp://127.0.0.1:61616"/></transportConnectors></broker>"#;
//! let loaded = load(&Input::default().file("activemq.xml", xml))?;
//! assert_eq!(loaded.config.broker.name, "b1");
//! let ignored = loaded.report().expect("of an XML file").iter().filter(|entry| entry.verdict.word() == "ignored");
//! assert!(ignored.map(|entry| entry.to_string()).any(|line| line.contains("broker useJmx: there is no JMX")));
//! # Ok::<(), ferromq_config::Diagnostics>(())
//! ```

mod check;
mod diagnostic;
mod document;
mod effective;
mod load;
mod reader;
mod sections;
mod source;
mod toml_file;
mod value;
mod xml;

pub use diagnostic::{Diagnostic, Diagnostics, ErrorKind, Severity};
pub use load::{Input, Loaded, MAX_FILE_BYTES, examine, load};
pub use sections::{
    Admin, AdminSocket, Auth, Broker, Compat, Composite, Config, DeadLetter, DeadLetterStrategy, Discovery,
    DiskLimit, Limits, Listener, Lock, LockPlace, Log, LogFormat, LogLevel, NetworkConnector,
    NetworkDestination, NetworkDestinationKind, NetworkFilter, NetworkPeers, NoSpace, PendingLimit, Policy,
    PolicyAdvisories, Prefetch, Reconnect, Recovery, RecoveryKind, Secret, SlowConsumer, SlowStrategy, Store,
    StoreKind, SyncPolicy, User, UserSecret, VirtualTopic,
};
pub use source::Source;
pub use xml::{Entry, Report, Verdict, compatibility_tables, is_xml, related_files};
