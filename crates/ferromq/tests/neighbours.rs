//! Neighbours in a network, as real processes: who comes first, and those with whom there is no link, or who talk
//! nonsense over it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what can not be set up ends the test"
)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ferromq_openwire::{
    BrokerId, BrokerInfo, BrokerSubscriptionInfo, Command as Wire, ConnectionControl, ConsumerInfo,
    ControlCommand, Destination, DestinationInfo, Framer, Limits, Message, MessageAck, MessageDispatch,
    MessageKind, ProducerAck, RemoveSubscriptionInfo, ReplayCommand, Response, SessionId, WireFormat,
    WireFormatOptions,
};
use ferromq_testkit::{Launch, Node, PATIENCE, Receiver, reserved_address};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn launch(name: &str) -> Launch {
    Launch::new(PROGRAM).arg("--name").arg(name)
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A message there and back.
fn serves(node: &Node) {
    run(&["send", "--url", node.url(), "queue://here", "x"]);
    assert_eq!(run(&["receive", "--url", node.url(), "--count", "1", "queue://here"]), "x\n");
}

/// Waits until the first link of a node is as `wanted` says.
fn link_is(node: &Node, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told: Value = serde_json::from_str(&run(&["status", node.url(), "--json"])).unwrap();
        if let Some(link) = told["links"].as_array().into_iter().flatten().find(|link| wanted(link)) {
            return link.clone();
        }
        assert!(Instant::now() < deadline, "{told:#}\n{:?}", node.log().all());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn local_consumers_come_first_unless_it_is_to_be_as_before_5_18() {
    for (compat, shared) in [("6", false), ("5.17", true)] {
        let b = launch("b").start().unwrap();
        let uri = format!("static:({})?name=nc", b.url());
        let a = launch("a").env("FERROMQ_BROKER_COMPAT", compat).arg("--network-connector").arg(uri);
        let a = a.start().unwrap();
        let here = Receiver::new(PROGRAM, a.url(), "queue://work", &[]);
        run(&["send", "--url", a.url(), "queue://work", "first"]);
        assert!(here.wait_for(1));
        let there = Receiver::new(PROGRAM, b.url(), "queue://work", &[]);
        link_is(&a, |link| link["up"] == true && link["subscriptions"] == 1);
        for number in 0..50 {
            run(&["send", "--url", a.url(), "queue://work", &number.to_string()]);
        }
        let deadline = Instant::now() + PATIENCE;
        let counts = || (here.all().len(), there.all().len());
        while counts().0 + counts().1 < 51 {
            assert!(Instant::now() < deadline, "{compat}: {:?}, {:?}", counts(), a.log().all());
            std::thread::sleep(Duration::from_millis(20));
        }
        let (local, remote) = counts();
        assert_eq!(local + remote, 51, "{compat}");
        if shared {
            assert!(local > 20 && remote > 20, "in turn: {local} here, {remote} there");
        } else {
            assert_eq!(remote, 0, "there is room here for all of them");
        }
    }
}

#[test]
fn a_connector_to_the_broker_itself_waits_and_says_why() {
    let own = reserved_address();
    let uri = format!("static:({own})?name=self&initialReconnectDelay=50");
    let a = launch("a").listen(&own).arg("--network-connector").arg(uri).start().unwrap();
    // Before it listens itself, nobody does.
    let link = link_is(&a, |link| {
        link["state"] == "waiting" && link["reason"].to_string().contains("is this broker itself")
    });
    assert!(link["ends_in_ms"].as_u64() > Some(20_000), "there is no haste: {link:#}");
    serves(&a);
    let told = a.log().all().iter().filter(|line| line.contains("no network connection")).count();
    assert!((1..10).contains(&told), "{:?}", a.log().all());
}

#[test]
fn two_connectors_of_one_name_are_refused_before_anything_starts() {
    let nobody = reserved_address();
    let uri = format!("static:({nobody})?name=twice");
    let start = launch("a").arg("--network-connector").arg(&uri).arg("--network-connector").arg(&uri);
    let refused = start.start().expect_err("both would log in under one name");
    assert_eq!(refused.code, Some(64), "{refused}");
    assert!(refused.said.contains("twice"), "{refused}");
}

/// A broker that lets a link come up, and then says what nobody asked it for.
struct Stranger {
    stream: TcpStream,
    format: WireFormat,
    framer: Framer,
}

impl Stranger {
    fn new(stream: TcpStream) -> Self {
        let format = WireFormat::new(Limits::default());
        Self { stream, format, framer: Framer::new(1 << 20) }
    }

    fn say(&mut self, command: impl Into<Wire>) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.format.encode(&command.into(), &mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)
    }

    fn hear(&mut self) -> io::Result<Wire> {
        loop {
            if let Some(frame) = self.framer.next_frame().map_err(io::Error::other)? {
                return self.format.decode(frame).map_err(io::Error::other);
            }
            let mut room = [0; 4_096];
            match self.stream.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.framer.feed(&room[..bytes]),
            }
        }
    }

    /// Answers until the bridge has subscribed to advisories, and returns that consumer.
    fn welcome(&mut self) -> io::Result<ConsumerInfo> {
        let options = WireFormatOptions::default();
        self.say(options.to_info().unwrap())?;
        loop {
            let (id, asks, consumer) = match self.hear()? {
                Wire::WireFormatInfo(info) => {
                    self.format.renegotiate(&options, &info).map_err(io::Error::other)?;
                    self.say(BrokerInfo {
                        broker_id: Some(BrokerId { value: Some("ID:stranger".into()) }),
                        broker_name: Some("stranger".into()),
                        ..Default::default()
                    })?;
                    continue;
                }
                Wire::ConnectionInfo(info) => (info.command_id, info.response_required, None),
                Wire::SessionInfo(info) => (info.command_id, info.response_required, None),
                Wire::ProducerInfo(info) => (info.command_id, info.response_required, None),
                Wire::ConsumerInfo(info) => (info.command_id, info.response_required, Some(info)),
                _ => continue,
            };
            if asks {
                self.say(Response { correlation_id: id, ..Default::default() })?;
            }
            if let Some(consumer) = consumer {
                return Ok(consumer);
            }
        }
    }

    fn talk_nonsense(&mut self, advisories: &ConsumerInfo) -> io::Result<()> {
        let session = SessionId::new("ID:nobody", 1);
        let elsewhere = ConsumerInfo {
            consumer_id: Some(ferromq_openwire::ConsumerId::new(&session, 1)),
            destination: Some(Destination::queue("elsewhere")),
            ..Default::default()
        };
        let mut empty = Message::new(MessageKind::Text);
        empty.destination = Some(Destination::topic("ActiveMQ.Advisory.Consumer.Queue.q"));
        let dispatch = MessageDispatch {
            consumer_id: advisories.consumer_id.clone(),
            destination: empty.destination.clone(),
            message: Some(Arc::new(empty.clone())),
            ..Default::default()
        };
        self.say(Response { correlation_id: 4_711, ..Default::default() })?;
        self.say(MessageAck::default())?;
        self.say(elsewhere)?;
        self.say(MessageDispatch::default())?;
        self.say(dispatch)?;
        self.say(BrokerSubscriptionInfo::default())?;
        self.say(RemoveSubscriptionInfo::default())?;
        self.say(DestinationInfo::default())?;
        self.say(ProducerAck::default())?;
        self.say(ReplayCommand::default())?;
        self.say(ConnectionControl::default())?;
        self.say(ControlCommand { command: Some("shutdown".into()), ..Default::default() })?;
        self.say(empty)
    }
}

