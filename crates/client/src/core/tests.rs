//! Conversations with a scripted broker, on virtual time.

use std::time::Duration;

use bytes::Bytes;
use ferromq_model::{Instant, Now, WallTime};
use ferromq_openwire::{
    AckType, BrokerInfo, Command, ConnectionError, ConsumerControl, ExceptionClass, ExceptionResponse,
    Framer, KeepAliveInfo, Limits, MessageAck, MessageDispatch, MessageId, MessageKind, ProducerAck,
    Response, Throwable, TransactionType, WireFormat, WireFormatOptions,
};

use super::*;
use crate::message::Outgoing;

mod acks;
mod recovery;
mod transactions;

/// A broker that does what the test says.
pub(super) struct Broker {
    format: WireFormat,
    framer: Framer,
    now: Now,
    pub core: Core<u32>,
    sequence: i64,
}

impl Broker {
    /// A connection with options, before any greeting.
    pub fn silent(options: &str) -> Self {
        let options = ConnectOptions::parse(&format!("tcp://broker:1?{options}")).unwrap();
        let now = Now { mono: Instant(0), wall: WallTime(1_000_000) };
        let core = Core::new(options, "ID:test-1:1", now).unwrap();
        let format = WireFormat::new(Limits::default());
        let framer = format.framer();
        Self { format, framer, now, core, sequence: 0 }
    }

    /// A connection that is open.
    pub fn open(options: &str) -> Self {
        let mut broker = Self::silent(options);
        broker.greet();
        let login = broker.heard();
        assert!(matches!(&login[..], [Command::ConnectionInfo(info)] if info.command_id == 1));
        broker.say(BrokerInfo { broker_name: Some("stub".into()), ..BrokerInfo::default() });
        broker.respond(1);
        assert!(matches!(broker.core.next_event(), Some(Event::Opened)));
        broker
    }

    pub fn greet(&mut self) {
        self.greet_as("ActiveMQ");
    }

    pub fn greet_as(&mut self, provider: &str) {
        let ours = WireFormatOptions { provider_name: Some(provider.into()), ..WireFormatOptions::default() };
        let greeting = self.heard();
        let [Command::WireFormatInfo(theirs)] = &greeting[..] else { panic!("{greeting:?}") };
        let mut bytes = Vec::new();
        self.format.encode(&ours.to_info().unwrap().into(), &mut bytes).unwrap();
        self.format.renegotiate(&ours, theirs).unwrap();
        self.core.read_buffer().extend_from_slice(&bytes);
        self.core.received(self.now);
    }

    /// A connection over `failover:`, open for the first time.
    pub fn failing_over(options: &str) -> Self {
        let options =
            ConnectOptions::parse(&format!("failover:(tcp://broker:1,tcp://other:2)?{options}")).unwrap();
        let mut broker = Self::silent("");
        broker.core = Core::new(options, "ID:test-1:1", broker.now).unwrap();
        assert!(broker.core.is_away() && broker.core.is_detached());
        broker.attach("ActiveMQ");
        let login = broker.login();
        assert!(!login.failover_reconnect && login.fault_tolerant);
        broker.respond(login.command_id);
        assert!(matches!(&broker.events()[..], [Event::Opened]));
        broker
    }

    /// A fresh transport, greeted.
    pub fn attach(&mut self, provider: &str) {
        self.format = WireFormat::new(Limits::default());
        self.framer = self.format.framer();
        let address = self.core.options().failover.as_ref().unwrap().brokers[1].clone();
        self.core.reattach(&address, self.now).unwrap();
        self.greet_as(provider);
    }

    /// The two commands that begin a connection.
    pub fn login(&mut self) -> ConnectionInfo {
        let heard = self.heard();
        let [Command::ConnectionControl(control), Command::ConnectionInfo(info)] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert!(control.fault_tolerant);
        info.clone()
    }

    /// Another broker is there: what it hears before it has answered, after its login.
    pub fn take_over(&mut self, provider: &str) -> Vec<Command> {
        self.attach(provider);
        let login = self.login();
        assert!(login.failover_reconnect);
        self.respond(login.command_id);
        self.heard()
    }

