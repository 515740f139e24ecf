//! Cuts a stream of bytes into frames.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Error, Result};

/// Frames up to this size are copied out of the read buffer, so that a message in a queue does not keep the bytes
/// of its neighbours alive.
const COPY_UP_TO: usize = 32 * 1024;

/// Most that a frame may make the buffer grow before any of its bytes have come.
const RESERVE_AHEAD: usize = 256 * 1024;

/// Finds frames in the bytes of one direction of a connection.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    limit: u64,
}

impl Framer {
    /// A framer that refuses frames of more than `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Changes the limit, once the peer is known or an agreement is reached.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Takes bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer itself, for readers that write into it directly. Only append.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes that wait for the rest of their frame.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the memory of the buffer back if nothing waits in it; for connections that fall silent.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next whole frame without its size prefix. A size above the limit is refused as soon as it is read.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let declared = i32::from_be_bytes(*prefix);
        let size = match usize::try_from(declared) {
            Ok(size) if size > 0 => size,
            _ => return Err(Error::BadFrameSize(declared)),
        };
        if size as u64 > self.limit {
            return Err(Error::FrameTooLarge { size: size as u64, limit: self.limit });
        }
        let Some(frame) = self.buffer.get(4..4 + size) else {
            let missing = size + 4 - self.buffer.len();
            self.buffer.reserve(missing.min(RESERVE_AHEAD));
            return Ok(None);
        };
        if size <= COPY_UP_TO {
            let frame = Bytes::copy_from_slice(frame);
            self.buffer.advance(4 + size);
            Ok(Some(frame))
        } else {
            self.buffer.advance(4);
            Ok(Some(self.buffer.split_to(size).freeze()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_come_in() {
        let large = vec![9u8; COPY_UP_TO + 1];
        let mut stream = vec![0, 0, 0, 1, 0, 0, 0, 0, 3, 1, 2, 3];
        stream.extend_from_slice(&(large.len() as u32).to_be_bytes());
        stream.extend_from_slice(&large);
        for step in [1, 3, 7, 1000, stream.len()] {
            let mut framer = Framer::new(1 << 20);
            let mut frames = Vec::new();
            for piece in stream.chunks(step) {
                framer.feed(piece);
                while let Some(frame) = framer.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&[0][..], &[1, 2, 3], &large]);
            assert_eq!(framer.buffered(), 0);
        }
    }

    #[test]
    fn impossible_sizes_are_refused_before_anything_is_kept() {
        for (prefix, error) in [
            ([0, 0, 0, 0], Error::BadFrameSize(0)),
            ([0xFF; 4], Error::BadFrameSize(-1)),
            ([0, 0, 1, 1], Error::FrameTooLarge { size: 257, limit: 256 }),
        ] {
            let mut framer = Framer::new(256);
            framer.feed(&prefix);
            assert_eq!(framer.next_frame(), Err(error));
        }
    }
}
