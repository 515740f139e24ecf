//! Percent-coding of option names and values.

/// Decodes `%41` to `A` and, as Java's URL decoder does, `+` to a blank.
///
/// The error is the byte position of an escape that is not whole, or of text that is not UTF-8 after decoding.
pub(crate) fn decode(text: &str) -> Result<String, usize> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let at = text.len() - rest.len();
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let [high, low, tail @ ..] = tail else {
                    return Err(at);
                };
                let (high, low) = (hex(*high).ok_or(at)?, hex(*low).ok_or(at)?);
                bytes.push(high * 16 + low);
                rest = tail;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| 0)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Encodes what would not come back as it is from an option inside of nested parentheses.
pub(crate) fn encode(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:/@$*!<>|".contains(&byte) {
            result.push(char::from(byte));
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
    }
    result
}
