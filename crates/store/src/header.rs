//! The header of a message as bytes, for stores that keep rows; properties and body have columns of their own.
//!
//! Little endian, first byte the version. Strings and bytes have their length in 32 bits before them, what may be
//! missing a byte that says whether it is there. Advisories and their targets are never stored.

use bytes::Bytes;
use ferromq_model::{
    BodyKind, Destination, DestinationKind, Encoding, Extra, LocalTransactionId, Message, MessageId,
    ProducerId, Text, TransactionId, Xid,
};

const VERSION: u8 = 1;

const KINDS: [DestinationKind; 4] =
    [DestinationKind::Queue, DestinationKind::Topic, DestinationKind::TempQueue, DestinationKind::TempTopic];
const BODIES: [BodyKind; 7] = [
    BodyKind::Plain,
    BodyKind::Bytes,
    BodyKind::Map,
    BodyKind::Object,
    BodyKind::Stream,
    BodyKind::Text,
    BodyKind::Blob,
];

/// The number of a kind of destination, in the file for ever.
pub fn kind_number(kind: DestinationKind) -> u8 {
    KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u8
}

/// The kind of destination that a number stands for.
pub fn kind_of(number: i64) -> Option<DestinationKind> {
    KINDS.get(usize::try_from(number).ok()?).copied()
}

/// Everything of a message but properties and body.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(160));
    out.byte(VERSION);
    out.long(message.id.sequence);
    out.text(&message.id.producer.connection);
    out.long(message.id.producer.session);
    out.long(message.id.producer.value);
    out.maybe(message.id.text.as_ref(), Writer::text);
    out.destination(&message.destination);
    out.byte(u8::from(message.persistent) | u8::from(message.compressed) << 1);
    out.byte(message.priority);
    out.long(message.expiration);
    out.long(message.timestamp);
    out.maybe(message.correlation_id.as_ref(), Writer::text);
    out.maybe(message.reply_to.as_ref(), Writer::destination);
    out.maybe(message.message_type.as_ref(), Writer::text);
    out.maybe(message.group_id.as_ref(), Writer::text);
    out.long(i64::from(message.group_sequence));
    out.long(i64::from(message.redelivery_counter));
    out.byte(match message.encoding {
        Encoding::OpenWire => 0,
        // An encoding that is younger than this file reads back as damaged, never as another one.
        _ => u8::MAX,
    });
    out.byte(BODIES.iter().position(|known| *known == message.body_kind).unwrap_or(0) as u8);
    out.long(message.broker_in_time);
    out.maybe(message.extra.as_deref(), Writer::extra);
    out.0
}

