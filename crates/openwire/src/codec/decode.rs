//! Reading frames.

use std::sync::Arc;

use bytes::Bytes;

use super::bits::BitReader;
use super::{DecodeCache, Layout, is_marshal_aware};
use crate::error::{Error, Result};
use crate::fields::{Cacheable, Nested, Source};
use crate::limits::Limits;
use crate::structures::Command;
use crate::text::WireStr;
use crate::throwable::{StackFrame, Throwable};

/// Memory that any frame may unfold to, plus [`EXPANSION`] times its size.
const BASE_MEMORY: usize = 1 << 20;
const EXPANSION: usize = 4;

/// Reads one structure off the front of `frame` (type code first); also says how many bytes it took.
pub(crate) fn decode_frame(
    frame: &Bytes,
    layout: Layout,
    limits: &Limits,
    cache: Option<&mut DecodeCache>,
) -> Result<(Command, usize)> {
    if layout.tight {
        Decoder::<true>::new(frame, layout, limits, cache).command()
    } else {
        Decoder::<false>::new(frame, layout, limits, cache).command()
    }
}

/// Reads fields of one frame.
pub(crate) struct Decoder<'a, const TIGHT: bool> {
    frame: &'a Bytes,
    rest: &'a [u8],
    bits: BitReader<'a>,
    layout: Layout,
    limits: &'a Limits,
    cache: Option<&'a mut DecodeCache>,
    depth: u32,
    memory: usize,
}

impl<'a, const TIGHT: bool> Decoder<'a, TIGHT> {
    pub(crate) fn new(
        frame: &'a Bytes,
        layout: Layout,
        limits: &'a Limits,
        cache: Option<&'a mut DecodeCache>,
    ) -> Self {
        let memory = BASE_MEMORY.saturating_add(frame.len().saturating_mul(EXPANSION));
        Self { frame, rest: frame, bits: BitReader::default(), layout, limits, cache, depth: 0, memory }
    }

    fn command(mut self) -> Result<(Command, usize)> {
        let code = self.byte("")? as u8;
        if code == 0 {
            return Ok((Command::Null, 1));
        }
        if TIGHT {
            self.read_bits()?;
        }
        self.check_code(code)?;
        let command = Command::read_code(code, &mut self)?;
        Ok((command, self.frame.len() - self.rest.len()))
    }

    fn read_bits(&mut self) -> Result<()> {
        let (bits, taken) = BitReader::split(self.rest)?;
        self.bits = bits;
        self.take(taken)?;
        Ok(())
    }

    fn check_code(&self, code: u8) -> Result<()> {
        match Command::since(code) {
            Some(since) if since <= self.layout.version => Ok(()),
            _ => Err(Error::UnknownType { code, version: self.layout.version }),
        }
    }

    #[inline]
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Error::Truncated { needed: n, left: self.rest.len() }),
        }
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(Error::Truncated { needed: N, left: self.rest.len() }),
        }
    }

    #[inline]
    fn flag(&mut self) -> Result<bool> {
        if TIGHT {
            self.bits.next()
        } else {
            let [byte] = self.take_array()?;
            Ok(byte != 0)
        }
    }

    #[inline]
    fn short(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take_array()?))
    }

    /// The length of a run of bytes, checked against what is left.
    fn octet_run(&mut self) -> Result<Option<&'a [u8]>> {
        if !self.flag()? {
            return Ok(None);
        }
        let length = i32::from_be_bytes(self.take_array()?);
        let n = usize::try_from(length)
            .map_err(|_| Error::BadLength { what: "a byte array", length: i64::from(length) })?;
        self.take(n).map(Some)
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > self.limits.nesting { Err(Error::TooDeep(self.limits.nesting)) } else { Ok(()) }
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        let limit = BASE_MEMORY.saturating_add(self.frame.len().saturating_mul(EXPANSION));
        self.memory = self.memory.checked_sub(bytes).ok_or(Error::TooExpansive(limit))?;
        Ok(())
    }

    /// A structure behind its null flag.
    fn nested_value<T: Nested>(&mut self) -> Result<Option<T>> {
        if !self.flag()? {
            return Ok(None);
        }
        self.enter()?;
        let mut code = self.byte("")? as u8;
        self.check_code(code)?;
        let value = if TIGHT && is_marshal_aware(code) && self.flag()? {
            // The sender kept an encoded form: a whole frame with a boolean stream of its own. Its size is
            // not needed, its type has been read already.
            let _size: [u8; 4] = self.take_array()?;
            code = self.byte("")? as u8;
            self.check_code(code)?;
            let outer = self.bits;
            self.read_bits()?;
            let value = T::read_as(code, self)?;
            self.bits = outer;
            value
        } else {
            T::read_as(code, self)?
        };
        self.depth -= 1;
        Ok(Some(value))
    }

    fn throwable_value(&mut self) -> Result<Option<Arc<Throwable>>> {
        if !self.flag()? {
            return Ok(None);
        }
        self.enter()?;
        let mut value =
            Throwable { class: self.string("")?, message: self.string("")?, ..Throwable::default() };
        if self.layout.stack_trace {
            let count = self.count("stack frames")?;
            for _ in 0..count {
                self.charge(size_of::<StackFrame>())?;
                value.stack.push(StackFrame {
                    class: self.string("")?,
                    method: self.string("")?,
                    file: self.string("")?,
                    line: self.int("")?,
                });
            }
            value.cause = self.throwable_value()?;
        }
        self.depth -= 1;
        Ok(Some(Arc::new(value)))
    }

    fn count(&mut self, what: &'static str) -> Result<usize> {
        let count = self.short()?;
        let n = usize::try_from(count).map_err(|_| Error::BadLength { what, length: i64::from(count) })?;
        // Every element takes at least its null flag.
        let left = if TIGHT { self.bits.left() } else { self.rest.len() };
        if n > left { Err(Error::Truncated { needed: n, left }) } else { Ok(n) }
    }
}

