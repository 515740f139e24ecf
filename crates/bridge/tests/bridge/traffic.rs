//! Messages on their way, and the answers to them.

use std::time::Duration;

use ferromq_bridge::{Order, Settings, Side};
use ferromq_openwire::{
    AckType, Body, BrokerId, BrokerSubscriptionInfo, Command, ConsumerInfo, Destination, Limits, Message,
    MessageAck, MessageDispatch, MessageKind,
};

use super::played::{
    NOW, acks, answer, consumer, dispatch, forwarded, given_up, hand, hand_at, message, refusal, removals,
    removed, reports, said, subscribed, subscriptions, tell, up,
};

#[test]
fn a_message_is_acknowledged_when_the_other_broker_has_answered() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let sent = dispatch(&mut bridge, &made, 1);
    let sent = sent.first().unwrap();
    assert!(sent.response_required);
    assert_eq!(sent.broker_path.as_deref(), Some(&[BrokerId::new("ID:here:1")][..]));
    bridge.handle(Side::Remote, answer(sent.command_id), NOW);
    let acks = acks(&said(&mut bridge));
    assert_eq!(acks.first().map(|ack| ack.ack_type), Some(AckType::Individual as i8));
    assert_eq!(bridge.counts().forwarded, 1);
}

#[test]
fn a_refused_message_is_a_dead_letter_and_the_bridge_goes_on() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    bridge.handle(Side::Remote, refusal(command_id, "java.lang.SecurityException", "not allowed"), NOW);
    let orders = said(&mut bridge);
    assert_eq!(acks(&orders).first().map(|ack| ack.ack_type), Some(AckType::Poison as i8));
    assert!(!orders.iter().any(|order| matches!(order, Order::End(_))));
    assert!(!dispatch(&mut bridge, &made, 2).is_empty());
}

#[test]
fn a_broker_without_room_is_asked_again_later() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    bridge.handle(Side::Remote, refusal(command_id, "javax.jms.ResourceAllocationException", "full"), NOW);
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

    bridge.handle(Side::Remote, answer(command_id), NOW);
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
fn bodies_travel_compressed_if_that_is_asked_for() {
    for compress in [false, true] {
        let mut settings = Settings::default();
        settings.compress = compress;
        let mut bridge = up(settings);
        let made = subscribed(&mut bridge);
        let text = "the same again and again ".repeat(50);
        let mut message = message(&made, 1);
        message.set_text(&text).unwrap();
        let sent = forwarded(hand(&mut bridge, &made, message)).remove(0);
        assert_eq!(sent.compressed, compress);
        assert_eq!(sent.content.as_ref().unwrap().len() < text.len(), compress);
        assert_eq!(sent.body(&Limits::default()).unwrap(), Body::Text(text.as_str().into()));
    }
}

#[test]
fn a_refused_message_is_told_of_if_that_is_asked_for() {
    for told in [false, true] {
        let mut settings = Settings::default();
        settings.tell_failed = told;
        let mut bridge = up(settings);
        let made = subscribed(&mut bridge);
        let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
        bridge.handle(Side::Remote, refusal(command_id, "java.lang.SecurityException", "not allowed"), NOW);
        let expected: &[&str] = if told { &["ActiveMQ.Advisory.NetworkBridge.ForwardFailure"] } else { &[] };
        assert_eq!(reports(&said(&mut bridge)), expected);
    }
}

#[test]
fn messages_that_may_be_lost_wait_for_an_answer_only_if_that_is_asked_for() {
    for (asked, waits) in [(true, true), (false, false)] {
        let mut settings = Settings::default();
        settings.always_sync_send = asked;
        let mut bridge = up(settings);
        let made = subscribed(&mut bridge);
        let orders = hand(&mut bridge, &made, message(&made, 1));
        assert_eq!(acks(&orders).is_empty(), waits);
    }
}

#[test]
fn what_went_over_is_counted_for_each_destination_until_it_rests() {
    let mut settings = Settings::default();
    settings.forget_counters_after = Some(Duration::from_secs(60));
    let mut bridge = up(settings);
    let made = subscribed(&mut bridge);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    assert_eq!(bridge.longest_wait(NOW + Duration::from_secs(3)), Duration::from_secs(3));
    bridge.handle(Side::Remote, answer(command_id), NOW + Duration::from_secs(5));
    assert_eq!(bridge.longest_wait(NOW + Duration::from_secs(9)), Duration::ZERO);
    let counted = bridge.destinations();
    assert_eq!(
        counted.first().map(|counts| (&*counts.destination, counts.forwarded)),
        Some(("queue://q", 1))
    );
    bridge.tick(NOW + Duration::from_secs(60));
    assert_eq!(bridge.destinations().len(), 1, "it was used 55 s ago");
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    assert!(bridge.destinations().is_empty());
}

#[test]
fn what_nobody_asked_a_peer_for_changes_nothing() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let nonsense: Vec<Command> = vec![
        answer(4_711),
        MessageAck::default().into(),
        consumer(9, Destination::queue("elsewhere")).into(),
        removed(&consumer(9, Destination::queue("elsewhere"))).into(),
        MessageDispatch::default().into(),
        BrokerSubscriptionInfo::default().into(),
        given_up("nobody", "nothing").into(),
        Message::new(MessageKind::Text).into(),
    ];
    for command in nonsense {
        bridge.handle(Side::Remote, command, NOW);
    }
    for strange in [Command::from(Message::new(MessageKind::Text)), ConsumerInfo::default().into()] {
        tell(&mut bridge, strange);
    }
    assert!(!said(&mut bridge).iter().any(|order| matches!(order, Order::End(_))));
    assert_eq!(bridge.counts().subscriptions, 1);
    assert_eq!(dispatch(&mut bridge, &made, 1).len(), 1, "messages go on");
}

#[test]
fn a_message_that_is_sent_again_has_waited_since_it_was_first_sent() {
    // Given a message that the other broker had no room for, and a later one that it has not answered for
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    let full = refusal(command_id, "javax.jms.ResourceAllocationException", "full");
    bridge.handle(Side::Remote, full, NOW);
    let later = message(&made, 2);
    hand_at(&mut bridge, &made, later, NOW + Duration::from_millis(400));
    // When it is sent again, then it is still the one that has waited longest.
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    assert_eq!(bridge.longest_wait(NOW + Duration::from_secs(9)), Duration::from_secs(9));
}
