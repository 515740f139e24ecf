//! Links to other brokers: each message goes over exactly once, whoever dies when.

use std::collections::BTreeMap;

use ferromq_engine::*;
use ferromq_model::*;
use ferromq_store::*;

use crate::bench::*;

/// A broker whose store keeps streams.
fn broker() -> Bench {
    let mut b = Bench::new();
    b.crash();
    b
}

fn prioritized() -> Bench {
    let mut b = Bench::policy(Policy { prioritized_messages: true, ..Policy::default() });
    b.crash();
    b
}

/// The local end of a link whose remote broker has this of the stream.
fn link(b: &mut Bench, report: StreamReport) -> Client {
    let client = b.connect("link");
    b.do_it(&client, Intent::BeginLink { stream: "a>b".into(), report });
    client
}

fn open(b: &mut Bench, client: &Client) -> StreamReport {
    match b.ask(client, Intent::OpenStream { stream: "a>b".into(), takes_back: true }) {
        Effect::Stream(report) => report,
        other => panic!("{other:?}"),
    }
}

fn report(highest: u64, taken: &[(u64, u64)]) -> StreamReport {
    StreamReport { highest, taken: taken.iter().copied().collect(), ..StreamReport::default() }
}

/// A message as a link brings it.
fn forwarded(got: &Got, link: &Client) -> Intent {
    let message = got.delivery.message.clone().unwrap();
    let producer = ProducerId::new(link.id.clone(), 1, 1);
    let position = got.delivery.position;
    Intent::Send(SendRequest { producer, message, transaction: None, window_bytes: 0, position })
}

/// What the store has of the stream, but for the mark that tells how far it had come.
fn kept(b: &Bench) -> BTreeMap<u64, u64> {
    let streams = b.store.recovered().streams.unwrap();
    let stream = streams.iter().find(|stream| stream.record.name.to_str() == "a>b").unwrap();
    let messages = stream.positions.iter().filter(|(_, passage)| **passage != Passage::default());
    messages.map(|(position, passage)| (position.0, passage.message)).collect()
}

fn positions(got: &[Got]) -> Vec<u64> {
    got.iter().map(|got| got.delivery.position.unwrap().0).collect()
}

#[test]
fn a_message_leaves_over_a_link_when_its_position_is_durable_and_not_before() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    b.consume(&l, "A");
    let c = b.connect("c");
    b.auto = false;
    let message = b.message(&c, "A", "m");
    b.begin(&c, send(message, None));
    assert!(b.got.is_empty(), "neither message nor position is durable");
    b.sync();
    assert_eq!(positions(&b.got), [1], "both are, by one sync");
    assert_eq!(kept(&b).len(), 1);
    // and a message in memory alone does not overtake one that waits for the disk
    for persistent in [true, false] {
        let mut message = b.message(&c, "A", "next");
        message.persistent = persistent;
        b.begin(&c, send(message, None));
    }
    assert_eq!(b.got.len(), 1);
    b.sync();
    assert_eq!(positions(&b.got), [1, 2, 3]);
    assert_eq!(kept(&b).len(), 2, "what is in memory alone has its position in memory alone");
    // nor does one leave that was stored before, when neither that it may be delivered nor its position is durable
    b.auto = true;
    b.send(&c, "B", "old");
    b.auto = false;
    let (_, facts) = b.consumer(&l, "B", |_| {});
    b.begin(&l, Intent::AddConsumer(facts));
    for _ in 0..2 {
        assert_eq!(b.got.len(), 3);
        b.sync();
    }
    assert_eq!(positions(&b.got), [1, 2, 3, 4]);
}

#[test]
fn one_sync_does_for_messages_and_positions_unless_somebody_else_may_get_them() {
    for (local, syncs) in [(false, 1), (true, 2)] {
        let mut b = broker();
        let l = link(&mut b, StreamReport::default());
        b.consume(&l, "A");
        let c = b.connect("c");
        if local {
            b.consume_as(&c, "A", |facts| facts.prefetch = 1);
            b.send(&c, "A", "for the local consumer");
            b.take();
        }
        b.auto = false;
        for n in 0..3 {
            let message = b.message(&c, "A", &format!("m{n}"));
            b.begin(&c, send(message, None));
        }
        let mut needed = 0;
        while b.got.len() < 3 && needed < 5 {
            b.sync();
            needed += 1;
        }
        assert_eq!(needed, syncs);
    }
}

