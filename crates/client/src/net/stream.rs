//! [`Stream`]: a connection as the driver sees it: plain TCP, or the near end of one that is wrapped in TLS.
//!
//! The driver writes as much as a socket takes and never waits for it, which records of TLS do not allow. So TLS is done
//! by a task of its own, and joined to the driver by a pair of sockets.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS has a near end"))]
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
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
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
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Near(stream) => stream.try_write(bytes),
        }
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

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(writer) => Pin::new(writer).poll_write(cx, buf),
            Self::Near(writer) => Pin::new(writer).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(writer) => Pin::new(writer).poll_flush(cx),
            Self::Near(writer) => Pin::new(writer).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(writer) => Pin::new(writer).poll_shutdown(cx),
            Self::Near(writer) => Pin::new(writer).poll_shutdown(cx),
        }
    }
}
