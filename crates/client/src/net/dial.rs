//! Attempts to reach a broker, each a task of its own: TCP and greeting, then waiting to be claimed.
//!
//! A spare that waits keeps saying that it lives, and notices when its broker goes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ferromq_env::{Entropy, SystemEntropy};
use ferromq_openwire::Command;
use ferromq_uri::{Host, Uri};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::clock::Clock;
use super::driver::{IDLE, write};
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::failover::{Address, Attempt};
use crate::link::{Link, Vital};

/// Beyond it the system would refuse; it has limits of its own below it.
const MOST_BUFFER_BYTES: u32 = 1 << 30;

/// Addresses that a name may stand for.
const MAX_PLACES: usize = 16;

/// A connection to a broker that is greeted, and not logged in.
pub(super) struct Transport {
    pub address: Address,
    pub stream: Stream,
    pub link: Link,
}

/// What an attempt came to.
pub(super) enum Report {
    Reached(Attempt),
    Failed(Attempt, String),
    /// After its claim.
    Handed(Attempt, Box<Transport>),
    /// The list of further URIs.
    Listed(io::Result<String>),
    /// Who tells of itself in the network now.
    Discovered(Vec<Uri>),
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
    let mut transport = reach_any(&address, clock).await?;
    let _ = reports.send(Report::Reached(attempt));
    tokio::select! {
        _ = &mut claimed => Ok(transport),
        error = transport.keep(clock) => Err(error),
    }
}

/// The first that greets of those that the name of the host stands for: one of them may be a standby.
async fn reach_any(address: &Address, clock: Clock) -> Result<Transport> {
    let until = TokioInstant::now() + address.connect_timeout;
    let places = timeout(address, until, "resolve the name", places(address)).await??;
    reach_first(address, places, until, clock).await
}

async fn reach_first(
    address: &Address,
    places: Vec<SocketAddr>,
    until: TokioInstant,
    clock: Clock,
) -> Result<Transport> {
    let mut last = None;
    let mut left = u32::try_from(places.len()).unwrap_or(u32::MAX);
    for place in places {
        // One that is silent leaves time for the others.
        let share = until.saturating_duration_since(TokioInstant::now()) / left.max(1);
        left = left.saturating_sub(1);
        let reached = timeout(
            address,
            TokioInstant::now() + share,
            "connect and greet",
            reach_one(address, place, clock),
        );
        match reached.await {
            Ok(Ok(transport)) => return Ok(transport),
            Ok(Err(error)) | Err(error) => last = Some(error),
        }
    }
    let nowhere =
        || connect_error(address, io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    Err(last.unwrap_or_else(nowhere))
}

async fn reach_one(address: &Address, place: SocketAddr, clock: Clock) -> Result<Transport> {
    let stream = open(address, place).await.map_err(|source| connect_error(address, source))?;
    let link = Link::new(address.wire_format.clone(), address.limits.clone())
        .map_err(|source| Error::Encode { destination: address.uri.to_string(), source })?;
    let mut transport = Transport { address: address.clone(), stream, link };
    transport.greet(clock).await?;
    Ok(transport)
}

async fn timeout<V>(
    address: &Address,
    until: TokioInstant,
    what: &str,
    work: impl Future<Output = V>,
) -> Result<V> {
    tokio::time::timeout_at(until, work).await.map_err(|_| Error::Timeout {
        uri: Arc::clone(&address.uri),
        what: what.to_owned(),
        after: address.connect_timeout,
    })
}

fn connect_error(address: &Address, source: io::Error) -> Error {
    Error::Connect { uri: Arc::clone(&address.uri), source: Arc::new(source) }
}

/// Where a host may be; a name with several addresses begins with another one each time.
async fn places(address: &Address) -> Result<Vec<SocketAddr>> {
    let port = address.endpoint.port_or_default();
    let mut places: Vec<SocketAddr> = match &address.endpoint.host {
        Host::Address(ip) => vec![(*ip, port).into()],
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await;
            found.map_err(|source| connect_error(address, source))?.take(MAX_PLACES).collect()
        }
        _ => return Err(connect_error(address, io::ErrorKind::Unsupported.into())),
    };
    if !places.is_empty() {
        let turn = usize::try_from(SystemEntropy.next_u64() % places.len() as u64).unwrap_or(0);
        places.rotate_left(turn);
    }
    Ok(places)
}

