//! [`State`]: the small tables in memory, and which of their rows the current transaction has to write.

use std::collections::{BTreeMap, BTreeSet};

use ferromq_model::{
    Destination, DestinationId, Epoch, ProducerId, Sequence, StreamId, StreamPosition, SubscriptionId,
};
use ferromq_store::{
    DestinationState, Passage, ProducerWindow, ProducerWindows, Recovered, StoreError, StoreOp, StreamRecord,
    StreamState, Streams, SubscriptionRecord, SubscriptionState,
};
use rusqlite::{Connection, Row, params};

use crate::error::{int, uint};
use ferromq_store::header::{kind_number, kind_of};

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) destinations: BTreeMap<DestinationId, DestinationState>,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, SubscriptionState>,
    pub(crate) producers: ProducerWindows,
    pub(crate) streams: Streams,
    next_sequence: Sequence,
    next_destination: DestinationId,
    next_subscription: SubscriptionId,
    /// Counts on, so that the order of use survives.
    producer_uses: i64,
    changed: Changed,
}

/// Rows that differ from what is in the file.
#[derive(Debug, Default)]
struct Changed {
    destinations: BTreeSet<DestinationId>,
    subscriptions: BTreeSet<SubscriptionId>,
    /// In the order of their last use.
    producers: BTreeMap<ProducerId, i64>,
}

