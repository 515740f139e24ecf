//! [`Reception`]: gives each accepted connection a number, a session and a task.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferromq_engine::{ConnId, Effect, Input, Intent, Tag};
use ferromq_env::Clock;
use ferromq_gateway::openwire::{BrokerInfo, Command};
use ferromq_gateway::{PeerBroker, SessionSettings};
use ferromq_model::Text;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::connection::{Connection, drive};
use crate::grumbles::Grumbles;
use crate::wire::Wire;
use crate::{Drain, Letter, Mailbox, Outbox, Parcel, Seat, Spread};

/// Logins that are decided at a time, if that takes long; others wait for their turn.
const LOGINS: usize = 4;
/// What may be under way each way in a pipe; it holds room for what it needs alone.
const PIPE_BYTES: usize = 256 * 1024;

/// What all connections of a broker share.
#[derive(Clone)]
pub struct Reception {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) engine: Mailbox<Letter>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) drain: Drain,
    /// Of peers that break the protocol.
    pub(crate) grumbles: Grumbles,
    /// Logins that are being decided, each on a thread with megabytes of its own.
    pub(crate) logins: Arc<Semaphore>,
    /// Who builds the other half of a peer's duplex bridge.
    pub(crate) mirrors: Option<MirrorHost>,
    /// Who keeps account of the brokers that are linked to this one.
    pub(crate) peers: Option<PeerHost>,
    /// Where connections live; none for the runtime that they are welcomed in.
    spread: Option<Spread>,
    next: AtomicU64,
}

/// A peer asks for the other half of its duplex bridge over its connection.
#[derive(Debug)]
pub struct MirrorCall {
    /// How the peer introduced itself, and the bridge that it wants.
    pub asked: BrokerInfo,
    /// Its address.
    pub remote: Text,
    /// What it says to that half; ends with the connection.
    pub heard: mpsc::Receiver<Command>,
    /// What that half says; when it is dropped, the connection is closed.
    pub said: mpsc::UnboundedSender<Command>,
    /// How many of these commands were taken.
    pub taken: watch::Receiver<u64>,
}

/// Builds the other half of a duplex bridge; returns at once.
pub type MirrorHost = Arc<dyn Fn(MirrorCall) + Send + Sync>;

/// Hears which broker is linked by a connection, and of none when that ends; returns at once.
pub type PeerHost = Arc<dyn Fn(ConnId, Option<PeerBroker>) + Send + Sync>;

impl Reception {
    /// A reception that sends what peers want to `engine`, until `drain` begins.
    pub fn new(engine: Mailbox<Letter>, clock: Arc<dyn Clock>, drain: Drain) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                clock,
                drain,
                grumbles: Grumbles::default(),
                logins: Arc::new(Semaphore::new(LOGINS)),
                mirrors: None,
                peers: None,
                spread: None,
                next: AtomicU64::new(1),
            }),
        }
    }

    /// Spreads connections over lanes.
    #[must_use]
    pub fn over(mut self, lanes: Spread) -> Self {
        // Nobody else has it yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spread = Some(lanes);
        }
        self
    }

    /// Serves peers that want a duplex bridge as well; others are served as clients.
    #[must_use]
    pub fn with_mirrors(mut self, host: MirrorHost) -> Self {
        // Nobody else has it yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.mirrors = Some(host);
        }
        self
    }

    /// Tells of brokers that are linked to this one, in either direction.
    #[must_use]
    pub fn with_peers(mut self, host: PeerHost) -> Self {
        // Nobody else has it yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.peers = Some(host);
        }
        self
    }

    /// Asks the engine for something on behalf of nobody at a socket. The answer comes when what it led to is durable, and
    /// not at all if the engine has ended.
    pub async fn ask(&self, intent: Intent) -> Effect {
        let (conn, outbox) = (self.next_conn(), Arc::<Outbox>::default());
        let engine = &self.shared.engine;
        engine.post(Letter::Plug(conn, Arc::clone(&outbox)));
        engine.post(Letter::Input(Input::Attach { conn }));
        engine.post(Letter::Input(Input::Intent { conn, tag: Some(Tag(0)), intent }));
        // Whoever waits no longer leaves nothing behind.
        let _end = End { engine, conn };
        let mut parcels = VecDeque::new();
        loop {
            outbox.arrival().await;
            outbox.take(&mut parcels);
            for parcel in parcels.drain(..) {
                if let Parcel::Reply(_, effect) = parcel {
                    return effect;
                }
            }
        }
    }

    fn next_conn(&self) -> ConnId {
        ConnId(self.shared.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Serves a connection on a task of its own; the seat is free again when the connection has ended.
    pub fn welcome(&self, settings: &Arc<SessionSettings>, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let conn = self.next_conn();
        let connection = self.connection(settings, conn, &format!("tcp://{peer}"));
        let Some(spread) = &self.shared.spread else {
            tokio::spawn(async move {
                drive(connection, Wire::Tcp(stream)).await;
                drop(seat);
            });
            return;
        };
        // A socket belongs to the runtime that watches it.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%peer, %error, "connection ended before it began"),
        };
        let place = spread.place();
        let runtime = place.runtime().clone();
        runtime.spawn(async move {
            let _place = place;
            match TcpStream::from_std(stream) {
                Ok(stream) => drive(connection, Wire::Tcp(stream)).await,
                Err(error) => tracing::warn!(%peer, %error, "a connection could not be served"),
            }
            drop(seat);
        });
    }

    /// Serves a peer within the process, which has the other end of a pipe: the answer. It is served in the runtime that
    /// this is called in, so that no other thread is woken for what goes through.
    pub fn within(&self, settings: &Arc<SessionSettings>, seat: Seat) -> DuplexStream {
        let (theirs, ours) = tokio::io::duplex(PIPE_BYTES);
        let conn = self.next_conn();
        let connection = self.connection(settings, conn, &format!("vm://localhost#{}", conn.0));
        tokio::spawn(async move {
            drive(connection, Wire::Pipe(ours)).await;
            drop(seat);
        });
        theirs
    }

    fn connection(&self, settings: &Arc<SessionSettings>, conn: ConnId, remote: &str) -> Connection {
        Connection::new(Arc::clone(&self.shared), Arc::clone(settings), conn, Text::from(remote))
    }
}

/// Ends what was begun for a question.
struct End<'a> {
    engine: &'a Mailbox<Letter>,
    conn: ConnId,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.engine.post(Letter::Input(Input::Detach { conn: self.conn }));
        self.engine.post(Letter::Unplug(self.conn));
    }
}
