//! Messages as bytes.
//!
//! Advisories and their addressees are left out: they are about the moment and are never stored.

use bytes::Bytes;
use ferromq_model::{
    BodyKind, Destination, Encoding, Extra, LocalTransactionId, Message, MessageId, ProducerId, Text,
    TransactionId, Xid,
};

use crate::wire::{
    Reader, put_bytes, put_destination, put_i64, put_producer, put_signed, put_text, put_u16, put_varint,
};

/// The encoding that this version writes.
const VERSION: u8 = 1;

const PERSISTENT: u16 = 1;
const COMPRESSED: u16 = 1 << 1;
const BODY: u16 = 1 << 2;
const PROPERTIES: u16 = 1 << 3;
const CORRELATION: u16 = 1 << 4;
const REPLY_TO: u16 = 1 << 5;
const TYPE: u16 = 1 << 6;
const GROUP: u16 = 1 << 7;
const ID_TEXT: u16 = 1 << 8;
const REDELIVERED: u16 = 1 << 9;
const EXTRA: u16 = 1 << 10;
const ALL: u16 = (1 << 11) - 1;

const ORIGINAL_DESTINATION: u16 = 1;
const TRANSACTION: u16 = 1 << 1;
const ORIGINAL_TRANSACTION: u16 = 1 << 2;
const USER: u16 = 1 << 3;
const PATH: u16 = 1 << 4;
const CLUSTER: u16 = 1 << 5;
const OPAQUE: u16 = 1 << 6;
const BLOB: u16 = 1 << 7;
const DROPPABLE: u16 = 1 << 8;
const BRIDGED: u16 = 1 << 9;
const BLOB_URL: u16 = 1 << 10;
const BLOB_NAME: u16 = 1 << 11;
const BLOB_DELETED: u16 = 1 << 12;

/// Brokers on the way of a message, at most; what claims more is damaged.
const PATH_LIMIT: usize = 4096;

/// Appends `message`. The id stands first, for [`decode_id`].
pub(crate) fn encode(message: &Message, out: &mut Vec<u8>) {
    let flag = |condition: bool, bit: u16| if condition { bit } else { 0 };
    let flags = flag(message.persistent, PERSISTENT)
        | flag(message.compressed, COMPRESSED)
        | flag(message.body.is_some(), BODY)
        | flag(message.properties.is_some(), PROPERTIES)
        | flag(message.correlation_id.is_some(), CORRELATION)
        | flag(message.reply_to.is_some(), REPLY_TO)
        | flag(message.message_type.is_some(), TYPE)
        | flag(message.group_id.is_some() || message.group_sequence != 0, GROUP)
        | flag(message.id.text.is_some(), ID_TEXT)
        | flag(message.redelivery_counter != 0, REDELIVERED)
        | flag(message.extra.is_some(), EXTRA);
    out.push(VERSION);
    put_u16(out, flags);
    put_producer(out, &message.id.producer);
    put_signed(out, message.id.sequence);
    if let Some(text) = &message.id.text {
        put_text(out, text);
    }
    put_destination(out, &message.destination);
    out.push(message.priority);
    out.push(match message.encoding {
        Encoding::OpenWire => 0,
        // A new encoding gets its number here before anything can be stored in it.
        _ => u8::MAX,
    });
    out.push(match message.body_kind {
        BodyKind::Plain => 0,
        BodyKind::Bytes => 1,
        BodyKind::Map => 2,
        BodyKind::Object => 3,
        BodyKind::Stream => 4,
        BodyKind::Text => 5,
        BodyKind::Blob => 6,
    });
    put_i64(out, message.expiration);
    put_i64(out, message.timestamp);
    put_i64(out, message.broker_in_time);
    if let Some(text) = &message.correlation_id {
        put_text(out, text);
    }
    if let Some(destination) = &message.reply_to {
        put_destination(out, destination);
    }
    if let Some(text) = &message.message_type {
        put_text(out, text);
    }
    if flags & GROUP != 0 {
        out.push(u8::from(message.group_id.is_some()));
        if let Some(text) = &message.group_id {
            put_text(out, text);
        }
        put_signed(out, i64::from(message.group_sequence));
    }
    if message.redelivery_counter != 0 {
        put_varint(out, u64::from(message.redelivery_counter));
    }
    if let Some(extra) = &message.extra {
        encode_extra(extra, out);
    }
    if let Some(bytes) = &message.properties {
        put_bytes(out, bytes);
    }
    if let Some(bytes) = &message.body {
        put_bytes(out, bytes);
    }
}