#[test]
fn messages_in_memory_alone_do_not_overtake_each_other_whatever_each_waits_for() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    b.consume(&l, "A");
    let c = b.connect("c");
    b.send(&c, "B", "so that there is a queue");
    b.auto = false;
    let begin = |b: &mut Bench, to: &str, persistent: bool| {
        let mut message = b.message(&c, to, "m");
        message.persistent = persistent;
        b.begin(&c, send(message, None));
    };
    // Given a position that waits for the disk, and a unit of work about something else behind it
    begin(&mut b, "A", true);
    b.sync();
    begin(&mut b, "B", true);
    begin(&mut b, "A", false);
    // When that position is durable, and one more message comes
    b.sync_one();
    begin(&mut b, "A", false);
    b.run();
    assert_eq!(positions(&b.got), [1, 2, 3]);
}

#[test]
fn who_waits_for_positions_to_be_reserved_is_served_when_they_are() {
    let mut b = broker();
    let (l, c) = (b.connect("link"), b.connect("c"));
    b.auto = false;
    b.begin(&l, Intent::BeginLink { stream: "a>b".into(), report: StreamReport::default() });
    let (_, facts) = b.consumer(&l, "A", |_| {});
    b.begin(&l, Intent::AddConsumer(facts));
    let mut message = b.message(&c, "A", "m");
    message.persistent = false;
    b.begin(&c, send(message, None));
    assert!(b.got.is_empty(), "a position that is not reserved may be given again by the next master");
    b.run();
    assert_eq!(positions(&b.got), [1]);
}

#[test]
fn what_is_under_way_from_a_place_that_ends_does_not_hold_up_its_link() {
    let durable = |facts: &mut ConsumerFacts| facts.subscription = Some("s".into());
    for (place, persistent) in
        [("A", true), ("A", false), ("temp-queue://ID:x:1:1", false), ("topic://T", true)]
    {
        let mut b = broker();
        let l = link(&mut b, StreamReport::default());
        let destination = Destination::parse(place, DestinationKind::Queue);
        let (owner, c) = (b.connect("owner"), b.connect("c"));
        b.do_it(&owner, Intent::AddDestination { destination: destination.clone(), broker_path: Vec::new() });
        let network = |facts: &mut ConsumerFacts| facts.network = true;
        b.consume_as(&l, place, |facts| {
            network(facts);
            if place.starts_with("topic") {
                durable(facts);
            }
        });
        b.send_as(&c, place, "m", |message| message.persistent = persistent);
        assert_eq!(positions(&b.take()), [1], "{place}");
        // When it is removed while the message is on its way
        b.do_it(&owner, Intent::RemoveDestination { destination, force: true });
        assert_eq!(kept(&b).len(), 0, "{place}");
        // Then as many as ever go over the link.
        b.consume_as(&l, "B", |facts| facts.prefetch = 2_000);
        for n in 0..1_030 {
            b.send_np(&c, "B", &format!("m{n}"));
        }
        assert_eq!(b.take().len(), 1_024, "{place}");
    }
}

