//! What handles tell the driver.

use std::sync::{Arc, OnceLock};

use ferromq_openwire::{Destination, Message};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use super::mailbox::Mailbox;
use crate::core::{AckMode, ConsumerKey, ConsumerSpec, ProducerKey, SessionKey};
use crate::error::{Error, Result};
use crate::settings::ConnectOptions;

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<()>>;

/// In the order in which they were given; they wait for room while too much is under way.
pub(super) enum Order {
    OpenSession { mode: AckMode, reply: oneshot::Sender<Option<SessionKey>> },
    OpenProducer { session: SessionKey, producer: Arc<ProducerState>, reply: Reply },
    Send { producer: ProducerKey, message: Arc<Message>, reply: Option<Reply> },
    OpenConsumer { session: SessionKey, consumer: Arc<ConsumerState>, reply: Reply },
    Acknowledge { consumer: ConsumerKey, sequence: u64 },
    Commit { session: SessionKey, reply: Reply },
    Rollback { session: SessionKey, reply: Reply },
    Recover { session: SessionKey, reply: Reply },
    AddTemporary { topic: bool, place: Arc<OnceLock<Destination>>, reply: Reply },
    RemoveTemporary { destination: Destination, reply: Reply },
    Unsubscribe { name: String, reply: Reply },
    Close { reply: Reply },
    // When a handle is dropped: it cannot wait for room, and comes after everything that it ordered.
    CloseConsumer(ConsumerKey),
    CloseProducer(ProducerKey),
    CloseSession(SessionKey),
    DropTemporary(Destination),
}

impl Order {
    /// Whether it took a place that is to be given back.
    pub fn needs_room(&self) -> bool {
        !matches!(
            self,
            Self::CloseConsumer(_)
                | Self::CloseProducer(_)
                | Self::CloseSession(_)
                | Self::DropTemporary(_)
                | Self::Close { .. }
        )
    }

    /// Whether it may be answered with an error when there was no broker for too long. Whatever ends or
    /// acknowledges something waits for as long as it takes.
    pub fn may_expire(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::OpenProducer { .. }
                | Self::OpenConsumer { .. }
                | Self::AddTemporary { .. }
                | Self::Unsubscribe { .. }
        )
    }

    /// Answers it.
    pub fn refuse(self, error: &Error) {
        let reply = match self {
            Self::Send { reply, .. } => reply,
            Self::OpenProducer { reply, .. }
            | Self::OpenConsumer { reply, .. }
            | Self::AddTemporary { reply, .. }
            | Self::Unsubscribe { reply, .. } => Some(reply),
            _ => None,
        };
        if let Some(reply) = reply {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

/// Through a channel of their own, because acknowledgements are what makes room. Each consumer has at most one of
/// each kind in it, which bounds it.
pub(super) enum Nudge {
    Taken(ConsumerKey),
    Pull(ConsumerKey, i64),
}

/// What a producer and the driver share.
pub(super) struct ProducerState {
    pub destination: Option<Destination>,
    pub window: u32,
    /// One permit for each byte of the window.
    pub room: Semaphore,
    pub key: OnceLock<ProducerKey>,
}

/// What a consumer and the driver share.
pub(super) struct ConsumerState {
    pub spec: ConsumerSpec,
    pub mailbox: Mailbox,
    pub key: OnceLock<ConsumerKey>,
}

/// A handle's way to the driver.
#[derive(Clone)]
pub(super) struct Line {
    pub orders: mpsc::UnboundedSender<Order>,
    pub nudges: mpsc::UnboundedSender<Nudge>,
    pub shared: Arc<Shared>,
}

/// What is known of a connection without asking the driver.
pub(super) struct Shared {
    pub options: ConnectOptions,
    pub name: Arc<str>,
    /// Places for orders that the driver has not taken yet.
    pub room: Semaphore,
    pub broker_name: OnceLock<String>,
    /// The broker that serves now, if one does.
    pub current: watch::Sender<Option<Arc<str>>>,
    /// Why the connection ended.
    pub ended: OnceLock<Error>,
    pub failures: broadcast::Sender<Error>,
    /// While there is no broker: which were tried, and why each failed.
    pub outage: watch::Sender<Option<Arc<str>>>,
}

impl Line {
    /// Gives an order, waiting for room.
    pub async fn order(&self, order: Order) -> Result<()> {
        // Room is the rule: then there is no future to be set up.
        let place = match self.shared.room.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let place = async { self.shared.room.acquire().await.map_err(|_| self.shared.closed()) };
                self.shared.bounded("an order that waits for one", place).await?
            }
        };
        place.forget();
        self.orders.send(order).map_err(|_| self.shared.closed())
    }

    /// Gives an order of a handle that is dropped; a driver that is gone needs none.
    pub fn leave(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Gives an order and waits for its answer.
    pub async fn ask(&self, make: impl FnOnce(Reply) -> Order) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.order(make(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(self.shared.closed()))
    }

    /// Closes the connection, with a broker or without.
    pub async fn close(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Close { reply }).map_err(|_| self.shared.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.shared.closed()))
    }

    /// Never waits; a driver that is gone needs no nudge.
    pub fn nudge(&self, nudge: Nudge) {
        let _ = self.nudges.send(nudge);
    }
}

impl Shared {
    /// Why nothing works any more.
    pub fn closed(&self) -> Error {
        self.ended.get().cloned().unwrap_or_else(|| Error::Closed {
            uri: Arc::clone(&self.name),
            reason: Arc::from("its driver has ended"),
        })
    }
}

/// Closes a session when the last handle that uses it is gone.
pub(super) struct SessionGuard {
    pub key: SessionKey,
    pub mode: AckMode,
    pub line: Line,
}

impl SessionGuard {
    pub async fn open(line: &Line, mode: AckMode) -> Result<Arc<Self>> {
        let (reply, answer) = oneshot::channel();
        line.order(Order::OpenSession { mode, reply }).await?;
        let key = answer.await.ok().flatten().ok_or_else(|| line.shared.closed())?;
        Ok(Arc::new(Self { key, mode, line: line.clone() }))
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.line.leave(Order::CloseSession(self.key));
    }
}