fn encode_extra(extra: &Extra, out: &mut Vec<u8>) {
    let flag = |condition: bool, bit: u16| if condition { bit } else { 0 };
    let blob = extra.blob.as_ref();
    let flags = flag(extra.original_destination.is_some(), ORIGINAL_DESTINATION)
        | flag(extra.transaction.is_some(), TRANSACTION)
        | flag(extra.original_transaction.is_some(), ORIGINAL_TRANSACTION)
        | flag(extra.user_id.is_some(), USER)
        | flag(!extra.broker_path.is_empty(), PATH)
        | flag(!extra.cluster.is_empty(), CLUSTER)
        | flag(extra.opaque.is_some(), OPAQUE)
        | flag(extra.droppable, DROPPABLE)
        | flag(extra.received_by_bridge, BRIDGED)
        | flag(blob.is_some(), BLOB)
        | flag(blob.is_some_and(|(url, _, _)| url.is_some()), BLOB_URL)
        | flag(blob.is_some_and(|(_, name, _)| name.is_some()), BLOB_NAME)
        | flag(blob.is_some_and(|(_, _, deleted)| *deleted), BLOB_DELETED);
    put_u16(out, flags);
    put_i64(out, extra.arrival);
    if let Some(destination) = &extra.original_destination {
        put_destination(out, destination);
    }
    for transaction in [&extra.transaction, &extra.original_transaction].into_iter().flatten() {
        encode_transaction(transaction, out);
    }
    if let Some(text) = &extra.user_id {
        put_text(out, text);
    }
    for brokers in [&extra.broker_path, &extra.cluster] {
        if !brokers.is_empty() {
            put_varint(out, brokers.len() as u64);
            brokers.iter().for_each(|broker| put_text(out, broker));
        }
    }
    if let Some(bytes) = &extra.opaque {
        put_bytes(out, bytes);
    }
    if let Some((url, name, _)) = blob {
        [url, name].into_iter().flatten().for_each(|text| put_text(out, text));
    }
}

fn encode_transaction(transaction: &TransactionId, out: &mut Vec<u8>) {
    match transaction {
        TransactionId::Local(LocalTransactionId { connection, value }) => {
            out.push(0);
            put_text(out, connection);
            put_i64(out, *value);
        }
        TransactionId::Xa(Xid { format, global, branch }) => {
            out.push(1);
            put_i64(out, i64::from(*format));
            put_bytes(out, global);
            put_bytes(out, branch);
        }
    }
}

/// Reads a message; its texts and body are slices of `bytes`. `known` is where it probably lies.
pub(crate) fn decode(bytes: &Bytes, known: Option<&Destination>) -> Option<Message> {
    let mut reader = Reader::sharing(bytes);
    let (flags, id) = read_id(&mut reader)?;
    let destination = reader.destination(known)?;
    let mut message = Message::new(id, destination);
    message.persistent = flags & PERSISTENT != 0;
    message.compressed = flags & COMPRESSED != 0;
    message.priority = reader.u8()?;
    message.encoding = match reader.u8()? {
        0 => Encoding::OpenWire,
        _ => return None,
    };
    message.body_kind = match reader.u8()? {
        0 => BodyKind::Plain,
        1 => BodyKind::Bytes,
        2 => BodyKind::Map,
        3 => BodyKind::Object,
        4 => BodyKind::Stream,
        5 => BodyKind::Text,
        6 => BodyKind::Blob,
        _ => return None,
    };
    message.expiration = reader.i64()?;
    message.timestamp = reader.i64()?;
    message.broker_in_time = reader.i64()?;
    message.correlation_id = reader.option(flags & CORRELATION != 0, Reader::text)?;
    message.reply_to = reader.option(flags & REPLY_TO != 0, |reader| reader.destination(None))?;
    message.message_type = reader.option(flags & TYPE != 0, Reader::text)?;
    if flags & GROUP != 0 {
        let named = reader.u8()? != 0;
        message.group_id = reader.option(named, Reader::text)?;
        message.group_sequence = i32::try_from(reader.signed()?).ok()?;
    }
    if flags & REDELIVERED != 0 {
        message.redelivery_counter = u32::try_from(reader.varint()?).ok()?;
    }
    if flags & EXTRA != 0 {
        message.extra = Some(Box::new(decode_extra(&mut reader)?));
    }
    message.properties = reader.option(flags & PROPERTIES != 0, Reader::bytes)?;
    message.body = reader.option(flags & BODY != 0, Reader::bytes)?;
    Some(message)
}

