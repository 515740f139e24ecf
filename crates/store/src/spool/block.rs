//! A block as bytes.
//!
//! Little endian: CRC32C of all that follows (4), number of the block (8), messages (4); then each message: sequence (8),
//! redeliveries (4), charge (4), length of header (4), of properties (4) and of body (4), both `u32::MAX` for none, and the
//! bytes of all three. The header is that of [`crate::header`].

use std::sync::Arc;

use bytes::Bytes;
use ferromq_model::Sequence;

use super::{BlockId, Spooled};
use crate::header;

/// The length of a part that is not there.
const NONE: u32 = u32::MAX;

/// Appends a block to `out`.
pub(super) fn encode(block: BlockId, messages: &[Spooled], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&block.0.to_le_bytes());
    out.extend_from_slice(&(messages.len() as u32).to_le_bytes());
    for spooled in messages {
        let message = &spooled.message;
        let head = header::encode(message);
        out.extend_from_slice(&spooled.sequence.0.to_le_bytes());
        out.extend_from_slice(&spooled.counter.to_le_bytes());
        out.extend_from_slice(&spooled.charge.to_le_bytes());
        out.extend_from_slice(&(head.len() as u32).to_le_bytes());
        for part in [&message.properties, &message.body] {
            let length = part.as_ref().map_or(NONE, |part| part.len() as u32);
            out.extend_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(&head);
        for part in [&message.properties, &message.body].into_iter().flatten() {
            out.extend_from_slice(part);
        }
    }
    let crc = crc32c::crc32c(out.get(start + 4..).unwrap_or_default());
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Reads a block back; the error says what is wrong with it.
pub(super) fn decode(block: BlockId, bytes: &[u8]) -> Result<Vec<Spooled>, &'static str> {
    let mut rest = bytes;
    let crc = take(&mut rest).map(u32::from_le_bytes).ok_or("it is cut off")?;
    if crc32c::crc32c(rest) != crc {
        return Err("its checksum does not fit");
    }
    if take(&mut rest).map(u64::from_le_bytes) != Some(block.0) {
        return Err("it is another block");
    }
    let count = take(&mut rest).map(u32::from_le_bytes).ok_or("it is cut off")?;
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(message(&mut rest).ok_or("a message in it can't be read")?);
    }
    Ok(messages)
}

fn message(rest: &mut &[u8]) -> Option<Spooled> {
    let sequence = Sequence(u64::from_le_bytes(take(rest)?));
    let counter = u32::from_le_bytes(take(rest)?);
    let charge = u32::from_le_bytes(take(rest)?);
    let [head, properties, body] =
        [u32::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?), u32::from_le_bytes(take(rest)?)];
    let mut part = |length: u32| -> Option<Option<&[u8]>> {
        if length == NONE {
            return Some(None);
        }
        let (part, behind) = rest.split_at_checked(length as usize)?;
        *rest = behind;
        Some(Some(part))
    };
    let head = part(head)??;
    // Copies, so that one message that stays does not keep its whole block.
    let properties = part(properties)?.map(Bytes::copy_from_slice);
    let body = part(body)?.map(Bytes::copy_from_slice);
    let message = Arc::new(header::decode(head, properties, body)?);
    Some(Spooled { sequence, counter, charge, message })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*bytes)
}
