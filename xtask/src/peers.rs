//! The peers that FerroMQ is tested and measured beside: a JDK, the released ActiveMQ client in three lines, and the
//! real ActiveMQ broker, all taken from the ordinary package registries.
//!
//! What is missing is never guessed around: [`Java::find`] answers with the command that installs it, and the caller
//! counts its suite as skipped. Jars and compiled programs are kept under `target/interop` and made again only when a
//! pom or a source changed, so a second run needs no network.
//!
//! [`Broker`] starts either broker as a process of its own, on a loopback port, and kills it when dropped.

mod broker;
mod java;

pub(crate) use broker::{Broker, FerroBroker, FerroOptions, RealBroker, RealOptions, start_program};
#[allow(unused_imports, reason = "the bench names them")]
pub(crate) use java::{BrokerLine, Java, Line, Programs, may_install};

use std::path::PathBuf;

/// The folder for everything these verbs download, compile or write.
pub(crate) fn work_dir() -> PathBuf {
    crate::workspace::root().join("target").join("interop")
}
