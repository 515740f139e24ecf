//! Queues and topics, wildcards and composite names.

use std::fmt;
use std::sync::Arc;

/// What kind of place a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DestinationKind {
    /// Each message goes to one consumer.
    Queue,
    /// Each message goes to every subscriber.
    Topic,
    /// A queue that lives as long as the connection that made it.
    TempQueue,
    /// A topic that lives as long as the connection that made it.
    TempTopic,
}

impl DestinationKind {
    /// The prefix of the qualified name, `queue://` and so on.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Queue => "queue://",
            Self::Topic => "topic://",
            Self::TempQueue => "temp-queue://",
            Self::TempTopic => "temp-topic://",
        }
    }

    /// Whether messages are kept for one of many (queues, temporary or not).
    pub const fn is_queue(self) -> bool {
        matches!(self, Self::Queue | Self::TempQueue)
    }

    /// Whether it ends with a connection.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::TempQueue | Self::TempTopic)
    }
}

/// One destination, or on the way in a composite of several; a clone is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// Queue or topic, temporary or not.
    pub kind: DestinationKind,
    /// The physical name, without prefix and options.
    pub name: Arc<str>,
}

impl Destination {
    /// A destination of `kind`.
    pub fn new(kind: DestinationKind, name: &str) -> Self {
        Self { kind, name: Arc::from(name) }
    }

    /// The queue `name`.
    pub fn queue(name: &str) -> Self {
        Self::new(DestinationKind::Queue, name)
    }

    /// The topic `name`.
    pub fn topic(name: &str) -> Self {
        Self::new(DestinationKind::Topic, name)
    }

    /// Reads a name that may carry a prefix (`topic://A`); without one it is of kind `default`.
    pub fn parse(text: &str, default: DestinationKind) -> Self {
        let text = text.trim();
        for kind in [
            DestinationKind::Queue,
            DestinationKind::Topic,
            DestinationKind::TempQueue,
            DestinationKind::TempTopic,
        ] {
            if let Some(name) = text.strip_prefix(kind.prefix()) {
                return Self::new(kind, name.trim());
            }
        }
        Self::new(default, text)
    }

    /// Whether the name lists several destinations.
    pub fn is_composite(&self) -> bool {
        self.name.contains(',')
    }

    /// The members of a composite (itself alone if it is none): trimmed, without empty ones and repetitions, in
    /// the order of the name.
    pub fn members(&self) -> Vec<Self> {
        if !self.is_composite() {
            return vec![self.clone()];
        }
        let mut members: Vec<Self> = Vec::new();
        for part in self.name.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let member = Self::parse(part, self.kind);
            if !members.contains(&member) {
                members.push(member);
            }
        }
        members
    }

    /// Whether the name has a wildcard element.
    pub fn is_pattern(&self) -> bool {
        self.name.split('.').any(|element| matches!(element, "*" | ">"))
    }

    /// Whether the broker itself speaks here.
    pub fn is_advisory(&self) -> bool {
        self.kind == DestinationKind::Topic && self.name.starts_with("ActiveMQ.Advisory.")
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.name)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name with wildcards: `.` separates elements, `*` stands for one element, `>` for all that follow, none
/// included; what stands behind a `>` is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DestinationPattern {
    elements: Vec<Element>,
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Element {
    Any,
    Exactly(Box<str>),
}

impl DestinationPattern {
    /// Reads a pattern; a name without wildcards matches itself alone.
    pub fn new(pattern: &str) -> Self {
        let mut elements = Vec::new();
        for element in pattern.split('.') {
            match element {
                ">" => return Self { elements, rest: true },
                "*" => elements.push(Element::Any),
                name => elements.push(Element::Exactly(name.into())),
            }
        }
        Self { elements, rest: false }
    }

    /// Whether `name` (itself without wildcards) is covered.
    pub fn matches(&self, name: &str) -> bool {
        let mut names = name.split('.');
        for element in &self.elements {
            match (element, names.next()) {
                (_, None) => return false,
                (Element::Exactly(wanted), Some(found)) if **wanted != *found => return false,
                _ => {}
            }
        }
        self.rest || names.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_documented() {
        for (pattern, name, expected) in [
            ("A.B", "A.B", true),
            ("A.*", "A.B", true),
            ("A.*", "A", false),
            ("A.*", "A.B.C", false),
            ("A.>", "A", true),
            ("A.>", "A.B.C", true),
            ("A.>.ignored", "A.B", true),
            (">", "anything.at.all", true),
            ("*.B.>", "A.B", true),
            ("*.B.>", "A.C", false),
            ("A.B", "A.B.C", false),
        ] {
            assert_eq!(DestinationPattern::new(pattern).matches(name), expected, "{pattern} against {name}");
        }
    }

    #[test]
    fn a_composite_lists_its_members_once_each() {
        let members = Destination::queue("A, topic://B,,A ,temp-queue://C").members();
        assert_eq!(
            members,
            [
                Destination::queue("A"),
                Destination::topic("B"),
                Destination::new(DestinationKind::TempQueue, "C")
            ]
        );
    }
}
