//! A small blocking client over a real socket, built on the codec alone, so that a broken client library can't hide
//! a broken broker.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

use ferromq_openwire::{
    Body, Command, ConnectionId, ConnectionInfo, ConsumerId, ConsumerInfo, Destination, Framer, Limits,
    Message, MessageAck, MessageDispatch, MessageId, MessageKind, ProducerId, ProducerInfo, SessionId,
    SessionInfo, WireFormat, WireFormatOptions, WireStr,
};
use ferromq_testkit::{Launch, PATIENCE};

/// The broker under test.
pub fn ferromq() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_ferromq"))
}

const STANDARD_ACK: i8 = 2;
static PEERS: AtomicU32 = AtomicU32::new(1);

/// A connection with one session and one anonymous producer.
pub struct Peer {
    stream: TcpStream,
    format: WireFormat,
    framer: Framer,
    session: SessionId,
    producer: ProducerId,
    next_command: i32,
    next_message: i64,
    deliveries: Vec<MessageDispatch>,
}

impl Peer {
    /// Connects, greets and opens a session and a producer.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let connection =
            format!("ID:peer-{}-{}:1", std::process::id(), PEERS.fetch_add(1, Ordering::Relaxed));
        let session = SessionId::new(connection.as_str(), 1);
        let mut peer = Self {
            stream,
            format: WireFormat::new(Limits::default()),
            framer: Framer::new(1 << 30),
            producer: ProducerId::new(&session, 1),
            session,
            next_command: 0,
            next_message: 0,
            deliveries: Vec::new(),
        };
        let options = WireFormatOptions::default();
        peer.write(&options.to_info().unwrap().into())?;
        let Command::WireFormatInfo(info) = peer.read()? else { panic!("the broker greets first") };
        peer.format.renegotiate(&options, &info).unwrap();
        let client = WireStr::from(connection.as_str());
        peer.request(|command_id| ConnectionInfo {
            command_id,
            response_required: true,
            connection_id: Some(ConnectionId::new(client.clone())),
            client_id: Some(client),
            ..Default::default()
        })?;
        let session_id = peer.session.clone();
        peer.request(|command_id| SessionInfo {
            command_id,
            response_required: true,
            session_id: Some(session_id),
        })?;
        let producer_id = peer.producer.clone();
        peer.request(|command_id| ProducerInfo {
            command_id,
            response_required: true,
            producer_id: Some(producer_id),
            ..Default::default()
        })?;
        Ok(peer)
    }

    /// Sends a persistent message and returns when it is acknowledged.
    pub fn send(&mut self, queue: &str, text: &str) -> io::Result<()> {
        self.next_message += 1;
        let mut message = Message::new(MessageKind::Text);
        message.producer_id = Some(self.producer.clone());
        message.message_id = Some(MessageId::new(self.producer.clone(), self.next_message));
        message.destination = Some(Destination::queue(queue));
        message.persistent = true;
        message.priority = 4;
        message.set_text(text).unwrap();
        self.request(|command_id| {
            message.command_id = command_id;
            message.response_required = true;
            message
        })
    }

    /// Begins to consume from a queue.
    pub fn consume(&mut self, queue: &str, prefetch_size: i32) -> io::Result<()> {
        let consumer_id = Some(self.consumer());
        let destination = Some(Destination::queue(queue));
        self.request(|command_id| ConsumerInfo {
            command_id,
            response_required: true,
            consumer_id,
            destination,
            prefetch_size,
            dispatch_async: true,
            ..Default::default()
        })
    }

    fn consumer(&self) -> ConsumerId {
        ConsumerId::new(&self.session, 1)
    }

    /// Waits until a message has come, and does not acknowledge it.
    pub fn await_delivery(&mut self) -> io::Result<()> {
        while self.deliveries.is_empty() {
            let command = self.read()?;
            self.note(command);
        }
        Ok(())
    }

    /// Waits for the next message, acknowledges it, and returns its text and whether it is flagged as redelivered.
    pub fn receive(&mut self) -> io::Result<(String, bool)> {
        self.await_delivery()?;
        let dispatch = self.deliveries.remove(0);
        let message = dispatch.message.as_ref().expect("a message, not the end of a browse");
        let Body::Text(text) = message.body(&Limits::default()).unwrap() else { panic!("a text was sent") };
        let text = text.to_str().into_owned();
        let (consumer_id, id) = (Some(self.consumer()), message.message_id.clone());
        let destination = dispatch.destination.clone();
        self.request(|command_id| MessageAck {
            command_id,
            response_required: true,
            destination,
            consumer_id,
            ack_type: STANDARD_ACK,
            first_message_id: id.clone(),
            last_message_id: id,
            message_count: 1,
            ..Default::default()
        })?;
        Ok((text, dispatch.redelivery_counter > 0))
    }

    /// A message there and back: the broker serves.
    pub fn round_trip(&mut self, queue: &str, text: &str) -> io::Result<()> {
        self.send(queue, text)?;
        let (received, _) = self.receive()?;
        assert_eq!(received, text);
        Ok(())
    }

    fn request<C: Into<Command>>(&mut self, command: impl FnOnce(i32) -> C) -> io::Result<()> {
        self.next_command += 1;
        let id = self.next_command;
        self.write(&command(id).into())?;
        loop {
            match self.read()? {
                Command::Response(response) if response.correlation_id == id => return Ok(()),
                Command::ExceptionResponse(response) if response.correlation_id == id => {
                    return Err(io::Error::other(format!("{:?}", response.exception)));
                }
                other => self.note(other),
            }
        }
    }

    fn note(&mut self, command: Command) {
        if let Command::MessageDispatch(dispatch) = command {
            self.deliveries.push(dispatch);
        }
    }

    fn write(&mut self, command: &Command) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.format.encode(command, &mut bytes).unwrap();
        self.stream.write_all(&bytes)
    }

    /// The next command of the broker.
    pub fn read(&mut self) -> io::Result<Command> {
        loop {
            if let Some(frame) = self.framer.next_frame().unwrap() {
                return Ok(self.format.decode(frame).unwrap());
            }
            let mut room = [0; 16 * 1024];
            match self.stream.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.framer.feed(&room[..bytes]),
            }
        }
    }
}
