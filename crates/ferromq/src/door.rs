//! [`OperatorDoor`]: the admin port of a node that runs in this process, and the notice by which it is found.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ferromq_admin::{Door, serve};
use ferromq_config::Config;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::exit::{Exit, Failure};
use crate::whereabouts::{Notice, Whereabouts};

/// The port, taken before anything else is started, so that nothing has to be undone.
#[derive(Debug)]
pub(crate) struct OperatorDoor {
    listener: Option<(TcpListener, SocketAddr)>,
    token: Option<Arc<str>>,
}

/// The port at work; closed when dropped.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    server: JoinHandle<()>,
    _notice: Option<Notice>,
}

impl OperatorDoor {
    /// Takes the port that the configuration asks for.
    pub(crate) async fn reserve(config: &Config) -> Result<Self, Failure> {
        let token = config.admin.token.as_ref().map(|token| Arc::from(token.expose()));
        let Some(wanted) = config.admin.listen else { return Ok(Self { listener: None, token }) };
        let denied = |error: std::io::Error| {
            let remedy = "set admin.listen (FERROMQ_ADMIN_LISTEN) to another port, 127.0.0.1:0 for a free one, or none";
            Failure::new(
                Exit::Unavailable,
                format!("the admin port {wanted} can't be had: {error}; {remedy}"),
            )
        };
        let listener = TcpListener::bind(wanted).await.map_err(denied)?;
        let address = listener.local_addr().map_err(denied)?;
        Ok(Self { listener: Some((listener, address)), token })
    }

    /// Answers from now on, and tells where.
    pub(crate) fn open(self, mut door: Door, data: Option<&Path>) -> Option<OpenDoor> {
        let (listener, address) = self.listener?;
        door.token = self.token;
        let view = door.views.borrow().clone();
        let server = tokio::spawn(serve(listener, door));
        let at = Whereabouts {
            node: view.node,
            data: data.map(|data| data.canonicalize().unwrap_or_else(|_| data.to_owned())),
            listeners: view.listeners,
            admin: format!("http://{address}"),
        };
        let notice = Notice::leave(&at).inspect_err(|error| {
            tracing::warn!(
                %error, admin = at.admin, "no notice of this node could be left; name its admin port to ferromq status"
            );
        });
        // Who reads this line finds the notice as well.
        println!("operators on {}", at.admin);
        Some(OpenDoor { server, _notice: notice.ok() })
    }
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        self.server.abort();
    }
}
