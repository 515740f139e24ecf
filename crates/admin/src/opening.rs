//! [`Opening`]: a connection whose peer has to say what it speaks within its time, and to take what it is answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// So many bytes tell HTTP/2 from everything else; before them nobody else watches the time.
const TELLING_BYTES: usize = 24;

/// A connection; a peer that is silent at its beginning, or takes nothing of an answer, ends it, and its seat is free.
pub(crate) struct Opening<S> {
    stream: S,
    patience: Duration,
    /// While there is something to wait for: how many bytes, and until when.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
    /// While the peer takes nothing: until when it may.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Opening<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        let awaited = Some((TELLING_BYTES, Box::pin(sleep(patience))));
        Self { stream, patience, awaited, stuck: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self { stream, awaited, .. } = &mut *self;
        if let Poll::Ready(read) = Pin::new(stream).poll_read(context, buffer) {
            let got = buffer.filled().len() - before;
            *awaited =
                awaited.take().filter(|(left, _)| *left > got).map(|(left, until)| (left - got, until));
            return Poll::Ready(read);
        }
        let Some((_, until)) = awaited else { return Poll::Pending };
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not say what it wants")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, patience, stuck, .. } = &mut *self;
        if let Poll::Ready(written) = Pin::new(stream).poll_write(context, bytes) {
            *stuck = None;
            return Poll::Ready(written);
        }
        ready!(stuck.get_or_insert_with(|| Box::pin(sleep(*patience))).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not take its answer")))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_at_the_beginning_is_left_and_who_has_spoken_is_not() {
        let (mut peer, ours) = duplex(1024);
        let mut opening = Opening::new(ours, PATIENCE);
        peer.write_all(b"PRI").await.unwrap();
        assert_eq!(opening.read(&mut [0; 64]).await.unwrap(), 3);
        let error = opening.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (mut peer, ours) = duplex(1024);
        let mut opening = Opening::new(ours, PATIENCE);
        peer.write_all(&[b'x'; TELLING_BYTES]).await.unwrap();
        assert_eq!(opening.read(&mut [0; 64]).await.unwrap(), TELLING_BYTES);
        let later = tokio::time::timeout(100 * PATIENCE, opening.read(&mut [0; 64])).await;
        assert!(later.is_err(), "it may be silent now");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_is_left_and_who_is_slow_is_not() {
        let (mut peer, ours) = duplex(16);
        let mut opening = Opening::new(ours, PATIENCE);
        let answer = tokio::spawn(async move { opening.write_all(&[b'x'; 64]).await });
        for _ in 0..3 {
            tokio::time::sleep(PATIENCE * 9 / 10).await;
            assert_eq!(peer.read(&mut [0; 16]).await.unwrap(), 16);
        }
        answer.await.unwrap().unwrap();

        let (_peer, ours) = duplex(16);
        let mut opening = Opening::new(ours, PATIENCE);
        let ended = tokio::time::timeout(100 * PATIENCE, opening.write_all(&[b'x'; 64])).await;
        assert_eq!(ended.expect("nobody waits for ever").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
