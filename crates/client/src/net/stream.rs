//! [`Stream`]: a connection as the driver sees it: plain TCP, or the near end of one that is wrapped in TLS.
//!
//! The driver writes as much as a socket takes and never waits for it, which records of TLS do not allow. So TLS is done
//! by a task of its own, and joined to the driver by a pair of sockets.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use crate::failover::Address;

/// An open connection to a broker, for those who speak OpenWire over it themselves ([`Link`](crate::Link)).
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Open.
    Tcp(TcpStream),
    /// The end on this side of one in TLS.
    Near(UnixStream),
}

pub(super) enum ReadHalf<'a> {
    Tcp(tcp::ReadHalf<'a>),
    Near(unix::ReadHalf<'a>),
}

pub(super) enum WriteHalf<'a> {
    Tcp(tcp::WriteHalf<'a>),
    Near(unix::WriteHalf<'a>),
}

impl Stream {
    /// Connects to one of the places of a broker, in TLS if its address asks for that. How long that may take is the
    /// caller's to say.
    ///
    /// # Errors
    /// The broker is not there, or not who it should be; a file of certificates can't be read.
    pub async fn open(address: &Address, place: SocketAddr) -> io::Result<Self> {
        super::dial::open(address, place).await
    }

    pub(super) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.split();
                (ReadHalf::Tcp(reader), WriteHalf::Tcp(writer))
            }
            Self::Near(stream) => {
                let (reader, writer) = stream.split();
                (ReadHalf::Near(reader), WriteHalf::Near(writer))
            }
        }
    }

    /// Writes what the socket takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Near(stream) => stream.try_write(bytes),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl WriteHalf<'_> {
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(writer) => writer.writable().await,
            Self::Near(writer) => writer.writable().await,
        }
    }

    /// Writes what the socket takes at once.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(writer) => writer.try_write(bytes),
            Self::Near(writer) => writer.try_write(bytes),
        }
    }
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(reader) => Pin::new(reader).poll_read(cx, buf),
            Self::Near(reader) => Pin::new(reader).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Near(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Near(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Near(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Near(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