    /// Answers everything that wants an answer; what is heard then.
    pub fn answer_all(&mut self, commands: &[Command]) -> Vec<Command> {
        for command in commands {
            if let Some(number) = wants_answer(command) {
                self.respond(number);
            }
        }
        self.heard()
    }

    /// What the client has sent since.
    pub fn heard(&mut self) -> Vec<Command> {
        let bytes = self.core.output().to_vec();
        self.core.written(bytes.len());
        self.framer.feed(&bytes);
        let mut commands = Vec::new();
        while let Some(frame) = self.framer.next_frame().unwrap() {
            commands.push(self.format.decode(frame).unwrap());
        }
        commands
    }

    pub fn say(&mut self, command: impl Into<Command>) {
        let mut bytes = Vec::new();
        self.format.encode(&command.into(), &mut bytes).unwrap();
        self.core.read_buffer().extend_from_slice(&bytes);
        self.core.received(self.now);
    }

    pub fn respond(&mut self, correlation_id: i32) {
        self.say(Response { correlation_id, ..Response::default() });
    }

    pub fn refuse(&mut self, correlation_id: i32, class: ExceptionClass, text: &str) {
        let exception = Some(Arc::new(Throwable::of(class, text)));
        self.say(ExceptionResponse { correlation_id, exception, ..ExceptionResponse::default() });
    }

    /// Sends the next messages to a consumer.
    pub fn dispatch(&mut self, consumer: ConsumerKey, count: usize, expiration: i64) {
        let id = self.core.consumers.get(&consumer.0).unwrap().id.clone();
        for _ in 0..count {
            self.sequence += 1;
            let producer = ferromq_openwire::ProducerId::new(&id.session(), 99);
            let mut message = ferromq_openwire::Message::new(MessageKind::Text);
            message.message_id = Some(MessageId::new(producer, self.sequence));
            message.expiration = expiration;
            message.set_text(&self.sequence.to_string()).unwrap();
            self.say(MessageDispatch {
                consumer_id: Some(id.clone()),
                destination: Some(Destination::queue("q")),
                message: Some(Arc::new(message)),
                ..MessageDispatch::default()
            });
        }
    }

    pub fn now(&self) -> Now {
        self.now
    }

    pub fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono + Duration::from_millis(ms);
        self.now.wall.0 += ms as i64;
        self.core.tick(self.now);
    }

    pub fn events(&mut self) -> Vec<Event<u32>> {
        std::iter::from_fn(|| self.core.next_event()).collect()
    }

    /// Opens a session and a consumer of queue `q`, and answers.
    pub fn consumer(&mut self, mode: AckMode, prefetch: u32) -> (SessionKey, ConsumerKey) {
        let session = self.core.open_session(mode).unwrap();
        let spec = ConsumerSpec::new(Destination::queue("q")).prefetch(prefetch);
        let consumer = self.core.open_consumer(session, &spec, Some(7));
        let number = self.heard().last().map(number_of).unwrap();
        self.respond(number);
        assert!(matches!(&self.events()[..], [Event::Answered { token: 7, result: Ok(()) }]));
        (session, consumer)
    }

    /// Opens a producer for queue `q` in a session, and answers.
    pub fn producer(&mut self, session: SessionKey, window: u32) -> ProducerKey {
        let producer = self.core.open_producer(session, Some(Destination::queue("q")), window, Some(8));
        let number = self.heard().last().map(number_of).unwrap();
        self.respond(number);
        assert!(matches!(&self.events()[..], [Event::Answered { token: 8, result: Ok(()) }]));
        producer
    }
}

fn wants_answer(command: &Command) -> Option<i32> {
    let (number, wanted) = match command {
        Command::ConsumerInfo(info) => (info.command_id, info.response_required),
        Command::ProducerInfo(info) => (info.command_id, info.response_required),
        Command::TransactionInfo(info) => (info.command_id, info.response_required),
        Command::DestinationInfo(info) => (info.command_id, info.response_required),
        Command::Message(message) => (message.command_id, message.response_required),
        _ => return None,
    };
    wanted.then_some(number)
}

