//! [`OperatorDoor`]: the admin port of a node that runs in this process, and the notice by which it is found.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ferromq_admin::{Command, Door, Meters, Refusal, Role, RoleView, serve};
use ferromq_broker as broker;
use ferromq_config::Config;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::exit::{Exit, Failure};
use crate::whereabouts::{Notice, Whereabouts};

/// Commands that may wait for the role machine.
const WAITING_COMMANDS: usize = 16;

/// The port; closed when dropped.
#[derive(Debug)]
pub(crate) struct OperatorDoor {
    publish: watch::Sender<RoleView>,
    address: Option<SocketAddr>,
    server: Option<JoinHandle<()>>,
    notice: Option<Notice>,
}

impl OperatorDoor {
    /// Opens the port that the configuration asks for; the node is told as claiming until [`Self::opens`].
    pub(crate) async fn open(config: &Config, store: String) -> Result<Self, Failure> {
        let mut view = RoleView::new(config.broker.name.as_str());
        view.enter(Role::Claiming);
        view.store = store;
        let (publish, views) = watch::channel(view);
        let Some(wanted) = config.admin.listen else {
            return Ok(Self { publish, address: None, server: None, notice: None });
        };
        let denied = |error: std::io::Error| {
            let remedy = "set admin.listen (FERROMQ_ADMIN_LISTEN) to another port, 127.0.0.1:0 for a free one, or none";
            Failure::new(
                Exit::Unavailable,
                format!("the admin port {wanted} can't be had: {error}; {remedy}"),
            )
        };
        let listener = TcpListener::bind(wanted).await.map_err(denied)?;
        let address = listener.local_addr().map_err(denied)?;
        let (commands, todo) = mpsc::channel(WAITING_COMMANDS);
        tokio::spawn(refuse_orders(todo));
        let token = config.admin.token.as_ref().map(|token| Arc::from(token.expose()));
        let door = Door { views, meters: Arc::new(Meters::default()), commands, token };
        let server = Some(tokio::spawn(serve(listener, door)));
        Ok(Self { publish, address: Some(address), server, notice: None })
    }

    /// The node listens from now on, and is what it says.
    pub(crate) fn opens(&mut self, listeners: &[String], data: Option<&Path>, role: &broker::Role) {
        self.publish.send_modify(|view| view.listeners = listeners.to_vec());
        self.teller()(role);
        self.announce(listeners, data);
    }

    /// Tells operators of each new role.
    pub(crate) fn teller(&self) -> impl Fn(&broker::Role) + use<> {
        let publish = self.publish.clone();
        move |role| {
            publish.send_modify(|view| match role {
                broker::Role::Active { epoch, .. } => {
                    view.enter(Role::Active);
                    view.master = Some(view.node.clone());
                    view.epoch = *epoch;
                }
                broker::Role::Standby { master, epoch } => {
                    view.enter(Role::Standby);
                    view.master.clone_from(master);
                    view.epoch = *epoch;
                }
                _ => {}
            });
        }
    }

    fn announce(&mut self, listeners: &[String], data: Option<&Path>) {
        let Some(address) = self.address else { return };
        let admin = format!("http://{address}");
        println!("operators on {admin}");
        let at = Whereabouts {
            node: self.publish.borrow().node.clone(),
            data: data.map(|data| data.canonicalize().unwrap_or_else(|_| data.to_owned())),
            listeners: listeners.to_vec(),
            admin,
        };
        match Notice::leave(&at) {
            Ok(notice) => self.notice = Some(notice),
            Err(error) => tracing::warn!(
                %error, admin = at.admin, "no notice of this node could be left; name its admin port to ferromq status"
            ),
        }
    }
}

impl Drop for OperatorDoor {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Roles change by themselves, or with a stop of the master; they are not ordered by this port so far.
async fn refuse_orders(mut todo: mpsc::Receiver<Command>) {
    let remedy =
        "roles can't be ordered from here yet; stop the master (SIGTERM) and a standby takes over at once";
    let alone = || Refusal::Role(remedy.to_owned());
    while let Some(command) = todo.recv().await {
        // Who does not wait for the answer any longer needs none.
        match command {
            Command::Switchover { reply, .. } => drop(reply.send(Err(alone()))),
            Command::ForceClaim { reply, .. } => drop(reply.send(Err(alone()))),
            _ => {}
        }
    }
}
