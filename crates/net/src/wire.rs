//! [`Wire`]: what the bytes of a connection come and go by: a socket, or a pipe within the process.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ferromq_gateway::Session;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;

/// What one read takes at most. The room for it belongs to the thread, so an idle connection holds none.
const READ_BYTES: usize = 64 * 1024;
/// What a peer wrote in vain is taken in so many reads at most.
const DISCARDED_READS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// The way to a peer.
#[derive(Debug)]
pub(crate) enum Wire {
    Tcp(TcpStream),
    /// The peer is in this process: who writes wakes the peer's task, and the kernel hears nothing of it.
    Pipe(DuplexStream),
}

/// Bytes that went one way or the other; none that were read are the end.
pub(crate) enum Moved {
    Read(io::Result<usize>),
    Written(io::Result<usize>),
}

impl Wire {
    /// Waits until something was read into `session`, if that is to be, or some of `out` is written.
    pub async fn transfer(&mut self, mut session: Option<&mut Session>, out: &[u8]) -> Moved {
        poll_fn(|cx| {
            if let Some(session) = &mut session
                && let Poll::Ready(read) = self.poll_read_into(cx, session)
            {
                return Poll::Ready(Moved::Read(read));
            }
            if out.is_empty() { Poll::Pending } else { self.poll_write(cx, out).map(Moved::Written) }
        })
        .await
    }

    /// Writes what is taken at once.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Pipe(_) => match self.poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
                Poll::Ready(written) => written,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            },
        }
    }

    /// Writes all of `words` unless the peer takes longer than `patience` to read. What it does not listen to is lost;
    /// the reason is in our log.
    pub async fn say_last(&mut self, mut words: &[u8], patience: Duration) {
        let said = async {
            while !words.is_empty() {
                let written = poll_fn(|cx| self.poll_write(cx, words)).await?;
                words = words.get(written..).unwrap_or_default();
            }
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(patience, said).await;
    }

    /// From now on, what is written and the end of the connection arrive in one packet, as far as that is to be had.
    pub fn hold_back(&self) {
        if let Self::Tcp(stream) = self {
            let _ = rustix::net::sockopt::set_tcp_cork(stream, true);
        }
    }

    /// Takes what the peer said and nobody heard: a socket that is closed with something unread takes back what is still to
    /// be sent.
    ///
    /// It takes no more than that, so that whoever goes on writing is reset at once. A released Java client whose writes
    /// succeed goes on to its next commit before it has taken in the end, and that commit is in doubt. One whose writes fail
    /// closes the connection, and if the thread of a session does so, its reader has not always taken in the answers of
    /// the others. Of four sessions of one connection that commit all the time 5 to 19 commits were in doubt in 24
    /// switchovers as it is, and 11 to 25 when the broker read on for 200 ms.
    pub fn discard_unheard(&self) {
        let Self::Tcp(stream) = self else { return };
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..DISCARDED_READS {
                if !matches!(stream.try_read(scratch), Ok(1..)) {
                    return;
                }
            }
        });
    }

    /// Whether the peer has closed its side, although nothing is read from it.
    pub fn peer_has_closed(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Self::Tcp(stream) => {
                let looking = std::pin::pin!(stream.ready(Interest::READABLE | Interest::WRITABLE));
                match looking.poll(&mut cx) {
                    Poll::Ready(Ok(ready)) => ready.is_read_closed() || ready.is_write_closed(),
                    Poll::Ready(Err(_)) => true,
                    Poll::Pending => false,
                }
            }
            // A pipe without a reader takes not even nothing.
            Self::Pipe(pipe) => matches!(Pin::new(pipe).poll_write(&mut cx, &[]), Poll::Ready(Err(_))),
        }
    }

    /// Reads into the thread's scratch room and from there behind what the session holds.
    fn poll_read_into(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut room = ReadBuf::new(scratch);
            ready!(match self {
                Self::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut room),
                Self::Pipe(pipe) => Pin::new(pipe).poll_read(cx, &mut room),
            })?;
            session.read_buffer().extend_from_slice(room.filled());
            Poll::Ready(Ok(room.filled().len()))
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(cx, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pipe_takes_what_it_has_room_for_and_tells_its_end() {
        let (mut peer, end) = tokio::io::duplex(4);
        let mut wire = Wire::Pipe(end);
        assert_eq!(wire.try_write(b"abcdef").unwrap(), 4);
        assert_eq!(wire.try_write(b"ef").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!wire.peer_has_closed(), "a peer that does not read is there");
        let mut read = [0; 3];
        tokio::io::AsyncReadExt::read_exact(&mut peer, &mut read).await.unwrap();
        assert!(matches!(wire.transfer(None, b"efgh").await, Moved::Written(Ok(3))));
        drop(peer);
        assert!(wire.peer_has_closed());
        assert!(matches!(wire.transfer(None, b"h").await, Moved::Written(Err(_))));
    }
}
