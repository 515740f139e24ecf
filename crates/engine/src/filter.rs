//! [`Filter`]: a selector, asked about a message whose properties are still encoded.

use std::cell::OnceCell;

use ferromq_model::{
    ConsumerFacts, Message, NetworkFilter, PropertyCodec, Text, TransactionId, Value as Property,
};
use ferromq_selector::{Facts, Header, Selector, Value};

use crate::{Fault, FaultKind};

/// What a consumer wants: a parsed selector, and for a bridge what may go over it.
#[derive(Debug)]
pub(crate) struct Filter {
    selector: Option<Selector>,
    network: Option<Border>,
}

/// Which messages may go to another broker (OpenWire, `NetworkBridgeFilter`).
#[derive(Debug)]
struct Border {
    rule: NetworkFilter,
    /// Whether the demand comes from a client of that broker, not through it. What is forwarded whether somebody wants it
    /// or not is no demand.
    direct: bool,
}

/// What a queue knows when a consumer's filter is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loneliness {
    /// Brokers that a message may have passed and still go to where it can be consumed, though it came from there or
    /// has come too far already; 0 for never. A bridge may have a bound of its own.
    pub(crate) hops: u32,
}

impl Filter {
    /// Reads the selector that a consumer named, if it named one.
    pub(crate) fn parse(selector: Option<&Text>) -> Result<Option<Self>, Fault> {
        let Some(text) = selector else { return Ok(None) };
        let text = text.to_str();
        if text.trim().is_empty() {
            return Ok(None);
        }
        match Selector::parse(&text) {
            Ok(selector) => Ok(Some(Self { selector: Some(selector), network: None })),
            Err(error) => Err(Fault { kind: FaultKind::InvalidSelector, text: format!("{text}: {error}") }),
        }
    }

    /// What a consumer's selector and a bridge's rule let through.
    pub(crate) fn of(facts: &ConsumerFacts) -> Result<Option<Self>, Fault> {
        let plain = Self::parse(facts.selector.as_ref())?;
        let Some(rule) = facts.network_filter.clone() else { return Ok(plain) };
        let direct = facts.broker_path.len() <= 1 && !facts.network_path.is_empty();
        let border = Border { rule, direct };
        Ok(Some(Self { selector: plain.and_then(|filter| filter.selector), network: Some(border) }))
    }

    pub(crate) fn matches(&self, message: &Message, redeliveries: u32, codec: &dyn PropertyCodec) -> bool {
        self.matches_lonely(message, redeliveries, codec, Loneliness::default())
    }

    /// The same for a queue that may have nobody else to give the message to.
    pub(crate) fn matches_lonely(
        &self,
        message: &Message,
        redeliveries: u32,
        codec: &dyn PropertyCodec,
        lonely: Loneliness,
    ) -> bool {
        self.network.as_ref().is_none_or(|border| border.lets_pass(message, lonely))
            && self.selector.as_ref().is_none_or(|selector| {
                selector.matches(&Seen { message, redeliveries, codec, texts: Texts::default() })
            })
    }
}

impl Border {
    fn lets_pass(&self, message: &Message, lonely: Loneliness) -> bool {
        let path = message.extra.as_ref().map_or(&[][..], |extra| &extra.broker_path);
        // What nobody else can consume goes to where it can be consumed, be it back, be it further than it should.
        let most = if lonely.hops == 0 { 0 } else { self.rule.max_hops.unwrap_or(lonely.hops) };
        let moves = self.direct && path.len() < most as usize;
        if path.contains(&self.rule.broker) {
            return moves;
        }
        if usize::try_from(self.rule.message_ttl).is_ok_and(|most| path.len() >= most) {
            return moves && !path.is_empty();
        }
        !is_for_bridges(message)
    }
}

/// Advisories that bridges act upon tell about one broker, and are told anew by each.
fn is_for_bridges(message: &Message) -> bool {
    [
        "ActiveMQ.Advisory.Consumer.",
        "ActiveMQ.Advisory.Temp",
        "ActiveMQ.Advisory.VirtualDestination.Consumer.",
    ]
    .iter()
    .any(|prefix| message.destination.name.starts_with(prefix))
}

