//! [`Listener`]: takes a port, and accepts connections until the broker drains.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_uri::SocketOptions;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::grumbles::Grumbles;
use crate::{Census, Drain, ListenAddress, Seat};

/// Connections that the system completes before they are accepted; as many as ActiveMQ asks for.
const BACKLOG: i32 = 5_000;
/// Beyond it the system would refuse; it has limits of its own below it.
const MOST_BUFFER_BYTES: usize = 1 << 30;
/// After so long without a byte the system asks whether a peer is still there.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
/// How long accepting rests when the system is out of descriptors or memory: doubled from the first to the last.
const REST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Why a listener can't be had. The text names address and remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody listens there already.
    #[error(
        "{address} is in use by another program; stop it (`ss -ltnp` names it), or listen elsewhere with --listen tcp://HOST:PORT"
    )]
    InUse {
        /// What was asked for.
        address: Box<ListenAddress>,
    },
    /// A low port, or an address of another machine.
    #[error(
        "{address} can't be listened on: {source}; choose a port above 1023 and an address of this machine"
    )]
    Denied {
        /// What was asked for.
        address: Box<ListenAddress>,
        /// What the system said.
        source: io::Error,
    },
    /// The host has no address.
    #[error("{address}: the host name can't be resolved: {source}; check it, or give an IP address")]
    Unresolved {
        /// What was asked for.
        address: Box<ListenAddress>,
        /// What the resolver said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{address}: {source}")]
    Io {
        /// What was asked for.
        address: Box<ListenAddress>,
        /// What the system said.
        source: io::Error,
    },
}

/// A port that is taken but not yet open: peers are refused, other programs can't have it.
#[derive(Debug)]
pub struct Reservation {
    address: ListenAddress,
    socket: Socket,
    local: SocketAddr,
}

impl Reservation {
    /// Takes the port; port 0 takes a free one.
    ///
    /// # Errors
    /// It is in use, may not be had, or the host is unknown.
    pub fn new(address: ListenAddress) -> Result<Self, ListenError> {
        let resolved = (address.host.as_str(), address.port)
            .to_socket_addrs()
            .and_then(|mut all| all.next().ok_or_else(|| io::ErrorKind::NotFound.into()));
        let wanted = match resolved {
            Ok(wanted) => wanted,
            Err(source) => return Err(ListenError::Unresolved { address: Box::new(address), source }),
        };
        match Self::bind(wanted, address.socket.socket_buffer_bytes) {
            Ok((socket, local)) => Ok(Self { address, socket, local }),
            Err(source) => Err(listen_error(address, source)),
        }
    }

    fn bind(wanted: SocketAddr, buffer_bytes: Option<u64>) -> io::Result<(Socket, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, Some(Protocol::TCP))?;
        // Without it a broker could not come back while connections of its predecessor linger.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        if let Some(bytes) = buffer_bytes.filter(|bytes| *bytes > 0) {
            // Accepted sockets inherit it; afterwards it would be too late for the window of TCP.
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(MOST_BUFFER_BYTES);
            socket.set_recv_buffer_size(bytes)?;
            socket.set_send_buffer_size(bytes)?;
        }
        socket.bind(&wanted.into())?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((socket, local))
    }

    /// Where it is, with the port that was picked: `tcp://127.0.0.1:61616`.
    pub fn url(&self) -> String {
        self.address.url_with_port(self.local.port())
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.local.ip().is_loopback()
    }

    /// Opens the port.
    ///
    /// # Errors
    /// [`ListenError::InUse`] if somebody was faster.
    pub fn open(self) -> Result<Listener, ListenError> {
        let url = self.url();
        let backlog =
            self.address.backlog.map_or(BACKLOG, |wanted| i32::try_from(wanted).unwrap_or(i32::MAX));
        let opened = self
            .socket
            .listen(backlog)
            .and_then(|()| TcpListener::from_std(std::net::TcpListener::from(self.socket)));
        match opened {
            Ok(inner) => Ok(Listener {
                inner,
                url,
                maximum_connections: self.address.maximum_connections,
                options: self.address.socket,
            }),
            Err(source) => Err(listen_error(self.address, source)),
        }
    }
}

fn listen_error(address: ListenAddress, source: io::Error) -> ListenError {
    let address = Box::new(address);
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable => {
            ListenError::Denied { address, source }
        }
        _ => ListenError::Io { address, source },
    }
}

/// An open port.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    url: String,
    maximum_connections: usize,
    options: SocketOptions,
}

impl Listener {
    /// Where it is: `tcp://127.0.0.1:61616`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Accepts until the drain begins and gives each connection to `welcome`, which must return at once.
    pub async fn accept_until(
        self,
        mut drain: Drain,
        census: Arc<Census>,
        welcome: impl Fn(TcpStream, SocketAddr, Seat),
    ) {
        let mut rest = REST.0;
        let (refusals, began) = (Grumbles::default(), tokio::time::Instant::now());
        loop {
            let accepted = tokio::select! {
                accepted = self.inner.accept() => accepted,
                () = drain.begun() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    rest = REST.0;
                    let Some(seat) = census.seat(self.maximum_connections) else {
                        let now = Instant::default() + (began.elapsed());
                        if let Some(left_out) = refusals.one_more(now) {
                            tracing::warn!(
                                listener = %self.url, %peer, maximum = self.maximum_connections, left_out,
                                "connection refused: the limit of connections is reached; raise maximumConnections"
                            );
                        }
                        continue;
                    };
                    match prepare(&stream, &self.options) {
                        Ok(()) => welcome(stream, peer, seat),
                        Err(error) => tracing::debug!(%peer, %error, "connection ended before it began"),
                    }
                }
                Err(error) if is_of_one_peer(&error) => {
                    tracing::debug!(listener = %self.url, %error, "a peer gave up before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(
                        listener = %self.url, %error, rest_ms = rest.as_millis(),
                        "no connection can be accepted for now; raise the limit of open files (ulimit -n) if that is the reason"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(rest) => rest = (rest * 2).min(REST.1),
                        () = drain.begun() => return,
                    }
                }
            }
        }
    }
}

fn prepare(stream: &TcpStream, options: &SocketOptions) -> io::Result<()> {
    stream.set_nodelay(options.tcp_no_delay.unwrap_or(true))?;
    let socket = SockRef::from(stream);
    if let Some(seconds) = options.so_linger_s {
        socket.set_linger(u64::try_from(seconds).ok().map(Duration::from_secs))?;
    }
    if options.keep_alive == Some(false) { Ok(()) } else { socket.set_tcp_keepalive(&KEEPALIVE) }
}

fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}
