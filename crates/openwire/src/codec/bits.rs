//! The boolean stream of the tight encoding: bits packed from the lowest upwards, in front of the data.

use crate::error::{Error, Result};

/// Collects bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    partial: u8,
    used: u8,
}

impl BitWriter {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.partial = 0;
        self.used = 0;
    }

    #[inline]
    pub(crate) fn push(&mut self, bit: bool) {
        self.partial |= u8::from(bit) << self.used;
        self.used += 1;
        if self.used == 8 {
            self.bytes.push(self.partial);
            self.partial = 0;
            self.used = 0;
        }
    }

    /// Appends the length prefix and the bytes; the bits are gone afterwards.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.used > 0 {
            self.bytes.push(self.partial);
        }
        match self.bytes.len() {
            n @ 0..=63 => out.push(n as u8),
            n @ 64..=255 => out.extend_from_slice(&[0xC0, n as u8]),
            n @ 256..=32_767 => {
                out.push(0x80);
                out.extend_from_slice(&(n as u16).to_be_bytes());
            }
            length => return Err(Error::TooLong { what: "the boolean stream", length }),
        }
        out.extend_from_slice(&self.bytes);
        self.clear();
        Ok(())
    }

    /// Bytes that [`BitWriter::finish`] would append.
    pub(crate) fn encoded_len(&self) -> usize {
        let n = self.bytes.len() + usize::from(self.used > 0);
        n + match n {
            0..=63 => 1,
            64..=255 => 2,
            _ => 3,
        }
    }
}

/// Gives bits back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> BitReader<'a> {
    /// Takes a boolean stream off the front of `data`; also says how many bytes it took.
    pub(crate) fn split(data: &'a [u8]) -> Result<(Self, usize)> {
        let truncated = Error::Truncated { needed: 1, left: 0 };
        let (start, len) = match *data {
            [] | [0xC0] | [0x80] | [0x80, _] => return Err(truncated),
            [0xC0, n, ..] => (2, usize::from(n)),
            [0x80, hi, lo, ..] => {
                let n = i16::from_be_bytes([hi, lo]);
                let len = usize::try_from(n)
                    .map_err(|_| Error::BadLength { what: "the boolean stream", length: i64::from(n) })?;
                (3, len)
            }
            [n, ..] => {
                // Java reads any other first byte as a signed length.
                let n = n as i8;
                let len = usize::try_from(n)
                    .map_err(|_| Error::BadLength { what: "the boolean stream", length: i64::from(n) })?;
                (1, len)
            }
        };
        let bytes =
            data.get(start..start + len).ok_or(Error::Truncated { needed: len, left: data.len() - start })?;
        Ok((Self { bytes, next: 0 }, start + len))
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<bool> {
        let byte = self.bytes.get(self.next >> 3).ok_or(Error::Truncated { needed: 1, left: 0 })?;
        let bit = (byte >> (self.next & 7)) & 1;
        self.next += 1;
        Ok(bit != 0)
    }

    /// Bits not read yet, those of the padding included.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_whatever_form_the_length_takes() {
        for count in [0usize, 1, 7, 8, 9, 503, 504, 512, 513, 2040, 2041, 2048, 5000] {
            let mut writer = BitWriter::default();
            for i in 0..count {
                writer.push(i % 3 == 0);
            }
            let mut out = Vec::new();
            let expected = writer.encoded_len();
            writer.finish(&mut out).unwrap();
            assert_eq!(out.len(), expected);
            out.push(0xAA);
            let (mut reader, taken) = BitReader::split(&out).unwrap();
            assert_eq!(taken, expected);
            for i in 0..count {
                assert_eq!(reader.next().unwrap(), i % 3 == 0);
            }
            assert!(reader.left() < 8);
        }
    }

    #[test]
    fn a_stream_that_promises_too_much_is_refused() {
        for bad in [&[][..], &[0xC0], &[0x80, 0], &[5, 1], &[0xC0, 9, 1], &[0x80, 0xFF, 0xFF], &[0x81]] {
            assert!(BitReader::split(bad).is_err(), "{bad:x?}");
        }
    }
}
