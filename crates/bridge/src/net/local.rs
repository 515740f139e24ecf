//! [`LocalDoor`]: the way into the local broker.

use std::io;
use std::sync::Arc;

use ferromq_client::ConnectOptions;
use tokio::io::DuplexStream;

use super::clock::Clock;
use super::reach::dial;
use super::ways::Way;

/// Opens a connection to the local broker: one end of a pipe of which the broker has the other.
pub type LocalDoor = Arc<dyn Fn() -> io::Result<DuplexStream> + Send + Sync>;

/// Where the local broker is.
#[derive(Clone)]
pub(super) enum Local {
    /// In this process.
    Door(LocalDoor),
    Address(Box<ConnectOptions>),
}

impl Local {
    pub async fn open(&self, clock: Clock) -> Result<Way, String> {
        match self {
            Self::Door(door) => enter(door, clock),
            Self::Address(options) => {
                let address = options.address();
                Way::open(dial(&address).await?, &address, clock)
            }
        }
    }
}

/// A connection through a door, without any silence to watch for.
pub(super) fn enter(door: &LocalDoor, clock: Clock) -> Result<Way, String> {
    let pipe = door().map_err(|error| format!("no connection to the local broker: {error}"))?;
    let options = ConnectOptions::parse("tcp://localhost?wireFormat.maxInactivityDuration=0")
        .map_err(|error| error.to_string())?;
    Way::open(pipe, &options.address(), clock)
}
