//! Text to [`Uri`], by recursive descent over nested parentheses.

use crate::{
    endpoint::{Endpoint, Host},
    error::UriError,
    options::Options,
    percent,
    scheme::{Scheme, Shape},
    uri::{Target, Uri},
};

/// The longest URI, in bytes.
pub const MAX_URI_BYTES: usize = 16 * 1024;
/// The most levels of URIs within URIs.
pub const MAX_NESTING: usize = 8;
/// The most simple and composite URIs within one.
pub const MAX_COMPONENTS: usize = 256;

/// Enough of the text in an error to find it.
const EXCERPT_CHARS: usize = 40;

type Result<T> = std::result::Result<T, UriError>;

pub(crate) fn parse(text: &str) -> Result<Uri> {
    if text.len() > MAX_URI_BYTES {
        return Err(UriError::TooLong { bytes: text.len(), limit: MAX_URI_BYTES });
    }
    Parser { whole: text, components: 0 }.uri(Span { text, at: 0 }.trimmed(), 1)
}

/// A part of the whole text, with the byte at which it begins.
#[derive(Clone, Copy)]
struct Span<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Span<'a> {
    fn trimmed(self) -> Span<'a> {
        let text = self.text.trim_start();
        Span { text: text.trim_end(), at: self.at + (self.text.len() - text.len()) }
    }

    fn split_at(self, middle: usize) -> (Span<'a>, Span<'a>) {
        match self.text.split_at_checked(middle) {
            Some((left, right)) => {
                (Span { text: left, at: self.at }, Span { text: right, at: self.at + middle })
            }
            None => (self, Span { text: "", at: self.at + self.text.len() }),
        }
    }

    fn strip_prefix(self, prefix: &str) -> Option<Span<'a>> {
        self.text.strip_prefix(prefix).map(|text| Span { text, at: self.at + prefix.len() })
    }
}

struct Parser<'a> {
    whole: &'a str,
    components: usize,
}

