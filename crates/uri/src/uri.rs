//! A URI as written: scheme, target, path and options, untyped.

use std::{fmt, str::FromStr};

use crate::{endpoint::Endpoint, error::UriError, options::Options, parse, percent, scheme::Scheme};

/// Any URI of ActiveMQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// What the URI points at.
    pub target: Target,
    /// What stands behind the target, with its slash; mostly empty.
    pub path: String,
    /// The options behind the question mark.
    pub options: Options,
}

/// What a URI points at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A host and perhaps a port.
    Socket(Endpoint),
    /// Other URIs, in order.
    Group(Vec<Uri>),
    /// A name, such as that of a broker inside of the process; may be empty.
    Name(String),
}

impl Uri {
    /// Parses any URI.
    ///
    /// # Errors
    /// [`UriError`] with the column of the first mistake.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        parse::parse(text)
    }

    /// The URIs inside of a composite one; none for a simple one.
    #[must_use]
    pub fn components(&self) -> &[Uri] {
        match &self.target {
            Target::Group(uris) => uris,
            _ => &[],
        }
    }

    /// The host and port of a simple URI.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.target {
            Target::Socket(endpoint) => Some(endpoint),
            _ => None,
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        match &self.target {
            Target::Socket(endpoint) => write!(f, "//{endpoint}")?,
            Target::Name(name) => write!(f, "//{}", percent::encode(name))?,
            Target::Group(uris) => {
                f.write_str("(")?;
                for (index, uri) in uris.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    uri.fmt(f)?;
                }
                f.write_str(")")?;
            }
        }
        f.write_str(&percent::encode(&self.path))?;
        self.options.fmt(f)
    }
}
