//! The options of a URI, and a reader that notices what nobody asked for.

use std::{fmt, str::FromStr};

use crate::{error::UriError, nearest::nearest, percent};

/// Named options in the order in which they were written, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    value: String,
    column: usize,
}

/// Where an option stands is no part of what it says.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.value) == (&other.name, &other.value)
    }
}

impl Eq for Entry {}

impl Options {
    /// The value of an option.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets an option, in its old place if it has one.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.entries.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => value.clone_into(&mut entry.value),
            None => self.entries.push(Entry { name: name.to_owned(), value: value.to_owned(), column: 1 }),
        }
    }

    /// The options whose names begin with `prefix`, without it.
    #[must_use]
    pub fn under(&self, prefix: &str) -> Options {
        let strip = |entry: &Entry| {
            Some(Entry { name: entry.name.strip_prefix(prefix)?.to_owned(), ..entry.clone() })
        };
        Options { entries: self.entries.iter().filter_map(strip).collect() }
    }

    /// A reader of these options.
    #[must_use]
    pub fn reader(&self) -> OptionReader<'_> {
        OptionReader { options: self, asked: Vec::new(), problems: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: String, value: String, column: usize) -> Result<(), UriError> {
        match self.entries.iter().find(|entry| entry.name == name) {
            None => self.entries.push(Entry { name, value, column }),
            Some(entry) if entry.value == value => {}
            Some(_) => return Err(UriError::RepeatedOption { column, name }),
        }
        Ok(())
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(f, "{separator}{}={}", percent::encode(&entry.name), percent::encode(&entry.value))?;
        }
        Ok(())
    }
}

/// Reads options by name and type. What is wrong is kept until [`OptionReader::finish`], so that all mistakes are
/// reported together; what was never asked for is one of them.
#[derive(Debug)]
pub struct OptionReader<'a> {
    options: &'a Options,
    asked: Vec<String>,
    problems: Vec<UriError>,
}

impl<'a> OptionReader<'a> {
    /// A text.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        self.entry(name).map(|entry| entry.value.as_str())
    }

    /// A text that `fits`. `expected` says what does, for the reader of an error.
    pub fn text_that(
        &mut self,
        name: &str,
        expected: &'static str,
        fits: impl Fn(&str) -> bool,
    ) -> Option<String> {
        self.read(name, expected, |value| fits(value).then(|| value.to_owned()))
    }

    /// `true` or `false`, in any case.
    pub fn bool(&mut self, name: &str) -> Option<bool> {
        self.read(name, "true or false", |value| value.to_ascii_lowercase().parse().ok())
    }

    /// A number of type `T`. `expected` names its range for the reader of an error.
    pub fn number<T: FromStr>(&mut self, name: &str, expected: &'static str) -> Option<T> {
        self.read(name, expected, |value| value.trim().parse().ok())
    }

    /// A number that `fits` as well.
    pub fn number_that<T: FromStr>(
        &mut self,
        name: &str,
        expected: &'static str,
        fits: impl Fn(&T) -> bool,
    ) -> Option<T> {
        self.read(name, expected, |value| value.trim().parse().ok().filter(fits))
    }

    /// A time in milliseconds, from 0.
    pub fn millis(&mut self, name: &str) -> Option<u64> {
        self.number(name, "a number of milliseconds, 0 or more")
    }

    /// A size in bytes, from 0.
    pub fn bytes(&mut self, name: &str) -> Option<u64> {
        self.number(name, "a number of bytes, 0 or more")
    }

    /// All options under a prefix, without it. They are taken for known.
    pub fn under(&mut self, prefix: &str) -> Options {
        self.asked.extend(
            self.options.iter().map(|(name, _)| name).filter(|name| name.starts_with(prefix)).map(Into::into),
        );
        self.options.under(prefix)
    }

    /// Those of the connection above the transport, `jms.*` and `connection.*`, without the prefix.
    pub(crate) fn connection(&mut self) -> Options {
        let mut connection = self.under("jms.");
        for (name, value) in self.under("connection.").iter() {
            connection.set(name, value);
        }
        connection
    }

    /// Those of `names` that are present. They are known and without effect here; tell the user so.
    pub fn ignored(&mut self, prefix: &str, names: &[&str]) -> Vec<String> {
        let full = names.iter().map(|name| format!("{prefix}{name}"));
        full.filter(|name| self.entry(name).is_some()).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every value that was no value of its type, and every option that nobody asked for, in the order of the URI.
    pub fn finish(self) -> Result<(), Vec<UriError>> {
        let Self { options, asked, mut problems } = self;
        for entry in &options.entries {
            if !asked.contains(&entry.name) {
                // A URI copied out of an XML file keeps the escape of its ampersands.
                let plain = entry.name.strip_prefix("amp;");
                let suggestion = match plain {
                    Some(plain) => Some(format!("{plain}, with a plain & in front of it")),
                    None => nearest(&entry.name, asked.iter().map(String::as_str)).map(Into::into),
                };
                let name = entry.name.clone();
                problems.push(UriError::UnknownOption { column: entry.column, name, suggestion });
            }
        }
        problems.sort_by_key(UriError::column);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn entry(&mut self, name: &str) -> Option<&'a Entry> {
        self.asked.push(name.to_owned());
        self.options.entries.iter().find(|entry| entry.name == name)
    }

    fn read<T>(
        &mut self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let entry = self.entry(name)?;
        let value = parse(&entry.value);
        if value.is_none() {
            let (name, value) = (entry.name.clone(), entry.value.clone());
            self.problems.push(UriError::OptionValue { column: entry.column, name, value, expected });
        }
        value
    }
}
