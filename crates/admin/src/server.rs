//! [`serve`] and [`serve_local`]: the accept loop, and the pages in plain HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use ferromq_proto::admin::admin_server::AdminServer;
use ferromq_proto::health::health_server::HealthServer;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;

use crate::command::{Command, StreamCount, StreamEntry, SubscriptionEntry};
use crate::entrance::{self, Peer};
use crate::health::HealthService;
use crate::meters::Meters;
use crate::metrics::render;
use crate::opening::Opening;
use crate::service::AdminService;
use crate::view::{Role, RoleView};

/// Connections at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 64;

/// How long a page waits for the engine's counts.
const ENGINE_PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer about the role waits for them: it is worth more than they are.
const STATUS_PATIENCE: Duration = Duration::from_millis(200);

/// How long a peer may take to say what it wants, and to answer a ping.
const PEER_PATIENCE: Duration = Duration::from_secs(10);

/// Everything behind the port.
#[derive(Clone, Debug)]
pub struct Door {
    /// What the node is.
    pub views: watch::Receiver<RoleView>,
    /// What it counts.
    pub meters: Arc<Meters>,
    /// What it is to do.
    pub commands: mpsc::Sender<Command>,
    /// What commands must show; without it they must come from this machine.
    pub token: Option<Arc<str>>,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, door: Door) {
    serve_whoever_comes(listener, door).await;
}

/// Serves whoever may open a socket of this machine, until it is dropped: its permissions say who may command.
pub async fn serve_local(listener: UnixListener, door: Door) {
    serve_whoever_comes(listener, door).await;
}

/// Where peers come in.
trait Entrance: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Entrance for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = self.accept().await?;
        // Answers are small and somebody waits for them.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::At(peer)))
    }
}

impl Entrance for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.accept().await?;
        Ok((stream, Peer::OfThisMachine))
    }
}

async fn serve_whoever_comes(entrance: impl Entrance, door: Door) {
    let router = router(door);
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        let (stream, peer) = match entrance.next().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin port can't accept a connection for now");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone().layer(axum::Extension(peer)));
        connections.spawn(async move {
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(PEER_PATIENCE);
            builder
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(32)
                .keep_alive_interval(PEER_PATIENCE)
                .keep_alive_timeout(PEER_PATIENCE);
            if let Err(error) =
                builder.serve_connection(TokioIo::new(Opening::new(stream, PEER_PATIENCE)), service).await
            {
                tracing::debug!(%peer, error, "a connection of the admin port ended early");
            }
            drop(seat);
        });
        while connections.try_join_next().is_some() {}
    }
}

fn router(door: Door) -> Router {
    let admin = AdminServer::new(AdminService::new(door.clone())).max_decoding_message_size(64 * 1024);
    let health =
        HealthServer::new(HealthService::new(door.views.clone())).max_decoding_message_size(64 * 1024);
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(door);
    let grpc = Routes::new(admin).add_service(health).into_axum_router();
    let grpc = grpc.layer(axum::middleware::from_fn(entrance::grpc_only));
    pages.fallback_service(grpc)
}

async fn metrics(State(door): State<Door>) -> impl IntoResponse {
    let view = door.views.borrow().clone();
    let (destinations, streams) = if view.role == Role::Active {
        let destinations = asked(&door.commands, ENGINE_PATIENCE, |reply| Command::Destinations { reply });
        let streams = asked(&door.commands, ENGINE_PATIENCE, |reply| Command::Streams { reply });
        tokio::join!(destinations, streams)
    } else {
        (None, None)
    };
    let text = render(&view, &door.meters, destinations.as_deref(), streams.as_deref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

impl Door {
    /// The streams to other brokers, if this node is the master and its engine answers soon.
    pub(crate) async fn streams(&self) -> Option<Vec<StreamCount>> {
        if self.views.borrow().role != Role::Active {
            return None;
        }
        asked(&self.commands, STATUS_PATIENCE, |reply| Command::Streams { reply }).await
    }

    /// The streams to and from other brokers, if the engine answers soon.
    pub(crate) async fn all_streams(&self) -> Option<Vec<StreamEntry>> {
        asked(&self.commands, ENGINE_PATIENCE, |reply| Command::AllStreams { reply }).await
    }

    /// Every durable subscription, if the engine answers soon.
    pub(crate) async fn subscriptions(&self) -> Option<Vec<SubscriptionEntry>> {
        asked(&self.commands, ENGINE_PATIENCE, |reply| Command::Subscriptions { reply }).await
    }
}

/// What the engine answers, if it does so in time.
async fn asked<T>(
    commands: &mpsc::Sender<Command>,
    patience: Duration,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(patience, asked).await.ok().flatten()
}

async fn ready(State(door): State<Door>) -> impl IntoResponse {
    let role = door.views.borrow().role;
    let status = if role == Role::Active { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", role.name()))
}
