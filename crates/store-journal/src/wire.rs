//! Little-endian primitives: appended to a `Vec`, read back with every length checked.

use bytes::Bytes;
use ferromq_model::{Destination, DestinationKind, ProducerId, Text};

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
#[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign in few bytes.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &Text) {
    put_bytes(out, text.bytes());
}

pub(crate) fn put_destination(out: &mut Vec<u8>, destination: &Destination) {
    out.push(match destination.kind {
        DestinationKind::Queue => 0,
        DestinationKind::Topic => 1,
        DestinationKind::TempQueue => 2,
        DestinationKind::TempTopic => 3,
    });
    put_bytes(out, destination.name.as_bytes());
}

pub(crate) fn put_producer(out: &mut Vec<u8>, producer: &ProducerId) {
    put_text(out, &producer.connection);
    put_signed(out, producer.session);
    put_signed(out, producer.value);
}

/// Reads what the functions above wrote. `None` means that the bytes are not what they should be.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The same bytes, shared, if texts and bodies shall be slices of them.
    shared: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// Texts and bodies that are read are copies.
    pub(crate) const fn copying(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, shared: None }
    }

    /// Texts and bodies that are read are slices of `bytes`.
    pub(crate) fn sharing(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0, shared: Some(bytes) }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let folded = self.varint()?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A count of things that take at least `each` bytes, so that it can be trusted for an allocation.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.varint()?).ok()?;
        (count <= self.remaining() / each.max(1)).then_some(count)
    }

    pub(crate) fn raw(&mut self) -> Option<&'a [u8]> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub(crate) fn bytes(&mut self) -> Option<Bytes> {
        let raw = self.raw()?;
        Some(match self.shared {
            Some(shared) => shared.slice(self.at - raw.len()..self.at),
            None => Bytes::copy_from_slice(raw),
        })
    }

    pub(crate) fn text(&mut self) -> Option<Text> {
        self.bytes().map(Text::from_modified_utf8)
    }

    /// A destination; if it is `known`, the name is shared.
    pub(crate) fn destination(&mut self, known: Option<&Destination>) -> Option<Destination> {
        let kind = match self.u8()? {
            0 => DestinationKind::Queue,
            1 => DestinationKind::Topic,
            2 => DestinationKind::TempQueue,
            3 => DestinationKind::TempTopic,
            _ => return None,
        };
        let name = std::str::from_utf8(self.raw()?).ok()?;
        match known {
            Some(known) if known.kind == kind && *known.name == *name => Some(known.clone()),
            _ => Some(Destination::new(kind, name)),
        }
    }

    pub(crate) fn producer(&mut self) -> Option<ProducerId> {
        let connection = self.text()?;
        Some(ProducerId::new(connection, self.signed()?, self.signed()?))
    }

    pub(crate) fn option<T>(
        &mut self,
        present: bool,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if present { read(self).map(Some) } else { Some(None) }
    }
}
