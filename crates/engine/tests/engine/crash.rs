//! Recovery: what a new engine makes of what the store holds.

use ferromq_engine::*;
use ferromq_model::Destination;

use crate::bench::*;

#[test]
fn what_was_answered_is_there_and_in_order() {
    let mut b = Bench::policy(Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=100 {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.crash();
    assert_eq!(b.held("A"), 100);
    let c = b.connect("c");
    b.consume(&c, "A");
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), named("m", 1..=100));
    assert!(got.iter().all(|got| got.delivery.redelivery_counter == 0), "nobody can have seen them");
    b.ack_all(&c, &got);
    assert_eq!(b.store.messages(), 0);
}

#[test]
fn what_may_have_been_delivered_is_flagged_and_the_rest_is_not() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    b.send(&c, "A", "seen");
    b.take();
    b.close(&c, consumer, -1);
    b.send(&c, "A", "unseen");
    b.crash();
    let c = b.connect("c");
    b.consume(&c, "A");
    let got: Vec<_> = b.take().iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect();
    assert_eq!(got, [("seen".to_owned(), 1), ("unseen".to_owned(), 0)]);
}

#[test]
fn what_may_have_been_delivered_comes_as_new_if_the_policy_says_so() {
    let mut b = Bench::policy(Policy { persist_redelivered: false, ..Policy::default() });
    let c = b.connect("c");
    b.consume(&c, "A");
    b.consume_as(&c, "topic://T", |f| f.subscription = Some("s".into()));
    b.send(&c, "A", "seen");
    b.send(&c, "topic://T", "seen too");
    assert_eq!(b.take().len(), 2);
    b.crash();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.consume_as(&c, "topic://T", |f| f.subscription = Some("s".into()));
    let got = b.take();
    assert_eq!(got.iter().map(|got| got.delivery.redelivery_counter).collect::<Vec<_>>(), [0, 0]);
    // A consumer that goes while the broker lives flags it all the same.
    b.detach(&c);
    let c = b.connect("c");
    b.consume(&c, "A");
    assert_eq!(b.take()[0].delivery.redelivery_counter, 1);
}

#[test]
fn a_backlog_is_marked_as_exposed_before_it_leaves() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A", "m");
    b.auto = false;
    let (_, facts) = b.consumer(&c, "A", |_| {});
    b.begin(&c, Intent::AddConsumer(facts));
    assert!(b.got.is_empty(), "the mark is on its way to the disk");
    b.sync();
    assert_eq!(b.texts(), ["m"]);
    b.crash();
    b.auto = true;
    let c = b.connect("c");
    b.consume(&c, "A");
    assert_eq!(b.take()[0].delivery.redelivery_counter, 1);
}

#[test]
fn a_transaction_is_there_whole_or_not_at_all() {
    for committed in [false, true] {
        let mut b = Bench::new();
        let c = b.connect("c");
        b.consume(&c, "A");
        b.send(&c, "A", "in");
        let got = b.take();
        b.transaction(&c, 1, TransactionVerb::Begin);
        b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
        b.send_in(&c, 1, "B", "out1");
        b.send_in(&c, 1, "C", "out2");
        b.auto = false;
        b.begin(
            &c,
            Intent::Transaction { id: Some(local_transaction(&c, 1)), verb: TransactionVerb::CommitOnePhase },
        );
        if committed {
            b.sync();
        }
        b.crash();
        let held = |name| {
            b.engine.view().destination(&ferromq_model::Destination::queue(name)).map_or(0, |view| view.held)
        };
        let expected = if committed { (0, 1, 1) } else { (1, 0, 0) };
        assert_eq!((held("A"), held("B"), held("C")), expected);
    }
}

#[test]
fn durable_subscriptions_survive_with_what_waits_for_them() {
    let mut b = Bench::new();
    let c = b.connect("c");
    for topic in ["topic://T", "topic://U.*"] {
        b.consume_as(&c, topic, |f| f.subscription = Some(topic.into()));
    }
    for topic in ["topic://T", "topic://U.1", "topic://U.2"] {
        b.send(&c, topic, topic);
    }
    b.take();
    b.detach(&c);
    let other = b.engine_client();
    b.send(&other, "topic://T", "unseen");
    b.crash();
    let c = b.connect("c");
    assert_eq!(b.engine.view().durables.iter().map(|view| view.held).sum::<u64>(), 4);
    for topic in ["topic://T", "topic://U.*"] {
        b.consume_as(&c, topic, |f| f.subscription = Some(topic.into()));
    }
    let got = b.take();
    let told: Vec<_> = got.iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect();
    assert_eq!(
        told,
        [
            ("topic://T".to_owned(), 1),
            ("unseen".to_owned(), 0),
            ("topic://U.1".to_owned(), 1),
            ("topic://U.2".to_owned(), 1),
        ]
    );
    b.ack_all(&c, &got);
    assert_eq!(b.store.messages(), 0);
}

#[test]
fn virtual_topics_find_their_queues_again() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "Consumer.a.VirtualTopic.T");
    b.send(&c, "topic://VirtualTopic.T", "m1");
    b.crash();
    let c = b.connect("c");
    b.send(&c, "topic://VirtualTopic.T", "m2");
    assert_eq!(b.held("Consumer.a.VirtualTopic.T"), 2);
}

#[test]
fn a_queue_of_a_virtual_topic_is_fed_after_a_restart_though_nothing_ever_lay_in_it() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume(&c, "Consumer.a.VirtualTopic.T");
    b.close(&c, consumer, -1);
    b.crash();
    let c = b.connect("c");
    b.send(&c, "topic://VirtualTopic.T", "m1");
    assert_eq!(b.held("Consumer.a.VirtualTopic.T"), 1);
    b.send(&c, "topic://VirtualTopic.U", "m2");
    assert_eq!(b.store.messages(), 1);
}

#[test]
fn destinations_that_are_asked_for_are_there_from_the_beginning() {
    let destinations = vec![Destination::queue("Consumer.a.VirtualTopic.T"), Destination::topic("T")];
    let mut b = Bench::with(Settings { destinations, ..Settings::default() });
    b.crash();
    let c = b.connect("c");
    b.send(&c, "topic://VirtualTopic.T", "m1");
    b.crash();
    assert_eq!(b.held("Consumer.a.VirtualTopic.T"), 1);
}

#[test]
fn a_damaged_message_is_named_and_the_rest_is_served() {
    use ferromq_store::Loaded;
    let mut b = Bench::with(Settings {
        limits: Limits { body_cache_bytes: 0, ..Limits::default() },
        ..Settings::default()
    });
    let c = b.connect("c");
    b.send(&c, "A", "m1");
    b.send(&c, "A", "m2");
    b.auto = false;
    let (_, facts) = b.consumer(&c, "A", |_| {});
    b.begin(&c, Intent::AddConsumer(facts));
    b.sync();
    let (load, request) = b.loads.pop_front().unwrap();
    let LoadRequest::Bodies(refs) = request else { panic!() };
    assert_eq!(refs.len(), 2);
    let whole = b.store.load(&refs[1..]).remove(0);
    let content = LoadContent::Bodies(vec![Loaded::Damaged("segment 3 at 77: checksum".into()), whole]);
    b.step(Input::Loaded { load, content });
    assert_eq!(b.texts(), ["m2"]);
    assert!(b.logs.iter().any(|log| log.text.contains("queue://A") && log.text.contains("segment 3 at 77")));
}
