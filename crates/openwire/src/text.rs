//! Text as it travels: modified UTF-8, in which every string of Java survives, unpaired surrogates and NUL included.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// An immutable string in canonical modified UTF-8; a clone costs one reference count.
///
/// Canonical means: each UTF-16 unit in its shortest form, NUL as `C0 80`, supplementary characters as two
/// surrogates of three bytes. So equal Java strings are equal bytes, whatever detour a peer took to write them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireStr(Arc<[u8]>);

impl WireStr {
    /// Reads what a peer sent as modified UTF-8, as strictly as Java does: four-byte forms and cut sequences are
    /// refused; overlong forms are accepted and made canonical.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, Error> {
        if is_plain(bytes) {
            return Ok(Self(Arc::from(bytes)));
        }
        let units = Units::new(bytes).collect::<Result<Vec<u16>, Error>>()?;
        Ok(Self::from_utf16(&units))
    }

    /// Reads modified UTF-8 and ordinary UTF-8 alike, as Java does for values of properties and maps.
    pub fn from_wire_tolerant(bytes: &[u8]) -> Result<Self, Error> {
        if is_plain(bytes) {
            return Ok(Self(Arc::from(bytes)));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::from(text)),
            Err(_) => Self::from_wire(bytes),
        }
    }

    /// Reads text that a tight peer declared to be ASCII: Java maps each byte to one character, so bytes above
    /// 7F are Latin-1.
    pub fn from_latin1(bytes: &[u8]) -> Self {
        if is_plain(bytes) {
            return Self(Arc::from(bytes));
        }
        let units: Vec<u16> = bytes.iter().map(|&b| u16::from(b)).collect();
        Self::from_utf16(&units)
    }

    /// Makes a string of any UTF-16 units, unpaired surrogates included.
    pub fn from_utf16(units: &[u16]) -> Self {
        let mut out = Vec::with_capacity(units.len());
        for &unit in units {
            push_unit(&mut out, unit);
        }
        Self(Arc::from(out))
    }

    /// The bytes as they go on the wire, without a length.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The text; unpaired surrogates become U+FFFD. Borrowed unless it has NUL or characters beyond the BMP.
    pub fn to_str(&self) -> Cow<'_, str> {
        wire_to_str(&self.0)
    }

    /// The UTF-16 units, as Java holds them.
    pub fn to_utf16(&self) -> Vec<u16> {
        Units::new(&self.0).map_while(Result::ok).collect()
    }

    /// Number of UTF-16 units (`String.length()` of Java).
    pub fn utf16_len(&self) -> usize {
        self.0.iter().filter(|&&b| b & 0xC0 != 0x80).count()
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        self.0.len()
    }

    /// Whether the string has no characters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every unit lies in 01..=7F, which is what the tight encoding calls ASCII.
    pub(crate) fn is_plain(&self) -> bool {
        is_plain(&self.0)
    }

    /// Without the characters up to U+0020 at both ends, and without what follows a `?`: how Java keeps names of
    /// destinations.
    pub(crate) fn into_destination_name(self) -> Self {
        let end = self.0.iter().position(|&b| b == b'?').unwrap_or(self.0.len());
        let trimmed = trim(self.0.get(..end).unwrap_or_default());
        if trimmed.len() == self.0.len() { self } else { Self(Arc::from(trimmed)) }
    }
}

/// Java's `String.trim` on canonical bytes: NUL is the pair `C0 80`, everything else up to a blank one byte.
fn trim(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [0x01..=0x20, rest @ ..] | [0xC0, 0x80, rest @ ..] => rest,
            [rest @ .., 0x01..=0x20] | [rest @ .., 0xC0, 0x80] => rest,
            _ => return bytes,
        }
    }
}

/// The text in canonical modified UTF-8 bytes.
pub(crate) fn wire_to_str(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(
            char::decode_utf16(Units::new(bytes).map_while(Result::ok))
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        ),
    }
}

/// Whether all bytes are in 01..=7F: plain bytes read the same in every encoding.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    // Folding without an early exit lets the compiler use wide registers.
    bytes.iter().fold(true, |plain, &b| plain & (b.wrapping_sub(1) < 0x7F))
}

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    let low = |shift: u16| 0x80 | ((unit >> shift) & 0x3F) as u8;
    match unit {
        0x0001..=0x007F => out.push(unit as u8),
        0x0000 | 0x0080..=0x07FF => out.extend_from_slice(&[0xC0 | (unit >> 6) as u8, low(0)]),
        _ => out.extend_from_slice(&[0xE0 | (unit >> 12) as u8, low(6), low(0)]),
    }
}

