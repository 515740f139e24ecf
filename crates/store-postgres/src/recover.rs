//! Reading what a new master has to know.

use std::collections::BTreeMap;
use std::time::Duration;

use ferromq_model::{
    Destination, DestinationId, Epoch, ProducerId, Sequence, StreamId, StreamPosition, SubscriptionId,
    SubscriptionName, Text,
};
use ferromq_postgres::Session;
use ferromq_postgres::tokio_postgres::Row;
use ferromq_store::header::kind_of;
use ferromq_store::{
    DestinationState, Passage, ProducerWindow, ProducerWindows, Recovered, StoreError, StreamRecord,
    StreamState, Streams, SubscriptionRecord, SubscriptionState,
};

use crate::error::uint;
use crate::options::Place;
use crate::orphans::{OF_DESTINATIONS, OF_SUBSCRIPTIONS};
use crate::schema;
use crate::state::State;

const READ: [&str; 4] = [
    "SELECT next_sequence, next_destination, next_subscription, producer_uses FROM {s}.progress",
    "SELECT id, kind, name, messages, bytes, exposed FROM {s}.destinations ORDER BY id",
    "SELECT id, client, name, topic_kind, topic, selector, no_local, messages, exposed FROM {s}.subscriptions \
     ORDER BY id",
    "SELECT connection, session, value, highest, bits FROM {s}.producers ORDER BY used",
];

/// What tables of the first version do not have.
const READ_STREAMS: [&str; 2] = [
    "SELECT id, name, reserved FROM {s}.streams ORDER BY id",
    "SELECT stream, position, destination, sequence, subscription, message FROM {s}.positions",
];

/// What was written a moment ago is in no statistics, and a plan that was made for little would read everything. A service that
/// has no such settings plans as it does.
const UNREAD: &str = "SELECT set_config(name, 'off', true) FROM pg_settings \
    WHERE name IN ('enable_seqscan', 'enable_hashjoin', 'enable_mergejoin')";