impl State {
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let (next_sequence, next_destination, next_subscription, producer_uses) = connection.query_row(
            "SELECT next_sequence, next_destination, next_subscription, producer_uses FROM reign",
            [],
            |row| Ok((uint(row.get(0)?), uint(row.get(1)?), uint(row.get(2)?), row.get(3)?)),
        )?;
        let destinations = connection
            .prepare("SELECT id, kind, name, messages, bytes, exposed FROM destinations")?
            .query_map([], destination_of)?
            .map(|state| state.map(|state| (state.id, state)))
            .collect::<rusqlite::Result<_>>()?;
        let subscriptions = connection
            .prepare(
                "SELECT id, client, name, topic_kind, topic, selector, no_local, messages, exposed \
                 FROM subscriptions",
            )?
            .query_map([], subscription_of)?
            .map(|state| state.map(|state| (state.record.id, state)))
            .collect::<rusqlite::Result<_>>()?;
        let windows: Vec<ProducerWindow> = connection
            .prepare("SELECT connection, session, value, highest, bits FROM producers ORDER BY used")?
            .query_map([], window_of)?
            .collect::<rusqlite::Result<_>>()?;
        let streams = load_streams(connection)?;
        Ok(Self {
            destinations,
            subscriptions,
            producers: ProducerWindows::from_recovered(windows),
            streams,
            next_sequence: Sequence(next_sequence),
            next_destination: DestinationId(next_destination),
            next_subscription: SubscriptionId(next_subscription),
            producer_uses,
            changed: Changed::default(),
        })
    }

    pub(crate) fn recovered(&self, epoch: Epoch) -> Recovered {
        Recovered {
            epoch,
            next_sequence: self.next_sequence,
            next_destination: self.next_destination,
            next_subscription: self.next_subscription,
            destinations: self.destinations.values().cloned().collect(),
            subscriptions: self.subscriptions.values().cloned().collect(),
            producers: self.producers.iter().cloned().collect(),
            streams: Some(self.streams.recovered()),
            quarantined: Vec::new(),
            store: None,
        }
    }

    /// What must hold before an operation that stores something.
    pub(crate) fn check(&self, op: &StoreOp) -> Result<(), StoreError> {
        let wrong = |text: String| Err(StoreError::Bug(text));
        match op {
            StoreOp::PutDestination { id, destination } if *id < self.next_destination => {
                wrong(format!("destination id {} of {destination} was used before", id.0))
            }
            StoreOp::PutSubscription(record)
                if record.id < self.next_subscription && !self.subscriptions.contains_key(&record.id) =>
            {
                wrong(format!("subscription id {} was used before", record.id.0))
            }
            StoreOp::PutMessage { destination, sequence, message, subscriptions, .. } => {
                let Some(place) = self.destinations.get(destination) else {
                    return wrong(format!("{} goes to unknown destination {}", message.id, destination.0));
                };
                if *sequence < self.next_sequence {
                    return wrong(format!("{} has the used place {}", message.id, sequence.0));
                }
                if place.destination.kind.is_queue() && !subscriptions.is_empty() {
                    return wrong(format!("{} waits for subscriptions of a queue", message.id));
                }
                match subscriptions.iter().find(|id| !self.subscriptions.contains_key(id)) {
                    Some(id) => wrong(format!("{} waits for unknown subscription {}", message.id, id.0)),
                    None => Ok(()),
                }
            }
            StoreOp::Stream(_) => self.streams.check(std::slice::from_ref(op)),
            _ => Ok(()),
        }
    }

    pub(crate) fn put_destination(&mut self, id: DestinationId, destination: &Destination) {
        self.next_destination = self.next_destination.max(DestinationId(id.0 + 1));
        let exposed = Sequence(0);
        let state = DestinationState { id, destination: destination.clone(), messages: 0, bytes: 0, exposed };
        self.destinations.insert(id, state);
        self.changed.destinations.insert(id);
    }

    pub(crate) fn drop_destination(&mut self, id: DestinationId) {
        self.destinations.remove(&id);
        self.changed.destinations.insert(id);
    }

    pub(crate) fn put_subscription(&mut self, record: &SubscriptionRecord) {
        self.next_subscription = self.next_subscription.max(SubscriptionId(record.id.0 + 1));
        self.subscriptions.entry(record.id).and_modify(|state| state.record = record.clone()).or_insert_with(
            || SubscriptionState { record: record.clone(), messages: 0, exposed: Sequence(0) },
        );
        self.changed.subscriptions.insert(record.id);
    }

    pub(crate) fn drop_subscription(&mut self, id: SubscriptionId) {
        self.subscriptions.remove(&id);
        self.changed.subscriptions.insert(id);
    }

    pub(crate) fn use_place(&mut self, sequence: Sequence) {
        self.next_sequence = self.next_sequence.max(Sequence(sequence.0 + 1));
    }

    pub(crate) fn change_destination(
        &mut self,
        id: DestinationId,
        change: impl FnOnce(&mut DestinationState),
    ) {
        if let Some(state) = self.destinations.get_mut(&id) {
            change(state);
            self.changed.destinations.insert(id);
        }
    }

    pub(crate) fn change_subscription(
        &mut self,
        id: SubscriptionId,
        change: impl FnOnce(&mut SubscriptionState),
    ) {
        if let Some(state) = self.subscriptions.get_mut(&id) {
            change(state);
            self.changed.subscriptions.insert(id);
        }
    }

    pub(crate) fn record(&mut self, producer: &ProducerId, sequence: i64) {
        self.producers.record(producer, sequence);
        self.producer_uses += 1;
        self.changed.producers.insert(producer.clone(), self.producer_uses);
    }

    /// Writes the changed rows within the transaction.
    pub(crate) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let changed = std::mem::take(&mut self.changed);
        for id in changed.destinations {
            match self.destinations.get(&id) {
                Some(state) => write_destination(connection, state)?,
                None => execute(connection, "DELETE FROM destinations WHERE id = ?1", params![int(id.0)])?,
            }
        }
        for id in changed.subscriptions {
            match self.subscriptions.get(&id) {
                Some(state) => write_subscription(connection, state)?,
                None => execute(connection, "DELETE FROM subscriptions WHERE id = ?1", params![int(id.0)])?,
            }
        }
        for (producer, used) in changed.producers {
            if let Some(window) = self.producers.window(&producer) {
                write_window(connection, window, used)?;
            }
        }
        execute(
            connection,
            "UPDATE reign SET next_sequence = ?1, next_destination = ?2, next_subscription = ?3, \
             producer_uses = ?4, syncs = syncs + 1",
            params![
                int(self.next_sequence.0),
                int(self.next_destination.0),
                int(self.next_subscription.0),
                self.producer_uses
            ],
        )
    }

    /// Takes forgotten producers out of the file, at most so many at a time; whether any were found.
    pub(crate) fn forget_producers(&self, connection: &Connection, limit: u32) -> rusqlite::Result<bool> {
        let oldest_kept: Option<i64> = connection
            .prepare_cached("SELECT used FROM producers ORDER BY used DESC LIMIT 1 OFFSET ?1")?
            .query_map(params![ProducerWindows::LIMIT as i64], |row| row.get(0))?
            .next()
            .transpose()?;
        let Some(oldest) = oldest_kept else { return Ok(false) };
        execute(
            connection,
            "DELETE FROM producers WHERE used IN (SELECT used FROM producers WHERE used <= ?1 ORDER BY used LIMIT ?2)",
            params![oldest, limit],
        )?;
        Ok(true)
    }
}

pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

