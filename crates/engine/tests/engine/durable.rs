//! Durable subscriptions: JMS 1.1 §6.11.1.

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

fn subscribe(b: &mut Bench, c: &Client, topic: &str, change: impl FnOnce(&mut ConsumerFacts)) -> LocalId {
    b.consume_as(c, topic, |f| {
        f.subscription = Some("sub".into());
        change(f);
    })
}

fn name(client: &str) -> SubscriptionName {
    SubscriptionName { client: client.into(), name: "sub".into() }
}

#[test]
fn messages_sent_while_it_is_away_wait() {
    let mut b = Bench::new();
    let (c, p) = (b.connect("c"), b.connect("p"));
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    b.send(&p, "topic://T", "m1");
    let got = b.take();
    b.ack(&c, &got[0]);
    b.close(&c, consumer, got[0].delivery.sequence.0 as i64);
    b.send(&p, "topic://T", "m2");
    b.send(&p, "topic://T", "m3");
    assert!(b.got.is_empty());
    subscribe(&mut b, &c, "topic://T", |_| {});
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["m2", "m3"]);
    assert_eq!(got[0].delivery.redelivery_counter, 0);
    b.ack_all(&c, &got);
    assert_eq!((b.held("topic://T"), b.store.messages()), (0, 0));
}

#[test]
fn a_message_is_stored_once_for_all_subscriptions() {
    let mut b = Bench::new();
    let clients: Vec<Client> = (0..4).map(|n| b.connect(&format!("c{n}"))).collect();
    for client in &clients {
        subscribe(&mut b, client, "topic://T", |_| {});
    }
    b.send(&clients[0], "topic://T", "m");
    assert_eq!((b.store.messages(), b.held("topic://T")), (1, 4));
    for got in b.take() {
        let client = clients.iter().find(|client| client.conn == got.conn).unwrap();
        b.ack(client, &got);
    }
    assert_eq!((b.store.messages(), b.held("topic://T")), (0, 0));
}

#[test]
fn only_one_consumer_may_be_active() {
    let mut b = Bench::new();
    let c = b.connect("c");
    subscribe(&mut b, &c, "topic://T", |_| {});
    let (_, facts) = b.consumer(&c, "topic://T", |f| f.subscription = Some("sub".into()));
    let fault = b.refused(&c, Intent::AddConsumer(facts));
    assert_eq!(fault.text, "Durable consumer is in use for client: c and subscriptionName: sub");
}

#[test]
fn a_changed_selector_begins_anew() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    b.close(&c, consumer, -1);
    b.send(&c, "topic://T", "old");
    assert_eq!(b.held("topic://T"), 1);
    subscribe(&mut b, &c, "topic://T", |f| f.selector = Some("JMSType = 'x'".into()));
    b.send_as(&c, "topic://T", "new", |m| m.message_type = Some("x".into()));
    b.send(&c, "topic://T", "unwanted");
    assert_eq!(b.texts(), ["new"]);
    assert_eq!(b.store.messages(), 1);
}

#[test]
fn a_changed_topic_begins_anew() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    b.close(&c, consumer, -1);
    b.send(&c, "topic://T", "old");
    subscribe(&mut b, &c, "topic://U", |_| {});
    b.send(&c, "topic://T", "no longer");
    b.send(&c, "topic://U", "new");
    assert_eq!(b.texts(), ["new"]);
    assert_eq!(b.held("topic://T"), 0);
}

#[test]
fn unsubscribing_is_refused_while_it_is_active_and_when_it_is_unknown() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    let fault = b.refused(&c, Intent::Unsubscribe(name("c")));
    assert!(fault.text.contains("Durable consumer is in use"), "{}", fault.text);
    b.close(&c, consumer, -1);
    b.send(&c, "topic://T", "m");
    b.do_it(&c, Intent::Unsubscribe(name("c")));
    assert_eq!((b.store.messages(), b.held("topic://T"), b.engine.view().durables.len()), (0, 0, 0));
    let fault = b.refused(&c, Intent::Unsubscribe(name("c")));
    assert_eq!(fault.kind, FaultKind::InvalidDestination);
    assert_eq!(fault.text, "No durable subscription exists for clientID: c and subscriptionName: sub");
}

