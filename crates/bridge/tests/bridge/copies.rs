//! Copies of a message of a topic, of which one goes over.

use ferromq_bridge::{Bridge, Order, Settings, Side};
use ferromq_openwire::{AckType, ConsumerInfo, Destination, Message};

use super::played::{
    NOW, acks, answer, consumer, dispatch, forwarded, hand, message, refusal, removed, said, subscribed,
    subscriptions, tell, up,
};

/// Subscriptions for a topic and for all below a name, and a copy of one message for each.
fn copies(bridge: &mut Bridge) -> [(ConsumerInfo, Message); 2] {
    let x = || Some(Destination::topic("t.x"));
    [(1, "t.x"), (2, "t.>")].map(|(number, name)| {
        let to = subscriptions(&tell(bridge, consumer(number, Destination::topic(name)))).remove(0);
        let to = ConsumerInfo { destination: x(), ..to };
        let mut copy = message(&to, 1);
        copy.persistent = true;
        (to, copy)
    })
}

fn answered(bridge: &mut Bridge, to: &Message) -> Vec<Order> {
    bridge.handle(Side::Remote, answer(to.command_id), NOW);
    said(bridge)
}

fn refused(bridge: &mut Bridge, to: &Message, class: &str) -> Vec<Order> {
    bridge.handle(Side::Remote, refusal(to.command_id, class, "no"), NOW);
    said(bridge)
}

#[test]
fn of_a_topic_one_copy_goes_over_however_many_subscriptions_match() {
    let mut bridge = up(Settings::default());
    let [(one, first), (many, second)] = copies(&mut bridge);
    let sent = forwarded(hand(&mut bridge, &one, first));
    let waits = hand(&mut bridge, &many, second.clone());
    assert!(waits.is_empty(), "it may have to go if the first one does not arrive: {waits:?}");
    assert_eq!(acks(&answered(&mut bridge, &sent[0])).len(), 2);
    let late = hand(&mut bridge, &many, second);
    assert_eq!((acks(&late).len(), forwarded(late).len()), (1, 0));
    assert_eq!(bridge.counts().forwarded, 1);

    // Of a queue each message is for one of them, whatever comes again.
    let queue = subscribed(&mut bridge);
    assert_eq!(dispatch(&mut bridge, &queue, 1).len() + dispatch(&mut bridge, &queue, 1).len(), 2);
}

#[test]
fn a_copy_goes_over_when_the_first_one_stays() {
    const FULL: &str = "javax.jms.ResourceAllocationException";
    for ends_before_answer in [true, false] {
        let mut bridge = up(Settings::default());
        let [(one, first), (many, second)] = copies(&mut bridge);
        let sent = forwarded(hand(&mut bridge, &one, first));
        hand(&mut bridge, &many, second);
        let end = |bridge: &mut Bridge| tell(bridge, removed(&consumer(1, Destination::topic("t.x"))));
        let again = if ends_before_answer {
            end(&mut bridge);
            forwarded(refused(&mut bridge, &sent[0], FULL))
        } else {
            refused(&mut bridge, &sent[0], FULL);
            end(&mut bridge);
            let at = bridge.next_deadline().unwrap();
            bridge.tick(at);
            forwarded(said(&mut bridge))
        };
        assert_eq!(acks(&answered(&mut bridge, &again[0])).len(), 1);
    }
}

#[test]
fn a_message_that_is_refused_for_good_is_a_dead_letter_once() {
    let mut bridge = up(Settings::default());
    let [(one, first), (many, second)] = copies(&mut bridge);
    let sent = forwarded(hand(&mut bridge, &one, first));
    hand(&mut bridge, &many, second);
    let acks = acks(&refused(&mut bridge, &sent[0], "java.lang.SecurityException"));
    let kinds: Vec<i8> = acks.iter().map(|ack| ack.ack_type).collect();
    assert_eq!(kinds, [AckType::Poison as i8, AckType::Individual as i8]);
}
