//! A bridge between two brokers that keep streams.

use std::sync::Arc;

use ferromq_bridge::{Bridge, Ending, Order, Rule, Settings, Side};
use ferromq_openwire::{
    BrokerId, BrokerInfo, Command, ConsumerInfo, ControlCommand, DataResponse, Destination, Message, Response,
};

use super::played::{
    NOW, answer, consumer, forwarded, hand, message, refusal, removed, said, subscribed, tell,
};

/// A position, as brokers mark them.
const POSITION: i64 = 1 << 62 | 7;

fn info(name: &str, keeps_streams: bool) -> BrokerInfo {
    BrokerInfo {
        broker_id: Some(BrokerId::new(format!("ID:{name}:1"))),
        broker_name: Some(name.into()),
        network_properties: keeps_streams.then(|| "ferromqLinks=1\n".into()),
        ..Default::default()
    }
}

fn controls(orders: &[Order]) -> Vec<(Side, i32, String)> {
    let control = |order: &Order| match order {
        Order::Say(side, Command::ControlCommand(ControlCommand { command_id, command, .. })) => {
            Some((*side, *command_id, command.as_ref()?.to_string()))
        }
        _ => None,
    };
    orders.iter().filter_map(control).collect()
}

/// What is said to a broker, but for what is about advisories at the local one.
fn names(orders: &[Order], wanted: Side) -> Vec<&'static str> {
    let about_advisories = |command: &Command| {
        let destination = match command {
            Command::ConsumerInfo(info) => info.destination.as_ref(),
            Command::Message(message) => message.destination.as_ref(),
            _ => None,
        };
        destination.is_some_and(|to| to.name.to_str().starts_with("ActiveMQ.Advisory."))
    };
    let name = |order: &Order| match order {
        Order::Say(side, command)
            if *side == wanted && (wanted != Side::Local || !about_advisories(command)) =>
        {
            Some(command.type_name())
        }
        _ => None,
    };
    orders.iter().filter_map(name).collect()
}

fn begin(settings: Settings, local: bool, remote: bool) -> (Bridge, Vec<Order>) {
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, info("here", local).into(), NOW);
    bridge.handle(Side::Remote, info("there", remote).into(), NOW);
    let mut orders = said(&mut bridge);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    orders.extend(said(&mut bridge));
    (bridge, orders)
}

fn report(request: i32, text: &str) -> Command {
    let report = ControlCommand { command: Some(text.into()), ..Default::default() };
    DataResponse { correlation_id: request, data: Some(Arc::new(report.into())), ..Default::default() }.into()
}

/// A bridge whose brokers have agreed about the stream.
fn up(settings: Settings) -> Bridge {
    let (mut bridge, orders) = begin(settings, true, true);
    let (_, asked, _) = controls(&orders).remove(0);
    bridge.handle(Side::Remote, report(asked, "0"), NOW);
    let (_, told, _) = controls(&said(&mut bridge)).remove(0);
    bridge.handle(Side::Local, answer(told), NOW);
    assert!(bridge.is_up());
    said(&mut bridge);
    bridge
}

/// The local broker hands a message with a position to a subscription; what goes to the remote one.
fn dispatch(bridge: &mut Bridge, to: &ConsumerInfo, sequence: i64) -> Vec<Arc<Message>> {
    let mut message = message(to, sequence);
    message.persistent = true;
    if let Some(id) = &mut message.message_id {
        id.broker_sequence_id = POSITION;
    }
    forwarded(hand(bridge, to, message))
}