/// Connects to a broker, at the first of its addresses that answers.
pub(super) async fn dial(address: &Address) -> Result<Stream> {
    let mut last = None;
    for place in places(address).await? {
        match open(address, place).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(connect_error(address, error)),
        }
    }
    let nowhere =
        || connect_error(address, io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    Err(last.unwrap_or_else(nowhere))
}

async fn connect(address: &Address, place: SocketAddr) -> io::Result<TcpStream> {
    let options = &address.socket;
    let socket = if place.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(bytes) = options.socket_buffer_bytes.filter(|bytes| *bytes > 0) {
        // Before it connects: afterwards it would be too late for the window of TCP.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(MOST_BUFFER_BYTES);
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_keepalive(options.keep_alive == Some(true))?;
    let stream = socket.connect(place).await?;
    if let Some(seconds) = options.so_linger_s {
        let linger = u64::try_from(seconds).ok().map(Duration::from_secs);
        SockRef::from(&stream).set_linger(linger)?;
    }
    stream.set_nodelay(address.tcp_no_delay)?;
    Ok(stream)
}

/// Opens a TCP connection, and wraps it in TLS if that is wanted.
pub(super) async fn open(address: &Address, place: SocketAddr) -> io::Result<Stream> {
    let stream = connect(address, place).await?;
    match &address.tls {
        None => Ok(Stream::Tcp(stream)),
        #[cfg(feature = "tls")]
        Some(settings) => super::tls::wrap(stream, &address.endpoint.host, settings).await,
        #[cfg(not(feature = "tls"))]
        Some(_) => Err(io::ErrorKind::Unsupported.into()),
    }
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
        let result = write(|bytes| self.stream.try_write(bytes), out, &mut taken);
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::settings::ConnectOptions;

    #[tokio::test]
    async fn what_is_said_of_the_socket_is_set_on_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        for (options, keep_alive, linger) in [
            ("", false, None),
            ("?keepAlive=true&soLinger=3&socketBufferSize=20000", true, Some(Duration::from_secs(3))),
            ("?socket.keepAlive=false&transport.soLinger=-1", false, None),
        ] {
            let address = ConnectOptions::parse(&format!("tcp://{place}{options}")).unwrap().address();
            let Stream::Tcp(stream) = open(&address, place).await.unwrap() else { panic!("plain TCP") };
            let socket = SockRef::from(&stream);
            assert_eq!(socket.keepalive().unwrap(), keep_alive, "{options}");
            assert_eq!(socket.linger().unwrap(), linger, "{options}");
            // Linux doubles it for its own use.
            let smaller = socket.send_buffer_size().unwrap() <= 40_000;
            assert_eq!(smaller, options.contains("socketBufferSize"), "{options}");
        }
    }

    #[tokio::test]
    async fn of_several_addresses_of_a_name_one_that_greets_is_taken() {
        // Given a standby, which hangs up, somebody who says nothing, and a broker
        let mut places = Vec::new();
        let mut listeners = Vec::new();
        for _ in 0..3 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            places.push(listener.local_addr().unwrap());
            listeners.push(listener);
        }
        let broker = listeners.pop().unwrap();
        let silent = listeners.pop().unwrap();
        let standby = listeners.pop().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = standby.accept().await {
                drop(stream);
            }
        });
        tokio::spawn(async move {
            let (mut stream, _) = broker.accept().await.unwrap();
            let greeting = Link::new(Default::default(), Default::default()).unwrap();
            stream.write_all(greeting.output()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let address = ConnectOptions::parse("tcp://brokers.example").unwrap().address();
        let until = TokioInstant::now() + Duration::from_secs(3);
        let reached = reach_first(&address, places.clone(), until, Clock::new()).await.unwrap();
        let Stream::Tcp(stream) = &reached.stream else { panic!("a plain connection") };
        assert_eq!(stream.peer_addr().unwrap(), places[2]);
        // Without the broker, the last reason is told.
        let error = reach_first(&address, vec![places[0]], until, Clock::new()).await.err().unwrap();
        assert!(error.to_string().contains("tcp://brokers.example"), "{error}");
        drop(silent);
    }
}
