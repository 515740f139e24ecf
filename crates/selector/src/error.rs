//! Why a text is no selector: where, what, and what to write instead.

use thiserror::Error;

/// What is wrong with a selector. The text of each error can stand as the message of a JMS
/// `InvalidSelectorException`: it names the column (counted in characters from 1) and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The text has no condition in it.
    #[error("Invalid selector: it is empty; leave the selector out to receive every message")]
    Empty,
    /// The text is longer than [`crate::MAX_SELECTOR_BYTES`].
    #[error(
        "Invalid selector: {bytes} bytes are more than the limit of {limit}; split the consumer or set a property to select on"
    )]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Parentheses, NOT and signs are nested, or operators chained, beyond the limit.
    #[error(
        "Invalid selector at column {column}: more than {limit} levels of nesting; use AND, OR or IN lists, which do not nest"
    )]
    TooDeep {
        /// Where the level beyond the limit begins.
        column: usize,
        /// The limit.
        limit: usize,
    },
    /// A character that begins no token.
    #[error("Invalid selector at column {column}: unexpected character '{found}'; {remedy}")]
    Character {
        /// Where it stands.
        column: usize,
        /// The character.
        found: char,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A string whose closing quote is missing.
    #[error(
        "Invalid selector at column {column}: the string that begins here has no closing quote; a quote inside a string is written twice ('')"
    )]
    OpenString {
        /// Where the string begins.
        column: usize,
    },
    /// A number that fits no type.
    #[error(
        "Invalid selector at column {column}: the number {text} does not fit into 64 bits; write it in decimal or as a floating point number"
    )]
    Number {
        /// Where the number begins.
        column: usize,
        /// The number.
        text: String,
    },
    /// A token where another one must stand.
    #[error("Invalid selector at column {column}: found {found}, expected {expected}")]
    Token {
        /// Where it stands.
        column: usize,
        /// The token in words.
        found: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// A value where a condition must stand.
    #[error(
        "Invalid selector at column {column}: {text} is no condition; compare it with something, or name a boolean property"
    )]
    NotACondition {
        /// Where the value begins.
        column: usize,
        /// The value as a selector prints it.
        text: String,
    },
    /// An operand that its operator does not take.
    #[error("Invalid selector at column {column}: {text} cannot be compared with {operator}; {remedy}")]
    NotComparable {
        /// Where the operand begins.
        column: usize,
        /// The operand as a selector prints it.
        text: String,
        /// The operator.
        operator: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
    /// ESCAPE takes exactly one character.
    #[error(
        "Invalid selector at column {column}: ESCAPE takes a string of exactly one character, not '{text}'"
    )]
    Escape {
        /// Where the string begins.
        column: usize,
        /// The string.
        text: String,
    },
    /// IN is for properties only.
    #[error(
        "Invalid selector at column {column}: IN takes a header or property on its left, not {text}; use = and OR instead"
    )]
    InNeedsProperty {
        /// Where the operand begins.
        column: usize,
        /// The operand as a selector prints it.
        text: String,
    },
    /// A call of a function that no ActiveMQ knows, or with a wrong number of arguments.
    #[error(
        "Invalid selector at column {column}: no function {name} with {arguments} arguments; known are INLIST(list, value) and MAKELIST(value, ...)"
    )]
    Function {
        /// Where the call begins.
        column: usize,
        /// The name as written.
        name: String,
        /// How many arguments it was given.
        arguments: usize,
    },
    /// A part of ActiveMQ's language that FerroMQ does not evaluate.
    #[error("Invalid selector at column {column}: {feature} is not supported by FerroMQ; {remedy}")]
    Unsupported {
        /// Where it stands.
        column: usize,
        /// Its name.
        feature: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
}

/// Whose fault an error is, in the coarse grain in which callers decide. A selector comes from a client, so
/// each of them is answered with an `InvalidSelectorException`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not in the language.
    Syntax,
    /// The text is well formed, but an operator got what it cannot take.
    Type,
    /// The text is beyond a limit.
    Limit,
    /// The text would be valid for ActiveMQ, but is not supported here.
    Unsupported,
}

impl SelectorError {
    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty | Self::Character { .. } | Self::OpenString { .. } | Self::Token { .. } => {
                ErrorKind::Syntax
            }
            Self::Number { .. } | Self::Function { .. } | Self::Escape { .. } => ErrorKind::Syntax,
            Self::NotACondition { .. } | Self::NotComparable { .. } | Self::InNeedsProperty { .. } => {
                ErrorKind::Type
            }
            Self::TooLong { .. } | Self::TooDeep { .. } => ErrorKind::Limit,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }
}