/// One message as a selector sees it; texts that had to be made live as long as the look.
struct Seen<'a> {
    message: &'a Message,
    redeliveries: u32,
    codec: &'a dyn PropertyCodec,
    texts: Texts,
}

/// A list that grows through a shared reference, so that values may borrow from it.
#[derive(Default)]
struct Texts(OnceCell<Box<(String, Texts)>>);

impl Texts {
    fn keep(&self, text: String) -> &str {
        let mut end = self;
        while let Some(node) = end.0.get() {
            end = &node.1;
        }
        &end.0.get_or_init(|| Box::new((text, Texts::default()))).0
    }
}

impl Seen<'_> {
    fn text<'s>(&'s self, text: &'s Text) -> Value<'s> {
        Value::String(match text.to_str() {
            std::borrow::Cow::Borrowed(text) => text,
            std::borrow::Cow::Owned(text) => self.texts.keep(text),
        })
    }

    fn made(&self, text: String) -> Value<'_> {
        Value::String(self.texts.keep(text))
    }

    fn transaction(&self, transaction: &TransactionId) -> Value<'_> {
        self.made(transaction.to_string())
    }
}

impl Facts for Seen<'_> {
    fn header(&self, header: Header) -> Option<Value<'_>> {
        let message = self.message;
        let extra = message.extra.as_deref();
        Some(match header {
            Header::Destination => {
                let destination = extra.and_then(|extra| extra.original_destination.as_ref());
                self.made(destination.unwrap_or(&message.destination).to_string())
            }
            Header::ReplyTo => self.made(message.reply_to.as_ref()?.to_string()),
            Header::Type => self.text(message.message_type.as_ref()?),
            Header::DeliveryMode => {
                Value::String(if message.persistent { "PERSISTENT" } else { "NON_PERSISTENT" })
            }
            Header::Priority => Value::Int(i32::from(message.priority)),
            Header::MessageId => self.made(message.id.to_string()),
            Header::Timestamp => Value::Long(message.timestamp),
            Header::CorrelationId => self.text(message.correlation_id.as_ref()?),
            Header::Expiration => Value::Long(message.expiration),
            Header::Redelivered => Value::Bool(self.redeliveries > 0),
            Header::DeliveryCount => {
                Value::Int(i32::try_from(self.redeliveries.saturating_add(1)).unwrap_or(i32::MAX))
            }
            Header::GroupId => self.text(message.group_id.as_ref()?),
            Header::GroupSeq => Value::Int(message.group_sequence),
            Header::UserId => match extra.and_then(|extra| extra.user_id.as_ref()) {
                Some(user) => self.text(user),
                None => return self.property(Header::UserId.name()),
            },
            Header::ProducerTxId => {
                let extra = extra?;
                self.transaction(extra.original_transaction.as_ref().or(extra.transaction.as_ref())?)
            }
            Header::BrokerInTime => Value::Long(message.broker_in_time),
            Header::BrokerPath => match extra {
                Some(extra) if !extra.broker_path.is_empty() => {
                    let path: Vec<_> = extra.broker_path.iter().map(ToString::to_string).collect();
                    self.made(format!("[{}]", path.join(", ")))
                }
                _ => Value::String("null"),
            },
            Header::GroupFirstForConsumer => Value::Bool(false),
            _ => return None,
        })
    }

    fn property(&self, name: &str) -> Option<Value<'_>> {
        let raw = self.message.properties.as_ref()?;
        Some(match self.codec.property(self.message.encoding, raw, name)? {
            Property::Null => return None,
            Property::Bool(value) => Value::Bool(value),
            Property::Byte(value) => Value::Byte(value),
            Property::Short(value) => Value::Short(value),
            Property::Int(value) => Value::Int(value),
            Property::Long(value) => Value::Long(value),
            Property::Float(value) => Value::Float(value),
            Property::Double(value) => Value::Double(value),
            Property::String(text) => self.made(text.to_str().into_owned()),
            Property::Other => Value::Opaque,
        })
    }
}
