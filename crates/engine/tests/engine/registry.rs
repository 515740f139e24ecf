//! Connections, sessions, producers: who may be there, and what a second announcement means.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

#[test]
fn a_client_id_in_use_is_refused_in_activemqs_words_and_the_peer_is_closed_later() {
    let mut b = Bench::new();
    b.connect("X");
    let second = b.attach("X");
    let fault = b.refused(&second, Intent::Connect(facts(&second, "X")));
    assert_eq!(fault.kind, FaultKind::InvalidClientId);
    assert_eq!(fault.text, "Broker: localhost - Client: X already connected from tcp://127.0.0.1:40001");
    assert!(b.closed.is_empty());
    b.wait(Duration::from_secs(2));
    assert_eq!(b.closed, [second.conn]);
}

#[test]
fn a_client_id_is_free_again_when_its_connection_is_gone() {
    let mut b = Bench::new();
    let first = b.connect("X");
    b.detach(&first);
    let second = b.connect("X");
    b.do_it(&second, Intent::Disconnect { last_delivered: -2 });
    b.connect("X");
}

#[test]
fn link_stealing_closes_the_old_connection() {
    let mut b = Bench::with(Settings { allow_link_stealing: true, ..Settings::default() });
    let old = b.connect("X");
    b.connect("X");
    assert_eq!(b.closed, [old.conn]);
}

#[test]
fn the_same_connection_id_takes_over_the_old_connection() {
    let mut b = Bench::new();
    let old = b.connect("X");
    b.consume(&old, "A");
    b.send(&old, "A", "m");
    b.take();
    let new = Client { conn: b.attach("X").conn, id: old.id.clone() };
    b.do_it(&new, Intent::Connect(facts(&new, "X")));
    assert_eq!(b.closed, [old.conn]);
    b.do_it(&new, Intent::AddSession { session: 1 });
    b.consume(&new, "A");
    assert_eq!(b.texts(), ["m"]);
    // The old socket ends later, and takes nothing of the new connection with it.
    b.detach(&old);
    b.send(&new, "A", "n");
    assert_eq!(b.texts(), ["n"]);
}

#[test]
fn a_connection_without_client_id_is_refused() {
    let mut b = Bench::new();
    let c = b.attach("c");
    assert_eq!(b.refused(&c, Intent::Connect(facts(&c, ""))).kind, FaultKind::InvalidClientId);
}

#[test]
fn nothing_is_done_before_the_peer_said_who_it_is() {
    let mut b = Bench::new();
    let c = b.attach("c");
    assert_eq!(b.refused(&c, Intent::AddSession { session: 1 }).kind, FaultKind::IllegalState);
}

#[test]
fn a_repeated_announcement_is_answered_and_ignored() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (_, consumer) = b.consumer(&c, "A", |_| {});
    b.do_it(&c, Intent::AddConsumer(consumer.clone()));
    b.do_it(&c, Intent::AddConsumer(consumer));
    let producer = std::sync::Arc::new(ProducerFacts {
        id: ProducerId::new(c.id.clone(), 1, 1),
        destination: Some(Destination::queue("A")),
        window: 0,
        broker_path: Vec::new(),
    });
    b.do_it(&c, Intent::AddProducer(producer.clone()));
    b.do_it(&c, Intent::AddProducer(producer));
    let view = b.view_of("A");
    assert_eq!((view.consumers, view.producers), (1, 1));
    b.do_it(&c, Intent::RemoveProducer(LocalId { session: 1, value: 1 }));
    assert_eq!(b.view_of("A").producers, 0);
}

#[test]
fn what_was_not_registered_can_not_be_removed_or_built_upon() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (_, stranger) = b.consumer(&c, "A", |f| f.id.session = 9);
    let id = LocalId { session: 1, value: 77 };
    for (intent, words) in [
        (
            Intent::AddConsumer(stranger),
            "Cannot add a consumer to a session that had not been registered: ID:c-1:9",
        ),
        (
            Intent::RemoveSession { session: 9, last_delivered: -1 },
            "Cannot remove session that had not been registered",
        ),
        (
            Intent::RemoveConsumer { consumer: id, last_delivered: -1 },
            "Cannot remove a consumer that had not been registered",
        ),
        (Intent::RemoveProducer(id), "Cannot remove a producer that had not been registered"),
    ] {
        let fault = b.refused(&c, intent);
        assert_eq!(fault.kind, FaultKind::IllegalState);
        assert!(fault.text.contains(words), "{}", fault.text);
    }
}

#[test]
fn a_flush_is_answered_after_everything_before_it() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.auto = false;
    let message = b.message(&c, "A", "m");
    b.begin(&c, send(message, None));
    let flush = b.begin(&c, Intent::Flush);
    assert!(!b.replies.contains_key(&flush));
    b.sync();
    assert!(b.replies.contains_key(&flush));
}
