//! The core of a bridge between two brokers that the tests play.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::sync::Arc;

use ferromq_bridge::{Bridge, Ending, Order, Rule, Settings, Side};
use ferromq_model::Instant;
use ferromq_openwire::{
    AckType, BrokerId, BrokerInfo, Command, ConsumerId, ConsumerInfo, Destination, ExceptionResponse,
    Message, MessageAck, MessageDispatch, MessageId, MessageKind, ObjectId, ProducerId, RemoveInfo, Response,
    SessionId, Throwable,
};

const NOW: Instant = Instant(0);

fn info(name: &str) -> BrokerInfo {
    let id = BrokerId::new(format!("ID:{name}:1"));
    BrokerInfo { broker_id: Some(id), broker_name: Some(name.into()), ..Default::default() }
}

/// A bridge that both brokers have let in, and what it said until then.
fn up(settings: Settings) -> Bridge {
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

fn said(bridge: &mut Bridge) -> Vec<Order> {
    std::iter::from_fn(|| bridge.poll()).collect()
}

fn consumer(number: i64, destination: Destination) -> ConsumerInfo {
    let id = ConsumerId::new(&SessionId::new("ID:client:1", 1), number);
    ConsumerInfo { consumer_id: Some(id), destination: Some(destination), ..Default::default() }
}

/// The remote broker tells of something by an advisory.
fn tell(bridge: &mut Bridge, what: impl Into<Command>) -> Vec<Order> {
    let mut advisory = Message::new(MessageKind::Plain);
    advisory.data_structure = Some(Arc::new(what.into()));
    let dispatch = MessageDispatch { message: Some(Arc::new(advisory)), ..Default::default() };
    bridge.handle(Side::Remote, dispatch.into(), NOW);
    said(bridge)
}

fn subscriptions(orders: &[Order]) -> Vec<ConsumerInfo> {
    let subscription = |order: &Order| match order {
        Order::Say(Side::Local, Command::ConsumerInfo(info)) => Some(info.clone()),
        _ => None,
    };
    orders.iter().filter_map(subscription).collect()
}

fn removals(orders: &[Order]) -> usize {
    orders.iter().filter(|order| matches!(order, Order::Say(Side::Local, Command::RemoveInfo(_)))).count()
}

fn acks(orders: &[Order]) -> Vec<MessageAck> {
    let ack = |order: &Order| match order {
        Order::Say(Side::Local, Command::MessageAck(ack)) => Some(ack.clone()),
        _ => None,
    };
    orders.iter().filter_map(ack).collect()
}

/// The local broker hands a message to a subscription; what goes to the remote one.
fn dispatch(bridge: &mut Bridge, to: &ConsumerInfo, sequence: i64) -> Vec<Arc<Message>> {
    let mut message = Message::new(MessageKind::Text);
    message.message_id = Some(MessageId::new(ProducerId::new(&SessionId::new("ID:p:1", 1), 1), sequence));
    message.destination = to.destination.clone();
    message.persistent = true;
    let dispatch = MessageDispatch {
        consumer_id: to.consumer_id.clone(),
        destination: to.destination.clone(),
        message: Some(Arc::new(message)),
        ..Default::default()
    };
    bridge.handle(Side::Local, dispatch.into(), NOW);
    let forwarded = |order| match order {
        Order::Say(Side::Remote, Command::Message(message)) => Some(message),
        _ => None,
    };
    said(bridge).into_iter().filter_map(forwarded).collect()
}

fn removed(info: &ConsumerInfo) -> RemoveInfo {
    RemoveInfo { object_id: info.consumer_id.clone().map(ObjectId::Consumer), ..Default::default() }
}

#[test]
fn consumers_of_one_queue_are_one_subscription_for_each_selector() {
    let mut bridge = up(Settings::default());
    let queue = || Destination::queue("q");
    let plain = tell(&mut bridge, consumer(1, queue()));
    assert_eq!(subscriptions(&plain).len(), 1);
    assert!(subscriptions(&tell(&mut bridge, consumer(2, queue()))).is_empty(), "it stands for both");
    let red = ConsumerInfo { selector: Some("colour = 'red'".into()), ..consumer(3, queue()) };
    let selective = subscriptions(&tell(&mut bridge, red.clone()));
    assert_eq!(selective.first().and_then(|info| info.selector.clone()), red.selector);

    assert_eq!(removals(&tell(&mut bridge, removed(&consumer(1, queue())))), 0, "one is left");
    assert_eq!(removals(&tell(&mut bridge, removed(&consumer(2, queue())))), 1);
    assert_eq!(removals(&tell(&mut bridge, removed(&red))), 1);
}

#[test]
fn subscribers_of_a_topic_are_one_subscription_whatever_they_select() {
    let mut bridge = up(Settings::default());
    let red =
        ConsumerInfo { selector: Some("colour = 'red'".into()), ..consumer(1, Destination::topic("t")) };
    let first = subscriptions(&tell(&mut bridge, red));
    assert_eq!(first.first().map(|info| info.selector.clone()), Some(None), "the remote broker selects");
    assert!(subscriptions(&tell(&mut bridge, consumer(2, Destination::topic("t")))).is_empty());
}

#[test]
fn who_is_nearer_is_served_first() {
    let settings = Settings::default();
    let mut far = settings.clone();
    far.consumer_ttl = 5;
    let mut bridge = up(far);
    for (hops, priority) in [(0, -5), (1, -8), (2, -9)] {
        let path: Arc<[BrokerId]> = (0..hops).map(|n| BrokerId::new(format!("ID:{n}"))).collect();
        let info = ConsumerInfo {
            broker_path: Some(path),
            ..consumer(hops, Destination::queue(format!("q{hops}")))
        };
        let made = subscriptions(&tell(&mut bridge, info));
        assert_eq!(made.first().map(|info| info.priority), Some(priority), "{hops} brokers further");
    }
}

#[test]
fn demand_that_came_too_far_or_came_round_or_is_excluded_is_none() {
    let mut settings = Settings::default();
    settings.consumer_ttl = 2;
    settings.excluded = vec![Rule::queue("secret.>")];
    let mut bridge = up(settings);
    let path = |names: &[&str]| -> Option<Arc<[BrokerId]>> {
        Some(names.iter().map(|name| BrokerId::new(format!("ID:{name}:1"))).collect())
    };
    let queue = || Destination::queue("q");
    let refused = [
        ConsumerInfo { broker_path: path(&["x", "y"]), ..consumer(1, queue()) },
        ConsumerInfo { broker_path: path(&["here"]), ..consumer(2, queue()) },
        ConsumerInfo { browser: true, ..consumer(3, queue()) },
        consumer(4, Destination::queue("secret.plan")),
    ];
    for info in refused {
        assert!(subscriptions(&tell(&mut bridge, info.clone())).is_empty(), "{info:?}");
    }
    let accepted = ConsumerInfo { broker_path: path(&["x"]), ..consumer(5, queue()) };
    assert_eq!(subscriptions(&tell(&mut bridge, accepted)).len(), 1);
}

#[test]
fn a_message_is_acknowledged_when_the_other_broker_has_answered() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let sent = dispatch(&mut bridge, &made, 1);
    let sent = sent.first().unwrap();
    assert!(sent.response_required);
    assert_eq!(sent.broker_path.as_deref(), Some(&[BrokerId::new("ID:here:1")][..]));
    let answer = Response { correlation_id: sent.command_id, ..Default::default() };
    bridge.handle(Side::Remote, answer.into(), NOW);
    let acks = acks(&said(&mut bridge));
    assert_eq!(acks.first().map(|ack| ack.ack_type), Some(AckType::Individual as i8));
    assert_eq!(bridge.counts().forwarded, 1);
}

