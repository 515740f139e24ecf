//! Receiving messages.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::mailbox::{Mailbox, Taken};
use super::order::{ConsumerState, Nudge, Order, SessionGuard};
use crate::core::{AckMode, ConsumerKey, ConsumerSpec};
use crate::error::{Error, Result};
use crate::message::Delivery;

/// Receives messages, as a stream or one by one. Dropping it closes it: what was not acknowledged goes to others.
pub struct Consumer {
    session: Arc<SessionGuard>,
    state: Arc<ConsumerState>,
    key: ConsumerKey,
    /// Without a window each message is asked for.
    pulls: bool,
}

impl Consumer {
    pub(super) async fn open(session: &Arc<SessionGuard>, spec: ConsumerSpec) -> Result<Self> {
        let line = &session.line;
        let pulls = spec.window(&line.shared.options.prefetch) == 0;
        let state = Arc::new(ConsumerState { spec, mailbox: Mailbox::default(), key: OnceLock::new() });
        let (owner, consumer) = (session.key, Arc::clone(&state));
        line.ask(|reply| Order::OpenConsumer { session: owner, consumer, reply }).await?;
        let key = state.key.get().copied().ok_or_else(|| line.shared.closed())?;
        Ok(Self { session: Arc::clone(session), state, key, pulls })
    }

    /// The next message. Nothing at the end of a browse; a lost connection is an error.
    ///
    /// In mode [`AckMode::Auto`] the message is acknowledged now. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection is lost, or the broker closed the consumer.
    pub async fn recv(&mut self) -> Result<Option<Delivery>> {
        poll_fn(|context| self.poll_recv(context)).await.transpose()
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
        loop {
            if self.pulls && self.state.mailbox.begin_pull() {
                self.session.line.nudge(Nudge::Pull(self.key, 0));
            }
            match self.state.mailbox.poll(context) {
                // A pull of somebody else's time ran out: ask again.
                Poll::Ready(Taken::Nothing) => {}
                Poll::Ready(taken) => return Poll::Ready(self.found(taken)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn found(&self, taken: Taken) -> Option<Result<Delivery>> {
        match taken {
            Taken::Message(delivery, tell) => {
                if tell {
                    self.session.line.nudge(Nudge::Taken(self.key));
                }
                Some(Ok(delivery))
            }
            Taken::Failed(error) => Some(Err(error)),
            Taken::End | Taken::Nothing => None,
        }
    }

    /// The next message that comes within a time; nothing if none does.
    ///
    /// # Errors
    /// As [`Consumer::recv`].
    pub async fn recv_timeout(&mut self, time: Duration) -> Result<Option<Delivery>> {
        if !self.pulls {
            return tokio::time::timeout(time, self.recv()).await.unwrap_or(Ok(None));
        }
        if self.state.mailbox.begin_pull() {
            let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            self.session.line.nudge(Nudge::Pull(self.key, if ms == 0 { -1 } else { ms }));
        }
        // The broker measures the time; ours is for a broker that does not answer.
        let answer = poll_fn(|context| self.state.mailbox.poll(context));
        match tokio::time::timeout(time + Duration::from_secs(5), answer).await {
            Ok(taken) => self.found(taken).transpose(),
            Err(_) => Ok(None),
        }
    }

    /// A message that is here already.
    ///
    /// # Errors
    /// As [`Consumer::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Delivery>> {
        match self.state.mailbox.try_take() {
            Some(taken) => self.found(taken).transpose(),
            None => Ok(None),
        }
    }

    /// Acknowledges a message: in mode [`AckMode::Client`] with all that came before it, in mode
    /// [`AckMode::Individual`] alone. The broker does not answer.
    ///
    /// # Errors
    /// The mode acknowledges by itself, or the connection is lost.
    pub async fn ack(&self, delivery: &Delivery) -> Result<()> {
        if !matches!(self.session.mode, AckMode::Client | AckMode::Individual) {
            return Err(Error::Usage("only modes Client and Individual acknowledge by hand"));
        }
        let order = Order::Acknowledge { consumer: self.key, sequence: delivery.sequence() };
        self.session.line.order(order).await
    }

    /// Takes back what was received and not acknowledged, and gives it again (JMS 1.1 §4.4.11).
    ///
    /// # Errors
    /// The session is transacted, or the connection is lost.
    pub async fn recover(&self) -> Result<()> {
        let session = self.session.key;
        self.session.line.ask(|reply| Order::Recover { session, reply }).await
    }
}

impl Stream for Consumer {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(context)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.session.line.leave(Order::CloseConsumer(self.key));
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("spec", &self.state.spec).finish_non_exhaustive()
    }
}
