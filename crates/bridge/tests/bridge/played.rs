//! A bridge between two brokers that the tests play: what they say to it, and what it says to them.

use std::sync::Arc;

use ferromq_bridge::{Bridge, Order, Settings, Side};
use ferromq_model::Instant;
use ferromq_openwire::{
    BrokerId, BrokerInfo, Command, ConsumerId, ConsumerInfo, Destination, ExceptionResponse, Message,
    MessageAck, MessageDispatch, MessageId, MessageKind, ObjectId, ProducerId, RemoveInfo,
    RemoveSubscriptionInfo, Response, SessionId, Throwable,
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
    hand_at(bridge, to, message, NOW)
}

/// The same, at another time.
pub fn hand_at(bridge: &mut Bridge, to: &ConsumerInfo, message: Message, now: Instant) -> Vec<Order> {
    let dispatch = MessageDispatch {
        consumer_id: to.consumer_id.clone(),
        destination: to.destination.clone(),
        message: Some(Arc::new(message)),
        ..Default::default()
    };
    bridge.handle(Side::Local, dispatch.into(), now);
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

pub fn info(name: &str) -> BrokerInfo {
    let id = BrokerId::new(format!("ID:{name}:1"));
    let url = Some(format!("tcp://{name}:1").as_str().into());
    BrokerInfo { broker_id: Some(id), broker_name: Some(name.into()), broker_url: url, ..Default::default() }
}

/// A bridge that both brokers have let in, and what it said until then.
pub fn up(settings: Settings) -> Bridge {
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    assert!(bridge.is_up());
    said(&mut bridge);
    bridge
}

pub fn removals(orders: &[Order]) -> usize {
    orders.iter().filter(|order| matches!(order, Order::Say(Side::Local, Command::RemoveInfo(_)))).count()
}

pub fn acks(orders: &[Order]) -> Vec<MessageAck> {
    let ack = |order: &Order| match order {
        Order::Say(Side::Local, Command::MessageAck(ack)) => Some(ack.clone()),
        _ => None,
    };
    orders.iter().filter_map(ack).collect()
}

/// The local broker hands a persistent message to a subscription; what goes to the remote one.
pub fn dispatch(bridge: &mut Bridge, to: &ConsumerInfo, sequence: i64) -> Vec<Arc<Message>> {
    let mut message = message(to, sequence);
    message.persistent = true;
    forwarded(hand(bridge, to, message))
}

pub fn removed(info: &ConsumerInfo) -> RemoveInfo {
    RemoveInfo { object_id: info.consumer_id.clone().map(ObjectId::Consumer), ..Default::default() }
}

pub fn durable(number: i64, client: &str, name: &str) -> ConsumerInfo {
    ConsumerInfo {
        client_id: Some(client.into()),
        subscription_name: Some(name.into()),
        ..consumer(number, Destination::topic("t"))
    }
}

/// Advisories that the bridge itself sends to the local broker: the topics.
pub fn reports(orders: &[Order]) -> Vec<String> {
    let topic = |order: &Order| match order {
        Order::Say(Side::Local, Command::Message(message)) => {
            message.destination.as_ref().map(|topic| topic.name.to_string())
        }
        _ => None,
    };
    orders.iter().filter_map(topic).collect()
}

/// A broker's answer to what it was asked under this number.
pub fn answer(request: i32) -> Command {
    Response { correlation_id: request, ..Default::default() }.into()
}

/// The same, of a broker that says no.
pub fn refusal(request: i32, class: &str, text: &str) -> Command {
    let exception = Some(Arc::new(Throwable::new(class, text)));
    ExceptionResponse { correlation_id: request, exception, ..Default::default() }.into()
}

/// A consumer of the queue `q` over there, and the subscription that stands for it.
pub fn subscribed(bridge: &mut Bridge) -> ConsumerInfo {
    subscriptions(&tell(bridge, consumer(1, Destination::queue("q")))).remove(0)
}

/// What the remote broker tells when a durable subscriber gives up.
pub fn given_up(client: &str, name: &str) -> RemoveSubscriptionInfo {
    RemoveSubscriptionInfo {
        client_id: Some(client.into()),
        subscription_name: Some(name.into()),
        ..Default::default()
    }
}
