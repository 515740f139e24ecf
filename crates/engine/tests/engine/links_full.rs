//! Links whose other end has no room for some destination: nothing else of the link waits for it, and nothing of it is lost
//! or out of order.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

/// Room for some messages of a queue in the store of the receiver.
fn small() -> Policy {
    Policy { store_bytes: 2_000, memory_bytes: 2_000, ..Policy::default() }
}

/// A pair of whose hundred messages of a queue some were turned back; and how many are over there.
fn turned_back() -> (Pair, u32) {
    let mut pair = Pair::new(small(), true);
    let p = pair.a.connect("p");
    pair.want("Q");
    for n in 0..100 {
        pair.send(&p, "Q", &format!("m{n}"));
    }
    pair.wait(SECOND);
    let there = u32::try_from(pair.b.held("Q")).unwrap();
    assert!(there < 100 && pair.turned > 0);
    (pair, there)
}

/// Two brokers, and what a bridge does between them.
struct Pair {
    a: Bench,
    b: Bench,
    /// The bridge's connection to the sender, and the one to the receiver.
    local: Client,
    remote: Client,
    asked: Vec<(u32, Got)>,
    /// Messages that the receiver turned back.
    turned: u64,
}

impl Pair {
    fn new(receiver: Policy, takes_back: bool) -> Self {
        let (mut a, mut b) = (Bench::new(), Bench::policy(receiver));
        a.crash();
        b.crash();
        let (local, remote) = (a.connect("bridge"), b.connect("bridge"));
        let Effect::Stream(report) = b.ask(&remote, Intent::OpenStream { stream: "a>b".into(), takes_back })
        else {
            panic!("no report")
        };
        a.do_it(&local, Intent::BeginLink { stream: "a>b".into(), report });
        Self { a, b, local, remote, asked: Vec::new(), turned: 0 }
    }

    /// What a bridge asks for at the sender.
    fn want(&mut self, destination: &str) {
        self.a.consume_as(&self.local, destination, |facts| facts.network = true);
    }

    /// Carries everything both ways until nothing moves.
    fn pump(&mut self) {
        loop {
            let (notices, got) = (std::mem::take(&mut self.a.notices), self.of_link());
            let quiet = notices.is_empty() && got.is_empty();
            for (_, notice) in notices {
                let Notice::TriedAgain { destination } = notice else { panic!("{notice:?}") };
                self.b.do_it(&self.remote, Intent::Resume(destination));
            }
            for got in got {
                let tag = self.b.begin(&self.remote, over(&got, &self.remote));
                self.asked.push((tag, got));
            }
            if !self.answer() && quiet {
                return;
            }
        }
    }

    /// What the sender handed to the link; what it gave to others stays.
    fn of_link(&mut self) -> Vec<Got> {
        let (mine, others) = self.a.take().into_iter().partition(|got| got.conn == self.local.conn);
        self.a.got = others;
        mine
    }

    /// The receiver's answers reach the sender; whether there were any.
    fn answer(&mut self) -> bool {
        let mut any = false;
        for (tag, got) in std::mem::take(&mut self.asked) {
            match self.b.replies.remove(&tag) {
                None => {
                    self.asked.push((tag, got));
                    continue;
                }
                Some(Effect::Done) => self.a.tell(&self.local, ack(AckKind::Individual, &got, &got, 1, None)),
                Some(Effect::Failed(fault)) => {
                    assert_eq!(fault.kind, FaultKind::ResourceAllocation, "{fault:?}");
                    self.turned += 1;
                    let position = got.delivery.position.unwrap();
                    self.a.do_it(&self.local, Intent::TakeBack { consumer: got.consumer, position });
                }
                other => panic!("{other:?}"),
            }
            any = true;
        }
        any
    }

    fn wait(&mut self, by: Duration) {
        self.a.wait(by);
        self.b.wait(by);
        self.pump();
    }

    fn send(&mut self, from: &Client, destination: &str, text: &str) {
        self.a.send(from, destination, text);
        self.pump();
    }

