//! Acknowledgement by mode, windows, and messages that nobody may see.

use super::*;

const DELIVERED: i8 = AckType::Delivered as i8;
const STANDARD: i8 = AckType::Standard as i8;
const INDIVIDUAL: i8 = AckType::Individual as i8;
const EXPIRED: i8 = AckType::Expired as i8;

fn acks(broker: &mut Broker) -> Vec<Ack> {
    broker.heard().iter().map(ack).collect()
}

#[test]
fn one_range_covers_what_was_taken_at_once() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::Auto, 10);
    broker.dispatch(consumer, 5, 0);
    assert_eq!(broker.events().len(), 5);
    assert_eq!(acks(&mut broker), []);
    let now = broker.now();
    broker.core.consumed(consumer, 3, now);
    broker.core.consumed(consumer, 1, now);
    // More than there is counts as what there is.
    broker.core.consumed(consumer, 9, now);
    let expected = [
        (STANDARD, 3, Some(1), Some(3), false),
        (STANDARD, 1, Some(4), Some(4), false),
        (STANDARD, 1, Some(5), Some(5), false),
    ];
    assert_eq!(acks(&mut broker), expected);
}

#[test]
fn the_broker_hears_of_half_a_window_before_it_is_acknowledged() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::Client, 10);
    broker.dispatch(consumer, 10, 0);
    let now = broker.now();
    for _ in 0..7 {
        broker.core.consumed(consumer, 1, now);
    }
    assert_eq!(acks(&mut broker), [(DELIVERED, 5, Some(1), Some(5), false)]);
    // Acknowledging the sixth acknowledges all before it.
    broker.core.acknowledge(consumer, 6);
    assert_eq!(acks(&mut broker), [(STANDARD, 6, Some(1), Some(6), false)]);
    // A second time, or for what was never taken, nothing happens.
    broker.core.acknowledge(consumer, 6);
    broker.core.acknowledge(consumer, 9);
    assert_eq!(acks(&mut broker), []);
}

#[test]
fn single_messages_are_acknowledged_in_any_order() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::Individual, 100);
    broker.dispatch(consumer, 4, 0);
    let now = broker.now();
    broker.core.consumed(consumer, 4, now);
    for sequence in [3, 1, 4] {
        broker.core.acknowledge(consumer, sequence);
    }
    let single = |n| (INDIVIDUAL, 1, None, Some(n), false);
    assert_eq!(acks(&mut broker), [single(3), single(1), single(4)]);
    assert_eq!(broker.core.consumers.get(&consumer.0).unwrap().handed, 1);
}

#[test]
fn lazy_acknowledgements_go_at_half_a_window_or_after_a_while() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::DupsOk, 10);
    broker.dispatch(consumer, 7, 0);
    let now = broker.now();
    broker.core.consumed(consumer, 5, now);
    assert_eq!(acks(&mut broker), [(STANDARD, 5, Some(1), Some(5), false)]);
    broker.core.consumed(consumer, 2, now);
    assert_eq!(acks(&mut broker), []);
    assert_eq!(broker.core.next_deadline(), Some(now.mono + Duration::from_millis(300)));
    broker.wait(300);
    assert_eq!(acks(&mut broker), [(STANDARD, 2, Some(6), Some(7), false)]);
}

#[test]
fn expired_messages_are_not_shown() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::Auto, 10);
    broker.dispatch(consumer, 1, 999_999);
    assert!(broker.events().is_empty());
    assert_eq!(acks(&mut broker), [(EXPIRED, 1, Some(1), Some(1), false)]);
    broker.dispatch(consumer, 1, 1_000_000);
    assert_eq!(broker.events().len(), 1);
}

#[test]
fn a_broker_that_ignores_the_window_is_cut_off() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::Auto, 1);
    let bound = broker.core.consumers.get(&consumer.0).unwrap().most_waiting();
    broker.dispatch(consumer, bound, 0);
    assert!(!broker.core.is_closed());
    broker.dispatch(consumer, 1, 0);
    assert!(broker.core.is_closed());
    let last = broker.events().pop();
    assert!(
        matches!(&last, Some(Event::Closed(Error::Protocol { reason, .. })) if reason.contains("queue://q"))
    );
}

#[test]
fn what_is_recovered_comes_again_after_a_pause() {
    let mut broker = Broker::open("jms.redeliveryPolicy.initialRedeliveryDelay=70");
    let (session, consumer) = broker.consumer(AckMode::Client, 10);
    broker.dispatch(consumer, 3, 0);
    broker.events();
    let now = broker.now();
    broker.core.consumed(consumer, 2, now);
    broker.core.recover(session, Some(1), now);
    let events = broker.events();
    let [Event::Returned { deliveries, .. }, Event::Answered { token: 1, result: Ok(()) }] = &events[..]
    else {
        panic!("{events:?}")
    };
    let counters: Vec<_> = deliveries.iter().map(|d| (d.text().unwrap(), d.redelivery_counter())).collect();
    assert_eq!(counters, [("1".into(), 1), ("2".into(), 1)]);
    // The first time the broker hears nothing of it.
    assert_eq!(acks(&mut broker), []);
    broker.wait(69);
    assert!(broker.events().is_empty());
    broker.wait(1);
    assert!(matches!(&broker.events()[..], [Event::Resumed { .. }]));
}

#[test]
fn closing_tells_how_far_the_application_came() {
    let mut broker = Broker::open("");
    let (_, consumer) = broker.consumer(AckMode::Client, 10);
    broker.dispatch(consumer, 3, 0);
    broker.core.close_consumer(consumer);
    let heard = broker.heard();
    let [Command::RemoveInfo(info)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(info.last_delivered_sequence_id, -1);
    // What was on its way is dropped without a word.
    broker.say(MessageDispatch {
        consumer_id: Some(ferromq_openwire::ConsumerId { value: consumer.0, ..Default::default() }),
        message: Some(message("late")),
        ..MessageDispatch::default()
    });
    broker.events();
    assert_eq!(broker.heard(), [] as [Command; 0]);
}
