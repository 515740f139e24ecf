//! [`Multicast`]: an agent with its socket, on a task of tokio.

mod socket;

use std::io;
use std::time::{Duration, Instant as StdInstant};

use ferromq_model::Instant;
use ferromq_uri::{MulticastOptions, Uri};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant as TokioInstant, sleep_until};

pub use self::socket::JoinError;
use crate::{Agent, MAX_BROKERS, MAX_DATAGRAM_BYTES, Output};

/// Between attempts to join: at first, and at the longest.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// When nothing else is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// Takes part in a group; it leaves when this is dropped, and tells so.
#[derive(Debug)]
pub struct Multicast {
    present: watch::Receiver<Vec<Uri>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Multicast {
    /// Joins the group, to tell of `services` (none for who only listens) and to hear of others; what is in `own` is
    /// not found. To be called within a runtime.
    ///
    /// # Errors
    /// The group cannot be joined: no such interface, or none with multicast.
    pub fn join(
        options: &MulticastOptions,
        services: Vec<String>,
        own: &[String],
    ) -> Result<Self, JoinError> {
        let socket = socket::open(options)?;
        let socket = UdpSocket::from_std(socket).map_err(|source| JoinError::new(options, source))?;
        let agent = Agent::new(options, services).passing_over(own.iter().map(String::as_str));
        let (told, present) = watch::channel(Vec::new());
        let (stop, stopped) = watch::channel(false);
        let group =
            Group { socket, to: options.address.into(), origin: StdInstant::now(), told, mute: false };
        let task = tokio::spawn(group.take_part(agent, stopped));
        Ok(Self { present, stop, task })
    }

    /// The same, for as long as it takes: an interface may come up later than whoever needs it. What hinders it is told.
    pub async fn join_when_possible(
        options: &MulticastOptions,
        services: Vec<String>,
        own: &[String],
    ) -> Self {
        let (mut rest, longest) = REST;
        loop {
            match Self::join(options, services.clone(), own) {
                Ok(multicast) => return multicast,
                Err(error) => tracing::warn!(
                    group = %options.address, %error, again_s = rest.as_secs(), "no discovery"
                ),
            }
            tokio::time::sleep(rest).await;
            rest = (rest * 2).min(longest);
        }
    }

    /// Waits until others have come or gone, and tells who is there: scheme, host and port of each.
    pub async fn changed(&mut self) -> Vec<Uri> {
        // An agent that is over hears of nobody.
        if self.present.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.present.borrow_and_update().clone()
    }

    /// Leaves the group, and returns when that has been told.
    pub async fn leave(mut self) {
        self.stop.send_replace(true);
        // It sends a few datagrams, and waits for nobody.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.task).await;
    }
}

impl Drop for Multicast {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

struct Group {
    socket: UdpSocket,
    to: std::net::SocketAddr,
    origin: StdInstant,
    told: watch::Sender<Vec<Uri>>,
    /// What is sent does not leave; told once.
    mute: bool,
}

impl Group {
    async fn take_part(mut self, mut agent: Agent, mut stopped: watch::Receiver<bool>) {
        let mut room = vec![0; MAX_DATAGRAM_BYTES + 1];
        loop {
            agent.tick(self.now());
            self.serve(&mut agent).await;
            let due = agent.next_deadline();
            let due = due.map(|at| TokioInstant::from_std(self.origin + Duration::from_nanos(at.0)));
            tokio::select! {
                read = self.socket.recv(&mut room) => match read {
                    Ok(bytes) => agent.heard(room.get(..bytes).unwrap_or_default(), self.now()),
                    // The kernel tells of an earlier send in this way.
                    Err(error) => tracing::debug!(group = %self.to, %error, "a datagram could not be read"),
                },
                () = sleep_until(due.unwrap_or_else(|| TokioInstant::now() + IDLE)) => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        agent.leave();
        self.serve(&mut agent).await;
    }

    /// Does what the agent wants.
    async fn serve(&mut self, agent: &mut Agent) {
        let mut changed = false;
        while let Some(output) = agent.poll() {
            match output {
                Output::Send(said) => {
                    let sent = self.socket.send_to(&said, self.to).await;
                    self.note(sent);
                }
                Output::Found(_) | Output::Gone(_) => changed = true,
                Output::Crowded => tracing::warn!(
                    group = %self.to,
                    "more than {MAX_BROKERS} brokers tell of themselves; the others are passed over. Divide them into groups \
                     (group=…), or name those that are meant: static:(…)"
                ),
            }
        }
        if changed {
            self.told.send_replace(agent.known().cloned().collect());
        }
    }

    fn note(&mut self, sent: io::Result<usize>) {
        match sent {
            Ok(_) => self.mute = false,
            Err(error) if !std::mem::replace(&mut self.mute, true) => tracing::warn!(
                group = %self.to, %error,
                "others can't be told of this broker by multicast; it goes on trying. Name an interface with \
                 multicast (interface=…), or name all brokers: static:(…)"
            ),
            Err(_) => {}
        }
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
