//! LIKE: `%` stands for any text, `_` for one character (JMS 1.1 §3.8.1.1).
//!
//! The pattern is cut at its `%` into pieces. The first piece must begin the text, the last must end it, and each one
//! between is taken at its leftmost place: there is nothing to try again, so a hostile pattern costs no more than one
//! search per piece.

use std::fmt;

use crate::ast::quote;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    text: Box<str>,
    escape: Option<char>,
    /// What stands between the `%`; at least one piece.
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// Literal text only.
    Plain(Box<str>),
    /// One entry for each character of the text; `None` takes any.
    Masked(Vec<Option<char>>),
}

#[derive(Default)]
struct Draft {
    plain: String,
    masked: Vec<Option<char>>,
    mask: bool,
}

impl Pattern {
    /// Compiles a pattern. As ActiveMQ does, an escape character that is followed by neither `%`, `_` nor itself
    /// stands for itself (and is a wildcard, if it is one).
    pub(crate) fn new(text: &str, escape: Option<char>) -> Self {
        let mut pieces = Vec::new();
        let mut draft = Draft::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let escaped = (Some(c) == escape)
                .then(|| chars.next_if(|next| matches!(next, '%' | '_') || *next == c))
                .flatten();
            match (escaped, c) {
                (Some(literal), _) => draft.push(literal),
                (None, '%') => pieces.push(std::mem::take(&mut draft).finish()),
                (None, '_') => draft.push_any(),
                (None, c) => draft.push(c),
            }
        }
        pieces.push(draft.finish());
        Self { text: text.into(), escape, pieces }
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let [first, rest @ ..] = self.pieces.as_slice() else {
            return false;
        };
        let Some(mut text) = first.strip_start(text) else {
            return false;
        };
        let [middle @ .., last] = rest else {
            return text.is_empty();
        };
        for piece in middle {
            match piece.strip_leftmost(text) {
                Some(after) => text = after,
                None => return false,
            }
        }
        last.ends(text)
    }
}

impl Piece {
    fn strip_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Plain(plain) => text.strip_prefix(&**plain),
            Piece::Masked(mask) => {
                let mut chars = text.chars();
                mask.iter()
                    .all(|want| chars.next().is_some_and(|c| want.is_none_or(|want| want == c)))
                    .then_some(chars.as_str())
            }
        }
    }

    fn strip_leftmost<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Plain(plain) => text.find(&**plain).and_then(|at| text.get(at + plain.len()..)),
            Piece::Masked(mask) => {
                let places = text.chars().count().checked_sub(mask.len())?;
                text.char_indices().take(places + 1).find_map(|(at, _)| self.strip_start(text.get(at..)?))
            }
        }
    }

    fn ends(&self, text: &str) -> bool {
        match self {
            Piece::Plain(plain) => text.ends_with(&**plain),
            Piece::Masked(mask) => {
                let mut chars = text.chars().rev();
                mask.iter().rev().all(|want| chars.next().is_some_and(|c| want.is_none_or(|want| want == c)))
            }
        }
    }
}

impl Draft {
    fn push(&mut self, c: char) {
        self.plain.push(c);
        self.masked.push(Some(c));
    }

    fn push_any(&mut self) {
        self.mask = true;
        self.masked.push(None);
    }

    fn finish(self) -> Piece {
        if self.mask { Piece::Masked(self.masked) } else { Piece::Plain(self.plain.into()) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(f, &self.text)?;
        if let Some(escape) = self.escape {
            f.write_str(" ESCAPE ")?;
            quote(f, escape.encode_utf8(&mut [0; 4]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pattern;

    /// The definition itself, in exponential time.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['%', pattern @ ..], text) => (0..=text.len()).any(|skip| naive(pattern, &text[skip..])),
            (['_', pattern @ ..], [_, text @ ..]) => naive(pattern, text),
            ([p, pattern @ ..], [t, text @ ..]) => p == t && naive(pattern, text),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab%_é]{0,8}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern, None).matches(&text), naive(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn a_hostile_pattern_is_cheap() {
        let text = "a".repeat(100_000);
        let plain = "%a".repeat(20_000) + "b";
        assert!(!Pattern::new(&plain, None).matches(&text));
        let masked = "%a_".repeat(20_000) + "b";
        assert!(!Pattern::new(&masked, None).matches(&text));
    }
}