/// Reads all of it in one snapshot, in a transaction that begins after the claim was committed.
pub(crate) fn load(
    session: &mut Session,
    place: &Place,
    epoch: Epoch,
    within: Duration,
) -> Result<(State, Recovered), StoreError> {
    let of_streams: &[&str] = if schema::has_streams(session, place, within)? { &READ_STREAMS } else { &[] };
    let (rows, dropped, kept) = session
        .run(within, async |client| {
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let mut all = Vec::new();
            for text in READ.iter().chain(of_streams) {
                all.push(client.query(&place.sql(text), &[]).await?);
            }
            let some = place.sql(
                "SELECT EXISTS (SELECT 1 FROM {s}.orphans WHERE kind = 0), \
                 EXISTS (SELECT 1 FROM {s}.orphans WHERE kind = 1)",
            );
            let some = client.query_one(&some, &[]).await?;
            let (mut dropped, mut kept) = (Vec::new(), Vec::new());
            if some.get(0) {
                dropped = client.query(&place.sql(OF_DESTINATIONS), &[]).await?;
            }
            if some.get(1) {
                client.query(UNREAD, &[]).await?;
                kept = client.query(&place.sql(OF_SUBSCRIPTIONS), &[]).await?;
            }
            client.batch_execute("COMMIT").await?;
            Ok((all, dropped, kept))
        })
        .map_err(|error| place.wrong(&error))?;
    let [progress, destinations, subscriptions, producers, streams @ ..] = rows.as_slice() else {
        return Err(StoreError::Bug("four statements, and not four answers".to_owned()));
    };
    let Some(next) = progress.first() else { return Err(place.failed("its row of progress is gone")) };
    let damaged = |what: &str, reason: String| StoreError::Damaged {
        place: format!("{}, {what}", place.shown()),
        reason,
    };
    let mut destinations = destinations
        .iter()
        .map(|row| destination_of(row).map_err(|reason| damaged("destinations", reason)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut subscriptions = subscriptions
        .iter()
        .map(|row| subscription_of(row).map_err(|reason| damaged("subscriptions", reason)))
        .collect::<Result<Vec<_>, _>>()?;
    // What waits for dropped subscriptions alone and is not cleared away yet is in these sums.
    let kept: BTreeMap<u64, (u64, u64)> =
        kept.iter().map(|row| (uint(row.get(0)), (uint(row.get(1)), uint(row.get(2))))).collect();
    for state in &mut destinations {
        if let Some((messages, bytes)) = kept.get(&state.id.0) {
            (state.messages, state.bytes) = (*messages, *bytes);
        }
    }
    // What lies in a dropped destination and is not cleared away yet is in these sums; maintenance takes it out of the tables.
    let dropped: BTreeMap<u64, u64> =
        dropped.iter().map(|row| (uint(row.get(0)), uint(row.get(1)))).collect();
    for state in &mut subscriptions {
        let messages = dropped.get(&state.record.id.0).copied().unwrap_or_default();
        state.messages = state.messages.saturating_sub(messages);
    }
    let producers = ProducerWindows::from_recovered(producers.iter().map(window_of));
    let streams = match streams {
        [streams, positions] => Some(streams_of(streams, positions)),
        _ => None,
    };
    let state = State {
        destinations: destinations
            .iter()
            .map(|state| (state.id, state.destination.kind.is_queue()))
            .collect(),
        subscriptions: subscriptions.iter().map(|state| state.record.id).collect(),
        next_sequence: Sequence(uint(next.get(0))),
        next_destination: DestinationId(uint(next.get(1))),
        next_subscription: SubscriptionId(uint(next.get(2))),
        producer_uses: next.get(3),
        producers,
        streams: streams.as_ref().map(|streams| streams.iter().map(|stream| stream.record.id).collect()),
    };
    let recovered = Recovered {
        epoch,
        next_sequence: state.next_sequence,
        next_destination: state.next_destination,
        next_subscription: state.next_subscription,
        destinations,
        subscriptions,
        producers: state.producers.iter().cloned().collect(),
        streams: streams.map(|streams| streams.recovered()),
        quarantined: Vec::new(),
        store: None,
    };
    Ok((state, recovered))
}

fn named(row: &Row, kind: usize, name: usize) -> Result<Destination, String> {
    let number: i16 = row.get(kind);
    let kind = kind_of(i64::from(number)).ok_or_else(|| format!("unknown kind {number} of destination"))?;
    let name = std::str::from_utf8(row.get(name)).map_err(|error| format!("a name is no text: {error}"))?;
    Ok(Destination::new(kind, name))
}

fn text(bytes: &[u8]) -> Text {
    Text::from_modified_utf8(bytes.to_vec().into())
}

fn destination_of(row: &Row) -> Result<DestinationState, String> {
    Ok(DestinationState {
        id: DestinationId(uint(row.get(0))),
        destination: named(row, 1, 2)?,
        messages: uint(row.get(3)),
        bytes: uint(row.get(4)),
        exposed: Sequence(uint(row.get(5))),
    })
}

fn subscription_of(row: &Row) -> Result<SubscriptionState, String> {
    Ok(SubscriptionState {
        record: SubscriptionRecord {
            id: SubscriptionId(uint(row.get(0))),
            name: SubscriptionName { client: text(row.get(1)), name: text(row.get(2)) },
            topic: named(row, 3, 4)?,
            selector: row.get::<_, Option<&[u8]>>(5).map(text),
            no_local: row.get(6),
        },
        messages: uint(row.get(7)),
        exposed: Sequence(uint(row.get(8))),
    })
}

fn streams_of(streams: &[Row], positions: &[Row]) -> Streams {
    let mut states: BTreeMap<StreamId, StreamState> = streams
        .iter()
        .map(|row| {
            let (id, reserved) = (StreamId(uint(row.get(0))), StreamPosition(uint(row.get(2))));
            (id, StreamState::new(StreamRecord { id, name: text(row.get(1)), reserved }))
        })
        .collect();
    for row in positions {
        let passage = Passage {
            destination: DestinationId(uint(row.get(2))),
            sequence: Sequence(uint(row.get(3))),
            subscription: SubscriptionId(uint(row.get(4))),
            message: row.get::<_, i64>(5).cast_unsigned(),
        };
        if let Some(state) = states.get_mut(&StreamId(uint(row.get(0)))) {
            state.positions.insert(StreamPosition(uint(row.get(1))), passage);
        }
    }
    Streams::from_recovered(states.into_values())
}

fn window_of(row: &Row) -> ProducerWindow {
    let bits: &[u8] = row.get(4);
    ProducerWindow {
        producer: ProducerId::new(text(row.get(0)), row.get(1), row.get(2)),
        highest: row.get(3),
        bits: bits
            .chunks_exact(8)
            .take(ProducerWindow::SPAN / 64)
            .map(|word| word.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
            .collect(),
    }
}
