//! Connecting, and everything that starts from a connection.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ferromq_openwire::Destination;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use super::clock::{Clock, wall};
use super::consumer::Consumer;
use super::dial::dial;
use super::driver::Driver;
use super::order::{Line, Order, SessionGuard, Shared};
use super::outage::Failover;
use super::producer::Producer;
use super::requester::Requester;
use super::session::Session;
use super::stream::Stream;
use crate::core::{AckMode, ConsumerSpec, Core};
use crate::error::{Error, Result};
use crate::failover::Address;
use crate::settings::ConnectOptions;

/// Orders that may wait for the driver.
const ORDERS: usize = 128;

/// Failures that a slow listener may leave unread.
const FAILURES: usize = 64;

/// A connection to a broker, or to one after the other. Clones share it; it closes itself when the last handle is gone.
#[derive(Clone)]
pub struct Connection {
    line: Line,
}

impl Connection {
    /// Connects to the broker behind a URI such as `tcp://localhost:61616?jms.prefetchPolicy.all=10`, or to one of
    /// those behind `failover:(tcp://a:61616,tcp://b:61616)?randomize=false`.
    ///
    /// # Errors
    /// The URI is wrong, no broker can be reached or it refuses, or it takes too long.
    pub async fn connect(uri: &str) -> Result<Self> {
        Self::connect_with(ConnectOptions::parse(uri)?).await
    }

    /// Connects with options.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses, or it takes too long.
    pub async fn connect_with(options: ConnectOptions) -> Result<Self> {
        let clock = Clock::new();
        let name: Arc<str> = Arc::from(options.uri.as_str());
        // Of several brokers the driver finds one.
        let stream = match &options.failover {
            Some(_) => None,
            None => Some(reach(&options.address()).await?),
        };
        let core = Core::new(options.clone(), connection_id(), clock.now())?;
        let (orders, order_queue) = mpsc::unbounded_channel();
        let (nudges, nudge_queue) = mpsc::unbounded_channel();
        let (opened, answer) = oneshot::channel();
        let shared = Arc::new(Shared {
            options,
            name,
            room: Semaphore::new(ORDERS),
            broker_name: OnceLock::new(),
            current: watch::Sender::new(None),
            ended: OnceLock::new(),
            failures: broadcast::Sender::new(FAILURES),
            outage: watch::Sender::new(None),
        });
        let driver = Driver {
            core,
            clock,
            orders: order_queue,
            nudges: nudge_queue,
            shared: Arc::clone(&shared),
            opened: Some(opened),
            consumers: BTreeMap::new(),
            producers: BTreeMap::new(),
            wakers: Vec::new(),
            freed: 0,
            close_by: None,
            failover: shared.options.failover.clone().map(Failover::new),
        };
        tokio::spawn(driver.run(stream));
        let line = Line { orders, nudges, shared };
        let opened = async { answer.await.unwrap_or_else(|_| Err(line.shared.closed())) };
        line.shared.bounded("a connection", opened).await?;
        Ok(Self { line })
    }

    /// The broker's address, without options.
    pub fn uri(&self) -> &str {
        &self.line.shared.name
    }

    /// The address of the broker that serves now; nothing while another one is looked for.
    pub fn current(&self) -> Option<Arc<str>> {
        self.line.shared.current.borrow().clone()
    }

    /// The broker's name for itself.
    pub fn broker_name(&self) -> Option<&str> {
        self.line.shared.broker_name.get().map(String::as_str)
    }

