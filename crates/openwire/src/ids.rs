//! Text forms of identifiers, such as `ID:host-1-2-3:1:1:1:42`. They are read from the right, because a connection
//! id contains colons itself.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::structures::{BrokerId, ConnectionId, ConsumerId, MessageId, ProducerId, SessionId};
use crate::text::WireStr;

fn text(value: &Option<WireStr>) -> std::borrow::Cow<'_, str> {
    value.as_ref().map_or(std::borrow::Cow::Borrowed(""), WireStr::to_str)
}

/// Takes `N` numbers off the right end.
fn numbers<const N: usize>(text: &str, expected: &'static str) -> Result<(Option<WireStr>, [i64; N]), Error> {
    let bad = || Error::BadId { text: text.to_owned(), expected };
    let mut found = [0; N];
    let mut rest = text;
    for place in found.iter_mut().rev() {
        let (left, number) = rest.rsplit_once(':').ok_or_else(bad)?;
        *place = number.parse().map_err(|_| bad())?;
        rest = left;
    }
    if rest.is_empty() { Err(bad()) } else { Ok((Some(WireStr::from(rest)), found)) }
}

impl ConnectionId {
    /// A connection id of any unique text.
    pub fn new(value: impl Into<WireStr>) -> Self {
        Self { value: Some(value.into()) }
    }
}

impl BrokerId {
    /// A broker id of any unique text.
    pub fn new(value: impl Into<WireStr>) -> Self {
        Self { value: Some(value.into()) }
    }
}

impl SessionId {
    /// A session of a connection; sessions count from 1, and -1 is the connection itself.
    pub fn new(connection_id: impl Into<WireStr>, value: i64) -> Self {
        Self { connection_id: Some(connection_id.into()), value }
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId { value: self.connection_id.clone() }
    }
}

impl ConsumerId {
    /// A consumer of a session.
    pub fn new(session: &SessionId, value: i64) -> Self {
        Self { connection_id: session.connection_id.clone(), session_id: session.value, value }
    }

    /// The session that it belongs to.
    pub fn session(&self) -> SessionId {
        SessionId { connection_id: self.connection_id.clone(), value: self.session_id }
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId { value: self.connection_id.clone() }
    }
}

impl ProducerId {
    /// A producer of a session.
    pub fn new(session: &SessionId, value: i64) -> Self {
        Self { connection_id: session.connection_id.clone(), value, session_id: session.value }
    }

    /// The session that it belongs to.
    pub fn session(&self) -> SessionId {
        SessionId { connection_id: self.connection_id.clone(), value: self.session_id }
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId { value: self.connection_id.clone() }
    }
}

impl MessageId {
    /// The message of a producer with a sequence, counted from 1.
    pub fn new(producer_id: ProducerId, producer_sequence_id: i64) -> Self {
        Self { producer_id: Some(producer_id), producer_sequence_id, ..Self::default() }
    }

    /// Whether both name the same message: producer and sequence decide, not the views.
    pub fn is_same(&self, other: &Self) -> bool {
        self.producer_sequence_id == other.producer_sequence_id && self.producer_id == other.producer_id
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.value))
    }
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.value))
    }
}

/// `connection:session`
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", text(&self.connection_id), self.value)
    }
}

/// `connection:session:consumer`
impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", text(&self.connection_id), self.session_id, self.value)
    }
}

/// `connection:session:producer`
impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", text(&self.connection_id), self.session_id, self.value)
    }
}

/// The text view (with `ID:` in front) if there is one, else `connection:session:producer:sequence`.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text_view {
            Some(view) if !view.is_empty() => {
                let view = view.to_str();
                write!(f, "{}{view}", if view.starts_with("ID:") { "" } else { "ID:" })
            }
            _ => {
                if let Some(producer) = &self.producer_id {
                    write!(f, "{producer}:")?;
                }
                write!(f, "{}", self.producer_sequence_id)
            }
        }
    }
}

impl FromStr for ConnectionId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Ok(Self::new(s))
    }
}

impl FromStr for BrokerId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Ok(Self::new(s))
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let (connection_id, [value]) = numbers(s, "connection:session")?;
        Ok(Self { connection_id, value })
    }
}

impl FromStr for ConsumerId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let (connection_id, [session_id, value]) = numbers(s, "connection:session:consumer")?;
        Ok(Self { connection_id, session_id, value })
    }
}

impl FromStr for ProducerId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let (connection_id, [session_id, value]) = numbers(s, "connection:session:producer")?;
        Ok(Self { connection_id, session_id, value })
    }
}

/// Text of another form becomes the text view of an id without a producer.
impl FromStr for MessageId {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        match numbers(s, "connection:session:producer:sequence") {
            Ok((connection_id, [session_id, value, sequence])) => {
                Ok(Self::new(ProducerId { connection_id, session_id, value }, sequence))
            }
            Err(_) if !s.is_empty() => Ok(Self { text_view: Some(WireStr::from(s)), ..Self::default() }),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_from_their_text() {
        let session = SessionId::new("ID:host-42255-1795460772787-28:1", -1);
        let consumer = ConsumerId::new(&session, 7);
        let producer = ProducerId::new(&session, 9);
        let message = MessageId::new(producer.clone(), 1234);
        assert_eq!(session.to_string().parse(), Ok(session.clone()));
        assert_eq!(consumer.to_string().parse(), Ok(consumer.clone()));
        assert_eq!(producer.to_string().parse(), Ok(producer));
        assert_eq!(message.to_string(), "ID:host-42255-1795460772787-28:1:-1:9:1234");
        assert_eq!(message.to_string().parse(), Ok(message));
        assert_eq!(consumer.session(), session);
    }

    #[test]
    fn foreign_ids_are_kept_as_views() {
        let id: MessageId = "elsewhere-17".parse().unwrap();
        assert_eq!(id.to_string(), "ID:elsewhere-17");
        assert!("".parse::<MessageId>().is_err());
        assert!("conn:x".parse::<SessionId>().is_err());
        assert!(":1".parse::<SessionId>().is_err());
    }

    #[test]
    fn views_do_not_make_another_message() {
        let id: MessageId = "c:1:1:5".parse().unwrap();
        let stored = MessageId { broker_sequence_id: 99, ..id.clone() };
        assert!(id.is_same(&stored));
        assert_ne!(id, stored);
    }
}
