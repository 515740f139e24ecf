//! Dead letters: where they go and what is written on them.

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

fn poison(b: &mut Bench, c: &Client, got: &Got) {
    let Intent::Ack(mut request) = ack(AckKind::Poison, got, got, 1, None) else { unreachable!() };
    request.cause = Some("java.lang.Throwable: too often".into());
    b.do_it(c, Intent::Ack(request));
}

fn property(message: &Message, name: &str) -> Option<Value> {
    Lines.property(Encoding::OpenWire, message.properties.as_ref()?, name)
}

fn poisoned(policy: Policy, change: impl FnOnce(&mut Message)) -> Bench {
    let mut b = Bench::policy(policy);
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send_as(&c, "A", "m", change);
    let got = b.take();
    poison(&mut b, &c, &got[0]);
    b
}

fn policy(target: DeadLetterTarget) -> Policy {
    Policy { dead_letter: DeadLetterPolicy { target, ..DeadLetterPolicy::default() }, ..Policy::default() }
}

#[test]
fn a_poisoned_message_lies_in_the_shared_queue_with_its_story() {
    let far = 99_999_999;
    let mut b = poisoned(Policy::default(), |m| m.expiration = far);
    let c = b.connect("d");
    b.consume(&c, "ActiveMQ.DLQ");
    let got = b.take();
    let letter = got[0].delivery.message.as_ref().unwrap();
    assert_eq!(letter.id.sequence, 1, "the id is kept");
    assert_eq!(letter.destination, Destination::queue("ActiveMQ.DLQ"));
    assert_eq!(letter.extra.as_ref().unwrap().original_destination, Some(Destination::queue("A")));
    assert_eq!(
        property(letter, "dlqDeliveryFailureCause"),
        Some(Value::String("java.lang.Throwable: too often".into()))
    );
    assert_eq!(property(letter, "originalExpiration"), Some(Value::Long(far)));
    assert_eq!((letter.expiration, letter.persistent), (0, true));
    assert_eq!(got[0].delivery.redelivery_counter, 0);
    assert_eq!((b.held("A"), b.view_of("A").counters.dead_lettered), (0, 1));
}

#[test]
fn moving_is_one_unit_of_work() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send(&c, "A", "m");
    let got = b.take();
    b.auto = false;
    b.tell(&c, ack(AckKind::Poison, &got[0], &got[0], 1, None));
    assert_eq!(b.unsynced.len(), 1);
    b.run();
    assert_eq!(b.store.messages(), 1);
}

#[test]
fn non_persistent_messages_are_dropped_unless_asked_for() {
    let b = poisoned(Policy::default(), |m| m.persistent = false);
    assert_eq!((b.held("A"), b.view_of("A").counters.discarded), (0, 1));
    let mut rules = Policy::default();
    rules.dead_letter.process_non_persistent = true;
    let mut b = poisoned(rules, |m| m.persistent = false);
    assert_eq!((b.held("ActiveMQ.DLQ"), b.store.messages()), (1, 1));
    let c = b.connect("d");
    b.consume(&c, "ActiveMQ.DLQ");
    let got = b.take();
    let letter = got[0].delivery.message.as_ref().unwrap();
    assert_eq!(property(letter, "originalDeliveryMode"), Some(Value::String("NON_PERSISTENT".into())));
}

#[test]
fn each_destination_may_have_its_own_queue_or_none() {
    let b = poisoned(policy(DeadLetterTarget::individual()), |_| {});
    assert_eq!(b.held("ActiveMQ.DLQ.Queue.A"), 1);
    let b = poisoned(policy(DeadLetterTarget::Discard), |_| {});
    assert_eq!((b.held("A"), b.view_of("A").counters.discarded, b.store.messages()), (0, 1, 0));
}

#[test]
fn a_dead_letter_does_not_die_again_into_its_own_queue() {
    let mut b = poisoned(Policy::default(), |_| {});
    let c = b.connect("d");
    b.consume(&c, "ActiveMQ.DLQ");
    let got = b.take();
    poison(&mut b, &c, &got[0]);
    assert_eq!((b.held("ActiveMQ.DLQ"), b.store.messages()), (0, 0));
}

#[test]
fn a_range_of_poison_moves_all_of_it() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    b.do_it(&c, ack(AckKind::Poison, &got[0], &got[1], 2, None));
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (1, 2));
}

#[test]
fn a_durable_subscriber_has_dead_letters_too() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.subscription = Some("s".into()));
    b.send(&c, "topic://T", "m");
    let got = b.take();
    poison(&mut b, &c, &got[0]);
    assert_eq!((b.held("topic://T"), b.held("ActiveMQ.DLQ")), (0, 1));
}

#[test]
fn a_topic_message_given_up_by_several_subscribers_is_one_dead_letter() {
    let mut b = Bench::new();
    for name in ["c", "d"] {
        let client = b.connect(name);
        b.consume_as(&client, "topic://T", |f| f.subscription = Some("s".into()));
    }
    let p = b.connect("p");
    let at = b.now.wall.0 + 10;
    b.step(Input::Congested { conn: ConnId(1), full: true });
    b.step(Input::Congested { conn: ConnId(2), full: true });
    b.send_as(&p, "topic://T", "m", |m| m.expiration = at);
    b.wait(std::time::Duration::from_secs(31));
    let counters = b.view_of("topic://T").counters;
    assert_eq!((b.held("ActiveMQ.DLQ"), counters.dead_lettered, counters.expired), (1, 1, 1));
}