#[test]
fn the_brokers_agree_about_the_stream_before_anything_is_subscribed_to() {
    let mut settings = Settings::default();
    settings.name = "to there".into();
    settings.statically_included = vec![Rule::queue("always")];
    let (mut bridge, orders) = begin(settings, true, true);
    // Both have let it in, and it asks the remote one first
    let asked = controls(&orders);
    let [(Side::Remote, request, text)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(text, "ferromq-link open\nID:here:1>ID:there:1/to there");
    assert!(!bridge.is_up() && !names(&orders, Side::Local).contains(&"ConsumerInfo"));
    assert!(!names(&orders, Side::Remote).contains(&"ConsumerInfo"), "nor does it listen to who consumes");
    // then tells the local one what it has,
    bridge.handle(Side::Remote, report(*request, "5,0:abc"), NOW);
    let orders = said(&mut bridge);
    let told = controls(&orders);
    let [(Side::Local, request, text)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(text, "ferromq-link begin\nID:here:1>ID:there:1/to there\n5,0:abc");
    assert!(!bridge.is_up());
    // and subscribes when that has been taken up.
    bridge.handle(Side::Local, answer(*request), NOW);
    let orders = said(&mut bridge);
    assert!(bridge.is_up() && orders.iter().any(|order| matches!(order, Order::Up)));
    for side in [Side::Local, Side::Remote] {
        let made = names(&orders, side).into_iter().filter(|name| *name == "ConsumerInfo").count();
        assert_eq!(made, 1, "{side:?}");
    }
}

#[test]
fn a_peer_that_keeps_no_streams_sees_nothing_of_them() {
    let mut off = Settings::default();
    off.exactly_once = false;
    let cases = [(Settings::default(), true, false), (Settings::default(), false, true), (off, true, true)];
    for (settings, local, remote) in cases {
        let (bridge, orders) = begin(settings, local, remote);
        assert!(controls(&orders).is_empty() && bridge.is_up());
        assert!(names(&orders, Side::Remote).contains(&"ConsumerInfo"));
    }
}

#[test]
fn a_position_goes_over_as_the_local_broker_gave_it_and_again_if_there_was_no_room() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let sent = dispatch(&mut bridge, &made, 1).remove(0);
    let position = |message: &Message| message.message_id.as_ref().unwrap().broker_sequence_id;
    assert_eq!(position(&sent), POSITION);
    bridge.handle(
        Side::Remote,
        refusal(sent.command_id, "javax.jms.ResourceAllocationException", "full"),
        NOW,
    );
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    let orders = said(&mut bridge);
    let again = orders.iter().find_map(|order| match order {
        Order::Say(Side::Remote, Command::Message(message)) => Some(position(message)),
        _ => None,
    });
    assert_eq!(again, Some(POSITION), "it was not taken, so its position is free");
}

#[test]
fn who_does_not_take_up_the_stream_is_left_with_the_reason() {
    for side in [Side::Remote, Side::Local] {
        let (mut bridge, orders) = begin(Settings::default(), true, true);
        let (_, mut request, _) = controls(&orders).remove(0);
        if side == Side::Local {
            bridge.handle(Side::Remote, report(request, "9"), NOW);
            request = controls(&said(&mut bridge)).remove(0).1;
        }
        bridge.handle(side, refusal(request, "java.lang.IllegalStateException", "it is a copy"), NOW);
        let ended = said(&mut bridge);
        let reason = ended.iter().find_map(|order| match order {
            Order::End(Ending::Refused(reason)) => Some(reason.clone()),
            _ => None,
        });
        assert!(reason.is_some_and(|reason| reason.contains("it is a copy")), "{side:?}: {ended:?}");
    }
}

#[test]
fn the_link_is_lost_while_the_brokers_agree() {
    let (mut bridge, orders) = begin(Settings::default(), true, true);
    let (_, request, _) = controls(&orders).remove(0);
    bridge.lost(Side::Remote, "cut");
    assert!(matches!(said(&mut bridge).as_slice(), [Order::End(Ending::Lost(_))]));
    bridge.handle(Side::Remote, report(request, "0"), NOW);
    assert!(said(&mut bridge).is_empty(), "a late answer changes nothing");
}

#[test]
fn what_comes_for_a_subscription_that_was_ended_is_not_sent() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    let gone = removed(&consumer(1, Destination::queue("q")));
    let orders = tell(&mut bridge, gone);
    assert_eq!(names(&orders, Side::Local), ["RemoveInfo"]);
    // The local broker has it back already: it says so when the end of the subscription reaches it.
    assert!(dispatch(&mut bridge, &made, 1).is_empty());
    assert!(said(&mut bridge).is_empty());
}

#[test]
fn answers_that_stay_away_are_decided_between_the_brokers() {
    let mut bridge = up(Settings::default());
    let made = subscribed(&mut bridge);
    dispatch(&mut bridge, &made, 1);
    let gone = removed(&consumer(1, Destination::queue("q")));
    assert!(names(&tell(&mut bridge, gone), Side::Local).is_empty(), "it waits for the answer");
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    let orders = said(&mut bridge);
    assert!(
        names(&orders, Side::Local).is_empty(),
        "to end the subscription would free what may have arrived"
    );
    assert!(matches!(orders.last(), Some(Order::End(Ending::Lost(_)))), "{orders:?}");
}