#[test]
fn what_was_under_way_is_nobodys_until_the_link_is_up_again() {
    for crash in [false, true] {
        for mut b in [broker(), prioritized()] {
            let l = link(&mut b, StreamReport::default());
            b.consume(&l, "A");
            let c = b.connect("c");
            for n in 1..=4 {
                b.send_as(&c, "A", &format!("m{n}"), |message| message.priority = n as u8 * 2);
            }
            let got = b.take();
            assert_eq!(positions(&got), [1, 2, 3, 4]);
            // Given one that was acknowledged, and the end of the link or of the broker
            b.ack(&l, &got[0]);
            let known = kept(&b);
            assert_eq!(known.keys().copied().collect::<Vec<_>>(), [2, 3, 4]);
            if crash {
                b.crash();
            } else {
                b.detach(&l);
            }
            let held =
                StreamView { name: "a>b".to_owned(), linked: false, under_way: 3, without_room: Vec::new() };
            assert_eq!(b.engine.streams(), [held]);
            let d = b.connect("d");
            b.consume(&d, "A");
            b.send(&d, "A", "for whoever is there");
            assert_eq!(b.texts(), ["for whoever is there"]);
            // When the other broker says that it has two of them
            let taken = [(2, known[&2]), (4, known[&4])];
            link(&mut b, report(4, &taken));
            // Then the third is free, and the others are gone.
            assert_eq!(b.texts(), ["m3"]);
            assert_eq!(kept(&b).len(), 0);
            let none =
                StreamView { name: "a>b".to_owned(), linked: true, under_way: 0, without_room: Vec::new() };
            assert_eq!(b.engine.streams(), [none]);
            assert_eq!(b.held("A"), 2, "two are with d");
            b.check();
        }
    }
}

#[test]
fn what_is_in_doubt_of_a_durable_subscription_waits_for_it() {
    for crash in [false, true] {
        let mut b = broker();
        let durable = |facts: &mut ConsumerFacts| facts.subscription = Some("NC-DS".into());
        let l = link(&mut b, StreamReport::default());
        b.consume_as(&l, "topic://T", durable);
        let c = b.connect("c");
        for n in 1..=3 {
            b.send(&c, "topic://T", &format!("m{n}"));
        }
        assert_eq!(positions(&b.take()), [1, 2, 3]);
        let known = kept(&b);
        if crash {
            b.crash();
        } else {
            b.detach(&l);
        }
        let l = link(&mut b, report(2, &[(2, known[&2])]));
        b.consume_as(&l, "topic://T", durable);
        let got = b.take();
        assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["m1", "m3"]);
        assert!(positions(&got).iter().all(|position| *position > 3), "no position comes again");
        b.ack_all(&l, &got);
        assert_eq!((b.store.messages(), kept(&b).len()), (0, 0));
    }
}

#[test]
fn positions_are_never_given_twice_even_those_that_were_in_memory_alone() {
    let mut b = broker();
    let mut highest = 0;
    for _ in 0..3 {
        let l = link(&mut b, report(highest, &[]));
        b.consume(&l, "A");
        let c = b.connect("c");
        for n in 0..5 {
            b.send_np(&c, "A", &format!("m{n}"));
        }
        let given = positions(&b.take());
        assert!(given.iter().all(|position| *position > highest), "{given:?} after {highest}");
        highest = *given.last().unwrap();
        b.crash();
    }
}

#[test]
fn a_receiver_has_message_and_position_together_or_neither() {
    let mut a = broker();
    let l = link(&mut a, StreamReport::default());
    a.consume(&l, "A");
    let c = a.connect("c");
    a.send(&c, "A", "m1");
    a.send(&c, "A", "m2");
    let got = a.take();

    let mut b = broker();
    let from = b.connect("from");
    assert_eq!(open(&mut b, &from), StreamReport::default());
    b.do_it(&from, forwarded(&got[0], &from));
    b.auto = false;
    b.begin(&from, forwarded(&got[1], &from));
    let ops = &b.unsynced.back().unwrap().ops;
    let both =
        |op: &&StoreOp| matches!(op, StoreOp::PutMessage { .. } | StoreOp::Stream(StreamOp::Place { .. }));
    assert_eq!(ops.iter().filter(both).count(), 2, "in one unit of work: {ops:?}");
    // When it dies before that is durable
    b.crash();
    b.auto = true;
    // Then it says so, and has the first one alone.
    let from = b.connect("from");
    let told = open(&mut b, &from);
    assert_eq!((told.highest, told.taken.len()), (1, 1));
    assert_eq!(told.taken[&1], kept(&a)[&1], "both ends know the message by the same number");
    assert_eq!(b.held("A"), 1);
}

