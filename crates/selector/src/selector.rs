//! A parsed selector, ready to be asked about messages.

use std::{fmt, str::FromStr};

use crate::{
    ast::Expr,
    error::SelectorError,
    eval::{Evaluation, Fault, Truth},
    parse,
    value::Facts,
};

const CONVERT: &str = "convert_string_expressions:";
const NO_CONVERT: &str = "no_convert_string_expressions:";

/// A condition on messages. Two selectors are equal if they have the same tree, however they were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    root: Expr,
    convert: bool,
}

impl Selector {
    /// Parses the text of a selector.
    ///
    /// It may begin with `convert_string_expressions:`, which lets a string that is compared with a number or boolean
    /// be read as one, or with `no_convert_string_expressions:`, which states the default.
    ///
    /// # Errors
    /// [`SelectorError`] if the text is no selector; nothing else is needed to answer the client.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let (convert, prefix) = match text {
            text if text.starts_with(CONVERT) => (true, CONVERT.len()),
            text if text.starts_with(NO_CONVERT) => (false, NO_CONVERT.len()),
            _ => (false, 0),
        };
        Ok(Self { root: parse::parse(text, prefix)?, convert })
    }

    /// Parses the selector of a subscription, where none, or nothing but blanks, stands for every message
    /// (JMS 1.1 §4.4.1: an empty string is treated as null).
    ///
    /// # Errors
    /// As [`Selector::parse`].
    pub fn parse_optional(text: Option<&str>) -> Result<Option<Self>, SelectorError> {
        text.filter(|text| !text.trim().is_empty()).map(Self::parse).transpose()
    }

    /// Whether the message is selected: the condition is true, neither unknown nor at fault.
    #[must_use]
    pub fn matches<F: Facts + ?Sized>(&self, facts: &F) -> bool {
        self.evaluate(facts) == Ok(Truth::True)
    }

    /// The truth of the condition for a message.
    ///
    /// # Errors
    /// [`Fault`] if an operator met a value that it does not take. Such a message is not selected.
    pub fn evaluate<F: Facts + ?Sized>(&self, facts: &F) -> Result<Truth, Fault> {
        Evaluation { facts, convert: self.convert }.truth(&self.root)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.convert {
            f.write_str(CONVERT)?;
        }
        self.root.fmt(f)
    }
}