    /// Takes up to so many messages of a queue at the receiver.
    fn drain(&mut self, reader: &Client, consumer: LocalId, most: usize) -> Vec<String> {
        let (mine, others): (Vec<Got>, Vec<Got>) =
            self.b.take().into_iter().partition(|got| got.conn == reader.conn && got.consumer == consumer);
        let (now, later) = mine.split_at(most.min(mine.len()));
        self.b.got = others.into_iter().chain(later.iter().cloned()).collect();
        self.b.ack_all(reader, now);
        self.pump();
        now.iter().map(Got::text).collect()
    }
}

fn over(got: &Got, remote: &Client) -> Intent {
    let mut message = Message::clone(got.delivery.message.as_ref().unwrap());
    message.extra_mut().broker_path = vec!["a".into()];
    Intent::Send(SendRequest {
        producer: ProducerId::new(remote.id.clone(), 1, 1),
        message: message.into(),
        transaction: None,
        window_bytes: 0,
        position: got.delivery.position,
    })
}

const SECOND: Duration = Duration::from_secs(1);

fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("m{n}")).collect()
}

#[test]
fn a_queue_that_is_full_over_there_holds_up_no_other_of_its_link() {
    let mut pair = Pair::new(small(), true);
    let (p, reader) = (pair.a.connect("p"), pair.b.connect("reader"));
    let open = pair.b.consume(&reader, "open");
    for queue in ["full", "open"] {
        pair.want(queue);
    }
    for n in 0..200 {
        pair.send(&p, "full", &format!("m{n}"));
    }
    pair.wait(SECOND);
    // Given a queue that nobody empties over there, more messages of another one than a stream has positions go over
    for n in 0..3_000 {
        pair.send(&p, "open", &format!("m{n}"));
        assert_eq!(pair.drain(&reader, open, 10), [format!("m{n}")]);
        if n % 100 == 0 {
            pair.wait(SECOND);
        }
    }
    // and little is tried for nothing.
    assert!(pair.turned < 200 + 60, "{}", pair.turned);
    let held = pair.b.held("full");
    assert_eq!(pair.a.held("full") + held, 200);
    // What is full is told at once, by whom, and when it is over.
    let told = |pair: &Pair, what: &str| pair.a.logs.iter().filter(|log| log.text.contains(what)).count();
    assert_eq!(told(&pair, "stream a>b has no room for queue://full"), 1);
    // When somebody empties it, all comes in the order in which it was sent.
    let full = pair.b.consume(&reader, "full");
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let more = pair.drain(&reader, full, 1_000);
        pair.wait(SECOND / 10);
        seen.extend(more);
    }
    assert_eq!(seen, texts(0..200));
    for n in 0..1_200 {
        pair.send(&p, "full", &format!("m{n}"));
        pair.drain(&reader, full, 10);
    }
    assert_eq!(
        told(&pair, "stream a>b has room again for queue://full"),
        0,
        "it widens slowly where it was narrow"
    );
}

#[test]
fn a_slow_reader_over_there_gets_everything_in_order_and_little_goes_over_twice() {
    let mut pair = Pair::new(small(), true);
    let (p, reader) = (pair.a.connect("p"), pair.b.connect("reader"));
    pair.want("Q");
    let consumer = pair.b.consume_as(&reader, "Q", |facts| facts.prefetch = 1);
    for n in 0..1_000 {
        pair.send(&p, "Q", &format!("m{n}"));
    }
    let mut seen = Vec::new();
    // Twenty in a second
    for _ in 0..3_000 {
        seen.extend(pair.drain(&reader, consumer, 1));
        pair.wait(SECOND / 20);
        if seen.len() == 1_000 {
            break;
        }
    }
    assert_eq!(seen, texts(0..1_000));
    assert!(pair.turned < 3_000, "{}", pair.turned);
}