#[test]
fn a_known_position_is_answered_for_the_same_message_and_an_error_for_another() {
    let mut b = broker();
    let from = b.connect("from");
    open(&mut b, &from);
    let c = b.connect("c");
    let message = b.message(&c, "A", "m");
    let request = |message: &Message, position: u64| {
        Intent::Send(SendRequest {
            producer: ProducerId::new("link".into(), 1, 1),
            message: message.clone().into(),
            transaction: None,
            window_bytes: 0,
            position: Some(StreamPosition(position)),
        })
    };
    b.do_it(&from, request(&message, 1));
    b.do_it(&from, request(&message, 1));
    assert_eq!(b.held("A"), 1, "a repetition is answered and not stored");
    // The same message on another journey is another one.
    b.do_it(&from, request(&message, 2));
    assert_eq!(b.held("A"), 2);
    let other = b.message(&c, "A", "other");
    let tag = b.begin(&from, request(&other, 2));
    assert!(!b.replies.contains_key(&tag), "never an acknowledgement");
    assert!(b.closed.contains(&from.conn));
    let error = b.logs.iter().find(|event| event.severity == Severity::Error).unwrap();
    assert!(error.text.contains("position 2 of stream a>b") && error.text.contains(&other.id.to_string()));
    assert_eq!(b.held("A"), 2);

    // So is one that is too old to be known.
    let from = b.connect("from");
    open(&mut b, &from);
    b.do_it(&from, request(&other, 5_000));
    let tag = b.begin(&from, request(&message, 3_000));
    assert!(!b.replies.contains_key(&tag) && b.closed.contains(&from.conn));
}

#[test]
fn who_opens_a_stream_is_told_what_is_durable_and_the_one_before_sends_no_more() {
    let mut b = broker();
    let old = b.connect("old");
    open(&mut b, &old);
    let c = b.connect("c");
    let request = |b: &mut Bench, position: u64| {
        let message = b.message(&c, "A", "m");
        let request = SendRequest {
            producer: ProducerId::new("link".into(), 1, 1),
            message: message.into(),
            transaction: None,
            window_bytes: 0,
            position: Some(StreamPosition(position)),
        };
        Intent::Send(request)
    };
    b.auto = false;
    let first = request(&mut b, 1);
    let sent = b.begin(&old, first);
    let new = b.attach("new");
    b.begin(&new, Intent::Connect(facts(&new, "new")));
    let asked = b.begin(&new, Intent::OpenStream { stream: "a>b".into(), takes_back: true });
    assert!(!b.replies.contains_key(&asked), "what it would be told is not durable yet");
    let second = request(&mut b, 2);
    let late = b.begin(&old, second);
    assert!(matches!(b.replies.get(&late), Some(Effect::Failed(_))), "a frame that came too late");
    b.run();
    assert!(matches!(b.replies.get(&asked), Some(Effect::Stream(told)) if told.taken.len() == 1));
    assert!(matches!(b.replies.get(&sent), Some(Effect::Done)));
    assert_eq!(b.held("A"), 1);
}

#[test]
fn what_a_living_link_gives_back_was_not_sent() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    let consumer = b.consume(&l, "A");
    let c = b.connect("c");
    b.send(&c, "A", "m");
    b.take();
    b.close(&l, consumer, -2);
    assert!(kept(&b).is_empty());
    let local = b.consume(&c, "A");
    assert_eq!(b.texts_of(&c, local), ["m"]);
}

#[test]
fn a_refused_message_is_a_dead_letter_and_its_position_is_settled() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    b.consume(&l, "A");
    let c = b.connect("c");
    b.send(&c, "A", "m");
    let got = b.take();
    b.do_it(&l, ack(AckKind::Poison, &got[0], &got[0], 1, None));
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ"), kept(&b).len()), (0, 1, 0));
}

#[test]
fn a_link_has_no_more_under_way_than_the_other_end_can_be_asked_about() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    b.consume_as(&l, "A", |facts| facts.prefetch = 10_000);
    let c = b.connect("c");
    for n in 0..1_100 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    assert_eq!(got.len(), 1_024);
    b.ack(&l, &got[1]);
    assert!(b.got.is_empty(), "the oldest one counts");
    b.ack(&l, &got[0]);
    assert_eq!(positions(&b.take()), [1_025, 1_026]);
}