/// Reads the id alone, copied.
pub(crate) fn decode_id(bytes: &[u8]) -> Option<MessageId> {
    read_id(&mut Reader::copying(bytes)).map(|(_, id)| id)
}

/// Reads id and destination of what may be damaged, for a report.
pub(crate) fn decode_names(bytes: &[u8]) -> (Option<MessageId>, Option<Destination>) {
    let mut reader = Reader::copying(bytes);
    match read_id(&mut reader) {
        Some((_, id)) => (Some(id), reader.destination(None)),
        None => (None, None),
    }
}

fn read_id(reader: &mut Reader<'_>) -> Option<(u16, MessageId)> {
    if reader.u8()? != VERSION {
        return None;
    }
    let flags = reader.u16()?;
    if flags & !ALL != 0 {
        return None;
    }
    let producer: ProducerId = reader.producer()?;
    let sequence = reader.signed()?;
    let text = reader.option(flags & ID_TEXT != 0, Reader::text)?;
    Some((flags, MessageId { producer, sequence, text }))
}

fn decode_extra(reader: &mut Reader<'_>) -> Option<Extra> {
    let flags = reader.u16()?;
    let mut extra = Extra { arrival: reader.i64()?, ..Extra::default() };
    extra.droppable = flags & DROPPABLE != 0;
    extra.received_by_bridge = flags & BRIDGED != 0;
    extra.original_destination =
        reader.option(flags & ORIGINAL_DESTINATION != 0, |reader| reader.destination(None))?;
    extra.transaction = reader.option(flags & TRANSACTION != 0, decode_transaction)?;
    extra.original_transaction = reader.option(flags & ORIGINAL_TRANSACTION != 0, decode_transaction)?;
    extra.user_id = reader.option(flags & USER != 0, Reader::text)?;
    extra.broker_path = reader.option(flags & PATH != 0, decode_brokers)?.unwrap_or_default();
    extra.cluster = reader.option(flags & CLUSTER != 0, decode_brokers)?.unwrap_or_default();
    extra.opaque = reader.option(flags & OPAQUE != 0, Reader::bytes)?;
    if flags & BLOB != 0 {
        let url = reader.option(flags & BLOB_URL != 0, Reader::text)?;
        let name = reader.option(flags & BLOB_NAME != 0, Reader::text)?;
        extra.blob = Some((url, name, flags & BLOB_DELETED != 0));
    }
    Some(extra)
}

fn decode_brokers(reader: &mut Reader<'_>) -> Option<Vec<Text>> {
    let count = reader.count(1)?;
    if count > PATH_LIMIT {
        return None;
    }
    (0..count).map(|_| reader.text()).collect()
}

fn decode_transaction(reader: &mut Reader<'_>) -> Option<TransactionId> {
    Some(match reader.u8()? {
        0 => TransactionId::Local(LocalTransactionId { connection: reader.text()?, value: reader.i64()? }),
        1 => TransactionId::Xa(Xid {
            format: i32::try_from(reader.i64()?).ok()?,
            global: reader.bytes()?,
            branch: reader.bytes()?,
        }),
        _ => return None,
    })
}
