//! Text to tokens, by the longest match, as the token rules of ActiveMQ's selector grammar have it.

use crate::error::SelectorError;

/// A token and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) at: usize,
    pub(crate) text: &'a str,
    pub(crate) kind: Kind,
}

/// What a token is. Its text tells the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Not,
    And,
    Or,
    Between,
    Like,
    Escape,
    In,
    Is,
    True,
    False,
    Null,
    XPath,
    XQuery,
    Name,
    Decimal,
    Hex,
    Octal,
    Float,
    String,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Open,
    Comma,
    Close,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    End,
}

const KEYWORDS: [(&str, Kind); 13] = [
    ("NOT", Kind::Not),
    ("AND", Kind::And),
    ("OR", Kind::Or),
    ("BETWEEN", Kind::Between),
    ("LIKE", Kind::Like),
    ("ESCAPE", Kind::Escape),
    ("IN", Kind::In),
    ("IS", Kind::Is),
    ("TRUE", Kind::True),
    ("FALSE", Kind::False),
    ("NULL", Kind::Null),
    ("XPATH", Kind::XPath),
    ("XQUERY", Kind::XQuery),
];

/// Cuts a text into tokens, one at a time.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Skips the first bytes of a text, but counts columns from its start.
    pub(crate) fn starting_at(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The next token; `Kind::End` at the end, and again after it.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, SelectorError> {
        self.skip_blanks();
        let at = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token { at, text: "", kind: Kind::End });
        };
        let (kind, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' | '$' => name(rest),
            '0'..='9' => number(rest),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest),
            '\'' => {
                (Kind::String, string(rest).ok_or(SelectorError::OpenString { column: self.column(at) })?)
            }
            _ => symbol(rest).ok_or_else(|| SelectorError::Character {
                column: self.column(at),
                found: first,
                remedy: remedy(first),
            })?,
        };
        self.at += length;
        Ok(Token { at, text: &rest[..length], kind })
    }

    /// The column of a byte position, counted in characters from 1.
    pub(crate) fn column(&self, at: usize) -> usize {
        self.text.get(..at).map_or(0, |before| before.chars().count()) + 1
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let skipped = match rest.as_bytes() {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0c, ..] => 1,
                // Without a line end after it, `--` is no comment but two signs: that is how ActiveMQ reads it.
                [b'-', b'-', ..] => rest.find(['\n', '\r']).map_or(0, |end| end + 1),
                [b'/', b'*', ..] => rest[2..].find("*/").map_or(0, |end| end + 4),
                _ => 0,
            };
            if skipped == 0 {
                return;
            }
            self.at += skipped;
        }
    }
}

fn name(rest: &str) -> (Kind, usize) {
    let length = span(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$');
    let word = &rest[..length];
    let kind = KEYWORDS
        .iter()
        .find(|(keyword, _)| keyword.eq_ignore_ascii_case(word))
        .map_or(Kind::Name, |(_, kind)| *kind);
    (kind, length)
}

fn number(rest: &str) -> (Kind, usize) {
    let digits = span(rest, |byte| byte.is_ascii_digit());
    if let Some(length) = float(rest, digits) {
        return (Kind::Float, length);
    }
    let bytes = rest.as_bytes();
    if bytes.first() != Some(&b'0') {
        let suffix = usize::from(matches!(bytes.get(digits), Some(b'l' | b'L')));
        return (Kind::Decimal, digits + suffix);
    }
    if matches!(bytes.get(1), Some(b'x' | b'X')) {
        let hex = span(&rest[2..], |byte| byte.is_ascii_hexdigit());
        if hex > 0 {
            return (Kind::Hex, 2 + hex);
        }
    }
    (Kind::Octal, span(rest, |byte| matches!(byte, b'0'..=b'7')))
}

/// The length of the floating point number at the start: a dot, an exponent, or both.
fn float(rest: &str, digits: usize) -> Option<usize> {
    let mut length = digits;
    let dot = rest[length..].starts_with('.');
    if dot {
        length += 1 + span(&rest[length + 1..], |byte| byte.is_ascii_digit());
    }
    let exponent = exponent(&rest[length..]);
    (dot || exponent > 0).then_some(length + exponent)
}

fn exponent(rest: &str) -> usize {
    if !rest.starts_with(['e', 'E']) {
        return 0;
    }
    let sign = usize::from(rest[1..].starts_with(['+', '-']));
    let digits = span(&rest[1 + sign..], |byte| byte.is_ascii_digit());
    if digits == 0 { 0 } else { 1 + sign + digits }
}

fn string(rest: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest[at..].find('\'')? + 1;
        if !rest[at..].starts_with('\'') {
            return Some(at);
        }
        at += 1;
    }
}

fn symbol(rest: &str) -> Option<(Kind, usize)> {
    let kind = match rest.as_bytes() {
        [b'<', b'>', ..] => return Some((Kind::NotEqual, 2)),
        [b'<', b'=', ..] => return Some((Kind::LessEqual, 2)),
        [b'>', b'=', ..] => return Some((Kind::GreaterEqual, 2)),
        [b'=', ..] => Kind::Equal,
        [b'<', ..] => Kind::Less,
        [b'>', ..] => Kind::Greater,
        [b'(', ..] => Kind::Open,
        [b',', ..] => Kind::Comma,
        [b')', ..] => Kind::Close,
        [b'+', ..] => Kind::Plus,
        [b'-', ..] => Kind::Minus,
        [b'*', ..] => Kind::Times,
        [b'/', ..] => Kind::Divide,
        [b'%', ..] => Kind::Modulo,
        _ => return None,
    };
    Some((kind, 1))
}

fn remedy(found: char) -> &'static str {
    match found {
        '!' => "not equal is written <>",
        '"' | '`' => "strings stand in single quotes, property names in none",
        '.' | ':' | '@' | '#' => "property names consist of letters, digits, _ and $",
        '&' => "the conjunction is written AND",
        '|' => "the disjunction is written OR",
        '[' | ']' | '{' | '}' => "lists and groups stand in ( and )",
        ';' => "a selector is one condition without an end mark",
        _ => "only names, numbers, 'strings' and operators can stand here",
    }
}

fn span(text: &str, inside: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| inside(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Lexer};

    fn kinds(text: &str) -> Vec<Kind> {
        let mut lexer = Lexer::starting_at(text, 0);
        let mut kinds = Vec::new();
        loop {
            match lexer.next().expect("tokens").kind {
                Kind::End => return kinds,
                kind => kinds.push(kind),
            }
        }
    }

    #[test]
    fn numbers_take_the_longest_match() {
        assert_eq!(kinds("0 07 08 19L 0x1F 0xg"), {
            use Kind::*;
            vec![Octal, Octal, Octal, Decimal, Decimal, Hex, Octal, Name]
        });
        assert_eq!(kinds("5. .5 5.5e3 5E-3 08.5 5e"), {
            use Kind::*;
            vec![Float, Float, Float, Float, Float, Decimal, Name]
        });
    }

    #[test]
    fn a_line_comment_needs_a_line_end() {
        assert_eq!(kinds("a -- b\n c"), vec![Kind::Name, Kind::Name]);
        assert_eq!(kinds("a -- b"), vec![Kind::Name, Kind::Minus, Kind::Minus, Kind::Name]);
    }

    #[test]
    fn a_block_comment_ends_at_the_first_mark() {
        assert_eq!(kinds("a /* ' ** */ b"), vec![Kind::Name, Kind::Name]);
        assert_eq!(kinds("a /* b"), vec![Kind::Name, Kind::Divide, Kind::Times, Kind::Name]);
    }
}
