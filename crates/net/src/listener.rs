//! [`Listener`]: takes a port, and accepts connections until the broker drains.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{Census, Drain, ListenAddress, Seat};

/// Connections that the system completes before they are accepted; as many as ActiveMQ asks for.
const BACKLOG: i32 = 5_000;
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
        address: ListenAddress,
    },
    /// A low port, or an address of another machine.
    #[error(
        "{address} can't be listened on: {source}; choose a port above 1023 and an address of this machine"
    )]
    Denied {
        /// What was asked for.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
    /// The host has no address.
    #[error("{address}: the host name can't be resolved: {source}; check it, or give an IP address")]
    Unresolved {
        /// What was asked for.
        address: ListenAddress,
        /// What the resolver said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{address}: {source}")]
    Io {
        /// What was asked for.
        address: ListenAddress,
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
            Err(source) => return Err(ListenError::Unresolved { address, source }),
        };
        match Self::bind(wanted) {
            Ok((socket, local)) => Ok(Self { address, socket, local }),
            Err(source) => Err(listen_error(address, source)),
        }
    }

    fn bind(wanted: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, Some(Protocol::TCP))?;
        // Without it a broker could not come back while connections of its predecessor linger.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
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
        let opened = self
            .socket
            .listen(BACKLOG)
            .and_then(|()| TcpListener::from_std(std::net::TcpListener::from(self.socket)));
        match opened {
            Ok(inner) => Ok(Listener { inner, url, maximum_connections: self.address.maximum_connections }),
            Err(source) => Err(listen_error(self.address, source)),
        }
    }
}

fn listen_error(address: ListenAddress, source: io::Error) -> ListenError {
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
        loop {
            let accepted = tokio::select! {
                accepted = self.inner.accept() => accepted,
                () = drain.begun() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    rest = REST.0;
                    let Some(seat) = census.seat(self.maximum_connections) else {
                        tracing::warn!(
                            listener = %self.url, %peer, maximum = self.maximum_connections,
                            "connection refused: the limit of connections is reached; raise maximumConnections"
                        );
                        continue;
                    };
                    match prepare(&stream) {
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE)
}

fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}