#[test]
fn a_peer_that_talks_nonsense_is_borne_and_one_that_speaks_no_language_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!(
        "static:(tcp://{})?name=nc&initialReconnectDelay=50&maxReconnectDelay=50&maxReconnectAttempts=2",
        listener.local_addr().unwrap()
    );
    let (said, heard) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let talking = std::thread::spawn(move || -> io::Result<()> {
        let mut stranger = Stranger::new(listener.accept()?.0);
        let advisories = stranger.welcome()?;
        stranger.talk_nonsense(&advisories)?;
        said.send(()).unwrap();
        gone.recv().unwrap();
        // No command of any version.
        stranger.stream.write_all(&[0, 0, 0, 5, 250, 0, 0, 0, 0])?;
        // Whoever comes back finds nobody who answers.
        drop(listener);
        while stranger.stream.read(&mut [0; 1_024])? > 0 {}
        Ok(())
    });
    let a = launch("a").arg("--network-connector").arg(uri).start().unwrap();
    heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no link: {:?}", a.log().all()));
    let up = link_is(&a, |link| link["up"] == true);
    assert_eq!((&up["remote_broker"], &up["subscriptions"]), (&"stranger".into(), &0.into()), "{up:#}");
    serves(&a);
    link_is(&a, |link| link["up"] == true && link["failures"] == 0);
    go.send(()).unwrap();
    let left = link_is(&a, |link| link["state"] == "given up");
    assert_eq!(left["failures"], 3, "one, and two more: {left:#}");
    let told = a.log().all().iter().any(|line| line.contains("type code 250 is unknown"));
    assert!(told, "{:?}", a.log().all());
    serves(&a);
    assert_eq!(a.stop().code(), Some(0));
    let _ = talking.join().unwrap();
}
