//! A peer and a session, joined in memory, on a clock that the test moves; the test itself plays the engine.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{ConnId, Effect, Input, Intent, Tag};
use ferromq_gateway::{Session, SessionSettings};
use ferromq_model::{Instant, Now, Text, WallTime};
use ferromq_openwire::{
    Command, ConnectionId, ConnectionInfo, Framer, Limits, WireFormat, WireFormatOptions, WireStr,
};

/// The connection id of the peer.
pub const CONNECTION: &str = "ID:peer-1-1:1";

pub struct World {
    pub session: Session,
    pub now: Now,
    options: WireFormatOptions,
    format: WireFormat,
    framer: Framer,
    pub inputs: Vec<Input>,
    next_command: i32,
    /// Whether the driver asks for input when a deadline has come.
    pub reading: bool,
}

impl World {
    /// A peer that has not said anything yet.
    pub fn new(settings: SessionSettings, options: WireFormatOptions) -> Self {
        let now = Now { mono: Instant(1_000_000_000), wall: WallTime(1_700_000_000_000) };
        let remote = Text::from("tcp://127.0.0.1:4711");
        Self {
            session: Session::new(Arc::new(settings), ConnId(7), remote, now),
            now,
            options,
            format: WireFormat::new(Limits::default()),
            framer: Framer::new(1 << 30),
            inputs: Vec::new(),
            next_command: 0,
            reading: true,
        }
    }

    /// A peer that has greeted, in a version and encoding.
    pub fn greeted(settings: SessionSettings, options: WireFormatOptions) -> Self {
        let mut world = Self::new(settings, options);
        let greeting = world.options.to_info().unwrap();
        world.feed_command(&greeting.into());
        let answers = world.answers();
        assert_eq!(names(&answers), ["WireFormatInfo", "BrokerInfo"]);
        assert!(matches!(world.inputs.remove(0), Input::Attach { conn: ConnId(7) }));
        world
    }

    /// A peer that the engine has taken.
    pub fn connected(settings: SessionSettings, options: WireFormatOptions) -> Self {
        let mut world = Self::greeted(settings, options);
        let id = world.request(connection_info());
        let (tag, intent) = world.wanted();
        assert!(matches!(intent, Intent::Connect(_)));
        assert_eq!(tag, Some(Tag(id.cast_unsigned())));
        world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
        assert_eq!(names(&world.answers()), ["Response", "ConnectionControl"]);
        world
    }

    pub fn plain() -> Self {
        Self::connected(SessionSettings::default(), WireFormatOptions::default())
    }

    /// Sends a command that asks for an answer; its number.
    pub fn request(&mut self, command: impl Into<Command>) -> i32 {
        self.numbered(command.into(), true)
    }

    /// Sends a command that asks for nothing.
    pub fn tell(&mut self, command: impl Into<Command>) -> i32 {
        self.numbered(command.into(), false)
    }

    fn numbered(&mut self, mut command: Command, response_required: bool) -> i32 {
        self.next_command += 1;
        number(&mut command, self.next_command, response_required);
        self.feed_command(&command);
        self.next_command
    }

    pub fn feed_command(&mut self, command: &Command) {
        let mut bytes = Vec::new();
        self.format.encode(command, &mut bytes).unwrap();
        self.feed(&bytes);
    }

    /// Bytes reach the session, and everything that follows for the engine is collected.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.session.read_buffer().extend_from_slice(bytes);
        self.session.received(self.now);
        self.poll();
    }

    pub fn poll(&mut self) {
        while let Some(input) = self.session.poll_input(self.now) {
            self.inputs.push(input);
        }
    }

    /// What the session said since the last call.
    pub fn answers(&mut self) -> Vec<Command> {
        let mut out = Vec::new();
        self.session.transmit(&mut out);
        self.framer.feed(&out);
        let mut commands = Vec::new();
        while let Some(frame) = self.framer.next_frame().unwrap() {
            let command = self.format.decode(frame).unwrap();
            if let Command::WireFormatInfo(info) = &command {
                self.format.renegotiate(&self.options, info).unwrap();
            }
            commands.push(command);
        }
        commands
    }

    pub fn answer(&mut self) -> Command {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "one answer expected: {answers:?}");
        answers.remove(0)
    }

    /// The one thing that the engine was asked since the last call.
    pub fn wanted(&mut self) -> (Option<Tag>, Intent) {
        assert_eq!(self.inputs.len(), 1, "one intent expected: {:?}", self.inputs);
        match self.inputs.remove(0) {
            Input::Intent { tag, intent, .. } => (tag, intent),
            other => panic!("an intent expected: {other:?}"),
        }
    }

    /// Time passes, with the session's deadlines on the way.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        while let Some(at) = self.session.next_deadline().filter(|at| *at <= end) {
            self.now.mono = at.max(self.now.mono);
            if self.reading {
                self.poll();
            }
            self.session.tick(self.now);
        }
        self.now.mono = end;
        self.poll();
    }

    /// The connection is at its end: the engine knows, and nothing more is expected.
    pub fn assert_over(&mut self) {
        self.poll();
        assert!(self.session.is_finished());
        assert!(self.session.next_deadline().is_none());
        assert!(matches!(self.inputs.last(), Some(Input::Detach { conn: ConnId(7) })), "{:?}", self.inputs);
        let detached = self.inputs.iter().filter(|input| matches!(input, Input::Detach { .. })).count();
        assert_eq!(detached, 1);
    }
}

pub fn connection_info() -> ConnectionInfo {
    ConnectionInfo {
        connection_id: Some(ConnectionId::new(CONNECTION)),
        client_id: Some(WireStr::from("client")),
        manageable: true,
        client_master: true,
        ..Default::default()
    }
}

pub fn names(commands: &[Command]) -> Vec<&'static str> {
    commands.iter().map(Command::type_name).collect()
}

/// Class and text of the exception in a failure.
pub fn exception(command: &Command) -> (String, String) {
    let exception = match command {
        Command::ExceptionResponse(response) => &response.exception,
        Command::ConnectionError(error) => &error.exception,
        other => panic!("a failure expected: {other:?}"),
    };
    let exception = exception.as_ref().unwrap();
    let text = |text: &Option<WireStr>| text.as_ref().unwrap().to_str().into_owned();
    (text(&exception.class), text(&exception.message))
}

fn number(command: &mut Command, id: i32, response_required: bool) {
    macro_rules! number {
        ($($kind:ident),*) => {
            match command {
                Command::Message(message) => {
                    let message = Arc::make_mut(message);
                    (message.command_id, message.response_required) = (id, response_required);
                }
                $(Command::$kind(c) => (c.command_id, c.response_required) = (id, response_required),)*
                other => panic!("{} has no number", other.type_name()),
            }
        };
    }
    number!(
        ConnectionInfo,
        SessionInfo,
        ConsumerInfo,
        ProducerInfo,
        RemoveInfo,
        TransactionInfo,
        DestinationInfo,
        RemoveSubscriptionInfo,
        KeepAliveInfo,
        ShutdownInfo,
        ControlCommand,
        FlushCommand,
        ConnectionError,
        ConsumerControl,
        ConnectionControl,
        ProducerAck,
        MessagePull,
        MessageAck,
        BrokerInfo,
        MessageDispatchNotification,
        BrokerSubscriptionInfo,
        Response
    );
}