pub(super) fn number_of(command: &Command) -> i32 {
    match command {
        Command::ConsumerInfo(info) => info.command_id,
        Command::ProducerInfo(info) => info.command_id,
        Command::TransactionInfo(info) => info.command_id,
        Command::RemoveInfo(info) => info.command_id,
        Command::Message(message) => message.command_id,
        other => panic!("{other:?} has no answer"),
    }
}

pub(super) fn message(text: &str) -> Arc<ferromq_openwire::Message> {
    Arc::new(Outgoing::text(text).finish(&Destination::queue("q"), false, WallTime(5)).unwrap())
}

/// Type, count, first and last sequence of an acknowledgement, and whether it belongs to a transaction.
type Ack = (i8, i32, Option<i64>, Option<i64>, bool);

pub(super) fn ack(command: &Command) -> Ack {
    let Command::MessageAck(ack) = command else { panic!("{command:?}") };
    let sequence = |id: &Option<MessageId>| id.as_ref().map(|id| id.producer_sequence_id);
    (
        ack.ack_type,
        ack.message_count,
        sequence(&ack.first_message_id),
        sequence(&ack.last_message_id),
        ack.transaction_id.is_some(),
    )
}

#[test]
fn a_silent_broker_is_given_up() {
    let mut broker = Broker::silent("connectionTimeout=3000");
    broker.wait(2999);
    assert!(broker.events().is_empty());
    broker.wait(1);
    let events = broker.events();
    assert!(matches!(&events[..], [Event::Closed(Error::Timeout { .. })]), "{events:?}");
}

