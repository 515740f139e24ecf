//! [`Text`]: a string that costs a reference count to clone and keeps the bytes in which it came.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// An immutable string in Java's *modified UTF-8* (NUL as two bytes, supplementary characters as surrogate
/// pairs of three bytes each), which for nearly every name in practice is plain ASCII.
///
/// The bytes are forwarded untouched, so text that has no Unicode meaning (an unpaired surrogate) survives a
/// broker. Equality, order and hash are those of the bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Bytes);

impl Text {
    /// Wraps bytes that are modified UTF-8 already, without looking at them.
    pub const fn from_modified_utf8(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// A text that lives in the program.
    pub const fn from_static(ascii: &'static str) -> Self {
        Self(Bytes::from_static(ascii.as_bytes()))
    }

    /// The modified UTF-8 bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Length in encoded bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no character.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as Unicode: borrowed if it is ordinary UTF-8, else decoded; an unpaired surrogate becomes
    /// U+FFFD.
    pub fn to_str(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.0) {
            // `C0 80` is no UTF-8, so a valid string needs no second look.
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(decode_modified(&self.0)),
        }
    }

    /// A copy that holds only its own bytes, for a text that outlives the frame it was sliced from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

fn decode_modified(bytes: &[u8]) -> String {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&lead, tail)) = rest.split_first() {
        let (unit, used) = match (lead, tail) {
            (0x00..=0x7f, _) => (u16::from(lead), 0),
            (0xc0..=0xdf, [b, ..]) if b & 0xc0 == 0x80 => {
                (u16::from(lead & 0x1f) << 6 | u16::from(b & 0x3f), 1)
            }
            (0xe0..=0xef, [b, c, ..]) if b & 0xc0 == 0x80 && c & 0xc0 == 0x80 => {
                (u16::from(lead & 0x0f) << 12 | u16::from(b & 0x3f) << 6 | u16::from(c & 0x3f), 2)
            }
            (0xf0..=0xf7, [b, c, d, ..]) if [b, c, d].iter().all(|x| **x & 0xc0 == 0x80) => {
                let point = u32::from(lead & 0x07) << 18
                    | u32::from(b & 0x3f) << 12
                    | u32::from(c & 0x3f) << 6
                    | u32::from(d & 0x3f);
                let mut pair = [0; 2];
                units.extend_from_slice(char::from_u32(point).unwrap_or('\u{fffd}').encode_utf16(&mut pair));
                rest = &tail[3..];
                continue;
            }
            _ => (0xfffd, 0),
        };
        units.push(unit);
        rest = &tail[used..];
    }
    String::from_utf16_lossy(&units)
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if !text.bytes().any(|b| b == 0 || b >= 0xf0) {
            return Self(Bytes::copy_from_slice(text.as_bytes()));
        }
        let mut out = Vec::with_capacity(text.len() + 8);
        for unit in text.encode_utf16() {
            match unit {
                0x01..=0x7f => out.push(unit as u8),
                0 | 0x80..=0x7ff => {
                    out.extend_from_slice(&[0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8])
                }
                _ => out.extend_from_slice(&[
                    0xe0 | (unit >> 12) as u8,
                    0x80 | (unit >> 6 & 0x3f) as u8,
                    0x80 | (unit & 0x3f) as u8,
                ]),
            }
        }
        Self(out.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.bytes().any(|b| b == 0 || b >= 0xf0) { Self::from(text.as_str()) } else { Self(text.into()) }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.to_str() == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_nul_and_supplementary_characters_the_java_way() {
        let text = Text::from("a\0\u{1f600}");
        assert_eq!(text.bytes().as_ref(), [0x61, 0xc0, 0x80, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
        assert_eq!(text.to_str(), "a\0\u{1f600}");
    }

    #[test]
    fn damaged_text_is_shown_with_replacement_and_forwarded_untouched() {
        let text = Text::from_modified_utf8(Bytes::from_static(&[0x61, 0xff, 0xe0]));
        assert_eq!(text.to_str(), "a\u{fffd}\u{fffd}");
        assert_eq!(text.bytes().as_ref(), [0x61, 0xff, 0xe0]);
    }

    #[test]
    fn four_byte_utf8_is_accepted_beside_its_surrogate_form() {
        let plain = Text::from_modified_utf8(Bytes::from_static("\u{1f600}".as_bytes()));
        assert_eq!(plain.to_str(), "\u{1f600}");
    }
}