impl Parser<'_> {
    fn uri(&mut self, span: Span<'_>, level: usize) -> Result<Uri> {
        self.components += 1;
        if self.components > MAX_COMPONENTS {
            return Err(self.too_many(span, "URIs within one", MAX_COMPONENTS));
        }
        if level > MAX_NESTING {
            return Err(self.too_many(span, "levels of URIs within URIs", MAX_NESTING));
        }
        if span.text.is_empty() {
            return Err(UriError::Empty { column: self.column(span.at) });
        }
        if let Some(at) = span.text.find('#') {
            let (_, fragment) = span.split_at(at);
            return Err(self.syntax(
                fragment,
                "there is no fragment in a broker URI",
                "write %23 for a # in a value",
            ));
        }
        let (scheme, rest) = self.scheme(span)?;
        let body = rest.strip_prefix("//");
        let grouped = body.unwrap_or(rest).text.starts_with('(');
        match scheme.shape() {
            Shape::Group => self.group(scheme, body.unwrap_or(rest), level),
            _ if grouped => self.group(scheme, body.unwrap_or(rest), level),
            // `vm:broker:(…)`: a name cannot hold a colon, so what follows is a URI.
            Shape::Name if body.is_none() && rest.text.contains(':') => self.group(scheme, rest, level),
            shape => match body {
                Some(body) => self.simple(scheme, shape, body),
                None if shape == Shape::Name && !rest.text.starts_with('/') => {
                    self.simple(scheme, shape, rest)
                }
                None => {
                    Err(self.syntax(rest, "no // behind the scheme", "write something like tcp://host:61616"))
                }
            },
        }
    }

    fn scheme<'s>(&self, span: Span<'s>) -> Result<(Scheme, Span<'s>)> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = span.text.find(|c| !known(c)).unwrap_or(span.text.len());
        let (name, rest) = span.split_at(end);
        let Some(rest) = rest.strip_prefix(":").filter(|_| !name.text.is_empty()) else {
            return Err(UriError::NoScheme { column: self.column(span.at), text: excerpt(span.text) });
        };
        // In `host:61616` the host would be the scheme.
        if Scheme::from_name(name.text).is_none() && rest.text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(UriError::NoScheme { column: self.column(span.at), text: excerpt(span.text) });
        }
        let scheme = Scheme::from_name(name.text).ok_or_else(|| UriError::UnknownScheme {
            column: self.column(span.at),
            scheme: excerpt(name.text),
            suggestion: Scheme::suggestion(name.text),
        })?;
        Ok((scheme, rest))
    }

    fn group(&mut self, scheme: Scheme, body: Span<'_>, level: usize) -> Result<Uri> {
        let body = body.trimmed();
        let (inside, behind) = match body.strip_prefix("(") {
            Some(inner) => {
                let end = matching(inner.text).ok_or_else(|| {
                    self.syntax(body, "this ( is not closed", "close it behind the last URI")
                })?;
                let (inside, behind) = inner.split_at(end);
                (inside, behind.split_at(1).1)
            }
            // Without parentheses all options belong to the URIs inside.
            None => (body, Span { text: "", at: body.at + body.text.len() }),
        };
        let mut uris = Vec::new();
        for component in self.components(inside)? {
            uris.push(self.uri(component.trimmed(), level + 1)?);
        }
        let (path, options) = self.path_and_options(behind.trimmed())?;
        Ok(Uri { scheme, target: Target::Group(uris), path, options })
    }

    /// Cuts at the commas that are inside of no parentheses.
    fn components<'s>(&self, span: Span<'s>) -> Result<Vec<Span<'s>>> {
        let mut parts = Vec::new();
        let mut rest = span;
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(byte) = rest.text.as_bytes().get(at) {
            match byte {
                b'(' => depth += 1,
                b')' if depth == 0 => {
                    return Err(self.syntax(rest.split_at(at).1, "this ) closes nothing", "remove it"));
                }
                b')' => depth -= 1,
                b',' if depth == 0 => {
                    let (part, tail) = rest.split_at(at);
                    parts.push(part);
                    rest = tail.split_at(1).1;
                    at = 0;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        if depth > 0 {
            return Err(self.syntax(rest, "a ( in here is not closed", "close it behind its last URI"));
        }
        parts.push(rest);
        Ok(parts)
    }

    fn simple(&self, scheme: Scheme, shape: Shape, body: Span<'_>) -> Result<Uri> {
        let end = body.text.find(['/', '?']).unwrap_or(body.text.len());
        let (authority, behind) = body.split_at(end);
        let target = if shape == Shape::Socket {
            Target::Socket(self.endpoint(authority)?)
        } else {
            Target::Name(self.decoded(authority)?)
        };
        let (path, options) = self.path_and_options(behind)?;
        Ok(Uri { scheme, target, path, options })
    }

    fn endpoint(&self, span: Span<'_>) -> Result<Endpoint> {
        if span.text.contains('@') {
            let remedy = "set the user and password of the connection instead";
            return Err(self.syntax(span, "a broker URI holds no user or password", remedy));
        }
        // The colons of an IPv6 address stand inside of brackets.
        let port_at = match span.text.rfind(':') {
            Some(colon) if !span.text.get(colon..).unwrap_or_default().contains(']') => Some(colon),
            _ => None,
        };
        let (host, port) = match port_at {
            Some(colon) => {
                let (host, port) = span.split_at(colon);
                (host, Some(port.split_at(1).1))
            }
            None => (span, None),
        };
        let parsed = Host::parse(host.text)
            .ok_or_else(|| UriError::Host { column: self.column(host.at), text: excerpt(host.text) })?;
        let port = port.map(|port| self.port(port)).transpose()?;
        Ok(Endpoint { host: parsed, port })
    }

    fn port(&self, span: Span<'_>) -> Result<u16> {
        let digits = span.text.bytes().all(|byte| byte.is_ascii_digit());
        span.text
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| UriError::Port { column: self.column(span.at), text: excerpt(span.text) })
    }

    fn path_and_options(&self, span: Span<'_>) -> Result<(String, Options)> {
        let (path, query) = span.split_at(span.text.find('?').unwrap_or(span.text.len()));
        if !path.text.is_empty() && !path.text.starts_with('/') {
            return Err(self.syntax(
                path,
                "this does not belong behind the target",
                "options begin with a ?",
            ));
        }
        if let Some(at) = path.text.find(['(', ')', ',']) {
            return Err(self.syntax(
                path.split_at(at).1,
                "a path holds no parentheses and commas",
                "remove it",
            ));
        }
        let mut options = Options::default();
        let mut rest = query.split_at(1).1;
        while !rest.text.is_empty() {
            let (option, tail) = rest.split_at(rest.text.find('&').unwrap_or(rest.text.len()));
            rest = tail.split_at(1).1;
            if option.text.is_empty() {
                continue;
            }
            let (name, value) = option.split_at(option.text.find('=').unwrap_or(option.text.len()));
            if value.text.is_empty() || name.text.is_empty() {
                return Err(self.syntax(option, "an option is written name=value", "add what is missing"));
            }
            let (column, name) = (self.column(name.at), self.decoded(name)?);
            options.add(name, self.decoded(value.split_at(1).1)?, column)?;
        }
        Ok((self.decoded(path)?, options))
    }

    fn decoded(&self, span: Span<'_>) -> Result<String> {
        percent::decode(span.text).map_err(|at| {
            let bad = span.split_at(at).1;
            self.syntax(bad, "this is no whole percent escape of UTF-8 text", "write % itself as %25")
        })
    }

    fn syntax(&self, span: Span<'_>, problem: &'static str, remedy: &'static str) -> UriError {
        UriError::Syntax { column: self.column(span.at), problem, remedy }
    }

    fn too_many(&self, span: Span<'_>, what: &'static str, limit: usize) -> UriError {
        UriError::TooMany { column: self.column(span.at), what, limit }
    }

    fn column(&self, at: usize) -> usize {
        self.whole.get(..at).map_or(0, |before| before.chars().count()) + 1
    }
}

/// The position of the `)` that belongs to a `(` just before the text.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(at),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}
