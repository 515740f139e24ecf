//! Destinations that hand on what is sent to them: composites, mirrors, virtual topics of other names.

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

fn composite(from: &str, to: &[&str], forward_only: bool) -> Settings {
    let parse = |name: &str| Destination::parse(name, DestinationKind::Queue);
    let rule = Composite { from: parse(from), to: to.iter().map(|name| parse(name)).collect(), forward_only };
    Settings { composites: vec![rule], ..Settings::default() }
}

#[test]
fn a_composite_queue_hands_on_and_keeps_nothing() {
    let mut b = Bench::with(composite("orders", &["A", "topic://T"], true));
    let c = b.connect("c");
    b.consume(&c, "topic://T");
    b.send(&c, "orders", "m");
    assert_eq!(b.texts(), ["m"]);
    assert_eq!((b.held("A"), b.held("orders")), (1, 0));
    b.consume(&c, "A");
    let got = b.take();
    let message = got[0].delivery.message.as_ref().unwrap();
    assert_eq!(message.destination, Destination::queue("A"));
    let original = message.extra.as_ref().and_then(|extra| extra.original_destination.clone());
    assert_eq!(original, Some(Destination::queue("orders")));
}

#[test]
fn a_composite_that_is_not_forward_only_keeps_its_own() {
    let mut b = Bench::with(composite("orders.>", &["A"], false));
    let c = b.connect("c");
    b.send(&c, "orders.x", "m");
    b.send(&c, "other", "n");
    assert_eq!((b.held("A"), b.held("orders.x"), b.held("other")), (1, 1, 1));
}

#[test]
fn a_composite_in_a_transaction_is_one_unit_of_work() {
    let mut b = Bench::with(composite("orders", &["topic://T", "A", "B"], true));
    let c = b.connect("c");
    b.consume(&c, "topic://T");
    let begin = Intent::Transaction { id: Some(local_transaction(&c, 1)), verb: TransactionVerb::Begin };
    b.do_it(&c, begin);
    b.send_in(&c, 1, "orders", "m1");
    b.send_in(&c, 1, "orders", "m2");
    b.auto = false;
    let verb = TransactionVerb::CommitOnePhase;
    b.begin(&c, Intent::Transaction { id: Some(local_transaction(&c, 1)), verb });
    assert!(b.got.is_empty(), "nothing is seen before the commit is durable");
    assert_eq!(b.unsynced.len(), 1);
    b.auto = true;
    b.run();
    assert_eq!(b.texts(), ["m1", "m2"]);
    b.crash();
    assert_eq!((b.held("A"), b.held("B")), (2, 2));
}

#[test]
fn a_repetition_to_a_composite_is_recognised() {
    let mut b = Bench::with(composite("orders", &["A", "B"], true));
    let c = b.connect("c");
    let message = b.message(&c, "orders", "m");
    b.do_it(&c, send(message.clone(), None));
    b.do_it(&c, send(message, None));
    assert_eq!((b.held("A"), b.held("B")), (1, 1));
}

#[test]
fn a_mirror_gets_a_copy_of_what_is_sent_to_a_queue() {
    let prefix = Some("VirtualTopic.Mirror.".to_owned());
    let mut b = Bench::with(Settings { mirror_prefix: prefix, ..Settings::default() });
    let c = b.connect("c");
    let mirror = b.consume(&c, "topic://VirtualTopic.Mirror.A");
    b.send(&c, "A", "m");
    assert_eq!(b.texts_of(&c, mirror), ["m"]);
    assert_eq!(b.held("A"), 1);
}

#[test]
fn virtual_topics_may_have_other_names() {
    let rule = VirtualTopic { topics: "events.>".into(), prefix: "sub.*.of.".into() };
    let mut b = Bench::with(Settings { virtual_topics: vec![rule], ..Settings::default() });
    let c = b.connect("c");
    b.consume(&c, "sub.shop.of.events.x");
    b.consume(&c, "Consumer.shop.VirtualTopic.x");
    b.send(&c, "topic://events.x", "m");
    b.send(&c, "topic://VirtualTopic.x", "n");
    assert_eq!(b.texts(), ["m"]);
}