    /// A producer for one destination.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn producer(&self, destination: Destination) -> Result<Producer> {
        self.session(AckMode::Auto).await?.producer(destination).await
    }

    /// A producer that names the destination with each message.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn anonymous_producer(&self) -> Result<Producer> {
        self.session(AckMode::Auto).await?.anonymous_producer().await
    }

    /// A consumer that acknowledges in a mode of its own.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn consumer(&self, spec: ConsumerSpec, mode: AckMode) -> Result<Consumer> {
        if mode == AckMode::Transacted {
            return Err(Error::Usage("a transacted consumer belongs to a session: Connection::session"));
        }
        self.session(mode).await?.consumer(spec).await
    }

    /// Looks at the messages of a queue in order, and leaves them there; the stream ends with the last one.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn browse(&self, queue: Destination, selector: Option<&str>) -> Result<Consumer> {
        let mut spec = ConsumerSpec::new(queue).browser();
        spec.selector = selector.map(Into::into);
        self.session(AckMode::Auto).await?.consumer(spec).await
    }

    /// A session, for producers and consumers of one transaction, or consumers that recover together.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn session(&self, mode: AckMode) -> Result<Session> {
        Ok(Session::new(SessionGuard::open(&self.line, mode).await?))
    }

    /// A session whose sends and receives take effect together (JMS 1.1 §4.4.7).
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn transacted(&self) -> Result<Session> {
        self.session(AckMode::Transacted).await
    }

    /// Sends requests to a destination and waits for the replies, through a temporary queue.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn requester(&self, destination: Destination) -> Result<Requester> {
        Requester::new(self, destination).await
    }

    /// Creates a queue that only this connection can consume from, and that ends with it.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn temporary_queue(&self) -> Result<Destination> {
        self.temporary(false).await
    }

    /// Creates a topic that only this connection can consume from, and that ends with it.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn temporary_topic(&self) -> Result<Destination> {
        self.temporary(true).await
    }

    async fn temporary(&self, topic: bool) -> Result<Destination> {
        let place = Arc::new(OnceLock::new());
        let kept = Arc::clone(&place);
        self.line.ask(|reply| Order::AddTemporary { topic, place: kept, reply }).await?;
        place.get().cloned().ok_or_else(|| self.line.shared.closed())
    }

    /// Deletes a temporary destination of this connection.
    ///
    /// # Errors
    /// It has consumers, or the connection is lost.
    pub async fn delete_temporary(&self, destination: Destination) -> Result<()> {
        self.line.ask(|reply| Order::RemoveTemporary { destination, reply }).await
    }

    pub(super) fn drop_temporary(&self, destination: Destination) {
        self.line.leave(Order::DropTemporary(destination));
    }

    /// Ends a durable subscription of this client id.
    ///
    /// # Errors
    /// There is none of that name, or it has a consumer, or the connection is lost.
    pub async fn unsubscribe(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.line.ask(|reply| Order::Unsubscribe { name, reply }).await
    }

    /// Failures that belong to no request, from now on: one-way messages that were refused, a lost connection.
    pub fn failures(&self) -> Failures {
        Failures { receiver: self.line.shared.failures.subscribe() }
    }

    /// Why the connection is over, if it is.
    pub fn ended(&self) -> Option<Error> {
        self.line.shared.ended.get().cloned()
    }

    /// Ends with the connection, and says why; it does not keep it open.
    pub(super) fn over(&self) -> impl Future<Output = Error> + Send + 'static {
        let shared = Arc::clone(&self.line.shared);
        async move {
            // It says that there is no broker after it has said why.
            let mut current = shared.current.subscribe();
            loop {
                if let Some(error) = shared.ended.get() {
                    return error.clone();
                }
                if current.changed().await.is_err() {
                    return shared.closed();
                }
            }
        }
    }

    /// Closes the connection: what was sent is sent, what was taken is acknowledged, open transactions roll back.
    ///
    /// # Errors
    /// The connection was lost before.
    pub async fn close(&self) -> Result<()> {
        self.line.close().await
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("options", &self.line.shared.options).finish_non_exhaustive()
    }
}

/// Failures of a connection that nobody waits for.
#[derive(Debug)]
pub struct Failures {
    receiver: broadcast::Receiver<Error>,
}

impl Failures {
    /// The next one; nothing when the connection is gone. A listener that is far behind misses the oldest.
    pub async fn next(&mut self) -> Option<Error> {
        loop {
            match self.receiver.recv().await {
                Ok(error) => return Some(error),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

async fn reach(address: &Address) -> Result<Stream> {
    tokio::time::timeout(address.connect_timeout, dial(address)).await.unwrap_or_else(|_| {
        Err(Error::Timeout {
            uri: Arc::clone(&address.uri),
            what: "connect".into(),
            after: address.connect_timeout,
        })
    })
}

/// Unique in the world: host, process, time and chance, and a counter within the process.
fn connection_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "rust",
        host => host,
    };
    let chance = RandomState::new().build_hasher().finish() % 1_000_000;
    format!("ID:{host}-{}-{}-{chance}-{count}:1", std::process::id(), wall().0)
}