#[test]
fn a_refused_message_is_a_dead_letter_and_the_bridge_goes_on() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    let exception = Some(Arc::new(Throwable::new("java.lang.SecurityException", "not allowed")));
    let refusal = ExceptionResponse { correlation_id: command_id, exception, ..Default::default() };
    bridge.handle(Side::Remote, refusal.into(), NOW);
    let orders = said(&mut bridge);
    assert_eq!(acks(&orders).first().map(|ack| ack.ack_type), Some(AckType::Poison as i8));
    assert!(!orders.iter().any(|order| matches!(order, Order::End(_))));
    assert!(!dispatch(&mut bridge, &made, 2).is_empty());
}

#[test]
fn a_broker_without_room_is_asked_again_later() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    let exception = Some(Arc::new(Throwable::new("javax.jms.ResourceAllocationException", "full")));
    let refusal = ExceptionResponse { correlation_id: command_id, exception, ..Default::default() };
    bridge.handle(Side::Remote, refusal.into(), NOW);
    assert!(acks(&said(&mut bridge)).is_empty(), "it is still ours");
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    assert!(matches!(said(&mut bridge).as_slice(), [Order::Say(Side::Remote, Command::Message(_))]));
}

#[test]
fn a_subscription_ends_after_the_answers_to_what_is_under_way() {
    let mut bridge = up(Settings::default());
    let wanted = consumer(1, Destination::queue("q"));
    let made = subscriptions(&tell(&mut bridge, wanted.clone())).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    assert_eq!(
        removals(&tell(&mut bridge, removed(&wanted))),
        0,
        "the broker would hand the message out again"
    );
    assert!(dispatch(&mut bridge, &made, 2).is_empty(), "nothing more leaves by it");

    let answer = Response { correlation_id: command_id, ..Default::default() };
    bridge.handle(Side::Remote, answer.into(), NOW);
    let orders = said(&mut bridge);
    let kinds: Vec<&str> = orders
        .iter()
        .map(|order| match order {
            Order::Say(Side::Local, command) => command.type_name(),
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["MessageAck", "RemoveInfo"]);
}

#[test]
fn a_broker_that_finds_itself_is_told_so() {
    let mut bridge = Bridge::new(Settings::default(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("here").into(), NOW);
    assert!(matches!(said(&mut bridge).as_slice(), [Order::End(Ending::Loop)]));
}

#[test]
fn wrong_credentials_end_the_attempt_with_the_reason() {
    let mut bridge = Bridge::new(Settings::default(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    said(&mut bridge);
    let exception = Some(Arc::new(Throwable::new("java.lang.SecurityException", "User name or password")));
    bridge.handle(Side::Remote, ExceptionResponse { exception, ..Default::default() }.into(), NOW);
    let ended = said(&mut bridge);
    assert!(matches!(ended.as_slice(), [Order::End(Ending::Refused(reason))] if reason.contains("password")));
}
