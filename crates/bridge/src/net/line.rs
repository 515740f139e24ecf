//! [`Line`]: what the bytes of a port come and go by: a connection over the network, or a pipe into the own broker.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use ferromq_client::Link;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// The way to a broker.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// What one read takes at most.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that went one way or the other; none that were read are the end.
pub(super) enum Moved {
    Read(usize),
    Written(usize),
}

/// Waits until something was read for `link`, if it `reads`, or some of what waits in it is written. Nothing is lost if it is
/// dropped while it waits.
pub(super) async fn transfer(line: &mut dyn Line, link: &mut Link, reads: bool) -> io::Result<Moved> {
    if reads {
        link.read_buffer().reserve(READ_BYTES);
    }
    poll_fn(|cx| {
        if reads && let Poll::Ready(read) = pin!(line.read_buf(link.read_buffer())).poll(cx) {
            return Poll::Ready(read.map(Moved::Read));
        }
        if link.output().is_empty() {
            return Poll::Pending;
        }
        Pin::new(&mut *line).poll_write(cx, link.output()).map(|written| written.map(Moved::Written))
    })
    .await
}

/// Writes what is taken at once.
pub(super) fn try_write(line: &mut dyn Line, bytes: &[u8]) -> io::Result<usize> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(line).poll_write(&mut cx, bytes) {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
