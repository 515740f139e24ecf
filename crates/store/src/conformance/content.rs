//! What the operations mean.

use std::sync::Arc;

use bytes::Bytes;
use ferromq_model::{
    BodyKind, ConsumerId, Destination, DestinationId, DestinationKind, Message, Sequence, SubscriptionId,
    TransactionId, Xid,
};

use super::run::Run;
use super::script::{ONE, QUEUE, TOPIC, TWO, ack, house, message, producer, publish, put, record, remove};
use super::world::Worlds;
use crate::{PageRequest, ProducerWindow, StoreOp, SubscriptionRecord};

/// Puts, removes from the middle and the ends, reopens in between.
pub fn queues_keep_their_messages_in_order(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit((1..=250).map(|n| put(n, 10)).collect());
    run.check_reader();
    run.commit(vec![remove(1), remove(250), remove(100)]);
    run.commit((101..=120).map(remove).collect());
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![put(251, 0), remove(2), put(260, 3000)]);
    run.check_reader();
    run.maintain();
    run.check_reader();
    let _ = run.reopen(&mut *world);
}

/// A message with everything set that a store has to keep (advisories and their targets are never stored), one
/// with nothing, and one each of kind and encoding of body.
pub fn every_field_of_a_message_comes_back(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    let queue = Destination::queue("orders");
    let bare = Message::new(message(&queue, 1, 1, 0).id, queue.clone());
    let mut messages = vec![bare, full_message(&queue)];
    let kinds = [
        BodyKind::Plain,
        BodyKind::Bytes,
        BodyKind::Map,
        BodyKind::Object,
        BodyKind::Stream,
        BodyKind::Text,
        BodyKind::Blob,
    ];
    for (n, body_kind) in (3..).zip(kinds) {
        messages.push(Message { body_kind, body: None, ..message(&queue, 1, n, 0) });
        messages.push(Message { body_kind, compressed: true, ..message(&queue, -1, n, 500) });
    }
    let ops = (1..).zip(messages).map(|(sequence, message)| StoreOp::PutMessage {
        destination: QUEUE,
        sequence: Sequence(sequence),
        message: Arc::new(message),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: true,
    });
    run.commit(ops.collect());
    run.check_reader();
    let _ = run.reopen(&mut *world);
}

fn full_message(queue: &Destination) -> Message {
    let mut full = Message {
        priority: 9,
        expiration: i64::MAX,
        timestamp: -1,
        correlation_id: Some("correlation\0\u{1f600}".into()),
        reply_to: Some(Destination::new(DestinationKind::TempQueue, "ID:x:1")),
        message_type: Some("".into()),
        group_id: Some("group".into()),
        group_sequence: -7,
        redelivery_counter: u32::MAX,
        properties: Some(Bytes::from_static(b"\x00\x00\x00\x01\x00\x01a\x09\x00\x01b")),
        broker_in_time: 1_700_000_000_001,
        ..message(queue, i64::MAX, i64::MAX, 2000)
    };
    full.id.text = Some("ID:foreign-\u{e9}".into());
    let extra = full.extra_mut();
    extra.original_destination = Some(Destination::topic("VirtualTopic.x"));
    extra.transaction = Some(TransactionId::Xa(Xid {
        format: -1,
        global: Bytes::from_static(&[0; 64]),
        branch: Bytes::new(),
    }));
    extra.original_transaction = Some(TransactionId::Local(ferromq_model::LocalTransactionId {
        connection: "ID:c".into(),
        value: i64::MIN,
    }));
    extra.user_id = Some("user".into());
    extra.broker_path = vec!["a".into(), "".into()];
    extra.cluster = vec!["b".into()];
    extra.arrival = 5;
    extra.droppable = true;
    extra.received_by_bridge = true;
    extra.opaque = Some(Bytes::from_static(b"\xff\xfe"));
    extra.blob = Some((Some("http://x/y".into()), None, true));
    extra.target = None::<ConsumerId>;
    full
}

/// A topic message is there until its last subscription has acknowledged it or is dropped.
pub fn acknowledged_durable_messages_go_with_the_last_subscription(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit(vec![
        publish(1, &[ONE, TWO]),
        publish(2, &[ONE]),
        publish(3, &[TWO]),
        publish(4, &[ONE, TWO]),
    ]);
    run.check_reader();
    run.commit(vec![ack(ONE, 1), ack(ONE, 1), ack(TWO, 2)]);
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![ack(TWO, 1), ack(ONE, 4)]);
    run.check_reader();
    run.commit(vec![StoreOp::DropSubscription { id: TWO }]);
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    assert_eq!(run.recovered.destinations[1].messages, 1, "only message 2 waits, for the first subscription");
    run.commit(vec![StoreOp::DropSubscription { id: ONE }]);
    let run = run.reopen(&mut *world);
    assert_eq!((run.recovered.destinations[1].messages, run.recovered.destinations[1].bytes), (0, 0));
}

