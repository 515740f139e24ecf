//! [`Ways`]: the connections of a bridge, looked after by the one task that has the bridge: what came over one of them
//! leaves over the other without waking anybody in between.

use ferromq_client::Address;
use ferromq_model::Instant;
use ferromq_openwire::{Command, ShutdownInfo};

use super::clock::Clock;
use super::line::Line;
use super::peer::Peer;
use super::port::Port;
use crate::Side;

/// Commands of a connection that are taken before the others are looked at.
const BATCH: usize = 256;

/// One connection.
pub(super) enum Way {
    Port(Box<Port>),
    Peer(Box<Peer>),
}

/// All connections of a bridge.
pub(super) struct Ways {
    pub local: Option<Way>,
    pub remote: Option<Way>,
    pub inbound: Option<Way>,
}

impl Way {
    /// A connection on a line that speaks OpenWire from now on.
    pub fn open(line: impl Line + 'static, address: &Address, clock: Clock) -> Result<Self, String> {
        Port::open(line, address, clock).map(|port| Self::Port(Box::new(port)))
    }

    async fn ready(&mut self, heard: bool) -> Result<(), String> {
        match self {
            Self::Port(port) => port.ready(heard).await,
            Self::Peer(peer) => peer.ready().await,
        }
    }

    fn heard(&mut self) -> Result<Option<Command>, String> {
        match self {
            Self::Port(port) => port.heard(),
            Self::Peer(peer) => Ok(peer.heard()),
        }
    }

    fn say(&mut self, command: Command) {
        match self {
            Self::Port(port) => port.say(command),
            Self::Peer(peer) => peer.say(command),
        }
    }

    /// Whether there is much to be said already that has not been taken.
    fn is_behind(&mut self) -> bool {
        match self {
            Self::Port(port) => port.is_behind(),
            Self::Peer(peer) => peer.is_behind(),
        }
    }
}

/// Waits for one that there is.
async fn ready(way: &mut Option<Way>, heard: bool) -> Result<(), String> {
    match way {
        Some(way) => way.ready(heard).await,
        None => std::future::pending().await,
    }
}

impl Ways {
    /// Waits until there is something to do on one of them; on the local one only if there is room for what it would
    /// hand out, and the remote one is heard only while the local broker takes what it says there. Nothing is lost if it is
    /// dropped while it waits.
    pub async fn ready(&mut self, room: bool) -> (Side, Result<(), String>) {
        let is_behind = |way: &mut Option<Way>| way.as_mut().is_some_and(Way::is_behind);
        let room = room && !is_behind(&mut self.remote);
        let heard = !is_behind(&mut self.inbound);
        tokio::select! {
            ready = ready(&mut self.local, true), if room => (Side::Local, ready),
            ready = ready(&mut self.remote, heard) => (Side::Remote, ready),
            ready = ready(&mut self.inbound, true) => (Side::Inbound, ready),
        }
    }

    /// Hands what came over a connection to `take`, up to a bound; says whether there may be more.
    pub fn hear(&mut self, side: Side, mut take: impl FnMut(Command)) -> Result<bool, String> {
        let Some(way) = self.on(side) else { return Ok(false) };
        for _ in 0..BATCH {
            match way.heard()? {
                Some(command) => take(command),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Notes what is to be said.
    pub fn say(&mut self, side: Side, command: Command) {
        if let Some(way) = self.on(side) {
            way.say(command);
        }
    }

    /// Writes what was said, as far as the sockets take it.
    pub fn flush(&mut self) -> Result<(), (Side, String)> {
        self.ports().try_for_each(|(side, port)| port.flush().map_err(|reason| (side, reason)))
    }

    /// The next message that could not be sent to the remote broker, by its command's id, and why.
    pub fn unsendable(&mut self) -> Option<(i32, String)> {
        match &mut self.remote {
            Some(Way::Port(port)) => port.unsendable(),
            _ => None,
        }
    }

    /// When to call [`Ways::tick`] at the latest.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.ports().filter_map(|(_, port)| port.next_deadline()).min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Result<(), (Side, String)> {
        self.ports().try_for_each(|(side, port)| port.tick(now).map_err(|reason| (side, reason)))
    }

    /// Says goodbye on all of them.
    pub fn close(mut self) {
        for side in [Side::Inbound, Side::Local, Side::Remote] {
            self.say(side, ShutdownInfo::default().into());
        }
        for way in [self.inbound, self.local, self.remote] {
            if let Some(Way::Port(port)) = way {
                port.close();
            }
        }
    }

    fn on(&mut self, side: Side) -> Option<&mut Way> {
        match side {
            Side::Local => self.local.as_mut(),
            Side::Remote => self.remote.as_mut(),
            Side::Inbound => self.inbound.as_mut(),
        }
    }

    fn ports(&mut self) -> impl Iterator<Item = (Side, &mut Port)> {
        let all = [
            (Side::Local, &mut self.local),
            (Side::Remote, &mut self.remote),
            (Side::Inbound, &mut self.inbound),
        ];
        all.into_iter().filter_map(|(side, way)| match way {
            Some(Way::Port(port)) => Some((side, &mut **port)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ferromq_client::ConnectOptions;
    use ferromq_openwire::{Message, MessageKind};
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_remote_broker_is_heard_as_long_as_the_local_one_takes_what_it_says() {
        for (waits, heard) in [(1, true), (8, false)] {
            let address = ConnectOptions::parse("tcp://localhost").unwrap().address();
            let (clock, pipe) = (Clock::new(), || duplex(1_024));
            let ((remote, mut far), (inbound, _near)) = (pipe(), pipe());
            let way = |pipe| Some(Way::open(pipe, &address, clock).unwrap());
            let mut ways = Ways { local: None, remote: way(remote), inbound: way(inbound) };
            assert_eq!(ways.flush(), Ok(()));
            // Given so many megabytes that the local broker has not taken
            let mut message = Message::new(MessageKind::Bytes);
            message.content = Some(vec![0; 1 << 20].into());
            for _ in 0..waits {
                ways.say(Side::Inbound, message.clone().into());
            }
            // When the remote broker says more
            far.write_all(b"more").await.unwrap();
            let ready = timeout(Duration::ZERO, ways.ready(true)).await;
            // Then it is heard, or waits.
            assert_eq!(ready.is_ok(), heard, "{waits} MiB");
        }
    }
}