#[test]
fn unacknowledged_messages_come_again_after_reactivation() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    b.send(&c, "topic://T", "m1");
    b.send(&c, "topic://T", "m2");
    let got = b.take();
    b.close(&c, consumer, got[0].delivery.sequence.0 as i64);
    subscribe(&mut b, &c, "topic://T", |_| {});
    let again: Vec<_> = b.take().iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect();
    assert_eq!(again, [("m1".to_owned(), 1), ("m2".to_owned(), 0)]);
}

#[test]
fn a_long_absence_is_paged_back_in_order() {
    let mut b = Bench::policy(Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    b.close(&c, consumer, -1);
    for n in 1..=300 {
        b.send(&c, "topic://T", &format!("m{n}"));
    }
    subscribe(&mut b, &c, "topic://T", |f| f.prefetch = 9);
    let mut seen = Vec::new();
    while !b.got.is_empty() {
        for got in b.take() {
            seen.push(got.text());
            b.ack(&c, &got);
        }
    }
    assert_eq!(seen, named("m", 1..=300));
    assert_eq!(b.store.messages(), 0);
}

#[test]
fn a_subscription_by_pattern_covers_topics_that_come_later() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "topic://T.1", "before");
    let consumer = subscribe(&mut b, &c, "topic://T.*", |_| {});
    b.close(&c, consumer, -1);
    b.send(&c, "topic://T.1", "a");
    b.send(&c, "topic://T.2", "b");
    b.send(&c, "topic://T.1", "c");
    subscribe(&mut b, &c, "topic://T.*", |_| {});
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["a", "b", "c"]);
    b.ack_all(&c, &got);
    assert_eq!(b.store.messages(), 0);
}

#[test]
fn a_non_persistent_message_waits_in_memory() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = subscribe(&mut b, &c, "topic://T", |_| {});
    b.close(&c, consumer, -1);
    b.send_np(&c, "topic://T", "m");
    assert_eq!(b.store.messages(), 0);
    subscribe(&mut b, &c, "topic://T", |_| {});
    assert_eq!(b.texts(), ["m"]);
}

#[test]
fn no_local_is_part_of_the_subscription() {
    let mut b = Bench::new();
    let (c, d) = (b.connect("c"), b.connect("d"));
    subscribe(&mut b, &c, "topic://T", |f| f.no_local = true);
    b.send(&c, "topic://T", "own");
    b.send(&d, "topic://T", "other");
    assert_eq!(b.texts(), ["other"]);
}

#[test]
fn a_persistent_copy_for_an_ordinary_subscriber_waits_for_the_disk_too() {
    let mut b = Bench::new();
    let c = b.connect("c");
    subscribe(&mut b, &c, "topic://T", |_| {});
    b.consume(&c, "topic://T");
    b.auto = false;
    let message = b.message(&c, "topic://T", "m");
    b.begin(&c, send(message, None));
    assert!(b.got.is_empty());
    b.run();
    assert_eq!(b.texts(), ["m", "m"]);
}

#[test]
fn a_subscriber_that_comes_back_before_the_disk_has_answered_gets_what_was_sent() {
    let mut b = Bench::new();
    let (c, p) = (b.connect("c"), b.connect("p"));
    subscribe(&mut b, &c, "topic://T", |_| {});
    let message = b.message(&p, "topic://T", "m");
    b.auto = false;
    b.begin(&p, send(message, None));
    b.detach(&c);
    let c = b.connect("c");
    let (_, facts) = b.consumer(&c, "topic://T", |f| f.subscription = Some("sub".into()));
    b.begin(&c, Intent::AddConsumer(facts));
    assert!(b.got.is_empty(), "nothing leaves before it is durable");
    b.sync();
    assert_eq!(b.texts(), ["m"]);
}
