//! Destinations: automatic, composite, by wildcard, temporary, virtual, and their end.

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

fn destination(name: &str) -> Destination {
    Destination::parse(name, DestinationKind::Queue)
}

fn add(b: &mut Bench, c: &Client, name: &str) {
    b.do_it(c, Intent::AddDestination { destination: destination(name), broker_path: Vec::new() });
}

fn remove(name: &str, force: bool) -> Intent {
    Intent::RemoveDestination { destination: destination(name), force }
}

#[test]
fn a_composite_send_puts_one_message_into_each_member() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (queue, topic) = (b.consume(&c, "A"), b.consume(&c, "topic://T"));
    b.auto = false;
    let message = b.message(&c, "A,topic://T", "m");
    b.begin(&c, send(message, None));
    assert_eq!(b.unsynced.len(), 1, "all members in one unit of work");
    b.run();
    let got = b.take();
    let by = |who| got.iter().find(|got| got.consumer == who).unwrap().delivery.message.clone().unwrap();
    assert_eq!(by(queue).destination, Destination::queue("A"));
    assert_eq!(by(topic).destination, Destination::topic("T"));
    assert_eq!(by(queue).extra.as_ref().unwrap().original_destination, Some(destination("A,topic://T")));
}

#[test]
fn a_composite_consumer_reads_all_members_through_one_window() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "A,B", |f| f.prefetch = 2);
    for name in ["A", "B", "A"] {
        b.send(&c, name, name);
    }
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["A", "B"]);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[1], 2, None));
    assert_eq!(b.texts(), ["A"]);
}

#[test]
fn a_wildcard_consumer_gets_queues_that_come_later() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A.1", "before");
    let consumer = b.consume(&c, "A.>");
    b.send(&c, "A.2.x", "later");
    b.send(&c, "B.1", "elsewhere");
    assert_eq!(b.texts(), ["before", "later"]);
    b.close(&c, consumer, -1);
    b.send(&c, "A.3", "nobody");
    assert!(b.got.is_empty());
}

#[test]
fn a_virtual_topic_feeds_the_queues_of_its_groups() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "topic://VirtualTopic.T", "too early");
    let one = b.consume(&c, "Consumer.a.VirtualTopic.T");
    let two = b.consume(&c, "Consumer.a.VirtualTopic.T");
    let other = b.consume(&c, "Consumer.b.VirtualTopic.T");
    let topic = b.consume(&c, "topic://VirtualTopic.T");
    b.send(&c, "topic://VirtualTopic.T", "m1");
    b.send(&c, "topic://VirtualTopic.T", "m2");
    let first = b.got.iter().find(|got| got.consumer == one).unwrap().delivery.message.clone().unwrap();
    assert_eq!(first.destination, Destination::queue("Consumer.a.VirtualTopic.T"));
    assert_eq!(
        first.extra.as_ref().unwrap().original_destination,
        Some(Destination::topic("VirtualTopic.T"))
    );
    assert_eq!(b.texts_of(&c, one), ["m1"]);
    assert_eq!(b.texts_of(&c, two), ["m2"]);
    assert_eq!(b.texts_of(&c, other), ["m1", "m2"]);
    assert_eq!(b.texts_of(&c, topic), ["m1", "m2"]);
    assert_eq!(b.store.messages(), 4);
}

#[test]
fn a_temporary_queue_belongs_to_its_connection_and_ends_with_it() {
    let mut b = Bench::new();
    let (owner, other) = (b.connect("owner"), b.connect("other"));
    let name = format!("temp-queue://{}:1", owner.id);
    add(&mut b, &owner, &name);
    b.consume(&owner, &name);
    b.send(&other, &name, "reply");
    assert_eq!(b.texts(), ["reply"]);
    assert_eq!(b.store.ops, 0, "what lies in a temporary queue is not stored");
    let (_, facts) = b.consumer(&other, &name, |_| {});
    assert_eq!(b.refused(&other, Intent::AddConsumer(facts)).kind, FaultKind::InvalidDestination);
    assert_eq!(b.refused(&other, remove(&name, true)).kind, FaultKind::InvalidDestination);
    b.detach(&owner);
    let message = b.message(&other, &name, "too late");
    let fault = b.refused(&other, send(message, None));
    assert_eq!((fault.kind, fault.text), (FaultKind::DestinationGone, name));
}

#[test]
fn a_destination_with_consumers_is_not_removed_unless_forced() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send(&c, "A", "m");
    let fault = b.refused(&c, remove("A", false));
    assert_eq!(fault.text, "Destination still has an active subscription: queue://A");
    b.do_it(&c, remove("A", true));
    assert_eq!(b.store.messages(), 0);
    assert!(b.engine.view().destination(&Destination::queue("A")).is_none());
    let got = b.take();
    b.tell(&c, ack(AckKind::Individual, &got[0], &got[0], 1, None));
    b.do_it(&c, remove("A", false));
}

#[test]
fn a_queue_made_again_after_removal_is_a_new_one_for_a_busy_producer() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A", "old");
    b.do_it(&c, remove("A", false));
    b.send(&c, "A", "new");
    b.consume(&c, "A");
    assert_eq!(b.texts(), ["new"]);
}

#[test]
fn what_a_removed_queue_took_of_a_window_is_free_for_the_others() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "A,B", |facts| facts.prefetch = 1);
    for name in ["A", "B"] {
        b.send(&c, name, name);
    }
    assert_eq!(b.texts(), ["A"]);
    b.do_it(&c, remove("A", true));
    assert_eq!(b.texts(), ["B"]);
}

#[test]
fn a_topic_is_removed_while_a_durable_subscriber_holds_messages_of_it() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |facts| facts.subscription = Some("s".into()));
    b.send(&c, "topic://T", "m");
    let got = b.take();
    b.do_it(&c, remove("topic://T", true));
    // An acknowledgement that crosses the removal is of nothing.
    b.tell(&c, ack(AckKind::Individual, &got[0], &got[0], 1, None));
    assert_eq!(b.store.messages(), 0);
}

#[test]
fn removing_a_topic_by_force_ends_its_durable_subscriptions() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume_as(&c, "topic://T", |f| f.subscription = Some("s".into()));
    b.close(&c, consumer, -1);
    b.send(&c, "topic://T", "m");
    assert!(matches!(b.ask(&c, remove("topic://T", false)), Effect::Failed(_)));
    b.do_it(&c, remove("topic://T", true));
    assert_eq!((b.store.messages(), b.engine.view().durables.len()), (0, 0));
}

#[test]
fn a_destination_without_a_name_is_refused() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let message = b.message(&c, " ", "m");
    assert_eq!(b.refused(&c, send(message, None)).kind, FaultKind::InvalidDestination);
    let message = b.message(&c, ",", "m");
    assert_eq!(b.refused(&c, send(message, None)).kind, FaultKind::InvalidDestination);
}
