//! Clients that fail over, and the network between them and the nodes.

use std::time::Duration;

use ferromq_engine::ConnId;
use ferromq_model::Instant;

use super::member::Role;
use super::world::{Event, World};
use crate::front::ToPeer;

/// A client that waits for an answer so long tries the next node.
const PATIENCE: Duration = Duration::from_millis(700);

/// One TCP connection.
pub(super) struct Link {
    pub(super) client: usize,
    pub(super) member: usize,
    life: u64,
    conn: ConnId,
    /// When the last bytes in each direction arrive: they keep their order.
    to_broker: Instant,
    to_client: Instant,
    /// When the client heard last, or was content.
    heard: Instant,
}

impl World {
    fn delay(&mut self) -> Duration {
        Duration::from_micros(20 + self.dice.below(400))
    }

    pub(super) fn pulse(&mut self) {
        for client in 0..self.clients.len() {
            // A pace at which the work lasts as long as the faults do.
            if self.faults_over || self.dice.chance(1, 8) {
                self.act(client);
            }
            if self.dice.chance(1, 40) || self.faults_over {
                let flushed = self.clients[client].flush(&mut self.oracle, &mut self.dice);
                self.told(flushed);
                self.transmit(client);
            }
        }
        let (now, clients) = (self.now, &self.clients);
        let mut lost = Vec::new();
        for (number, link) in &mut self.links {
            if !clients[link.client].is_waiting() {
                link.heard = now;
            }
            if now.since(link.heard) > PATIENCE {
                lost.push((*number, link.member, link.life, link.conn));
            }
        }
        for (link, member, life, conn) in lost {
            self.link_down(link);
            let delay = self.delay();
            self.after(delay, Event::HangUp { member, life, conn });
        }
    }

    fn told(&mut self, done: Result<(), ferromq_openwire::Error>) {
        if let Err(error) = done {
            self.oracle.accuse("honesty", format!("a client could not encode: {error}"));
        }
    }

    /// Lets a client do what it can; producers wait until every durable subscription exists.
    fn act(&mut self, client: usize) {
        if self.clients[client].is_consumer() && self.clients[client].is_ready() {
            self.subscribed.insert(self.clients[client].number);
        }
        let consumers = self.clients.iter().filter(|client| client.is_consumer()).count();
        if self.subscribed.len() == consumers {
            let done = self.clients[client].act(&mut self.oracle, &mut self.dice).map(drop);
            self.told(done);
        }
        self.transmit(client);
    }

    fn transmit(&mut self, client: usize) {
        let bytes = self.clients[client].take_out();
        let delay = self.delay();
        let now = self.now;
        let Some((number, link)) = self.links.iter_mut().find(|(_, link)| link.client == client) else {
            return;
        };
        if !bytes.is_empty() {
            link.to_broker = link.to_broker.max(now + delay);
            let (at, link) = (link.to_broker, *number);
            self.at(at, Event::ToBroker { link, bytes });
        }
    }

    /// Tries the next node of the list; one that is no master refuses.
    pub(super) fn connect(&mut self, client: usize) {
        if self.clients[client].is_connected() {
            return;
        }
        let member = self.next_member[client] % self.members.len();
        self.next_member[client] = member + 1;
        let paused = self.members[member].paused_until > self.now;
        // The kernel of a paused node accepts, and nobody answers.
        let (life, now) = (self.members[member].life, self.now);
        let serves = self.process(member).is_some_and(|process| matches!(process.role, Role::Active(_)));
        if !serves {
            let delay = Duration::from_millis(2 + self.dice.below(12));
            return self.after(delay, Event::Connect { client });
        }
        self.next_link += 1;
        let (number, conn) = (self.next_link, ConnId(self.next_link));
        self.links
            .insert(number, Link { client, member, life, conn, to_broker: now, to_client: now, heard: now });
        let done = self.clients[client].connected();
        self.told(done);
        if !paused {
            self.serve(member, |front, now, _| front.accept(conn, now));
        }
        self.transmit(client);
    }

    /// The client's end of a link learns that it is gone.
    pub(super) fn link_down(&mut self, number: u64) {
        let Some(link) = self.links.remove(&number) else { return };
        self.clients[link.client].lost(&mut self.oracle);
        let delay = Duration::from_micros(self.dice.below(20_000));
        self.after(delay, Event::Connect { client: link.client });
    }

    /// The node's end of all its links is gone.
    pub(super) fn close_links(&mut self, member: usize) {
        let gone: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.member == member)
            .map(|(number, link)| (*number, link.to_client))
            .collect();
        for (link, at) in gone {
            let at = at.max(self.now + self.delay());
            self.at(at, Event::LinkDown { link });
        }
    }

    /// A link breaks; the broker may learn of it before the client does, or after the client has come back.
    pub(super) fn cut(&mut self) {
        let nth = self.dice.below(self.links.len() as u64);
        let Some((number, link)) = usize::try_from(nth).ok().and_then(|nth| self.links.iter().nth(nth))
        else {
            return;
        };
        let (number, member, life, conn) = (*number, link.member, link.life, link.conn);
        let (broker, client) =
            (self.within(Duration::from_millis(30)), self.within(Duration::from_millis(3)));
        self.after(broker, Event::HangUp { member, life, conn });
        self.after(client, Event::LinkDown { link: number });
    }

    pub(super) fn reach_broker(&mut self, number: u64, bytes: &[u8]) {
        let Some(link) = self.links.get(&number) else { return };
        let (member, life, conn) = (link.member, link.life, link.conn);
        if self.members[member].life == life {
            self.serve(member, |front, now, saboteur| front.receive(conn, bytes, now, saboteur));
        }
    }

    pub(super) fn reach_client(&mut self, number: u64, bytes: &[u8]) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&number) else { return };
        link.heard = now;
        let client = link.client;
        let heard = self.clients[client].received(bytes, &mut self.oracle, &mut self.dice);
        if let Err(error) = heard {
            self.oracle.accuse("honesty", format!("a client could not read what it was sent: {error}"));
        }
        self.transmit(client);
    }

    /// Carries what a node's sessions say.
    pub(super) fn send(&mut self, member: usize, what: Vec<ToPeer>) {
        for to_peer in what {
            let delay = self.delay();
            let now = self.now;
            let conn = match &to_peer {
                ToPeer::Send { conn, .. } | ToPeer::Close { conn } => *conn,
            };
            let Some((number, link)) =
                self.links.iter_mut().find(|(_, link)| link.member == member && link.conn == conn)
            else {
                continue;
            };
            link.to_client = link.to_client.max(now + delay);
            let (at, link) = (link.to_client, *number);
            self.at(
                at,
                match to_peer {
                    ToPeer::Send { bytes, .. } => Event::ToClient { link, bytes },
                    ToPeer::Close { .. } => Event::LinkDown { link },
                },
            );
        }
    }
}