#[test]
fn a_store_that_is_older_than_what_it_sent_is_refused() {
    let mut b = broker();
    let l = b.connect("link");
    let begin = |report| Intent::BeginLink { stream: "a>b".into(), report };
    let refusal = b.refused(&l, begin(report(7, &[(7, 1)])));
    assert!(refusal.text.contains("older") && refusal.text.contains("copy"), "{}", refusal.text);
    b.do_it(&l, begin(StreamReport::default()));
    b.consume(&l, "A");
    let c = b.connect("c");
    b.send(&c, "A", "m");
    b.detach(&l);
    // A position with another message is no acknowledgement.
    let l = b.connect("link");
    let refusal = b.refused(&l, begin(report(1, &[(1, 12)])));
    assert!(refusal.text.contains("another message"), "{}", refusal.text);
    assert_eq!(b.held("A"), 1);
}

/// What a receiver tells that has taken this.
fn taken(got: &[Got]) -> StreamReport {
    let mut there = broker();
    let from = there.connect("from");
    open(&mut there, &from);
    for got in got {
        there.do_it(&from, forwarded(got, &from));
    }
    there.crash();
    let from = there.connect("from");
    open(&mut there, &from)
}

#[test]
fn a_copy_that_misses_what_was_forwarded_after_it_is_refused_and_the_store_itself_is_not() {
    // How many were forwarded before the copy was made, and whether their acknowledgements came before it.
    for (before, settled) in [(0, true), (3, true), (3, false)] {
        for persistent in [true, false] {
            let mut b = broker();
            let l = link(&mut b, StreamReport::default());
            b.consume(&l, "A");
            let c = b.connect("c");
            let mut got = Vec::new();
            let mut forward = |b: &mut Bench, persistent: bool| {
                b.send_as(&c, "A", "m", |message| message.persistent = persistent);
                let taken = b.take();
                got.extend(taken.clone());
                taken
            };
            for _ in 0..before {
                let taken = forward(&mut b, true);
                if settled {
                    b.ack_all(&l, &taken);
                }
            }
            let copy = b.store.clone();
            for _ in 0..2 {
                let taken = forward(&mut b, persistent);
                b.ack_all(&l, &taken);
            }
            let told = taken(&got);
            // The store itself goes on, whatever was in memory alone
            b.crash();
            let l = b.connect("link");
            b.do_it(&l, Intent::BeginLink { stream: "a>b".into(), report: told.clone() });
            // and so does a copy that misses nothing that was in it. One that does would send it again.
            b.store = copy;
            b.crash();
            let l = b.connect("link");
            let begin = Intent::BeginLink { stream: "a>b".into(), report: told };
            if persistent {
                let refusal = b.refused(&l, begin);
                assert!(refusal.text.contains("older") && refusal.text.contains("copy"), "{}", refusal.text);
                assert!(!b.engine.streams()[0].linked);
            } else {
                b.do_it(&l, begin);
            }
        }
    }
}

#[test]
fn a_store_of_a_version_without_marks_is_not_taken_for_a_copy() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    b.consume(&l, "A");
    let c = b.connect("c");
    b.send(&c, "A", "m");
    let got = b.take();
    b.ack_all(&l, &got);
    let told = taken(&got);
    // Given that nothing in the store tells how far it had come
    let stream =
        b.store.recovered().streams.unwrap().into_iter().find(|stream| stream.record.reserved.0 > 0).unwrap();
    let (id, upto) = (stream.record.id, StreamPosition(1 << 20));
    b.store.apply(StoreOp::Stream(StreamOp::Settle { stream: id, from: StreamPosition(0), upto }));
    b.crash();
    link(&mut b, told);
}

