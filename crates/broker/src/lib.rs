//! One broker in this process: settings to parts, parts to threads, and an orderly end.
//!
//! Not in here: anything that decides about messages (`ferromq-engine`), bytes (`ferromq-gateway`), sockets
//! (`ferromq-net`) or files (the stores). This crate only ties them together.
//!
//! * [`Settings`], [`Door`], [`StoreChoice`]: what a broker is told; [`Settings::from_config`] takes it from a file.
//! * [`Guard`]: a lock beside the store, whose holder alone may become the master.
//! * [`Broker`]: a broker that serves clients, or follows the one that does, until it is told to stop.
//! * [`Role`]: which of both it is.
//! * [`StartError`], [`Broken`]: why it did not start, or had to stop.
//!
//! Threads: one for the engine, one writes the store, one reads it, one spools what is not persistent, one keeps the
//! lease, and one follows the store of another master; connections live on two of their own, and are accepted in the runtime in
//! which [`Broker::start`] is called. Everything for the engine goes through one mailbox, in batches; who brings little while the
//! engine's thread sleeps has the engine himself meanwhile. Of these, ports, the threads of connections and the lease last as long
//! as the broker; the rest lasts for a reign, or for the time between two.
//!
//! Invariants: a broker whose lease ran out hands out nothing; one that loses its epoch becomes a standby in process;
//! the store's threads and the connections never wait for each other, and the engine's thread waits for nobody
//! but a store that is thousands of units of work behind.
//!
//! ```
//! use ferromq_broker::{Broker, Settings, StoreChoice};
//! use ferromq_net::ListenAddress;
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let settings = Settings {
//!         store: StoreChoice::Memory,
//!         listen: vec![ListenAddress::loopback(0)],
//!         ..Settings::default()
//!     };
//!     let broker = Broker::start(settings)?;
//!     println!("listening on {}", broker.urls()[0]);
//!     let (stop, orders) = tokio::sync::mpsc::channel(1);
//!     stop.send("the example is over").await?;
//!     broker.serve(orders, |role| println!("role {role}")).await?;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bridges;
mod broker;
mod claiming;
mod cluster;
mod configured;
mod desk;
mod engine_thread;
mod error;
mod failure;
mod firsts;
mod guard;
mod identity;
mod lease;
mod memory;
mod neighbours;
mod operator;
mod reign;
mod role;
mod settings;
mod shares;
mod spool;
mod standby;
mod storage;
mod witness;

pub use bridges::Connector;
pub use broker::Broker;
pub use cluster::{ClientUpdates, NameFilter};
pub use error::{Broken, ErrorKind, StartError};
pub use guard::Guard;
pub use neighbours::{Search, Told};
pub use role::Role;
pub use settings::{Database, Door, Most, Settings, Shares, SpoolPlace, StoreChoice};
