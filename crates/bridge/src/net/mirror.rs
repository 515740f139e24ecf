//! [`Mirror`]: the other half of a peer's duplex bridge, over the connection that the peer opened.

use ferromq_openwire::{BrokerInfo, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::drive::{START, drive};
use super::local::{LocalDoor, enter};
use super::peer::Peer;
use super::status::{LinkState, LinkStatus};
use super::ways::{Way, Ways};
use crate::{Bridge, Side};

/// The peer's connection, as far as it is about the other half of its bridge.
#[derive(Debug)]
pub struct Ends {
    /// What the peer says to it. When it ends, the connection has ended.
    pub heard: mpsc::Receiver<Command>,
    /// What it says to the peer. When it is dropped, the connection is to be closed.
    pub said: mpsc::UnboundedSender<Command>,
    /// How many of these commands the connection has taken.
    pub taken: watch::Receiver<u64>,
}

/// The other half of a duplex bridge; it ends with the connection, or when this is dropped.
#[derive(Debug)]
pub struct Mirror {
    status: watch::Receiver<LinkStatus>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Mirror {
    /// Begins the other half that `asked` asks for, at the broker behind `door`. `seed` must be unique.
    pub fn begin(asked: BrokerInfo, remote: &str, seed: &str, door: LocalDoor, ends: Ends) -> Self {
        let bridge = Bridge::mirror(&asked, seed).to(remote);
        let (shown, status) = watch::channel(LinkStatus::new(&bridge.settings().name, remote, true));
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let reason = live(bridge, asked, door, ends, &shown, &mut stopped).await;
            shown.send_modify(|status| {
                tracing::info!(
                    connector = status.connector,
                    remote = status.remote,
                    reason,
                    "network connection of a duplex bridge has ended"
                );
                status.close_books();
                status.enter(LinkState::Stopped);
                status.reason = Some(reason);
            });
        });
        Self { status, stop, task }
    }

    /// How far it is now.
    pub fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn live(
    mut bridge: Bridge,
    asked: BrokerInfo,
    door: LocalDoor,
    ends: Ends,
    shown: &watch::Sender<LinkStatus>,
    stopped: &mut watch::Receiver<bool>,
) -> String {
    let clock = Clock::new();
    let local = match enter(&door, clock) {
        Ok(local) => local,
        Err(reason) => return reason,
    };
    shown.send_modify(|status| status.enter_for(LinkState::Starting, START));
    bridge.handle(Side::Remote, asked.into(), clock.now());
    let ways = Ways { local: Some(local), remote: Some(Way::Peer(Box::new(Peer::new(ends)))), inbound: None };
    drive(&mut bridge, ways, clock, shown, stopped).await.ending.to_string()
}
