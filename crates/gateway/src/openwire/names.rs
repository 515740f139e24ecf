//! Names between two worlds: the codec's and the model's, each remembered so that a busy connection makes them once.

use std::hash::Hash;

use bytes::Bytes;
use ferromq_model as model;
use ferromq_model::{Destination, DestinationKind, MessageId, ProducerId, Text, TransactionId, Xid};
use ferromq_openwire as wire;
use ferromq_openwire::WireStr;
use rustc_hash::FxHashMap;

/// The longest part of an XID (X/Open XA).
const XID_PART_BYTES: usize = 64;

/// A bounded memory of one kind of name; what was asked for last is found without hashing.
#[derive(Debug)]
struct Memo<K, V> {
    last: Option<(K, V)>,
    known: FxHashMap<K, V>,
    bound: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Memo<K, V> {
    fn new(bound: usize) -> Self {
        Self { last: None, known: FxHashMap::default(), bound }
    }

    fn get(&mut self, key: &K, make: impl FnOnce(&K) -> V) -> V {
        // Equal names are nearly always the same allocation here, which equality of `Arc` finds out first.
        if let Some((last, value)) = &self.last
            && last == key
        {
            return value.clone();
        }
        let value = match self.known.get(key) {
            Some(value) => value.clone(),
            None => {
                if self.known.len() >= self.bound {
                    self.known.clear();
                }
                let value = make(key);
                self.known.insert(key.clone(), value.clone());
                value
            }
        };
        self.last = Some((key.clone(), value.clone()));
        value
    }
}

/// What one connection remembers.
#[derive(Debug)]
pub(super) struct Names {
    destinations_in: Memo<wire::Destination, Destination>,
    destinations_out: Memo<Destination, wire::Destination>,
    producers_in: Memo<wire::ProducerId, ProducerId>,
    producers_out: Memo<ProducerId, wire::ProducerId>,
    connections_in: Memo<WireStr, Text>,
    connections_out: Memo<Text, WireStr>,
}

impl Names {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            destinations_in: Memo::new(bound),
            destinations_out: Memo::new(bound),
            producers_in: Memo::new(bound),
            producers_out: Memo::new(bound),
            connections_in: Memo::new(bound),
            connections_out: Memo::new(bound),
        }
    }

    pub(super) fn destination(&mut self, name: &wire::Destination) -> Destination {
        self.destinations_in.get(name, |name| Destination::new(kind_in(name.kind), &name.name.to_str()))
    }

    pub(super) fn wire_destination(&mut self, name: &Destination) -> wire::Destination {
        self.destinations_out.get(name, |name| wire::Destination::new(kind_out(name.kind), &*name.name))
    }

    /// The id of a connection, a session's or consumer's part too.
    pub(super) fn connection(&mut self, id: Option<&WireStr>) -> Text {
        id.map_or_else(Text::default, |id| self.connections_in.get(id, text))
    }

    pub(super) fn wire_connection(&mut self, id: &Text) -> WireStr {
        self.connections_out.get(id, wire_str)
    }

    pub(super) fn producer(&mut self, id: &wire::ProducerId) -> ProducerId {
        let connections = &mut self.connections_in;
        self.producers_in.get(id, |id| {
            let connection =
                id.connection_id.as_ref().map_or_else(Text::default, |name| connections.get(name, text));
            ProducerId::new(connection, id.session_id, id.value)
        })
    }

    pub(super) fn wire_producer(&mut self, id: &ProducerId) -> wire::ProducerId {
        let connections = &mut self.connections_out;
        self.producers_out.get(id, |id| wire::ProducerId {
            connection_id: Some(connections.get(&id.connection, wire_str)),
            value: id.value,
            session_id: id.session,
        })
    }

    /// `None` if the id names no producer.
    pub(super) fn message_id(&mut self, id: &wire::MessageId) -> Option<MessageId> {
        let producer = self.producer(id.producer_id.as_ref()?);
        Some(MessageId { producer, sequence: id.producer_sequence_id, text: id.text_view.as_ref().map(text) })
    }

    pub(super) fn wire_message_id(&mut self, id: &MessageId, broker_sequence: i64) -> wire::MessageId {
        wire::MessageId {
            text_view: id.text.as_ref().map(wire_str),
            producer_id: Some(self.wire_producer(&id.producer)),
            producer_sequence_id: id.sequence,
            broker_sequence_id: broker_sequence,
        }
    }

    pub(super) fn consumer(&mut self, id: &wire::ConsumerId) -> model::ConsumerId {
        model::ConsumerId {
            connection: self.connection(id.connection_id.as_ref()),
            session: id.session_id,
            value: id.value,
        }
    }

    pub(super) fn wire_consumer(&mut self, id: &model::ConsumerId) -> wire::ConsumerId {
        wire::ConsumerId {
            connection_id: Some(self.wire_connection(&id.connection)),
            session_id: id.session,
            value: id.value,
        }
    }

    /// `None` if an XID is longer than XA allows.
    pub(super) fn transaction(&mut self, id: &wire::TransactionId) -> Option<TransactionId> {
        Some(match id {
            wire::TransactionId::Local(id) => TransactionId::Local(model::LocalTransactionId {
                connection: self.connection(id.connection_id.as_ref().and_then(|id| id.value.as_ref())),
                value: id.value,
            }),
            wire::TransactionId::Xa(id) => {
                let part = |bytes: &Option<Bytes>| {
                    let bytes = bytes.clone().unwrap_or_default();
                    (bytes.len() <= XID_PART_BYTES).then_some(bytes)
                };
                TransactionId::Xa(Xid {
                    format: id.format_id,
                    global: part(&id.global_transaction_id)?,
                    branch: part(&id.branch_qualifier)?,
                })
            }
        })
    }

    pub(super) fn wire_transaction(&mut self, id: &TransactionId) -> wire::TransactionId {
        match id {
            TransactionId::Local(id) => wire::TransactionId::Local(wire::LocalTransactionId {
                value: id.value,
                connection_id: Some(wire::ConnectionId { value: Some(self.wire_connection(&id.connection)) }),
            }),
            TransactionId::Xa(xid) => wire::TransactionId::Xa(wire_xid(xid)),
        }
    }
}

