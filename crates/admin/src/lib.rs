//! The operator's door of a node: status, health, metrics and commands over one HTTP port.
//!
//! Not in here: who becomes master and how (`ferromq-broker`), and anything that clients of messages use. This crate
//! shows what it is told and passes on what it is asked; it decides only who may ask.
//!
//! * [`RoleView`], [`Role`], [`Takeover`]: what the role machine publishes, through a `tokio::sync::watch`.
//! * [`Meters`]: what any thread counts; [`Gauges`]: what the parts are asked for when somebody looks.
//! * [`Command`]: what the role machine gets to do, each with its way back.
//! * [`serve`] on a port and [`serve_local`] on a Unix socket: gRPC (`ferromq.admin.v1`, `grpc.health.v1`), and in plain HTTP `/metrics`, `/livez`, `/readyz`.
//!
//! Who may do what: everybody who reaches the port may read. Commands that change something are taken from this
//! machine only (loopback, or a Unix socket whose permissions let the peer in); once a token is configured they need the token, wherever they come from, and then may come from anywhere.
//!
//! Health: the services `""` and `liveness` are SERVING as long as the process answers, so that a probe never kills
//! a standby for being one; `readiness` is SERVING on the active node alone.
//!
//! Invariant: nothing here waits for the engine longer than a second. Invariant: connections are bounded.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ferromq_admin::{Door, Meters, RoleView, serve};
//! use tokio::{net::TcpListener, sync::{mpsc, watch}};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let (publish, views) = watch::channel(RoleView::new("a"));
//! let (commands, mut todo) = mpsc::channel(4);
//! let door = Door { views, meters: Arc::new(Meters::default()), commands, token: None };
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let server = tokio::spawn(serve(listener, door));
//! // The role machine: `publish.send_modify(…)` with each change, and `todo.recv()` for what operators want.
//! # drop((publish, todo.try_recv().is_err()));
//! server.abort();
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod command;
mod entrance;
mod health;
mod link;
mod meters;
mod metrics;
mod opening;
mod server;
mod service;
mod view;

pub use command::{
    Command, DestinationCount, ErrorKind, Refusal, Reply, StreamCount, StreamEntry, SubscriptionEntry,
    Switched,
};
pub use link::LinkView;
pub use meters::{Distribution, Gauges, Meters};
pub use metrics::{MAX_DESTINATIONS, render};
pub use server::{Door, serve, serve_local};
pub use view::{Lag, Role, RoleView, Takeover};
