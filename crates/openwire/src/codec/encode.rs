//! Writing frames.
//!
//! The tight encoding is described as two passes, the first for bits and sizes. One pass is enough: bits and data
//! grow side by side, and a cached object learns its slot after its parts, as if the first pass had been made.

use std::sync::Arc;

use bytes::Bytes;

use super::{BitWriter, EncodeCache, Layout, is_marshal_aware};
use crate::error::{Error, Result};
use crate::fields::{Cacheable, Nested, Sink};
use crate::structures::Command;
use crate::text::WireStr;
use crate::throwable::{StackFrame, Throwable};

/// Longest string in the tight encoding; one more and Java refuses to write it.
const TIGHT_STRING: usize = 32_766;
/// Longest string in the loose encoding.
const LOOSE_STRING: usize = 65_535;
/// Longest exception message, in UTF-16 units, that versions 1 and 10 write.
const CUT_MESSAGE: usize = 1024;
/// Runs of bytes from this length on are copied once, not twice.
const SPLICE: usize = 4096;
/// Scratch memory kept from one frame to the next.
const SCRATCH: usize = 16 * 1024;
/// Structures inside each other that are written.
const NESTING: u32 = 64;

/// Buffers that are used again for each frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncodeState {
    bits: BitWriter,
    data: Vec<u8>,
}

/// Appends a frame for `command` to `out`, with its size prefix if that is wanted.
pub(crate) fn encode_frame(
    command: &Command,
    layout: Layout,
    state: &mut EncodeState,
    mut cache: Option<&mut EncodeCache>,
    out: &mut Vec<u8>,
) -> Result<()> {
    if let Some(cache) = cache.as_deref_mut() {
        cache.sweep();
    }
    let start = out.len();
    let written = if layout.tight {
        tight_frame(command, layout, state, cache.as_deref_mut(), out)
    } else {
        loose_frame(command, layout, cache.as_deref_mut(), out)
    };
    if written.is_err() {
        out.truncate(start);
        if let Some(cache) = cache {
            cache.roll_back();
        }
    }
    written
}

fn check_code(code: u8, version: u8) -> Result<()> {
    match Command::since(code) {
        Some(since) if since > version => {
            Err(Error::NotInVersion { name: Command::name_of(code).unwrap_or("the command"), version })
        }
        _ => Ok(()),
    }
}

fn check_size(size: usize, limit: u64) -> Result<i32> {
    let limit = limit.min(i32::MAX as u64);
    match i32::try_from(size) {
        Ok(n) if size as u64 <= limit => Ok(n),
        _ => Err(Error::CommandTooLarge { size: size as u64, limit }),
    }
}

fn tight_frame(
    command: &Command,
    layout: Layout,
    state: &mut EncodeState,
    cache: Option<&mut EncodeCache>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let code = command.code();
    state.bits.clear();
    state.data.clear();
    let mut encoder = Encoder::<true> {
        out: &mut state.data,
        bits: &mut state.bits,
        cache,
        layout,
        splices: Vec::new(),
        spliced: 0,
        depth: 0,
    };
    if code != 0 {
        check_code(code, layout.version)?;
        command.write_all(&mut encoder)?;
    }
    let Encoder { splices, spliced, .. } = encoder;
    let bits_len = if code == 0 { 0 } else { state.bits.encoded_len() };
    let size = check_size(1 + bits_len + state.data.len() + spliced, layout.limit)?;
    out.reserve(4 + size as usize);
    if layout.size_prefix {
        out.extend_from_slice(&size.to_be_bytes());
    }
    out.push(code);
    if code != 0 {
        state.bits.finish(out)?;
    }
    let mut from = 0;
    for (at, run) in splices {
        out.extend_from_slice(state.data.get(from..at).unwrap_or_default());
        out.extend_from_slice(&run);
        from = at;
    }
    out.extend_from_slice(state.data.get(from..).unwrap_or_default());
    state.data.clear();
    state.data.shrink_to(SCRATCH);
    Ok(())
}