impl<const TIGHT: bool> Source for Decoder<'_, TIGHT> {
    #[inline]
    fn version(&self) -> u8 {
        self.layout.version
    }

    #[inline]
    fn bool(&mut self, _: &'static str) -> Result<bool> {
        self.flag()
    }

    #[inline]
    fn byte(&mut self, _: &'static str) -> Result<i8> {
        Ok(i8::from_be_bytes(self.take_array()?))
    }

    #[inline]
    fn int(&mut self, _: &'static str) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take_array()?))
    }

    #[inline]
    fn long(&mut self, _: &'static str) -> Result<i64> {
        if !TIGHT {
            return Ok(i64::from_be_bytes(self.take_array()?));
        }
        Ok(match (self.flag()?, self.flag()?) {
            (false, false) => 0,
            (false, true) => i64::from(u16::from_be_bytes(self.take_array()?)),
            (true, false) => i64::from(u32::from_be_bytes(self.take_array()?)),
            (true, true) => i64::from_be_bytes(self.take_array()?),
        })
    }

    fn string(&mut self, _: &'static str) -> Result<Option<WireStr>> {
        if !self.flag()? {
            return Ok(None);
        }
        let ascii = TIGHT && self.flag()?;
        let length = u16::from_be_bytes(self.take_array()?);
        let bytes = self.take(usize::from(length))?;
        Ok(Some(if ascii { WireStr::from_latin1(bytes) } else { WireStr::from_wire(bytes)? }))
    }

    fn bytes(&mut self, _: &'static str) -> Result<Option<Bytes>> {
        let end = self.frame.len();
        let run = self.octet_run()?.map(<[u8]>::len);
        let stop = end - self.rest.len();
        Ok(run.map(|len| self.frame.slice(stop - len..stop)))
    }

    fn octets(&mut self, _: &'static str) -> Result<Option<Bytes>> {
        Ok(self.octet_run()?.map(Bytes::copy_from_slice))
    }

    fn magic(&mut self, _: &'static str) -> Result<[u8; 8]> {
        self.take_array()
    }

    fn throwable(&mut self, _: &'static str) -> Result<Option<Arc<Throwable>>> {
        self.throwable_value()
    }

    #[inline]
    fn nested<T: Nested>(&mut self, _: &'static str) -> Result<Option<T>> {
        self.nested_value()
    }

    #[inline]
    fn cached<T: Cacheable>(&mut self, _: &'static str) -> Result<Option<T>> {
        if self.cache.is_none() {
            return self.nested_value();
        }
        let is_new = self.flag()?;
        let index = self.short()?;
        if is_new {
            let before = self.rest.len();
            let value: Option<T> = self.nested_value()?;
            let wire_len = before - self.rest.len();
            if let Some(cache) = self.cache.as_deref_mut()
                && index != -1
            {
                cache.put(index, value.as_ref().map(T::to_object), wire_len)?;
            }
            return Ok(value);
        }
        let Some(cache) = self.cache.as_deref_mut() else { return Ok(None) };
        match cache.get(index)? {
            None => Ok(None),
            Some(object) => match T::from_object(object) {
                Some(value) => Ok(Some(value)),
                None => Err(Error::UnexpectedType { code: object.code(), expected: "another cached type" }),
            },
        }
    }

    fn array<T: Nested>(&mut self, _: &'static str) -> Result<Option<Arc<[T]>>> {
        if !self.flag()? {
            return Ok(None);
        }
        let count = self.count("an array")?;
        let mut values = Vec::new();
        for _ in 0..count {
            self.charge(size_of::<T>())?;
            values.push(match self.nested_value()? {
                Some(value) => value,
                None => T::null_element()?,
            });
        }
        Ok(Some(Arc::from(values)))
    }
}