/// A changed subscription keeps its messages and its mark; one by pattern waits in several topics.
pub fn subscriptions_can_change(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    let other = DestinationId(3);
    run.commit(vec![
        StoreOp::PutDestination { id: other, destination: Destination::topic("prices.eu") },
        StoreOp::ExposeSubscription { subscription: ONE, upto: Sequence(1) },
        publish(1, &[ONE]),
        StoreOp::PutMessage {
            destination: other,
            sequence: Sequence(2),
            message: Arc::new(message(&Destination::topic("prices.eu"), 2, 2, 10)),
            subscriptions: vec![ONE, TWO],
            dedup: false,
            exposed: false,
        },
    ]);
    run.commit(vec![StoreOp::PutSubscription(SubscriptionRecord {
        topic: Destination::topic("prices.>"),
        selector: Some("a = 'b\0'".into()),
        no_local: true,
        ..record(ONE, "one")
    })]);
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![StoreOp::DropDestination { id: other }]);
    run.check_reader();
    let run = run.reopen(&mut *world);
    let waiting: Vec<u64> = run.recovered.subscriptions.iter().map(|state| state.messages).collect();
    assert_eq!(waiting, [1, 0], "what lay in the dropped topic waits for nobody");
}

/// A topic message that nobody waits for leaves its place and its producer's window, and nothing else.
pub fn topics_without_takers_store_nothing(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit(vec![
        publish(5, &[]),
        StoreOp::Dedup { producer: producer(3), sequence: 8 },
        StoreOp::Dedup { producer: producer(3), sequence: 6 },
    ]);
    run.check_reader();
    let run = run.reopen(&mut *world);
    assert!(run.recovered.next_sequence >= Sequence(6));
    assert_eq!(run.recovered.destinations[1].messages, 0);
    let known = |value, sequence| {
        run.recovered.producers.iter().any(|w| w.producer == producer(value) && w.contains(sequence))
    };
    assert!(known(2, 5) && known(3, 8) && known(3, 6) && !known(3, 7));
}

/// A dropped destination takes its messages along; its name may come back under a new id, in the same batch even.
pub fn destinations_come_and_go(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit((1..=50).map(|n| put(n, 100)).collect());
    let again = DestinationId(3);
    run.commit(vec![
        StoreOp::DropDestination { id: QUEUE },
        StoreOp::PutDestination { id: again, destination: Destination::queue("orders") },
        super::script::put_in(again, "orders", 51, 10),
    ]);
    run.check_reader();
    let old =
        run.reader.page(PageRequest::Queue { destination: QUEUE, after: Sequence(0), limit: 9 }).unwrap();
    assert!(old.is_empty(), "the old id is empty: {old:?}");
    run.maintain();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![StoreOp::DropDestination { id: again }]);
    let run = run.reopen(&mut *world);
    assert_eq!(run.recovered.destinations.len(), 1);
    assert!(run.recovered.next_destination >= DestinationId(4));
}

/// Marks rise, never fall, and outlive the messages.
pub fn exposed_marks_only_rise(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    let exposed = StoreOp::PutMessage {
        destination: QUEUE,
        sequence: Sequence(2),
        message: Arc::new(message(&Destination::queue("orders"), 1, 2, 10)),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: true,
    };
    run.commit(vec![put(1, 10), exposed, put(3, 10)]);
    run.commit(vec![StoreOp::ExposeQueue { destination: QUEUE, upto: Sequence(1) }]);
    run.commit(vec![
        StoreOp::ExposeSubscription { subscription: TWO, upto: Sequence(9) },
        StoreOp::ExposeSubscription { subscription: TWO, upto: Sequence(4) },
    ]);
    let mut run = run.reopen(&mut *world);
    assert_eq!(run.recovered.destinations[0].exposed, Sequence(2));
    assert_eq!(run.recovered.subscriptions[1].exposed, Sequence(9));
    run.commit(vec![remove(1), remove(2), remove(3)]);
    run.commit(vec![StoreOp::ExposeQueue { destination: QUEUE, upto: Sequence(3) }]);
    run.maintain();
    let run = run.reopen(&mut *world);
    assert_eq!(run.recovered.destinations[0].exposed, Sequence(3));
}