#[test]
fn a_link_keeps_its_place_in_the_line_of_those_who_wait() {
    let mut pair = Pair::new(small(), true);
    let (p, c) = (pair.a.connect("p"), pair.b.connect("c"));
    pair.want("Q");
    for n in 0..100 {
        pair.send(&p, "Q", &format!("m{n}"));
    }
    pair.wait(Duration::from_millis(1));
    // Given producers over there that began to wait after the link did
    let waiting: Vec<u32> = (0..50)
        .map(|n| {
            let message = pair.b.message(&c, "Q", &format!("late{n}"));
            pair.b.begin(&c, send(message, None))
        })
        .collect();
    pair.wait(SECOND);
    pair.wait(SECOND / 2);
    // when there is room for one, the link's message gets it.
    let reader = pair.b.connect("reader");
    let consumer = pair.b.consume_as(&reader, "Q", |facts| facts.prefetch = 1);
    let before = pair.a.held("Q");
    while pair.a.held("Q") == before {
        let passed = waiting.iter().find_map(|tag| pair.b.replies.get(tag));
        assert!(passed.is_none(), "it was passed by: {passed:?}");
        assert_eq!(pair.drain(&reader, consumer, 1).len(), 1);
    }
}

#[test]
fn what_comes_behind_a_message_that_was_turned_back_is_turned_back_too() {
    let mut b = Bench::policy(small());
    b.crash();
    let (link, c) = (b.connect("link"), b.connect("c"));
    b.ask(&link, Intent::OpenStream { stream: "a>b".into(), takes_back: true });
    let forward = |b: &mut Bench, queue: &str, position: u64| {
        let mut message = b.message(&link, queue, &format!("m{position}"));
        message.extra_mut().broker_path = vec!["a".into()];
        let Intent::Send(request) = send(message, None) else { unreachable!() };
        b.begin(&link, Intent::Send(SendRequest { position: Some(StreamPosition(position)), ..request }))
    };
    let mut position = 0;
    let first = loop {
        position += 1;
        let tag = forward(&mut b, "Q", position);
        if b.replies.remove(&tag).is_none() {
            break tag;
        }
    };
    let second = forward(&mut b, "Q", position + 1);
    b.wait(SECOND - Duration::from_millis(1));
    assert!(!b.replies.contains_key(&first), "a moment is granted");
    b.wait(Duration::from_millis(1));
    let is_turned = |effect: Option<Effect>| match effect {
        Some(Effect::Failed(fault)) => fault.kind == FaultKind::ResourceAllocation,
        _ => false,
    };
    for tag in [first, second] {
        assert!(is_turned(b.replies.remove(&tag)));
    }
    assert_eq!(b.view_of("Q").blocked_sends, 0);
    // One that was on its way meanwhile does not slip in, though there is room now
    let consumer = b.consume(&c, "Q");
    while !b.got.is_empty() {
        for got in b.take() {
            b.ack(&c, &got);
        }
    }
    let late = forward(&mut b, "Q", position + 2);
    assert!(is_turned(b.replies.remove(&late)));
    // and other destinations are open.
    let other = forward(&mut b, "R", position + 3);
    assert!(matches!(b.replies.remove(&other), Some(Effect::Done)));
    // What the sender tries again is taken, once.
    b.do_it(&link, Intent::Resume(Destination::queue("Q")));
    for n in 4..6 {
        let tag = forward(&mut b, "Q", position + n);
        assert!(matches!(b.replies.remove(&tag), Some(Effect::Done)));
    }
    assert_eq!(b.texts(), [format!("m{}", position + 4), format!("m{}", position + 5)]);
    b.close(&c, consumer, -2);
}

#[test]
fn a_sender_that_takes_nothing_back_waits_for_as_long_as_it_takes() {
    let mut pair = Pair::new(small(), false);
    let (p, c) = (pair.a.connect("p"), pair.b.connect("c"));
    pair.want("Q");
    for n in 0..100 {
        pair.send(&p, "Q", &format!("m{n}"));
    }
    pair.wait(SECOND * 100);
    assert_eq!(pair.turned, 0);
    let consumer = pair.b.consume(&c, "Q");
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(pair.drain(&c, consumer, 100));
    }
    assert_eq!(seen, texts(0..100));
}

