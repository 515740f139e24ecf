//! Real processes for tests: a broker on a free port with a folder of its own, its output captured.
//!
//! For tests only; a normal crate never depends on it. Everything waits for an event with a deadline, nothing
//! sleeps and hopes, and whatever was started ends with the value that stands for it.
//!
//! * [`Launch`]: how to start the program.
//! * [`Node`]: a broker that said where it listens; stop it, kill it, read its log.
//! * [`Refused`]: a start that ended instead, with exit code and last words.
//! * [`Lines`]: captured output that can be waited on.
//! * [`Postgres`]: a database server in a temporary folder; stop it, kill it, pause it.
//! * [`Etcd`]: the same for etcd.
//! * [`Receiver`]: a consumer in a process of its own.
//!
//! ```no_run
//! use ferromq_testkit::Launch;
//! let node = Launch::new("target/debug/ferromq").start()?;
//! println!("{} logs into {:?}", node.url(), node.log().all());
//! let status = node.stop();
//! assert!(status.success());
//! # Ok::<(), ferromq_testkit::Refused>(())
//! ```

#![allow(clippy::panic, reason = "for tests only: what can not be set up ends the test")]

mod etcd;
mod launch;
mod lines;
mod node;
mod postgres;
mod process;
mod receiver;

pub use etcd::{Etcd, INSTALL_ETCD};
pub use launch::{Launch, Refused};
pub use lines::Lines;
pub use node::Node;
pub use postgres::{INSTALL_POSTGRES, Postgres};
pub use process::reserved_address;
pub use receiver::Receiver;

/// How long anything may take that takes no time on an idle machine.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