fn write_destination(connection: &Connection, state: &DestinationState) -> rusqlite::Result<()> {
    execute(
        connection,
        "INSERT INTO destinations VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET messages = ?4, bytes = ?5, exposed = ?6",
        params![
            int(state.id.0),
            kind_number(state.destination.kind),
            &*state.destination.name,
            int(state.messages),
            int(state.bytes),
            int(state.exposed.0)
        ],
    )
}

fn write_subscription(connection: &Connection, state: &SubscriptionState) -> rusqlite::Result<()> {
    let record = &state.record;
    execute(
        connection,
        "INSERT OR REPLACE INTO subscriptions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            int(record.id.0),
            &record.name.client.bytes()[..],
            &record.name.name.bytes()[..],
            kind_number(record.topic.kind),
            &*record.topic.name,
            record.selector.as_ref().map(|selector| &selector.bytes()[..]),
            record.no_local,
            int(state.messages),
            int(state.exposed.0)
        ],
    )
}

fn write_window(connection: &Connection, window: &ProducerWindow, used: i64) -> rusqlite::Result<()> {
    let bits: Vec<u8> = window.bits.iter().flat_map(|word| word.to_le_bytes()).collect();
    execute(
        connection,
        "INSERT OR REPLACE INTO producers VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            &window.producer.connection.bytes()[..],
            window.producer.session,
            window.producer.value,
            window.highest,
            bits,
            used
        ],
    )
}

/// A number that stands for nothing that this version knows.
fn unknown(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Integer, what.into())
}

fn destination_of(row: &Row<'_>) -> rusqlite::Result<DestinationState> {
    let kind = kind_of(row.get(1)?).ok_or_else(|| unknown(1, "unknown kind of destination"))?;
    Ok(DestinationState {
        id: DestinationId(uint(row.get(0)?)),
        destination: Destination::new(kind, &row.get::<_, String>(2)?),
        messages: uint(row.get(3)?),
        bytes: uint(row.get(4)?),
        exposed: Sequence(uint(row.get(5)?)),
    })
}

fn subscription_of(row: &Row<'_>) -> rusqlite::Result<SubscriptionState> {
    let text = |bytes: Vec<u8>| ferromq_model::Text::from_modified_utf8(bytes.into());
    let kind = kind_of(row.get(3)?).ok_or_else(|| unknown(3, "unknown kind of destination"))?;
    Ok(SubscriptionState {
        record: SubscriptionRecord {
            id: SubscriptionId(uint(row.get(0)?)),
            name: ferromq_model::SubscriptionName { client: text(row.get(1)?), name: text(row.get(2)?) },
            topic: Destination::new(kind, &row.get::<_, String>(4)?),
            selector: row.get::<_, Option<Vec<u8>>>(5)?.map(text),
            no_local: row.get(6)?,
        },
        messages: uint(row.get(7)?),
        exposed: Sequence(uint(row.get(8)?)),
    })
}

fn load_streams(connection: &Connection) -> rusqlite::Result<Streams> {
    let mut states: BTreeMap<StreamId, StreamState> = connection
        .prepare("SELECT id, name, reserved FROM streams")?
        .query_map([], |row| {
            let record = StreamRecord {
                id: StreamId(uint(row.get(0)?)),
                name: ferromq_model::Text::from_modified_utf8(row.get::<_, Vec<u8>>(1)?.into()),
                reserved: StreamPosition(uint(row.get(2)?)),
            };
            Ok((record.id, StreamState::new(record)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = connection
        .prepare("SELECT stream, position, destination, sequence, subscription, message FROM positions")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let passage = Passage {
            destination: DestinationId(uint(row.get(2)?)),
            sequence: Sequence(uint(row.get(3)?)),
            subscription: SubscriptionId(uint(row.get(4)?)),
            message: row.get::<_, i64>(5)?.cast_unsigned(),
        };
        if let Some(state) = states.get_mut(&StreamId(uint(row.get(0)?))) {
            state.positions.insert(StreamPosition(uint(row.get(1)?)), passage);
        }
    }
    Ok(Streams::from_recovered(states.into_values()))
}

fn window_of(row: &Row<'_>) -> rusqlite::Result<ProducerWindow> {
    let connection = ferromq_model::Text::from_modified_utf8(row.get::<_, Vec<u8>>(0)?.into());
    let bits: Vec<u8> = row.get(4)?;
    Ok(ProducerWindow {
        producer: ProducerId::new(connection, row.get(1)?, row.get(2)?),
        highest: row.get(3)?,
        bits: bits
            .chunks_exact(8)
            .map(|word| word.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
            .collect(),
    })
}