fn loose_frame(
    command: &Command,
    layout: Layout,
    cache: Option<&mut EncodeCache>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let code = command.code();
    check_code(code, layout.version)?;
    let start = out.len();
    if layout.size_prefix {
        out.extend_from_slice(&[0; 4]);
    }
    let body = out.len();
    out.push(code);
    let mut unused = BitWriter::default();
    let mut encoder =
        Encoder::<false> { out, bits: &mut unused, cache, layout, splices: Vec::new(), spliced: 0, depth: 0 };
    command.write_all(&mut encoder)?;
    let size = check_size(out.len() - body, layout.limit)?;
    if layout.size_prefix
        && let Some(prefix) = out.get_mut(start..body)
    {
        prefix.copy_from_slice(&size.to_be_bytes());
    }
    Ok(())
}

/// Writes fields of one frame.
struct Encoder<'a, const TIGHT: bool> {
    out: &'a mut Vec<u8>,
    bits: &'a mut BitWriter,
    cache: Option<&'a mut EncodeCache>,
    layout: Layout,
    /// Long runs of bytes, and where in the data they belong.
    splices: Vec<(usize, Bytes)>,
    spliced: usize,
    depth: u32,
}

impl<const TIGHT: bool> Encoder<'_, TIGHT> {
    #[inline]
    fn flag(&mut self, value: bool) {
        if TIGHT {
            self.bits.push(value);
        } else {
            self.out.push(u8::from(value));
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, value: Option<&WireStr>) -> Result<()> {
        self.flag(value.is_some());
        let Some(value) = value else { return Ok(()) };
        let bytes = value.as_wire();
        let limit = if TIGHT { TIGHT_STRING } else { LOOSE_STRING };
        let length = bytes.len();
        let too_long = Error::StringTooLong { length, limit };
        if length > limit {
            return Err(too_long);
        }
        if TIGHT {
            self.flag(value.is_plain());
        }
        self.put(&u16::try_from(length).map_err(|_| too_long)?.to_be_bytes());
        self.put(bytes);
        Ok(())
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > NESTING { Err(Error::CommandTooDeep(NESTING)) } else { Ok(()) }
    }

    fn nested_value<T: Nested>(&mut self, value: Option<&T>) -> Result<()> {
        let Some((value, code)) = value.map(|v| (v, v.code())).filter(|&(_, code)| code != 0) else {
            self.flag(false);
            return Ok(());
        };
        self.flag(true);
        check_code(code, self.layout.version)?;
        self.enter()?;
        if TIGHT && is_marshal_aware(code) {
            self.flag(false);
        }
        self.out.push(code);
        value.write_fields(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn count(&mut self, what: &'static str, length: usize) -> Result<()> {
        let count = i16::try_from(length).map_err(|_| Error::TooLong { what, length })?;
        self.put(&count.to_be_bytes());
        Ok(())
    }

    fn throwable_value(&mut self, value: Option<&Throwable>) -> Result<()> {
        self.flag(value.is_some());
        let Some(value) = value else { return Ok(()) };
        self.enter()?;
        self.text(value.class.as_ref())?;
        let cut = match &value.message {
            Some(message) if matches!(self.layout.version, 1 | 10) && message.utf16_len() > CUT_MESSAGE => {
                let mut units = message.to_utf16();
                units.truncate(CUT_MESSAGE - 3);
                units.extend("...".encode_utf16());
                Some(WireStr::from_utf16(&units))
            }
            _ => None,
        };
        self.text(cut.as_ref().or(value.message.as_ref()))?;
        if self.layout.stack_trace {
            self.count("a stack trace", value.stack.len())?;
            for StackFrame { class, method, file, line } in &value.stack {
                self.text(class.as_ref())?;
                self.text(method.as_ref())?;
                self.text(file.as_ref())?;
                self.put(&line.to_be_bytes());
            }
            self.throwable_value(value.cause.as_deref())?;
        }
        self.depth -= 1;
        Ok(())
    }
}

impl<const TIGHT: bool> Sink for Encoder<'_, TIGHT> {
    #[inline]
    fn version(&self) -> u8 {
        self.layout.version
    }

    #[inline]
    fn bool(&mut self, _: &'static str, value: &bool) -> Result<()> {
        self.flag(*value);
        Ok(())
    }

    #[inline]
    fn byte(&mut self, _: &'static str, value: &i8) -> Result<()> {
        self.put(&value.to_be_bytes());
        Ok(())
    }

    #[inline]
    fn int(&mut self, _: &'static str, value: &i32) -> Result<()> {
        self.put(&value.to_be_bytes());
        Ok(())
    }

    #[inline]
    fn long(&mut self, _: &'static str, value: &i64) -> Result<()> {
        if !TIGHT {
            self.put(&value.to_be_bytes());
            return Ok(());
        }
        match *value {
            0 => {
                self.flag(false);
                self.flag(false);
            }
            1..=0xFFFF => {
                self.flag(false);
                self.flag(true);
                self.put(&(*value as u16).to_be_bytes());
            }
            0x1_0000..=0xFFFF_FFFF => {
                self.flag(true);
                self.flag(false);
                self.put(&(*value as u32).to_be_bytes());
            }
            _ => {
                self.flag(true);
                self.flag(true);
                self.put(&value.to_be_bytes());
            }
        }
        Ok(())
    }

    #[inline]
    fn string(&mut self, _: &'static str, value: &Option<WireStr>) -> Result<()> {
        self.text(value.as_ref())
    }

    fn bytes(&mut self, _: &'static str, value: &Option<Bytes>) -> Result<()> {
        self.flag(value.is_some());
        let Some(value) = value else { return Ok(()) };
        let length = i32::try_from(value.len())
            .map_err(|_| Error::TooLong { what: "a byte array", length: value.len() })?;
        self.put(&length.to_be_bytes());
        if TIGHT && value.len() >= SPLICE {
            self.spliced += value.len();
            self.splices.push((self.out.len(), value.clone()));
        } else {
            self.put(value);
        }
        Ok(())
    }

    fn magic(&mut self, _: &'static str, value: &[u8; 8]) -> Result<()> {
        self.put(value);
        Ok(())
    }

    fn throwable(&mut self, _: &'static str, value: &Option<Arc<Throwable>>) -> Result<()> {
        self.throwable_value(value.as_deref())
    }

    #[inline]
    fn nested<T: Nested>(&mut self, _: &'static str, value: &Option<T>) -> Result<()> {
        self.nested_value(value.as_ref())
    }

    #[inline]
    fn cached<T: Cacheable>(&mut self, _: &'static str, value: &Option<T>) -> Result<()> {
        let object = value.as_ref().map(T::object_ref);
        let Some(cache) = self.cache.as_deref_mut() else { return self.nested_value(value.as_ref()) };
        if let Some(index) = cache.find(object) {
            self.flag(false);
            self.put(&index.to_be_bytes());
            return Ok(());
        }
        const NOT_KEPT: u16 = u16::MAX;
        if TIGHT {
            // Parts get their slots before the whole.
            self.flag(true);
            let at = self.out.len();
            self.put(&NOT_KEPT.to_be_bytes());
            self.nested_value(value.as_ref())?;
            let index = self.cache.as_deref_mut().and_then(|cache| cache.insert(object)).unwrap_or(NOT_KEPT);
            if let Some(place) = self.out.get_mut(at..at + 2) {
                place.copy_from_slice(&index.to_be_bytes());
            }
            Ok(())
        } else {
            let index = cache.insert(object).unwrap_or(NOT_KEPT);
            self.flag(true);
            self.put(&index.to_be_bytes());
            self.nested_value(value.as_ref())
        }
    }

    fn array<T: Nested>(&mut self, _: &'static str, value: &Option<Arc<[T]>>) -> Result<()> {
        self.flag(value.is_some());
        let Some(values) = value else { return Ok(()) };
        self.count("an array", values.len())?;
        values.iter().try_for_each(|value| self.nested_value(Some(value)))
    }
}