#[test]
fn the_other_half_of_a_duplex_bridge_has_a_stream_of_its_own() {
    let mut settings = Settings::default();
    settings.duplex = true;
    let (mut bridge, orders) = begin(settings, true, true);
    let asked = orders.iter().find_map(|order| match order {
        Order::Say(Side::Remote, Command::BrokerInfo(info)) => Some(info.clone()),
        _ => None,
    });
    // The peer builds its half from what it is told
    let mut mirror = Bridge::mirror(&asked.unwrap(), "2");
    mirror.handle(Side::Remote, info("here", true).into(), NOW);
    mirror.handle(Side::Local, info("there", true).into(), NOW);
    let opened = controls(&said(&mut mirror));
    let [(Side::Remote, _, text)] = opened.as_slice() else { panic!("{opened:?}") };
    assert_eq!(text, "ferromq-link open\nID:there:1>ID:here:1/NC~");
    // and what it says of its stream reaches the broker here, which knows that a bridge speaks.
    assert_eq!(names(&orders, Side::Inbound), ["BrokerInfo"]);
    let open = ControlCommand { command: Some(text.as_str().into()), ..Default::default() };
    bridge.handle(Side::Remote, open.into(), NOW);
    assert_eq!(names(&said(&mut bridge), Side::Inbound), ["ControlCommand"]);
    let other = ControlCommand { command: Some("shutdown".into()), ..Default::default() };
    bridge.handle(Side::Remote, other.into(), NOW);
    assert!(said(&mut bridge).is_empty());
}

/// Both brokers turn back what finds no room.
fn turning_info(name: &str) -> BrokerInfo {
    let network_properties = Some("ferromqLinks=1\nferromqTurnsBack=1\n".into());
    BrokerInfo { network_properties, ..info(name, true) }
}

/// A bridge between two brokers that turn back what finds no room; what it asked the remote one for.
fn turning(settings: Settings) -> (Bridge, String) {
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, turning_info("here").into(), NOW);
    bridge.handle(Side::Remote, turning_info("there").into(), NOW);
    let mut orders = said(&mut bridge);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    orders.extend(said(&mut bridge));
    let (_, asked, text) = controls(&orders).remove(0);
    bridge.handle(Side::Remote, report(asked, "0"), NOW);
    let (_, told, _) = controls(&said(&mut bridge)).remove(0);
    bridge.handle(Side::Local, answer(told), NOW);
    assert!(bridge.is_up());
    said(&mut bridge);
    (bridge, text)
}

#[test]
fn what_finds_no_room_goes_back_to_the_broker_that_has_it() {
    let (mut bridge, asked) = turning(Settings::default());
    assert!(asked.starts_with("ferromq-link open back\n"), "{asked}");
    let to = subscribed(&mut bridge);
    let sent = dispatch(&mut bridge, &to, 1).remove(0);
    let full = refusal(sent.command_id, "javax.jms.ResourceAllocationException", "full");
    bridge.handle(Side::Remote, full, NOW);
    let orders = said(&mut bridge);
    let back = controls(&orders);
    let [(Side::Local, _, text)] = back.as_slice() else { panic!("{orders:?}") };
    let id = to.consumer_id.unwrap();
    assert_eq!(*text, format!("ferromq-link back\n{}:{}:{POSITION}", id.session_id, id.value));
    assert_eq!((bridge.counts().in_flight, bridge.next_deadline()), (0, None), "nothing of it stays");
    // The new attempt is announced where it goes
    let again =
        ControlCommand { command: Some("ferromq-link again\nqueue://q".into()), ..Default::default() };
    bridge.handle(Side::Local, again.into(), NOW);
    let said_again = controls(&said(&mut bridge));
    assert!(matches!(&said_again[..], [(Side::Remote, _, text)] if text == "ferromq-link again\nqueue://q"));
    // and nothing else that a broker says is passed on.
    let other = ControlCommand { command: Some("shutdown".into()), ..Default::default() };
    bridge.handle(Side::Local, other.into(), NOW);
    assert!(controls(&said(&mut bridge)).is_empty());
}

#[test]
fn a_refusal_that_leaves_open_whether_it_was_stored_is_asked_again_at_the_same_position() {
    let (mut bridge, _) = turning(Settings::default());
    let to = subscribed(&mut bridge);
    let sent = dispatch(&mut bridge, &to, 1).remove(0);
    bridge.handle(Side::Remote, refusal(sent.command_id, "java.io.IOException", "disk"), NOW);
    assert!(controls(&said(&mut bridge)).is_empty());
    assert_eq!(bridge.counts().in_flight, 1);
}