/// Joins header, properties and body; `None` if the header can't be read.
pub fn decode(header: &[u8], properties: Option<Bytes>, body: Option<Bytes>) -> Option<Message> {
    let mut from = Reader(header);
    if from.byte()? != VERSION {
        return None;
    }
    let sequence = from.long()?;
    let producer = ProducerId::new(from.text()?, from.long()?, from.long()?);
    let id = MessageId { producer, sequence, text: from.maybe(Reader::text)? };
    let destination = from.destination()?;
    let flags = from.byte()?;
    let message = Message {
        persistent: flags & 1 != 0,
        compressed: flags & 2 != 0,
        priority: from.byte()?,
        expiration: from.long()?,
        timestamp: from.long()?,
        correlation_id: from.maybe(Reader::text)?,
        reply_to: from.maybe(Reader::destination)?,
        message_type: from.maybe(Reader::text)?,
        group_id: from.maybe(Reader::text)?,
        group_sequence: i32::try_from(from.long()?).ok()?,
        redelivery_counter: u32::try_from(from.long()?).ok()?,
        encoding: (from.byte()? == 0).then_some(Encoding::OpenWire)?,
        body_kind: *BODIES.get(usize::from(from.byte()?))?,
        broker_in_time: from.long()?,
        extra: from.maybe(Reader::extra)?.map(Box::new),
        properties,
        body,
        ..Message::new(id, destination)
    };
    from.0.is_empty().then_some(message)
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn long(&mut self, long: i64) {
        self.0.extend_from_slice(&long.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // A frame is at most some hundred MiB, so no part of one is longer than 32 bits can say.
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &Text) {
        self.bytes(text.bytes());
    }

    fn destination(&mut self, destination: &Destination) {
        self.byte(kind_number(destination.kind));
        self.bytes(destination.name.as_bytes());
    }

    fn maybe<T: ?Sized>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn texts(&mut self, texts: &[Text]) {
        self.long(texts.len() as i64);
        texts.iter().for_each(|text| self.text(text));
    }

    fn transaction(&mut self, id: &TransactionId) {
        match id {
            TransactionId::Local(local) => {
                self.byte(0);
                self.text(&local.connection);
                self.long(local.value);
            }
            TransactionId::Xa(xid) => {
                self.byte(1);
                self.long(i64::from(xid.format));
                self.bytes(&xid.global);
                self.bytes(&xid.branch);
            }
        }
    }

    fn extra(&mut self, extra: &Extra) {
        self.maybe(extra.original_destination.as_ref(), Self::destination);
        self.maybe(extra.transaction.as_ref(), Self::transaction);
        self.maybe(extra.original_transaction.as_ref(), Self::transaction);
        self.maybe(extra.user_id.as_ref(), Self::text);
        self.texts(&extra.broker_path);
        self.texts(&extra.cluster);
        self.long(extra.arrival);
        self.byte(u8::from(extra.droppable) | u8::from(extra.received_by_bridge) << 1);
        self.maybe(extra.opaque.as_deref(), Self::bytes);
        self.maybe(extra.blob.as_ref(), |out, (url, name, deleted)| {
            out.maybe(url.as_ref(), Self::text);
            out.maybe(name.as_ref(), Self::text);
            out.byte(u8::from(*deleted));
        });
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn long(&mut self) -> Option<i64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i64::from_le_bytes(*bytes))
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let (len, rest) = self.0.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.0 = rest;
        Some(Bytes::copy_from_slice(bytes))
    }

    fn text(&mut self) -> Option<Text> {
        self.bytes().map(Text::from_modified_utf8)
    }

    fn destination(&mut self) -> Option<Destination> {
        let kind = kind_of(i64::from(self.byte()?))?;
        let name = self.bytes()?;
        Some(Destination::new(kind, std::str::from_utf8(&name).ok()?))
    }

    /// `Some(None)` if it was not there, `None` if it can't be read.
    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn texts(&mut self) -> Option<Vec<Text>> {
        let count = usize::try_from(self.long()?).ok()?;
        // Each takes four bytes at least, so a damaged count allocates no more than the header has.
        (count <= self.0.len() / 4).then(|| (0..count).map(|_| self.text()).collect())?
    }

    fn transaction(&mut self) -> Option<TransactionId> {
        match self.byte()? {
            0 => Some(TransactionId::Local(LocalTransactionId {
                connection: self.text()?,
                value: self.long()?,
            })),
            1 => Some(TransactionId::Xa(Xid {
                format: i32::try_from(self.long()?).ok()?,
                global: self.bytes()?,
                branch: self.bytes()?,
            })),
            _ => None,
        }
    }

    fn extra(&mut self) -> Option<Extra> {
        let mut extra = Extra {
            original_destination: self.maybe(Self::destination)?,
            transaction: self.maybe(Self::transaction)?,
            original_transaction: self.maybe(Self::transaction)?,
            user_id: self.maybe(Self::text)?,
            broker_path: self.texts()?,
            cluster: self.texts()?,
            arrival: self.long()?,
            ..Extra::default()
        };
        let flags = self.byte()?;
        extra.droppable = flags & 1 != 0;
        extra.received_by_bridge = flags & 2 != 0;
        extra.opaque = self.maybe(Self::bytes)?;
        extra.blob =
            self.maybe(|from| Some((from.maybe(Self::text)?, from.maybe(Self::text)?, from.byte()? != 0)))?;
        Some(extra)
    }
}

/// A checksum over all three parts, their borders included.
pub fn checksum(header: &[u8], properties: Option<&[u8]>, body: Option<&[u8]>) -> u32 {
    let mut crc = crc32c::crc32c(header);
    for part in [properties, body] {
        let border = part.map_or(u64::MAX, |part| part.len() as u64);
        crc = crc32c::crc32c_append(crc, &border.to_le_bytes());
        crc = crc32c::crc32c_append(crc, part.unwrap_or_default());
    }
    crc
}
