//! The operations as SQL, within one transaction.

use ferromq_model::{DestinationId, Message, Sequence, SubscriptionId};
use ferromq_store::{StoreOp, StreamOp, header};
use rusqlite::{Connection, params};

use crate::error::{int, uint};
use crate::state::{State, execute};

/// Applies an operation that was checked.
pub(crate) fn apply(connection: &Connection, state: &mut State, op: &StoreOp) -> rusqlite::Result<()> {
    match op {
        StoreOp::PutDestination { id, destination } => state.put_destination(*id, destination),
        StoreOp::DropDestination { id } => drop_destination(connection, state, *id)?,
        StoreOp::PutSubscription(record) => state.put_subscription(record),
        StoreOp::DropSubscription { id } => drop_subscription(connection, state, *id)?,
        StoreOp::PutMessage { destination, sequence, message, subscriptions, dedup, exposed } => {
            state.use_place(*sequence);
            if *dedup {
                state.record(&message.id.producer, message.id.sequence);
            }
            if *exposed {
                state.change_destination(*destination, |place| place.exposed = place.exposed.max(*sequence));
            }
            put(connection, state, *destination, *sequence, message, subscriptions)?;
        }
        StoreOp::RemoveMessage { destination, sequence } => {
            remove(connection, state, *destination, *sequence)?;
        }
        StoreOp::AckDurable { subscription, destination, sequence } => {
            ack(connection, state, *subscription, *destination, *sequence)?;
        }
        StoreOp::ExposeQueue { destination, upto } => {
            state.change_destination(*destination, |place| place.exposed = place.exposed.max(*upto));
        }
        StoreOp::ExposeSubscription { subscription, upto } => {
            state.change_subscription(*subscription, |waiting| waiting.exposed = waiting.exposed.max(*upto));
        }
        StoreOp::Dedup { producer, sequence } => state.record(producer, *sequence),
        StoreOp::Stream(op) => {
            state.streams.apply(op);
            change_stream(connection, state, op)?;
        }
    }
    Ok(())
}

fn change_stream(connection: &Connection, state: &State, op: &StreamOp) -> rusqlite::Result<()> {
    match op {
        StreamOp::Put(record) => {
            let reserved = state.streams.get(record.id).map_or(record.reserved, |kept| kept.record.reserved);
            execute(
                connection,
                "INSERT OR REPLACE INTO streams VALUES (?1, ?2, ?3)",
                params![int(record.id.0), &record.name.bytes()[..], int(reserved.0)],
            )
        }
        StreamOp::Drop { id } => {
            execute(connection, "DELETE FROM streams WHERE id = ?1", params![int(id.0)])?;
            execute(connection, "DELETE FROM positions WHERE stream = ?1", params![int(id.0)])
        }
        StreamOp::Place { stream, position, passage } => execute(
            connection,
            "INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                int(stream.0),
                int(position.0),
                int(passage.destination.0),
                int(passage.sequence.0),
                int(passage.subscription.0),
                passage.message.cast_signed()
            ],
        ),
        StreamOp::Settle { stream, from, upto } => execute(
            connection,
            "DELETE FROM positions WHERE stream = ?1 AND position BETWEEN ?2 AND ?3",
            params![int(stream.0), int(from.0), int(upto.0)],
        ),
    }
}

fn put(
    connection: &Connection,
    state: &mut State,
    destination: DestinationId,
    sequence: Sequence,
    message: &Message,
    subscriptions: &[SubscriptionId],
) -> rusqlite::Result<()> {
    let Some(place) = state.destinations.get(&destination) else { return Ok(()) };
    if subscriptions.is_empty() && !place.destination.kind.is_queue() {
        return Ok(());
    }
    let header = header::encode(message);
    let (properties, body) = (message.properties.as_deref(), message.body.as_deref());
    let charge = message.charge() as u64;
    execute(
        connection,
        "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            int(sequence.0),
            int(destination.0),
            message.priority,
            message.expiration,
            int(charge),
            header::checksum(&header, properties, body),
            header,
            properties,
            body
        ],
    )?;
    for id in subscriptions {
        let added = connection
            .prepare_cached("INSERT OR IGNORE INTO waiting VALUES (?1, ?2, ?3)")?
            .execute(params![int(id.0), int(destination.0), int(sequence.0)])?;
        state.change_subscription(*id, |waiting| waiting.messages += added as u64);
    }
    state.change_destination(destination, |place| {
        place.messages += 1;
        place.bytes += charge;
    });
    Ok(())
}

