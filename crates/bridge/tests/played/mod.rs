//! A bridge between two brokers that the tests play: what they say to it, and what it says to them.

use std::sync::Arc;

use ferromq_bridge::{Bridge, Order, Side};
use ferromq_model::Instant;
use ferromq_openwire::{
    Command, ConsumerId, ConsumerInfo, Destination, Message, MessageDispatch, MessageId, MessageKind,
    ProducerId, SessionId,
};

pub const NOW: Instant = Instant(0);

/// What the bridge has said since it was asked last.
pub fn said(bridge: &mut Bridge) -> Vec<Order> {
    std::iter::from_fn(|| bridge.poll()).collect()
}

/// A consumer at the remote broker.
pub fn consumer(number: i64, destination: Destination) -> ConsumerInfo {
    let id = ConsumerId::new(&SessionId::new("ID:client:1", 1), number);
    ConsumerInfo { consumer_id: Some(id), destination: Some(destination), ..Default::default() }
}

/// The remote broker tells of something by an advisory.
pub fn tell(bridge: &mut Bridge, what: impl Into<Command>) -> Vec<Order> {
    let mut advisory = Message::new(MessageKind::Plain);
    advisory.data_structure = Some(Arc::new(what.into()));
    let dispatch = MessageDispatch { message: Some(Arc::new(advisory)), ..Default::default() };
    bridge.handle(Side::Remote, dispatch.into(), NOW);
    said(bridge)
}

/// What the bridge has subscribed to at the local broker.
pub fn subscriptions(orders: &[Order]) -> Vec<ConsumerInfo> {
    let subscription = |order: &Order| match order {
        Order::Say(Side::Local, Command::ConsumerInfo(info)) => Some(info.clone()),
        _ => None,
    };
    orders.iter().filter_map(subscription).collect()
}

/// A message of a client, on its way to a subscription.
pub fn message(to: &ConsumerInfo, sequence: i64) -> Message {
    let mut message = Message::new(MessageKind::Text);
    message.message_id = Some(MessageId::new(ProducerId::new(&SessionId::new("ID:p:1", 1), 1), sequence));
    message.destination = to.destination.clone();
    message
}

/// The local broker hands a message to a subscription; what goes to the remote one.
pub fn hand(bridge: &mut Bridge, to: &ConsumerInfo, message: Message) -> Vec<Order> {
    let dispatch = MessageDispatch {
        consumer_id: to.consumer_id.clone(),
        destination: to.destination.clone(),
        message: Some(Arc::new(message)),
        ..Default::default()
    };
    bridge.handle(Side::Local, dispatch.into(), NOW);
    said(bridge)
}

/// The messages among what the bridge says to the remote broker.
pub fn forwarded(orders: Vec<Order>) -> Vec<Arc<Message>> {
    let forwarded = |order| match order {
        Order::Say(Side::Remote, Command::Message(message)) => Some(message),
        _ => None,
    };
    orders.into_iter().filter_map(forwarded).collect()
}