#[test]
fn one_consumer_of_many_queues_goes_on_with_those_that_have_room() {
    let mut pair = Pair::new(small(), true);
    let (p, reader) = (pair.a.connect("p"), pair.b.connect("reader"));
    for queue in ["t.full", "t.open"] {
        pair.a.send(&p, queue, "so that there is one");
    }
    pair.want("t.>");
    for n in 0..100 {
        pair.send(&p, "t.full", &format!("m{n}"));
    }
    pair.wait(SECOND);
    let open = pair.b.consume(&reader, "t.open");
    pair.drain(&reader, open, 10);
    for n in 0..2_000 {
        pair.send(&p, "t.open", &format!("m{n}"));
        assert_eq!(pair.drain(&reader, open, 10), [format!("m{n}")]);
    }
    assert_eq!(pair.a.held("t.open"), 0);
}

#[test]
fn a_durable_subscription_of_a_link_keeps_what_finds_no_room() {
    let mut pair = Pair::new(small(), true);
    let (p, reader) = (pair.a.connect("p"), pair.b.connect("reader"));
    let durable = |facts: &mut ConsumerFacts, name: &str| {
        facts.client_id = Some(name.into());
        facts.subscription = Some("s".into());
    };
    pair.a.consume_as(&pair.local, "topic://T", |facts| {
        facts.network = true;
        durable(facts, "bridge");
    });
    let gone = pair.b.consume_as(&reader, "topic://T", |facts| durable(facts, "reader"));
    pair.b.close(&reader, gone, -2);
    for n in 0..200 {
        pair.send(&p, "topic://T", &format!("m{n}"));
    }
    pair.wait(SECOND);
    assert!(pair.turned > 0);
    let back = pair.b.consume_as(&reader, "topic://T", |facts| durable(facts, "reader"));
    let mut seen = Vec::new();
    while seen.len() < 200 {
        seen.extend(pair.drain(&reader, back, 1_000));
        pair.wait(SECOND / 10);
    }
    assert_eq!(seen, texts(0..200));
}

#[test]
fn what_was_turned_back_is_for_a_consumer_here_if_one_comes() {
    let (mut pair, there) = turned_back();
    let c = pair.a.connect("c");
    pair.a.consume(&c, "Q");
    let mut seen = Vec::new();
    while !pair.a.got.is_empty() {
        for got in pair.a.take() {
            assert_eq!(got.delivery.redelivery_counter, 0, "nobody has seen it");
            seen.push(got.text());
            pair.a.ack(&c, &got);
        }
    }
    assert_eq!(seen, texts(there..100));
}

#[test]
fn what_was_turned_back_is_free_after_the_death_of_the_sender() {
    let (mut pair, there) = turned_back();
    pair.a.crash();
    let c = pair.a.connect("c");
    pair.a.consume(&c, "Q");
    assert_eq!(pair.a.texts(), texts(there..100));
}

#[test]
fn nonsense_about_what_comes_back_is_refused_or_harmless() {
    let mut pair = Pair::new(small(), true);
    let p = pair.a.connect("p");
    pair.want("Q");
    pair.send(&p, "Q", "m0");
    let consumer = LocalId { session: 1, value: 1 };
    let back = |n| Intent::TakeBack { consumer, position: StreamPosition(n) };
    // It was taken, it was never given, and whoever says so is no link.
    pair.a.do_it(&pair.local, back(1));
    pair.a.do_it(&pair.local, back(u64::MAX));
    assert_eq!(pair.a.refused(&p, back(1)).kind, FaultKind::IllegalState);
    pair.a.do_it(&p, Intent::Resume(Destination::queue("Q")));
    pair.b.do_it(&pair.remote, Intent::Resume(Destination::queue("never turned back")));
    pair.send(&p, "Q", "m1");
    assert_eq!((pair.a.held("Q"), pair.b.held("Q")), (0, 2));
}
