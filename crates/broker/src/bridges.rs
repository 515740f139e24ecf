//! [`Bridges`]: the links of a master to other brokers. They begin with its reign, and end before its sessions do.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ferromq_bridge::{Ends, Link, LinkStatus, LocalDoor, Mirror, Retry};
use ferromq_client::ConnectOptions;
use ferromq_gateway::SessionSettings;
use ferromq_net::{Census, MirrorCall, MirrorHost, Reception, Spread};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::neighbours::{Links, Search};

/// Connections that bridges may have to their own broker.
const LOCAL_CONNECTIONS: usize = 4_096;

/// The largest frame of anybody.
const MOST_FRAME_BYTES: u64 = 1 << 30;

/// One network connector: what flows, and where to.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Its attributes.
    pub settings: ferromq_bridge::Settings,
    /// A link for each; the addresses of one are those of a master and its standbys.
    pub links: Vec<Vec<ConnectOptions>>,
    /// How further peers are found, each of which gets a link.
    pub search: Option<Search>,
    /// When to try again.
    pub retry: Retry,
}

/// The other halves of the duplex bridges of peers, by the name of the peer's connector and its id.
type Mirrors = Arc<Mutex<Vec<(String, Mirror)>>>;

pub(crate) struct Bridges {
    links: Vec<Link>,
    mirrors: Mirrors,
    door: LocalDoor,
}

/// The links of a reign, to look at.
#[derive(Clone, Debug)]
pub(crate) struct LinksView {
    links: Vec<watch::Receiver<LinkStatus>>,
    mirrors: Mirrors,
    found: Vec<Links>,
}

impl LinksView {
    /// How far each link is.
    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let mirrors = mirrors.iter().filter(|(_, mirror)| !mirror.is_over());
        let mut links: Vec<LinkStatus> = self.links.iter().map(|link| link.borrow().clone()).collect();
        for found in &self.found {
            links.extend(found.lock().unwrap_or_else(PoisonError::into_inner).values().map(Link::status));
        }
        links.extend(mirrors.map(|(_, mirror)| mirror.status()));
        links
    }
}

/// Who answers to peers that want a duplex bridge, and where the door is found once there is one.
#[derive(Default)]
pub(crate) struct MirrorDesk {
    mirrors: Mirrors,
    door: Arc<Mutex<Option<LocalDoor>>>,
}

impl MirrorDesk {
    /// For the reception, which must exist before a door into it can.
    pub(crate) fn host(&self, seed: String) -> MirrorHost {
        let (mirrors, door) = (Arc::clone(&self.mirrors), Arc::clone(&self.door));
        let begun = AtomicU64::new(0);
        Arc::new(move |call: MirrorCall| {
            let MirrorCall { asked, remote, heard, said, taken } = call;
            let Some(door) = door.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
            let id = asked.broker_id.as_ref().map(ToString::to_string).unwrap_or_default();
            let mut mirrors = mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            // Never one that another of them has: the ids of its connections come from it.
            let seed = format!("{seed}-m{}", begun.fetch_add(1, Ordering::Relaxed));
            let mirror = Mirror::begin(asked, &remote.to_str(), &seed, door, Ends { heard, said, taken });
            let key = format!("{}@{id}", mirror.status().connector);
            // A peer that comes again has lost its old connection, even if that has not been noticed here.
            mirrors.retain(|(known, mirror)| *known != key && !mirror.is_over());
            mirrors.push((key, mirror));
        })
    }
}

impl Bridges {
    /// Begins all links; to be called within a runtime.
    pub(crate) fn begin(
        connectors: &[Connector],
        desk: MirrorDesk,
        reception: Reception,
        mut session: SessionSettings,
        seed: &str,
        lanes: &Spread,
    ) -> Self {
        // Within the process nobody falls silent, and nobody has to say who he is.
        session.max_inactivity = std::time::Duration::ZERO;
        session.login = Arc::new(ferromq_gateway::OpenDoor);
        session.populate_user_id = false;
        // What a listener took may go on.
        session.max_frame_size = MOST_FRAME_BYTES;
        let door = door(reception, Arc::new(session));
        *desk.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&door));
        let links = connectors.iter().flat_map(|connector| {
            connector.links.iter().map(|remotes| {
                let (settings, door) = (connector.settings.clone(), Arc::clone(&door));
                lanes.on_one(|| Link::begin(settings, door, remotes.clone(), connector.retry, seed))
            })
        });
        Self { links: links.collect(), mirrors: desk.mirrors, door }
    }

    /// The way into this broker, for further links.
    pub(crate) const fn door(&self) -> &LocalDoor {
        &self.door
    }

    /// For whoever looks at the links while this has them, and at those to brokers that were `found`.
    pub(crate) fn view(&self, found: Vec<Links>) -> LinksView {
        let links = self.links.iter().map(Link::watch).collect();
        LinksView { links, mirrors: Arc::clone(&self.mirrors), found }
    }

    /// Ends all links in order; what is under way stays here, and is known there if it arrived.
    pub(crate) async fn stop(self) {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).clear();
        stop_all(self.links).await;
    }
}

/// Ends links in order, all at once: together they take no longer than the slowest of them.
pub(crate) async fn stop_all(links: impl IntoIterator<Item = Link>) {
    let mut stopping: JoinSet<()> = links.into_iter().map(Link::stop).collect();
    // One that ended by a bug has said so.
    while stopping.join_next().await.is_some() {}
}

/// A door into the broker: whoever comes gets one end of a pipe, and the reception serves the other.
fn door(reception: Reception, session: Arc<SessionSettings>) -> LocalDoor {
    let census = Arc::new(Census::default());
    Arc::new(move || {
        let seat = census.seat(LOCAL_CONNECTIONS).ok_or_else(|| io::Error::other("too many bridges"))?;
        Ok(reception.within(&session, seat))
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn links_to_brokers_that_do_not_answer_hold_up_no_end() {
        // Given brokers that take a connection and say nothing, as one does whose machine stands still
        let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("tcp://{}", silent.local_addr().unwrap());
        let door: LocalDoor = Arc::new(|| Err(io::Error::other("nobody came so far")));
        let begin = |_| {
            let remotes = vec![ConnectOptions::parse(&url).unwrap()];
            Link::begin(
                ferromq_bridge::Settings::default(),
                Arc::clone(&door),
                remotes,
                Retry::default(),
                "t",
            )
        };
        let links: Vec<Link> = (0..3).map(begin).collect();
        let mut taken = Vec::new();
        for _ in &links {
            taken.push(silent.accept().await.unwrap());
        }
        // When the links are to end, then nobody waits for what these brokers may still say.
        let began = Instant::now();
        stop_all(links).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
