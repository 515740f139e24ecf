//! Primitive maps in their encoded form: look up one value, or walk over all, without decoding the rest.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::text::{WireStr, is_plain, wire_to_str};

/// The properties of a message as they came.
#[derive(Clone, Copy, Debug)]
pub struct Properties<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
}

impl<'a> Properties<'a> {
    /// Looks at `marshalledProperties`; nothing is read yet.
    pub fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        Self { bytes, limits }
    }

    /// The value under a name; the last one if a peer wrote it twice, as in Java.
    pub fn get(&self, name: &str) -> Result<Option<ValueRef<'a>>> {
        let plain = is_plain(name.as_bytes());
        let mut found = None;
        for entry in self.iter() {
            let (key, value) = entry?;
            let same = if plain { key.0 == name.as_bytes() } else { key.to_wire_str()? == *name };
            if same {
                found = Some(value);
            }
        }
        Ok(found)
    }

    /// All names and values in wire order. Ends after the first error.
    pub fn iter(&self) -> Entries<'a> {
        Entries { reader: Reader::new(self.bytes, self.limits), left: None }
    }

    /// Number of entries, unless the map is null.
    pub fn count(&self) -> Result<usize> {
        Ok(Reader::new(self.bytes, self.limits).count()?.unwrap_or(0))
    }
}

/// Walks over the entries of a map.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    reader: Reader<'a>,
    left: Option<usize>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(RawStr<'a>, ValueRef<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = match self.left {
            Some(left) => left,
            None => match self.reader.count() {
                Ok(count) => count.unwrap_or(0),
                Err(error) => {
                    self.left = Some(0);
                    return Some(Err(error));
                }
            },
        };
        if left == 0 {
            self.left = Some(0);
            return None;
        }
        let entry = self.reader.entry();
        self.left = Some(if entry.is_ok() { left - 1 } else { 0 });
        Some(entry)
    }
}

/// A value in its encoded form; containers are skipped over, not read.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// Tag 0.
    Null,
    /// Tag 1.
    Bool(bool),
    /// Tag 2.
    Byte(i8),
    /// Tag 3.
    Char(u16),
    /// Tag 4.
    Short(i16),
    /// Tag 5.
    Int(i32),
    /// Tag 6.
    Long(i64),
    /// Tag 7.
    Double(f64),
    /// Tag 8.
    Float(f32),
    /// Tags 9 and 13.
    String(RawStr<'a>),
    /// Tag 10.
    Bytes(&'a [u8]),
    /// Tag 11: the encoded map, readable by [`Properties`].
    Map(&'a [u8]),
    /// Tag 12: the encoded list.
    List(&'a [u8]),
}

/// Text as a peer wrote it, not checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStr<'a>(&'a [u8]);

impl<'a> RawStr<'a> {
    /// The bytes.
    pub fn as_wire(&self) -> &'a [u8] {
        self.0
    }

    /// The text, in modified or ordinary UTF-8; what is neither becomes U+FFFD from there on.
    pub fn to_str(&self) -> Cow<'a, str> {
        if std::str::from_utf8(self.0).is_err() && WireStr::from_wire(self.0).is_err() {
            return String::from_utf8_lossy(self.0);
        }
        wire_to_str(self.0)
    }

    /// The text, checked and owned.
    pub fn to_wire_str(&self) -> Result<WireStr> {
        WireStr::from_wire_tolerant(self.0)
    }
}

/// Reads tagged values.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        Self { rest: bytes, limits }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(n).ok_or(Error::Truncated { needed: n, left: self.rest.len() })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Error::Truncated { needed: N, left: self.rest.len() })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The number of entries that follow; nothing for a null map.
    pub(crate) fn count(&mut self) -> Result<Option<usize>> {
        let count = i32::from_be_bytes(self.array()?);
        match usize::try_from(count) {
            Ok(n) if n > self.limits.entries => Err(Error::TooManyEntries(self.limits.entries)),
            Ok(n) => Ok(Some(n)),
            Err(_) if count == -1 => Ok(None),
            Err(_) => Err(Error::BadLength { what: "a map or list", length: i64::from(count) }),
        }
    }

    fn short_text(&mut self) -> Result<RawStr<'a>> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length)).map(RawStr)
    }

    fn long_run(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let length = i32::from_be_bytes(self.array()?);
        let n = usize::try_from(length).map_err(|_| Error::BadLength { what, length: i64::from(length) })?;
        self.take(n)
    }

    pub(crate) fn entry(&mut self) -> Result<(RawStr<'a>, ValueRef<'a>)> {
        Ok((self.short_text()?, self.value()?))
    }

    pub(crate) fn value(&mut self) -> Result<ValueRef<'a>> {
        let [tag] = self.array()?;
        Ok(match tag {
            0 => ValueRef::Null,
            1 => ValueRef::Bool(self.array::<1>()? != [0]),
            2 => ValueRef::Byte(i8::from_be_bytes(self.array()?)),
            3 => ValueRef::Char(u16::from_be_bytes(self.array()?)),
            4 => ValueRef::Short(i16::from_be_bytes(self.array()?)),
            5 => ValueRef::Int(i32::from_be_bytes(self.array()?)),
            6 => ValueRef::Long(i64::from_be_bytes(self.array()?)),
            7 => ValueRef::Double(f64::from_bits(u64::from_be_bytes(self.array()?))),
            8 => ValueRef::Float(f32::from_bits(u32::from_be_bytes(self.array()?))),
            9 => ValueRef::String(self.short_text()?),
            10 => ValueRef::Bytes(self.long_run("a byte array")?),
            11 => ValueRef::Map(self.skip_container(tag)?),
            12 => ValueRef::List(self.skip_container(tag)?),
            13 => ValueRef::String(RawStr(self.long_run("a string")?)),
            _ => return Err(Error::BadTag(tag)),
        })
    }

    /// Steps over a map or list without recursion: the stack holds what is left of each level.
    fn skip_container(&mut self, tag: u8) -> Result<&'a [u8]> {
        let start = self.rest;
        let nesting = self.limits.nesting as usize;
        let mut open = vec![(tag, self.count()?.unwrap_or(0))];
        while let Some((tag, left)) = open.last_mut() {
            if *left == 0 {
                open.pop();
                continue;
            }
            *left -= 1;
            if *tag == 11 {
                self.short_text()?;
            }
            match self.rest.first() {
                Some(&inner @ (11 | 12)) => {
                    self.take(1)?;
                    let count = self.count()?.unwrap_or(0);
                    if open.len() >= nesting {
                        return Err(Error::TooDeep(self.limits.nesting));
                    }
                    open.push((inner, count));
                }
                _ => {
                    self.value()?;
                }
            }
        }
        Ok(start.get(..start.len() - self.rest.len()).unwrap_or_default())
    }
}
