//! The bytes of snapshots and index roots.

use ferromq_journal::Position;
use ferromq_model::{ClaimId, DestinationId, Epoch, Sequence, SubscriptionId};

use ferromq_store::{ProducerWindow, ProducerWindows, StreamState, Streams};

use crate::change::{
    PASSAGE_BYTES, passage, put_passage, put_stream, put_subscription, stream, subscription,
};
use crate::index::{
    DestinationIndex, Home, Index, PageFileId, PageList, PageRecord, Row, SegmentUse, SubscriptionIndex,
};
use crate::wire::{Reader, put_destination, put_i64, put_producer, put_u32, put_u64, put_varint};

const META: [u8; 8] = *b"FMQMETA\0";
const INDEX: [u8; 8] = *b"FMQINDX\0";
const VERSION: u32 = 1;
/// Of snapshots that have streams; without any they are written as before.
const WITH_STREAMS: u32 = 2;
const HEADER_BYTES: usize = 16;

/// Bytes of a page in a root.
const PAGE_BYTES: usize = 40;

fn begin(magic: [u8; 8], version: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&magic);
    put_u32(&mut out, version);
    put_u32(&mut out, 0);
    out
}

fn end(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&out[HEADER_BYTES..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// What follows the head of a file of up to version `known`, and its version.
fn body(bytes: &[u8], magic: [u8; 8], known: u32) -> Option<(Reader<'_>, u32)> {
    let (found, rest) = bytes.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (crc, body) = rest.split_first_chunk::<4>()?;
    let version = u32::from_le_bytes(*version);
    let whole = *found == magic
        && (VERSION..=known).contains(&version)
        && u32::from_le_bytes(*crc) == crc32c::crc32c(body);
    whole.then(|| (Reader::copying(body), version))
}

/// The metadata of a store at one position.
pub(super) struct Snapshot {
    pub(super) position: Position,
    pub(super) epoch: Epoch,
    next_sequence: u64,
    next_destination: u64,
    next_subscription: u64,
    destinations: Vec<(DestinationId, DestinationIndex)>,
    subscriptions: Vec<SubscriptionIndex>,
    producers: Vec<ProducerWindow>,
    streams: Vec<StreamState>,
}

impl Snapshot {
    pub(super) fn install(self, index: &mut Index) {
        index.next_sequence = Sequence(self.next_sequence);
        index.next_destination = DestinationId(self.next_destination);
        index.next_subscription = SubscriptionId(self.next_subscription);
        index.destinations.extend(self.destinations);
        index.subscriptions.extend(self.subscriptions.into_iter().map(|found| (found.record.id, found)));
        index.producers = ProducerWindows::from_recovered(self.producers);
        index.streams = Streams::from_recovered(self.streams);
    }
}

pub(super) fn encode_meta(index: &Index, epoch: Epoch, position: Position) -> Vec<u8> {
    let mut out = begin(META, if index.streams.is_empty() { VERSION } else { WITH_STREAMS });
    put_u64(&mut out, position.to_u64());
    put_u64(&mut out, epoch.number);
    put_u64(&mut out, epoch.claim.0);
    put_u64(&mut out, index.next_sequence.0);
    put_u64(&mut out, index.next_destination.0);
    put_u64(&mut out, index.next_subscription.0);
    put_u64(&mut out, index.destinations.len() as u64);
    for (id, found) in &index.destinations {
        put_u64(&mut out, id.0);
        put_u64(&mut out, found.exposed.0);
        put_destination(&mut out, &found.destination);
    }
    put_u64(&mut out, index.subscriptions.len() as u64);
    for found in index.subscriptions.values() {
        put_u64(&mut out, found.exposed.0);
        put_subscription(&mut out, &found.record);
    }
    put_u64(&mut out, index.producers.len() as u64);
    for window in index.producers.iter() {
        put_producer(&mut out, &window.producer);
        put_i64(&mut out, window.highest);
        put_varint(&mut out, window.bits.len() as u64);
        window.bits.iter().for_each(|word| put_u64(&mut out, *word));
    }
    if !index.streams.is_empty() {
        put_u64(&mut out, index.streams.len() as u64);
        for stream in index.streams.iter() {
            put_stream(&mut out, &stream.record);
            put_u64(&mut out, stream.positions.len() as u64);
            stream.positions.iter().for_each(|(position, passage)| put_passage(&mut out, *position, passage));
        }
    }
    end(out)
}

pub(super) fn decode_meta(bytes: &[u8]) -> Option<Snapshot> {
    let (mut reader, version) = body(bytes, META, WITH_STREAMS)?;
    let position = Position::from_u64(reader.u64()?);
    let epoch = Epoch { number: reader.u64()?, claim: ClaimId(reader.u64()?) };
    let (next_sequence, next_destination, next_subscription) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let mut destinations = Vec::new();
    for _ in 0..reader.u64()? {
        let id = DestinationId(reader.u64()?);
        let exposed = Sequence(reader.u64()?);
        let mut found = DestinationIndex::new(reader.destination(None)?);
        found.exposed = exposed;
        destinations.push((id, found));
    }
    let mut subscriptions = Vec::new();
    for _ in 0..reader.u64()? {
        let exposed = Sequence(reader.u64()?);
        let mut found = SubscriptionIndex::new(subscription(&mut reader)?);
        found.exposed = exposed;
        subscriptions.push(found);
    }
    let mut producers = Vec::new();
    for _ in 0..reader.u64()? {
        let producer = reader.producer()?;
        let highest = reader.i64()?;
        let words = reader.count(8)?;
        let bits = (0..words).map(|_| reader.u64()).collect::<Option<_>>()?;
        producers.push(ProducerWindow { producer, highest, bits });
    }
    let mut streams = Vec::new();
    if version >= WITH_STREAMS {
        for _ in 0..reader.u64()? {
            let mut state = StreamState::new(stream(&mut reader)?);
            let count = usize::try_from(reader.u64()?).ok()?;
            if count > reader.remaining() / PASSAGE_BYTES {
                return None;
            }
            state.positions = (0..count).map(|_| passage(&mut reader)).collect::<Option<_>>()?;
            streams.push(state);
        }
    }
    Some(Snapshot {
        position,
        epoch,
        next_sequence,
        next_destination,
        next_subscription,
        destinations,
        subscriptions,
        producers,
        streams,
    })
}

fn put_pages<R: Row>(out: &mut Vec<u8>, list: &PageList<R>) {
    put_u64(out, list.page_count() as u64);
    for page in list.records() {
        put_u64(out, page.base);
        put_u64(out, page.last);
        put_u64(out, page.home.file.epoch);
        put_u32(out, page.home.file.number);
        put_u32(out, page.rows);
        put_u64(out, page.home.offset);
    }
}

fn pages<R: Row>(reader: &mut Reader<'_>) -> Option<PageList<R>> {
    let count = usize::try_from(reader.u64()?).ok()?;
    if count > reader.remaining() / PAGE_BYTES {
        return None;
    }
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let (base, last) = (reader.u64()?, reader.u64()?);
        let file = PageFileId { epoch: reader.u64()?, number: reader.u32()? };
        let rows = reader.u32()?;
        records.push(PageRecord { base, last, rows, home: Home { file, offset: reader.u64()? } });
    }
    Some(PageList::from_records(records.into_iter()))
}

/// Every page must have its place on disk by now.
pub(super) fn encode_index(index: &Index, position: Position) -> Vec<u8> {
    let mut out = begin(INDEX, VERSION);
    put_u64(&mut out, position.to_u64());
    put_u64(&mut out, index.destinations.len() as u64);
    for (id, found) in &index.destinations {
        put_u64(&mut out, id.0);
        put_u64(&mut out, found.bytes);
        put_pages(&mut out, &found.entries);
    }
    put_u64(&mut out, index.subscriptions.len() as u64);
    for (id, found) in &index.subscriptions {
        put_u64(&mut out, id.0);
        put_u64(&mut out, found.pending.len() as u64);
        for (destination, list) in &found.pending {
            put_u64(&mut out, destination.0);
            put_pages(&mut out, list);
        }
    }
    put_u64(&mut out, index.usage.segments().count() as u64);
    for (id, segment) in index.usage.segments() {
        put_u32(&mut out, id);
        put_u32(&mut out, segment.end);
        put_u64(&mut out, segment.epoch.number);
        put_u64(&mut out, segment.epoch.claim.0);
        put_u64(&mut out, segment.file_bytes);
        put_u64(&mut out, segment.live);
        put_u64(&mut out, segment.needs_gone.len() as u64);
        for (id, bytes) in &segment.needs_gone {
            put_u32(&mut out, *id);
            put_u64(&mut out, *bytes);
        }
    }
    end(out)
}

/// Fills the index that a snapshot has begun.
pub(super) fn decode_index(bytes: &[u8], index: &mut Index) -> Option<Position> {
    let (mut reader, _) = body(bytes, INDEX, VERSION)?;
    let position = Position::from_u64(reader.u64()?);
    for _ in 0..reader.u64()? {
        let id = DestinationId(reader.u64()?);
        let bytes = reader.u64()?;
        let entries = pages(&mut reader)?;
        let found = index.destinations.get_mut(&id)?;
        (found.bytes, found.entries) = (bytes, entries);
    }
    for _ in 0..reader.u64()? {
        let id = SubscriptionId(reader.u64()?);
        for _ in 0..reader.u64()? {
            let destination = DestinationId(reader.u64()?);
            let list = pages(&mut reader)?;
            index.subscriptions.get_mut(&id)?.pending.insert(destination, list);
        }
    }
    for _ in 0..reader.u64()? {
        let (id, end) = (reader.u32()?, reader.u32()?);
        let epoch = Epoch { number: reader.u64()?, claim: ClaimId(reader.u64()?) };
        let mut segment = SegmentUse::new(epoch, reader.u64()?, end);
        segment.live = reader.u64()?;
        for _ in 0..reader.u64()? {
            let id = reader.u32()?;
            segment.needs_gone.insert(id, reader.u64()?);
        }
        index.usage.add_segment(id, segment);
    }
    Some(position)
}
