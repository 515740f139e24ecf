//! Sending messages: one at a time, or many under way.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ferromq_openwire::{Destination, Message};
use tokio::sync::oneshot;

use super::clock::wall;
use super::order::{Line, Order, ProducerState, SessionGuard};
use crate::core::{AckMode, Core, ProducerKey};
use crate::error::{Error, Result};
use crate::message::Outgoing;

/// Sends messages. Persistent ones outside of transactions are waited for, unless the options say otherwise.
pub struct Producer {
    session: Arc<SessionGuard>,
    state: Arc<ProducerState>,
    key: ProducerKey,
}

/// Messages that `send_all` has under way.
const UNDER_WAY: usize = 1024;

impl Producer {
    pub(super) async fn open(session: &Arc<SessionGuard>, destination: Option<Destination>) -> Result<Self> {
        let line = &session.line;
        let window = line.shared.options.producer_window;
        let state = Arc::new(ProducerState {
            destination,
            window,
            room: tokio::sync::Semaphore::new(window as usize),
            key: std::sync::OnceLock::new(),
        });
        let (key, producer) = (session.key, Arc::clone(&state));
        line.ask(|reply| Order::OpenProducer { session: key, producer, reply }).await?;
        let key = state.key.get().copied().ok_or_else(|| line.shared.closed())?;
        Ok(Self { session: Arc::clone(session), state, key })
    }

    fn line(&self) -> &Line {
        &self.session.line
    }

    /// Sends a message to the producer's destination.
    ///
    /// Once this future was polled the message may be sent even if it is dropped then.
    ///
    /// # Errors
    /// The broker refuses the message, it cannot be encoded, or the connection is lost. One-way messages fail
    /// later: see [`super::Connection::failures`], and commit for those of a transaction.
    pub async fn send(&self, message: Outgoing) -> Result<()> {
        let Some(destination) = &self.state.destination else {
            return Err(Error::Usage("an anonymous producer needs a destination: Producer::send_to"));
        };
        self.send_to(destination, message).await
    }

    /// Sends a message to a destination; only producers without one of their own may.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_to(&self, destination: &Destination, message: Outgoing) -> Result<()> {
        let message = self.finish(destination, message)?;
        let options = &self.line().shared.options;
        let waits = self.session.mode != AckMode::Transacted
            && (options.always_sync_send || (message.persistent && !options.async_send));
        if waits {
            let receipt = self.submit(message).await?;
            let Some(limit) = options.send_timeout else { return receipt.await };
            return tokio::time::timeout(limit, receipt).await.unwrap_or_else(|_| {
                Err(Error::Timeout {
                    uri: Arc::clone(&self.line().shared.name),
                    what: format!("take a message for {destination}"),
                    after: limit,
                })
            });
        }
        self.one_way(message).await
    }

    /// Sends a message and returns what to wait for, so that many may be under way. In a transaction there is
    /// nothing to wait for but the commit.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn enqueue(&self, message: Outgoing) -> Result<Receipt> {
        let Some(destination) = &self.state.destination else {
            return Err(Error::Usage("an anonymous producer needs a destination: Producer::send_to"));
        };
        let message = self.finish(destination, message)?;
        if self.session.mode == AckMode::Transacted {
            self.one_way(message).await?;
            return Ok(Receipt { answer: None, line: self.line().clone() });
        }
        self.submit(message).await
    }

    /// Sends messages with many under way, and waits until the broker has all of them.
    ///
    /// # Errors
    /// The first failure; messages after it may have been taken.
    pub async fn send_all(&self, messages: impl IntoIterator<Item = Outgoing>) -> Result<usize> {
        let mut under_way = VecDeque::with_capacity(UNDER_WAY);
        let mut count = 0;
        for message in messages {
            if under_way.len() >= UNDER_WAY
                && let Some(oldest) = under_way.pop_front()
            {
                let oldest: Receipt = oldest;
                oldest.await?;
            }
            under_way.push_back(self.enqueue(message).await?);
            count += 1;
        }
        for receipt in under_way {
            receipt.await?;
        }
        Ok(count)
    }

    fn finish(&self, destination: &Destination, message: Outgoing) -> Result<Message> {
        message.finish(destination, self.line().shared.options.compress, wall())
    }

    async fn submit(&self, message: Message) -> Result<Receipt> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Send { producer: self.key, message: Arc::new(message), reply: Some(reply) };
        self.line().order(order).await?;
        Ok(Receipt { answer: Some(answer), line: self.line().clone() })
    }

    async fn one_way(&self, message: Message) -> Result<()> {
        let window = self.state.window;
        if window > 0 {
            // A message larger than the window takes all of it.
            let bytes = Core::<()>::charge(&message).min(window);
            match self.state.room.acquire_many(bytes).await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(self.line().shared.closed()),
            }
        }
        self.line().order(Order::Send { producer: self.key, message: Arc::new(message), reply: None }).await
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.line().leave(Order::CloseProducer(self.key));
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("destination", &self.state.destination).finish_non_exhaustive()
    }
}

/// The broker's answer to one message: a future that is ready when the broker has the message for good.
pub struct Receipt {
    answer: Option<oneshot::Receiver<Result<()>>>,
    line: Line,
}

impl Future for Receipt {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Ok(())) };
        Pin::new(answer).poll(context).map(|got| got.unwrap_or_else(|_| Err(self.line.shared.closed())))
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").field("waits", &self.answer.is_some()).finish_non_exhaustive()
    }
}