pub(super) fn wire_xid(xid: &Xid) -> wire::XaTransactionId {
    wire::XaTransactionId {
        format_id: xid.format,
        global_transaction_id: Some(xid.global.clone()),
        branch_qualifier: Some(xid.branch.clone()),
    }
}

const fn kind_in(kind: wire::DestinationKind) -> DestinationKind {
    match kind {
        wire::DestinationKind::Queue => DestinationKind::Queue,
        wire::DestinationKind::Topic => DestinationKind::Topic,
        wire::DestinationKind::TempQueue => DestinationKind::TempQueue,
        wire::DestinationKind::TempTopic => DestinationKind::TempTopic,
    }
}

const fn kind_out(kind: DestinationKind) -> wire::DestinationKind {
    match kind {
        DestinationKind::Queue => wire::DestinationKind::Queue,
        DestinationKind::Topic => wire::DestinationKind::Topic,
        DestinationKind::TempQueue => wire::DestinationKind::TempQueue,
        DestinationKind::TempTopic => wire::DestinationKind::TempTopic,
    }
}

pub(super) fn text(name: &WireStr) -> Text {
    Text::from_modified_utf8(Bytes::copy_from_slice(name.as_wire()))
}

pub(super) fn wire_str(name: &Text) -> WireStr {
    // What is no text at all (it came through another protocol, or from a damaged store) is shown, not refused.
    WireStr::from_wire_tolerant(name.bytes()).unwrap_or_else(|_| WireStr::from(&*name.to_str()))
}

/// Ids of brokers, as model and wire have them.
pub(super) fn brokers(path: Option<&[wire::BrokerId]>) -> Vec<Text> {
    path.unwrap_or_default().iter().map(|id| id.value.as_ref().map(text).unwrap_or_default()).collect()
}

pub(super) fn wire_brokers(path: &[Text]) -> Option<std::sync::Arc<[wire::BrokerId]>> {
    (!path.is_empty()).then(|| path.iter().map(|id| wire::BrokerId { value: Some(wire_str(id)) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_at_its_bound_starts_afresh_and_stays_right() {
        let mut names = Names::new(2);
        for round in 0..3 {
            for n in 0..5 {
                let wire = wire::Destination::topic(format!("t{n}"));
                assert_eq!(names.destination(&wire), Destination::topic(&format!("t{n}")), "round {round}");
                assert_eq!(names.wire_destination(&Destination::topic(&format!("t{n}"))), wire);
            }
        }
        assert!(names.destinations_in.known.len() <= 2);
    }

    #[test]
    fn ids_survive_the_round_trip_with_parts_in_their_places() {
        let mut names = Names::new(8);
        let wire = wire::ProducerId { connection_id: Some("ID:a-1:1".into()), value: 3, session_id: 2 };
        let id = names.producer(&wire);
        assert_eq!((id.session, id.value), (2, 3));
        assert_eq!(names.wire_producer(&id), wire);
    }

    #[test]
    fn an_xid_longer_than_xa_allows_is_no_id() {
        let mut names = Names::new(8);
        let long = wire::XaTransactionId {
            format_id: 1,
            global_transaction_id: Some(Bytes::from(vec![1; 65])),
            branch_qualifier: None,
        };
        assert_eq!(names.transaction(&wire::TransactionId::Xa(long)), None);
    }
}