#[test]
fn what_is_held_for_a_connector_that_was_taken_away_is_let_go() {
    for (connectors, free) in [(None, false), (Some(vec!["nc"]), false), (Some(vec!["other"]), true)] {
        let connectors = connectors.map(|names| names.into_iter().map(str::to_owned).collect());
        let mut b = Bench::with(Settings { connectors, ..Settings::default() });
        b.crash();
        let l = b.connect("link");
        b.do_it(&l, Intent::BeginLink { stream: "ID:a:1>ID:b:1/nc".into(), report: StreamReport::default() });
        b.consume(&l, "A");
        let c = b.connect("c");
        b.send(&c, "A", "m");
        b.take();
        b.crash();
        let c = b.connect("c");
        b.consume(&c, "A");
        let got: Vec<_> = b.take().iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect();
        assert_eq!(got, if free { vec![("m".to_owned(), 1)] } else { Vec::new() });
        assert_eq!(b.logs.iter().any(|event| event.text.contains("connector of stream")), free);
    }
}

#[test]
fn a_connector_that_comes_back_goes_on_behind_the_positions_that_were_given() {
    let mut b = Bench::with(Settings { connectors: Some(vec!["other".into()]), ..Settings::default() });
    b.crash();
    let name = "ID:a:1>ID:b:1/nc";
    let begin = |report| Intent::BeginLink { stream: name.into(), report };
    let (l, c) = (b.connect("link"), b.connect("c"));
    b.do_it(&l, begin(StreamReport::default()));
    b.consume(&l, "A");
    b.send(&c, "A", "m");
    assert_eq!(positions(&b.take()), [1]);
    // Given that the message arrived, that its connector was taken away, and that it is there again
    b.crash();
    b.crash();
    assert_eq!(b.logs.iter().filter(|event| event.text.contains("connector of stream")).count(), 1);
    let l = b.connect("link");
    b.do_it(&l, begin(StreamReport { stored: 1, ..report(1, &[(1, 12)]) }));
    // Then the message goes as one that was let go, under a position of its own.
    b.consume(&l, "A");
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["m"]);
    assert!(positions(&got)[0] > 1);
}

