//! Attempts to reach a broker, each a task of its own: TCP and greeting, then waiting to be claimed.
//!
//! A spare that waits keeps saying that it lives, and notices when its broker goes.

use std::io;
use std::sync::Arc;

use ferromq_openwire::Command;
use ferromq_uri::Host;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::clock::Clock;
use super::driver::{IDLE, write};
use crate::error::{Error, Result};
use crate::failover::{Address, Attempt};
use crate::link::{Link, Vital};

/// A connection to a broker that is greeted, and not logged in.
pub(super) struct Transport {
    pub address: Address,
    pub stream: TcpStream,
    pub link: Link,
}

/// What an attempt came to.
pub(super) enum Report {
    Reached(Attempt),
    Failed(Attempt, String),
    /// After its claim.
    Handed(Attempt, Box<Transport>),
    /// The file with further URIs.
    Listed(io::Result<String>),
}

/// The driver's end of an attempt; it ends when this is dropped.
pub(super) struct Dial {
    claim: Option<oneshot::Sender<()>>,
    task: tokio::task::AbortHandle,
}

impl Dial {
    pub fn begin(
        attempt: Attempt,
        address: Address,
        clock: Clock,
        reports: &mpsc::UnboundedSender<Report>,
    ) -> Self {
        let (claim, claimed) = oneshot::channel();
        let (to, target) = (reports.clone(), address);
        let task = tokio::spawn(async move {
            let report = match reach(attempt, target, clock, claimed, &to).await {
                Ok(transport) => Report::Handed(attempt, Box::new(transport)),
                Err(error) => Report::Failed(attempt, reason(&error)),
            };
            let _ = to.send(report);
        });
        Self { claim: Some(claim), task: task.abort_handle() }
    }

    pub fn is_claimed(&self) -> bool {
        self.claim.is_none()
    }

    /// Asks for the transport; [`Report::Handed`] or [`Report::Failed`] follows.
    pub fn claim(&mut self) {
        if let Some(claim) = self.claim.take() {
            let _ = claim.send(());
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Without the URI, which stands in front of it in every list.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Connect { source, .. } => source.to_string(),
        Error::Timeout { what, after, .. } => format!("no answer within {after:?} to: {what}"),
        Error::Closed { reason, .. } => reason.to_string(),
        other => other.to_string(),
    }
}

async fn reach(
    attempt: Attempt,
    address: Address,
    clock: Clock,
    mut claimed: oneshot::Receiver<()>,
    reports: &mpsc::UnboundedSender<Report>,
) -> Result<Transport> {
    let late = |what: &str| Error::Timeout {
        uri: Arc::clone(&address.uri),
        what: what.to_owned(),
        after: address.connect_timeout,
    };
    let until = TokioInstant::now() + address.connect_timeout;
    let stream = tokio::time::timeout_at(until, dial(&address)).await.map_err(|_| late("connect"))??;
    let link = Link::new(address.wire_format.clone(), address.limits.clone())
        .map_err(|source| Error::Encode { destination: address.uri.to_string(), source })?;
    let uri = Arc::clone(&address.uri);
    let mut transport = Transport { address, stream, link };
    let late = Error::Timeout { uri, what: "greet".into(), after: transport.address.connect_timeout };
    tokio::time::timeout_at(until, transport.greet(clock)).await.map_err(|_| late)??;
    let _ = reports.send(Report::Reached(attempt));
    tokio::select! {
        _ = &mut claimed => Ok(transport),
        error = transport.keep(clock) => Err(error),
    }
}

/// Opens a TCP connection.
pub(super) async fn dial(address: &Address) -> Result<TcpStream> {
    let port = address.endpoint.port_or_default();
    let stream = match &address.endpoint.host {
        Host::Address(ip) => TcpStream::connect((*ip, port)).await,
        Host::Name(name) => TcpStream::connect((name.as_str(), port)).await,
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    stream
        .and_then(|stream| stream.set_nodelay(address.tcp_no_delay).map(|()| stream))
        .map_err(|source| Error::Connect { uri: Arc::clone(&address.uri), source: Arc::new(source) })
}

impl Transport {
    async fn greet(&mut self, clock: Clock) -> Result<()> {
        while !self.link.is_greeted() {
            self.flush()?;
            self.read().await?;
            self.understand(clock)?;
        }
        Ok(())
    }

    /// Waits until it ends, with signs of life both ways.
    async fn keep(&mut self, clock: Clock) -> Error {
        loop {
            let wake = self.link.next_deadline().map(|at| clock.deadline(at));
            let wake = wake.unwrap_or_else(|| TokioInstant::now() + IDLE);
            let read = tokio::select! {
                read = self.read() => read.and_then(|()| self.understand(clock)),
                () = sleep_until(wake) => Ok(()),
            };
            if let Err(error) = read.and_then(|()| self.look_at_the_clock(clock)) {
                return error;
            }
        }
    }

    fn look_at_the_clock(&mut self, clock: Clock) -> Result<()> {
        if let Vital::Silent(time) = self.link.tick(clock.now().mono) {
            return Err(closed(&self.address, &format!("it was silent for more than {time:?}")));
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        let mut taken = 0;
        let out = self.link.output();
        let result = write(&self.stream, out, &mut taken);
        self.link.written(taken);
        result.map_err(|error| closed(&self.address, &error.to_string()))
    }

    async fn read(&mut self) -> Result<()> {
        // Room for a greeting and a keep-alive; whoever claims the transport goes on with this buffer.
        let buffer = self.link.read_buffer();
        buffer.reserve(4096);
        match self.stream.read_buf(buffer).await {
            Ok(0) => Err(closed(&self.address, "the broker closed it")),
            Ok(_) => {
                self.link.heard();
                Ok(())
            }
            Err(error) => Err(closed(&self.address, &error.to_string())),
        }
    }

    /// Only what comes before a login is expected; the rest would be for nobody.
    fn understand(&mut self, clock: Clock) -> Result<()> {
        let uri = Arc::clone(&self.address.uri);
        let broken = |reason: String| Error::Protocol { uri: Arc::clone(&uri), reason };
        loop {
            match self.link.next_command(clock.now().mono).map_err(|error| broken(error.to_string()))? {
                None => return Ok(()),
                Some(Command::ConnectionError(error)) => {
                    let (class, message) = crate::error::words(error.exception.as_deref());
                    return Err(closed(&self.address, &format!("{message} ({class})")));
                }
                Some(Command::ShutdownInfo(_)) => {
                    return Err(closed(&self.address, "the broker is stopping"));
                }
                Some(_) => {}
            }
        }
    }
}

fn closed(address: &Address, reason: &str) -> Error {
    Error::Closed { uri: Arc::clone(&address.uri), reason: Arc::from(reason) }
}