/// The next free ids stand beyond everything that was ever used, though nothing is left of it.
pub fn ids_and_places_are_never_used_twice(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    let first = &run.recovered;
    assert_eq!(
        (first.next_sequence, first.next_destination, first.next_subscription),
        (Sequence(1), DestinationId(1), SubscriptionId(1))
    );
    run.commit(house());
    run.commit(vec![put(1, 10), put(900, 10)]);
    run.commit(vec![
        StoreOp::DropSubscription { id: ONE },
        StoreOp::DropSubscription { id: TWO },
        StoreOp::DropDestination { id: QUEUE },
        StoreOp::DropDestination { id: TOPIC },
    ]);
    for _ in 0..3 {
        run.maintain();
        run = run.reopen(&mut *world);
        let found = &run.recovered;
        assert_eq!(
            (found.next_sequence, found.next_destination, found.next_subscription),
            (Sequence(901), DestinationId(3), SubscriptionId(3))
        );
        assert!(found.destinations.is_empty() && found.subscriptions.is_empty());
    }
}

/// Pages begin after a place, end at their limit, and a short one is the end.
pub fn pages_end_where_they_should(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit((1..=10).map(|n| put(n * 10, 10)).collect());
    run.commit((101..=105).map(|n| publish(n, &[TWO])).collect());
    for (after, limit, expected) in [
        (0, 3, vec![10, 20, 30]),
        (30, 2, vec![40, 50]),
        (35, 2, vec![40, 50]),
        (90, 5, vec![100]),
        (100, 5, vec![]),
        (u64::MAX, 5, vec![]),
        (0, 0, vec![]),
        (0, 1000, (1..=10).map(|n| n * 10).collect()),
    ] {
        let wanted = PageRequest::Queue { destination: QUEUE, after: Sequence(after), limit };
        let found: Vec<u64> = run.reader.page(wanted).unwrap().iter().map(|entry| entry.sequence.0).collect();
        assert_eq!(found, expected, "{wanted:?}");
    }
    for (subscription, after, limit, expected) in [
        (TWO, 0, 2, vec![101, 102]),
        (TWO, 103, 9, vec![104, 105]),
        (ONE, 0, 9, vec![]),
        (TWO, 105, 9, vec![]),
    ] {
        let after = Sequence(after);
        let wanted = PageRequest::Subscription { subscription, destination: TOPIC, after, limit };
        let found: Vec<u64> = run.reader.page(wanted).unwrap().iter().map(|entry| entry.sequence.0).collect();
        assert_eq!(found, expected, "{wanted:?}");
    }
}

/// The window knows each of the last 2,048 sequences apart, over reopenings, maintenance and removal of the messages.
pub fn producer_windows_survive(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    for chunk in 0..30 {
        let noted =
            (0..100).map(|n| StoreOp::Dedup { producer: producer(5), sequence: (chunk * 100 + n) * 3 });
        run.commit(noted.collect());
    }
    run.commit(vec![put(1, 10), put(2, 10), remove(1), remove(2)]);
    run.maintain();
    for _ in 0..2 {
        run = run.reopen(&mut *world);
        let of =
            |value| run.recovered.producers.iter().find(|window| window.producer == producer(value)).unwrap();
        let window = of(5);
        let highest = 2999 * 3;
        assert_eq!(window.highest, highest);
        for back in 0..ProducerWindow::SPAN as i64 {
            assert_eq!(window.contains(highest - back), back % 3 == 0, "{back} below the highest");
        }
        assert!(of(1).contains(1) && of(1).contains(2) && !of(1).contains(3));
        run.maintain();
    }
}

/// Removing, acknowledging, dropping and marking what is not there is no error and no change.
pub fn removing_what_is_not_there_changes_nothing(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit(vec![put(1, 10), publish(2, &[ONE])]);
    let nowhere = DestinationId(77);
    let nobody = SubscriptionId(77);
    run.commit(vec![
        remove(5),
        ack(TWO, 2),
        ack(nobody, 2),
        StoreOp::AckDurable { subscription: ONE, destination: QUEUE, sequence: Sequence(2) },
        StoreOp::RemoveMessage { destination: nowhere, sequence: Sequence(1) },
        StoreOp::RemoveMessage { destination: TOPIC, sequence: Sequence(1) },
        StoreOp::DropDestination { id: nowhere },
        StoreOp::DropSubscription { id: nobody },
        StoreOp::ExposeQueue { destination: nowhere, upto: Sequence(1) },
        StoreOp::ExposeSubscription { subscription: nobody, upto: Sequence(1) },
    ]);
    run.commit(Vec::new());
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![remove(1), remove(1), ack(ONE, 2), ack(ONE, 2)]);
    let _ = run.reopen(&mut *world);
}