#[test]
fn what_arrived_and_was_in_the_store_alone_takes_no_room_of_its_queue() {
    let mut b = broker();
    let l = link(&mut b, StreamReport::default());
    b.consume(&l, "A");
    let c = b.connect("c");
    for n in 0..4 {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.take();
    let known: Vec<(u64, u64)> = kept(&b).into_iter().collect();
    b.crash();
    let before = b.view_of("A").store_bytes;
    link(&mut b, report(4, &known[..3]));
    assert_eq!((b.held("A"), b.view_of("A").store_bytes), (1, before / 4));
    let c = b.connect("c");
    b.consume(&c, "A");
    let got = b.take();
    b.ack_all(&c, &got);
    assert_eq!((got.len(), b.view_of("A").store_bytes), (1, 0));
}

#[test]
fn a_stream_to_a_broker_that_is_gone_is_forgotten_and_gives_back_what_it_held() {
    let forget = || Intent::ForgetStream("a>b".into());
    for crash in [false, true] {
        let mut b = broker();
        let l = link(&mut b, StreamReport::default());
        b.consume(&l, "A");
        let c = b.connect("c");
        b.send(&c, "A", "m1");
        b.send(&c, "A", "m2");
        let told = taken(&b.take());
        let operator = b.attach("operator");
        assert!(b.refused(&operator, forget()).text.contains("is up"));
        if crash {
            b.crash();
        } else {
            b.detach(&l);
        }
        let heard = (!crash).then_some(std::time::Duration::ZERO);
        let entry =
            StreamEntry { name: "a>b".to_owned(), incoming: false, linked: false, positions: 2, heard };
        assert_eq!(b.engine.all_streams(), [entry]);
        // When an operator, who needs no login, has it forgotten, and that is durable
        let operator = b.attach("operator");
        b.auto = false;
        let tag = b.begin(&operator, forget());
        assert!(!b.replies.contains_key(&tag));
        b.run();
        b.auto = true;
        assert!(matches!(b.replies.get(&tag), Some(Effect::Forgotten(2))), "{:?}", b.replies.get(&tag));
        assert!(b.refused(&operator, forget()).text.contains("no stream a>b"));
        assert!(b.engine.all_streams().is_empty() && b.engine.streams().is_empty());
        // Then its messages are for whoever is there, also after a restart,
        if crash {
            b.crash();
        }
        assert!(
            b.store.recovered().streams.unwrap().iter().all(|stream| stream.record.name.to_str() != "a>b")
        );
        let d = b.connect("d");
        b.consume(&d, "A");
        let got: Vec<_> = b.take().iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect();
        assert_eq!(got, [("m1".to_owned(), 1), ("m2".to_owned(), 1)]);
        // and a broker that comes back after all is linked to again when it has forgotten its end.
        let l = b.connect("link");
        let begin = |report| Intent::BeginLink { stream: "a>b".into(), report };
        assert!(b.refused(&l, begin(told)).text.contains("streams forget"));
        b.do_it(&l, begin(StreamReport::default()));
        b.consume(&l, "B");
        b.send(&d, "B", "new");
        assert_eq!(positions(&b.take()), [1]);
    }
}

#[test]
fn streams_of_brokers_that_are_gone_make_room_for_others() {
    let mut b = broker();
    let from = b.connect("from");
    let name = |n: usize| Text::from(format!("a{n}>b"));
    for n in 0..1_024 {
        b.ask(&from, Intent::OpenStream { stream: name(n), takes_back: true });
    }
    let refusal = b.refused(&from, Intent::OpenStream { stream: name(1_024), takes_back: true });
    assert!(refusal.text.contains("`ferromq streams forget`"), "{}", refusal.text);
    b.detach(&from);
    let operator = b.attach("operator");
    assert!(matches!(b.ask(&operator, Intent::ForgetStream(name(7))), Effect::Forgotten(0)));
    let from = b.connect("from");
    assert!(matches!(
        b.ask(&from, Intent::OpenStream { stream: name(1_024), takes_back: true }),
        Effect::Stream(_)
    ));
    assert!(matches!(
        b.ask(&from, Intent::OpenStream { stream: name(7), takes_back: true }),
        Effect::Failed(_)
    ));
    b.crash();
    let known = b.engine.all_streams();
    assert!(known.len() == 1_024 && known.iter().all(|stream| stream.incoming && stream.name != "a7>b"));
}

#[test]
fn a_store_without_streams_says_so() {
    let mut b = Bench::new();
    let l = b.connect("link");
    for intent in [
        Intent::OpenStream { stream: "a>b".into(), takes_back: true },
        Intent::BeginLink { stream: "a>b".into(), report: StreamReport::default() },
    ] {
        assert_eq!(b.refused(&l, intent).kind, FaultKind::Unsupported);
    }
}

#[test]
fn a_message_that_nobody_here_can_consume_moves_on_within_the_bound_of_hops() {
    // Passed by so many brokers; the broker at the other end was among them; whether it goes.
    let cases = [
        (0, false, 16, true),
        (1, false, 16, true),
        (1, true, 16, true),
        (3, false, 16, true),
        (4, false, 4, false),
        (4, true, 4, false),
        (1, true, 0, false),
        (1, false, 0, false),
    ];
    for (passed, back, hops, goes) in cases {
        let mut b = broker();
        let c = b.connect("c");
        b.send_as(&c, "A", "m", |message| {
            let path = (0..passed).map(|n| Text::from(if back && n == 0 { "ID:there" } else { "ID:other" }));
            message.extra_mut().broker_path = path.collect();
        });
        let l = link(&mut b, StreamReport::default());
        let network = |facts: &mut ConsumerFacts| {
            facts.network = true;
            facts.broker_path = vec!["ID:there".into()];
            let max_hops = Some(hops);
            let broker = "ID:there".into();
            facts.network_filter =
                Some(NetworkFilter { broker, message_ttl: 1, consumer_ttl: 1, max_hops, scope: None });
            facts.network_path = vec![ConsumerId { connection: "ID:x".into(), session: 1, value: 1 }];
        };
        // While somebody here may consume it, it does not go further than its TTL says.
        let local = b.consume_as(&c, "A", |facts| facts.selector = Some("colour = 'red'".into()));
        let far = b.consume_as(&l, "A", network);
        assert_eq!(b.texts_of(&l, far).len(), usize::from(passed == 0), "{passed} brokers");
        b.close(&c, local, -2);
        let moved = passed == 0 || b.texts_of(&l, far).len() == 1;
        assert_eq!(moved, goes, "passed {passed} brokers, back {back}, bound {hops}");
    }
}

/// A broker of a mesh: its topic has a subscriber, and messages come over two links.
fn meshed() -> (Bench, (Client, LocalId), [Client; 2]) {
    let mut b = broker();
    let subscriber = b.connect("subscriber");
    let local = b.consume(&subscriber, "topic://T");
    let links = ["short", "long"].map(|name| {
        let client = b.connect(name);
        b.ask(&client, Intent::OpenStream { stream: name.into(), takes_back: true });
        client
    });
    (b, (subscriber, local), links)
}

/// A message of the topic as it comes over a link, having passed so many brokers.
fn over(link: &Client, message: &Message, position: Option<u64>, hops: usize) -> Intent {
    let mut message = message.clone();
    message.extra_mut().broker_path = (0..hops).map(|n| Text::from(format!("b{n}"))).collect();
    Intent::Send(SendRequest {
        producer: ProducerId::new(link.id.clone(), 1, 1),
        message: message.into(),
        transaction: None,
        window_bytes: 0,
        position: position.map(StreamPosition),
    })
}

#[test]
fn a_message_of_a_topic_is_published_once_over_however_many_links_it_comes() {
    for (positions, persistent) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut b, (subscriber, local), links) = meshed();
        let c = b.connect("c");
        let mut messages = ["m1", "m2"].map(|text| b.message(&c, "topic://T", text));
        messages.iter_mut().for_each(|message| message.persistent = persistent);
        let at = |position: u64| positions.then_some(position);
        b.do_it(&links[0], over(&links[0], &messages[0], at(1), 1));
        b.do_it(&links[1], over(&links[1], &messages[0], at(1), 2));
        // The longer way may be the faster one.
        b.do_it(&links[1], over(&links[1], &messages[1], at(2), 2));
        b.do_it(&links[0], over(&links[0], &messages[1], at(2), 1));
        assert_eq!(b.texts_of(&subscriber, local), ["m1", "m2"], "{positions} {persistent}");
        assert_eq!(b.engine.view().broker.duplicates, 2);
        // Each link is told that it need not send again.
        if positions && persistent {
            for link in ["short", "long"] {
                let streams = b.store.recovered().streams.unwrap();
                let stream = streams.iter().find(|stream| stream.record.name.to_str() == link).unwrap();
                assert_eq!(stream.positions.len(), 2);
            }
        }
    }
}

#[test]
fn a_copy_that_comes_over_another_link_after_a_crash_is_known() {
    let (mut b, _, links) = meshed();
    let (ann, c) = (b.connect("ann"), b.connect("c"));
    b.consume_as(&ann, "topic://T", |facts| {
        (facts.subscription, facts.client_id) = (Some("news".into()), Some("ann".into()));
    });
    let message = b.message(&c, "topic://T", "m");
    b.do_it(&links[0], over(&links[0], &message, Some(1), 1));
    b.crash();
    let link = b.connect("long");
    b.ask(&link, Intent::OpenStream { stream: "long".into(), takes_back: true });
    b.do_it(&link, over(&link, &message, Some(1), 2));
    assert_eq!(b.engine.view().broker.duplicates, 1);
}

#[test]
fn a_queue_takes_a_message_that_comes_once_more_for_it_may_have_gone_back() {
    let (mut b, _, links) = meshed();
    let c = b.connect("c");
    let message = b.message(&c, "Q", "m");
    b.do_it(&links[0], over(&links[0], &message, Some(1), 1));
    b.do_it(&links[1], over(&links[1], &message, Some(1), 3));
    assert_eq!(b.held("Q"), 2);
}
