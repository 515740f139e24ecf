//! [`OperatorDoor`]: the admin port and socket of a node that runs in this process, and the notice by which it is found.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ferromq_admin::{Door, serve, serve_local};
use ferromq_config::{AdminSocket, Config};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use crate::exit::{Exit, Failure};
use crate::local_socket::LocalSocket;
use crate::whereabouts::{self, Notice, Whereabouts};

/// What was asked for, taken before anything else is started, so that nothing has to be undone.
#[derive(Debug)]
pub(crate) struct OperatorDoor {
    port: Option<(TcpListener, SocketAddr)>,
    socket: Option<(UnixListener, LocalSocket)>,
    /// It was asked for by its path, and so it is told.
    told: bool,
    token: Option<Arc<str>>,
}

/// The door at work; closed when dropped.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    servers: Vec<JoinHandle<()>>,
    _socket: Option<LocalSocket>,
    _notice: Option<Notice>,
}

impl OperatorDoor {
    /// Takes the port and the socket that the configuration asks for.
    pub(crate) async fn reserve(config: &Config) -> Result<Self, Failure> {
        let port = match config.admin.listen {
            Some(wanted) => Some(port(wanted).await?),
            None => None,
        };
        let (socket, told) = match &config.admin.socket {
            AdminSocket::At(path) => (Some(listen_at(path).await?), true),
            AdminSocket::Auto => (listen_anywhere().await, port.is_none()),
            _ => (None, false),
        };
        let token = config.admin.token.as_ref().map(|token| Arc::from(token.expose()));
        Ok(Self { port, socket, told, token })
    }

    /// Answers from now on; where, it gives as well.
    pub(crate) fn open(self, mut door: Door, data: Option<&Path>) -> (Option<OpenDoor>, Vec<String>) {
        let view = door.views.borrow().clone();
        door.token = self.token;
        let (mut servers, mut urls) = (Vec::new(), Vec::new());
        if let Some((listener, address)) = self.port {
            servers.push(tokio::spawn(serve(listener, door.clone())));
            urls.push(format!("http://{address}"));
        }
        let mut file = None;
        if let Some((listener, socket)) = self.socket {
            servers.push(tokio::spawn(serve_local(listener, door)));
            urls.extend(self.told.then(|| socket.url()));
            file = Some(socket);
        }
        let Some(admin) = urls.first().cloned() else { return (None, urls) };
        let at = Whereabouts {
            node: view.node,
            data: data.map(|data| data.canonicalize().unwrap_or_else(|_| data.to_owned())),
            listeners: view.listeners,
            admin,
        };
        let notice = Notice::leave(&at).inspect_err(|error| {
            tracing::warn!(
                %error, admin = at.admin, "no notice of this node could be left; name its admin port to ferromq status"
            );
        });
        (Some(OpenDoor { servers, _socket: file, _notice: notice.ok() }), urls)
    }
}

async fn port(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let denied = |error: std::io::Error| {
        let remedy =
            "set admin.listen (FERROMQ_ADMIN_LISTEN) to another port, 127.0.0.1:0 for a free one, or none";
        Failure::new(Exit::Unavailable, format!("the admin port {wanted} can't be had: {error}; {remedy}"))
    };
    let listener = TcpListener::bind(wanted).await.map_err(denied)?;
    let address = listener.local_addr().map_err(denied)?;
    Ok((listener, address))
}

async fn listen_at(path: &Path) -> Result<(UnixListener, LocalSocket), Failure> {
    LocalSocket::listen(path).await.map_err(|error| {
        let remedy = "set admin.socket (FERROMQ_ADMIN_SOCKET) to another path, auto, or none";
        let path = path.display();
        Failure::new(Exit::Unavailable, format!("the admin socket {path} can't be had: {error}; {remedy}"))
    })
}

/// Nobody asked for it: who has none commands by the port.
async fn listen_anywhere() -> Option<(UnixListener, LocalSocket)> {
    let listening = match whereabouts::socket() {
        Ok(path) => LocalSocket::listen(&path).await,
        Err(error) => Err(error),
    };
    listening.inspect_err(|error| tracing::debug!(%error, "no socket for operators")).ok()
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}