fn remove(
    connection: &Connection,
    state: &mut State,
    destination: DestinationId,
    sequence: Sequence,
) -> rusqlite::Result<()> {
    let charge: Option<i64> = connection
        .prepare_cached("DELETE FROM messages WHERE sequence = ?1 AND destination = ?2 RETURNING charge")?
        .query_map(params![int(sequence.0), int(destination.0)], |row| row.get(0))?
        .next()
        .transpose()?;
    let Some(charge) = charge else { return Ok(()) };
    state.change_destination(destination, |place| {
        place.messages = place.messages.saturating_sub(1);
        place.bytes = place.bytes.saturating_sub(uint(charge));
    });
    let is_queue =
        state.destinations.get(&destination).is_some_and(|place| place.destination.kind.is_queue());
    if is_queue {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "DELETE FROM waiting WHERE sequence = ?1 AND destination = ?2 RETURNING subscription",
    )?;
    for id in statement.query_map(params![int(sequence.0), int(destination.0)], |row| row.get::<_, i64>(0))? {
        waits_less(state, SubscriptionId(uint(id?)), 1);
    }
    Ok(())
}

fn ack(
    connection: &Connection,
    state: &mut State,
    subscription: SubscriptionId,
    destination: DestinationId,
    sequence: Sequence,
) -> rusqlite::Result<()> {
    let waited = connection
        .prepare_cached("DELETE FROM waiting WHERE subscription = ?1 AND destination = ?2 AND sequence = ?3")?
        .execute(params![int(subscription.0), int(destination.0), int(sequence.0)])?;
    if waited == 0 {
        return Ok(());
    }
    waits_less(state, subscription, 1);
    let others = connection
        .prepare_cached("SELECT 1 FROM waiting WHERE sequence = ?1 LIMIT 1")?
        .exists(params![int(sequence.0)])?;
    if others { Ok(()) } else { remove(connection, state, destination, sequence) }
}

fn waits_less(state: &mut State, subscription: SubscriptionId, by: u64) {
    state.change_subscription(subscription, |waiting| waiting.messages = waiting.messages.saturating_sub(by));
}

fn drop_destination(connection: &Connection, state: &mut State, id: DestinationId) -> rusqlite::Result<()> {
    if !state.destinations.contains_key(&id) {
        return Ok(());
    }
    let waiting: Vec<SubscriptionId> = state.subscriptions.keys().copied().collect();
    for subscription in waiting {
        // By the primary key, so a queue costs a look-up for each subscription and no scan.
        let gone = connection
            .prepare_cached("DELETE FROM waiting WHERE subscription = ?1 AND destination = ?2")?
            .execute(params![int(subscription.0), int(id.0)])?;
        if gone > 0 {
            waits_less(state, subscription, gone as u64);
        }
    }
    execute(connection, "DELETE FROM messages WHERE destination = ?1", params![int(id.0)])?;
    state.drop_destination(id);
    Ok(())
}

fn drop_subscription(connection: &Connection, state: &mut State, id: SubscriptionId) -> rusqlite::Result<()> {
    if !state.subscriptions.contains_key(&id) {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "DELETE FROM messages WHERE sequence IN \
         (SELECT mine.sequence FROM waiting AS mine WHERE mine.subscription = ?1 AND NOT EXISTS \
         (SELECT 1 FROM waiting AS other WHERE other.sequence = mine.sequence AND other.subscription <> ?1)) \
         RETURNING destination, charge",
    )?;
    let gone =
        statement.query_map(params![int(id.0)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    for row in gone {
        let (destination, charge) = row?;
        state.change_destination(DestinationId(uint(destination)), |place| {
            place.messages = place.messages.saturating_sub(1);
            place.bytes = place.bytes.saturating_sub(uint(charge));
        });
    }
    execute(connection, "DELETE FROM waiting WHERE subscription = ?1", params![int(id.0)])?;
    state.drop_subscription(id);
    Ok(())
}