/// Appends `text` in modified UTF-8.
pub(crate) fn push_str(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.encode_utf16().for_each(|unit| push_unit(out, unit));
    }
}

/// The UTF-16 units in modified UTF-8 bytes; ends after the first error.
pub(crate) struct Units<'a> {
    rest: &'a [u8],
}

impl<'a> Units<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl Iterator for Units<'_> {
    type Item = Result<u16, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let tail = |b: u8| u16::from(b & 0x3F);
        let (unit, rest) = match *self.rest {
            [] => return None,
            [a @ 0x00..=0x7F, ref rest @ ..] => (u16::from(a), rest),
            [a @ 0xC0..=0xDF, b @ 0x80..=0xBF, ref rest @ ..] => (u16::from(a & 0x1F) << 6 | tail(b), rest),
            [a @ 0xE0..=0xEF, b @ 0x80..=0xBF, c @ 0x80..=0xBF, ref rest @ ..] => {
                (u16::from(a & 0x0F) << 12 | tail(b) << 6 | tail(c), rest)
            }
            _ => {
                self.rest = &[];
                return Some(Err(Error::BadText));
            }
        };
        self.rest = rest;
        Some(Ok(unit))
    }
}

impl From<&str> for WireStr {
    fn from(text: &str) -> Self {
        if is_plain(text.as_bytes()) {
            return Self(Arc::from(text.as_bytes()));
        }
        let mut out = Vec::with_capacity(text.len() + 8);
        push_str(&mut out, text);
        Self(Arc::from(out))
    }
}

impl From<String> for WireStr {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for WireStr {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl Default for WireStr {
    fn default() -> Self {
        Self(Arc::from(&[][..]))
    }
}

impl Borrow<[u8]> for WireStr {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for WireStr {
    fn eq(&self, other: &str) -> bool {
        if is_plain(&self.0) || is_plain(other.as_bytes()) {
            return *self.0 == *other.as_bytes();
        }
        Units::new(&self.0).map_while(Result::ok).eq(other.encode_utf16())
    }
}

impl PartialEq<&str> for WireStr {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for WireStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str())
    }
}

impl fmt::Debug for WireStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_every_plane_survives() {
        for text in ["", "plain", "h\u{e9}llo", "\u{65e5}\u{672c}", "nul\0inside", "\u{1f600} smile"] {
            let wire = WireStr::from(text);
            assert_eq!(wire.to_str(), text);
            assert_eq!(WireStr::from_wire(wire.as_wire()).unwrap(), wire);
            assert_eq!(wire.utf16_len(), text.encode_utf16().count());
            assert_eq!(wire, *text);
        }
    }

    #[test]
    fn an_unpaired_surrogate_keeps_its_bytes() {
        let wire = WireStr::from_wire(b"a\xED\xA0\xBDb").unwrap();
        assert_eq!(wire.as_wire(), b"a\xED\xA0\xBDb");
        assert_eq!(wire.to_str(), "a\u{fffd}b");
        assert_eq!(WireStr::from_utf16(&wire.to_utf16()), wire);
    }

    #[test]
    fn overlong_forms_become_canonical_so_names_cannot_hide() {
        assert_eq!(WireStr::from_wire(b"\xC1\x81DMIN").unwrap(), WireStr::from("ADMIN"));
        assert_eq!(WireStr::from_wire(b"\0").unwrap().as_wire(), b"\xC0\x80");
    }

    #[test]
    fn what_java_refuses_is_refused() {
        for bad in [&b"\xF0\x9F\x98\x80"[..], b"\x80", b"\xC3", b"\xE2\x82", b"\xE2\x28\xA1"] {
            assert!(WireStr::from_wire(bad).is_err(), "{bad:x?}");
        }
        assert_eq!(WireStr::from_wire_tolerant(b"\xF0\x9F\x98\x80").unwrap(), *"\u{1f600}");
    }

    #[test]
    fn names_of_destinations_lose_options_and_blanks() {
        assert_eq!(WireStr::from(" A.B ?x=1").into_destination_name(), *"A.B");
        assert_eq!(WireStr::from("\0A\t").into_destination_name(), *"A");
        assert!(WireStr::from(" ? ").into_destination_name().is_empty());
    }

    #[test]
    fn latin1_of_a_careless_ascii_writer() {
        assert_eq!(WireStr::from_latin1(b"caf\xE9"), *"caf\u{e9}");
    }
}