#[test]
fn a_refused_login_says_why() {
    let mut broker = Broker::silent("");
    broker.greet();
    broker.heard();
    broker.refuse(1, ExceptionClass::Security, "User name [x] or password is invalid.");
    let events = broker.events();
    let [Event::Closed(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        error.to_string(),
        "tcp://broker:1 refused to log in: User name [x] or password is invalid. (java.lang.SecurityException)"
    );
}

#[test]
fn whoever_speaks_something_else_is_cut_off() {
    let mut broker = Broker::silent("");
    let now = broker.now();
    broker.core.read_buffer().extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    broker.core.received(now);
    assert!(matches!(&broker.events()[..], [Event::Closed(Error::Protocol { .. })]));
    // Nothing that comes after matters.
    broker.core.received(now);
    broker.wait(100_000);
    assert!(broker.events().is_empty());
}

#[test]
fn signs_of_life_go_both_ways() {
    let mut broker = Broker::open("wireFormat.maxInactivityDuration=3000");
    // Given an initial delay of 10 s, then a sign of life for every second without any other word
    broker.wait(10_000);
    broker.wait(1000);
    let beats = broker.heard();
    assert!(matches!(&beats[..], [Command::KeepAliveInfo(_)]), "{beats:?}");
    // When the broker wants an answer, it gets one with its number
    broker.say(KeepAliveInfo { command_id: 42, response_required: true });
    let answer = broker.heard();
    assert!(matches!(&answer[..], [Command::KeepAliveInfo(info)] if info.command_id == 42));
    // When it then says nothing for two whole periods, it counts as dead
    broker.wait(2000);
    assert!(broker.events().is_empty());
    broker.wait(3000);
    let events = broker.events();
    assert!(matches!(&events[..], [Event::Closed(Error::Closed { .. })]), "{events:?}");
}

#[test]
fn everybody_who_waits_is_told_when_the_connection_is_lost() {
    let mut broker = Broker::open("");
    let (session, consumer) = broker.consumer(AckMode::Auto, 10);
    let producer = broker.producer(session, 0);
    for token in 100..105 {
        broker.core.send(producer, message("x"), Some(token));
    }
    broker.core.unsubscribe("nobody", Some(105));
    broker.core.lost("cable cut");
    let mut tokens = Vec::new();
    let mut closed = 0;
    for event in broker.events() {
        match event {
            Event::Answered { token, result: Err(error) } => {
                assert!(error.to_string().contains("cable cut"));
                tokens.push(token);
            }
            Event::ConsumerClosed { consumer: key, .. } => assert_eq!(key, consumer),
            Event::Closed(_) => closed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((tokens, closed), ((100..=105).collect::<Vec<_>>(), 1));
    // And so is who comes late.
    broker.core.send(producer, message("x"), Some(1));
    assert!(matches!(&broker.events()[..], [Event::Answered { token: 1, result: Err(_) }]));
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let mut broker = Broker::open("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let producer = broker.producer(session, 0);
    for token in 0..3 {
        broker.core.send(producer, message("x"), Some(token));
    }
    let sent: Vec<i32> = broker.heard().iter().map(number_of).collect();
    broker.respond(sent[2]);
    broker.refuse(sent[0], ExceptionClass::ResourceAllocation, "full");
    broker.respond(sent[1]);
    // Nobody asked for this one.
    broker.respond(4711);
    let events = broker.events();
    let [
        Event::Answered { token: 2, result: Ok(()) },
        Event::Answered { token: 0, result: Err(refused) },
        Event::Answered { token: 1, result: Ok(()) },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert!(refused.to_string().contains("queue://q"), "{refused}");
    assert_eq!(refused.kind(), crate::ErrorKind::Resource);
}

#[test]
fn the_window_of_a_producer_gets_back_what_it_was_charged() {
    let mut broker = Broker::open("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let producer = broker.producer(session, 10_000);
    let message = message("x");
    let charged = Core::<u32>::charge(&message);
    assert_eq!(charged, 1024 + 5);
    broker.core.send(producer, Arc::clone(&message), None);
    // A message that is answered takes nothing.
    broker.core.send(producer, message, Some(1));
    let id = broker.core.producers.get(&producer.0).unwrap().id.clone();
    broker.say(ProducerAck { producer_id: Some(id), size: 9999, ..ProducerAck::default() });
    let events = broker.events();
    assert!(matches!(&events[..], [Event::Room { bytes, .. }] if *bytes == charged), "{events:?}");
}

#[test]
fn failures_without_a_request_are_heard() {
    let mut broker = Broker::open("");
    let exception = Some(Arc::new(Throwable::of(ExceptionClass::Jms, "Unmatched acknowledge")));
    broker.say(ConnectionError { exception, ..ConnectionError::default() });
    let (_, consumer) = {
        assert!(matches!(&broker.events()[..], [Event::Failed(Error::Asynchronous { .. })]));
        broker.consumer(AckMode::Auto, 10)
    };
    let consumer_id = broker.core.consumers.get(&consumer.0).map(|state| state.id.clone());
    broker.say(ConsumerControl { close: true, consumer_id, ..ConsumerControl::default() });
    let events = broker.events();
    assert!(matches!(&events[..], [Event::ConsumerClosed { consumer: key, .. }] if *key == consumer));
}

#[test]
fn closing_says_goodbye() {
    let mut broker = Broker::open("");
    broker.core.close(Some(3));
    let heard = broker.heard();
    assert!(matches!(&heard[..], [Command::RemoveInfo(_)]), "{heard:?}");
    broker.respond(number_of(&heard[0]));
    assert!(matches!(&broker.heard()[..], [Command::ShutdownInfo(_)]));
    let events = broker.events();
    assert!(matches!(&events[..], [Event::Answered { token: 3, result: Ok(()) }, Event::Closed(_)]));
}

#[test]
fn orders_wait_when_too_much_is_under_way() {
    let mut broker = Broker::open("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let producer = broker.producer(session, 0);
    assert!(!broker.core.is_congested());
    let large = Outgoing::bytes(Bytes::from(vec![0; HIGH_WATER]));
    let large = large.finish(&Destination::queue("q"), false, WallTime(0)).unwrap();
    broker.core.send(producer, Arc::new(large), None);
    assert!(broker.core.is_congested());
    broker.heard();
    assert!(!broker.core.is_congested());
}
