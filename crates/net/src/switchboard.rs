//! [`Switchboard`]: the engine thread's table of connections.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_engine::{ConnId, Fault, FaultKind, Input};
use rustc_hash::FxHashMap;

use crate::{Outbox, Parcel};

/// Collects what a batch of inputs produced for each connection and hands it over with one wake-up for each.
///
/// It also watches how much waits on the way out: above [`Switchboard::HIGH_BYTES`] the engine is told to deliver
/// no more to that connection, and the driver tells when it is below [`Switchboard::LOW_BYTES`] again.
#[derive(Default)]
pub struct Switchboard {
    lines: FxHashMap<ConnId, Line>,
    touched: Vec<ConnId>,
}

struct Line {
    outbox: Arc<Outbox>,
    batch: VecDeque<Parcel>,
    weight_bytes: usize,
    congested: bool,
}

impl Switchboard {
    /// Above this many unsent bytes a connection is congested.
    pub const HIGH_BYTES: usize = 2 * 1024 * 1024;
    /// Below this many it is free again.
    pub const LOW_BYTES: usize = Self::HIGH_BYTES / 2;

    /// A connection exists from now on.
    pub fn plug(&mut self, conn: ConnId, outbox: Arc<Outbox>) {
        self.lines.insert(conn, Line { outbox, batch: VecDeque::new(), weight_bytes: 0, congested: false });
    }

    /// A connection is gone; what was collected for it is dropped.
    pub fn unplug(&mut self, conn: ConnId) {
        self.lines.remove(&conn);
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts a parcel into the present batch of a connection; one for a connection that is gone vanishes.
    pub fn put(&mut self, conn: ConnId, parcel: Parcel) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        if line.batch.is_empty() {
            self.touched.push(conn);
        }
        line.weight_bytes += parcel.weight_bytes();
        line.batch.push_back(parcel);
    }

    /// Hands all batches over. For each connection that has too much on its way out from now on, the input that
    /// tells the engine is appended to `congested`.
    pub fn flush(&mut self, congested: &mut Vec<Input>) {
        for conn in self.touched.drain(..) {
            let Some(line) = self.lines.get_mut(&conn) else { continue };
            line.outbox.hand_over(&mut line.batch, std::mem::take(&mut line.weight_bytes));
            if !line.congested && line.outbox.queued_bytes() > Self::HIGH_BYTES {
                line.congested = true;
                congested.push(Input::Congested { conn, full: true });
            }
        }
    }

    /// The driver of a connection says that it has room again. Returns whether the engine has to know.
    pub fn relieved(&mut self, conn: ConnId) -> bool {
        self.lines.get_mut(&conn).is_some_and(|line| std::mem::take(&mut line.congested))
    }

    /// Lets every session know that other brokers have come or gone, each with its place.
    pub fn tell_brokers(&mut self) {
        let mut conns: Vec<ConnId> = self.lines.keys().copied().collect();
        conns.sort_unstable_by_key(|conn| conn.0);
        for (conn, place) in conns.into_iter().zip(0..) {
            self.put(conn, Parcel::Brokers(place));
        }
    }

    /// Whether something was put and not handed over yet.
    pub fn has_batches(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Tells every peer that the broker ends.
    pub fn close_all(&mut self, reason: &str) {
        let conns: Vec<ConnId> = self.lines.keys().copied().collect();
        for conn in conns {
            self.put(conn, Parcel::Close(Fault { kind: FaultKind::General, text: reason.to_owned() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use ferromq_engine::{Effect, LocalId, Tag};
    use ferromq_model::{Delivery, Destination, Message, MessageId, ProducerId, Sequence, Text};

    use super::*;

    fn delivery(body_bytes: usize) -> Parcel {
        let id = MessageId::new(ProducerId::new(Text::from("ID:test-1:1"), 1, 1), 1);
        let mut message = Message::new(id, Destination::queue("orders"));
        message.body = Some(vec![0; body_bytes].into());
        let delivery = Delivery {
            message: Some(Arc::new(message)),
            sequence: Sequence(1),
            redelivery_counter: 0,
            first_of_group: false,
            position: None,
        };
        Parcel::Deliver(LocalId { session: 1, value: 1 }, delivery)
    }

    #[test]
    fn a_batch_arrives_whole_and_in_order() {
        let outbox = Arc::new(Outbox::default());
        let mut board = Switchboard::default();
        board.plug(ConnId(1), Arc::clone(&outbox));
        for tag in 0..3 {
            board.put(ConnId(1), Parcel::Reply(Tag(tag), Effect::Done));
        }
        let mut parcels = VecDeque::new();
        outbox.take(&mut parcels);
        assert!(parcels.is_empty(), "nothing leaves before the flush");

        let mut congested = Vec::new();
        board.flush(&mut congested);
        outbox.take(&mut parcels);
        let tags: Vec<u32> = parcels
            .iter()
            .map(|parcel| match parcel {
                Parcel::Reply(tag, _) => tag.0,
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(tags, [0, 1, 2]);
        assert!(congested.is_empty());
    }

    #[test]
    fn congestion_is_told_once_and_again_after_relief() {
        let outbox = Arc::new(Outbox::default());
        let mut board = Switchboard::default();
        board.plug(ConnId(1), Arc::clone(&outbox));

        let mut congested = Vec::new();
        board.put(ConnId(1), delivery(Switchboard::HIGH_BYTES));
        board.flush(&mut congested);
        assert!(matches!(congested[..], [Input::Congested { conn: ConnId(1), full: true }]));

        congested.clear();
        board.put(ConnId(1), delivery(10));
        board.flush(&mut congested);
        assert!(congested.is_empty(), "the engine knows already");

        assert_eq!(outbox.settle(outbox.queued_bytes()), 0);
        assert!(board.relieved(ConnId(1)));
        assert!(!board.relieved(ConnId(1)));
    }

    #[test]
    fn parcels_for_a_connection_that_is_gone_vanish() {
        let mut board = Switchboard::default();
        board.plug(ConnId(1), Arc::new(Outbox::default()));
        board.put(ConnId(1), delivery(1));
        board.unplug(ConnId(1));
        board.put(ConnId(1), delivery(1));
        let mut congested = Vec::new();
        board.flush(&mut congested);
        assert!(board.is_empty() && congested.is_empty());
    }
}
