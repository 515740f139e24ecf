//! What clients hear from a broker that does not serve.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use ferromq_gateway::{SessionSettings, Turnaway};
use ferromq_openwire::{
    Command, ConnectionControl, ConnectionId, ConnectionInfo, Framer, Limits, WireFormat, WireFormatOptions,
};

/// A client before a broker that turns it away.
struct Visit {
    turnaway: Turnaway,
    format: WireFormat,
    framer: Framer,
}

impl Visit {
    fn greeted() -> Self {
        let turnaway = Turnaway::new(&SessionSettings::default(), "the master is a");
        let mut visit =
            Self { turnaway, format: WireFormat::new(Limits::default()), framer: Framer::new(1 << 20) };
        let [Command::WireFormatInfo(theirs)] = &visit.heard()[..] else { panic!("a greeting") };
        let ours = WireFormatOptions::default();
        let greeting = WireFormat::new(Limits::default());
        visit.send_with(&greeting, &ours.to_info().unwrap().into());
        visit.format.renegotiate(&ours, theirs).unwrap();
        visit
    }

    fn send_with(&mut self, format: &WireFormat, command: &Command) {
        let mut out = Vec::new();
        format.clone().encode(command, &mut out).unwrap();
        self.turnaway.read_buffer().extend_from_slice(&out);
        self.turnaway.take();
    }

    fn send(&mut self, command: impl Into<Command>) {
        let mut out = Vec::new();
        self.format.encode(&command.into(), &mut out).unwrap();
        self.turnaway.read_buffer().extend_from_slice(&out);
        self.turnaway.take();
    }

    fn heard(&mut self) -> Vec<Command> {
        self.framer.buffer().extend_from_slice(&self.turnaway.transmit());
        let mut commands = Vec::new();
        while let Some(frame) = self.framer.next_frame().unwrap() {
            commands.push(self.format.decode(frame).unwrap());
        }
        commands
    }
}

fn introduction() -> ConnectionInfo {
    ConnectionInfo {
        command_id: 1,
        response_required: true,
        connection_id: Some(ConnectionId::new("ID:visitor-1:1")),
        ..Default::default()
    }
}

#[test]
fn who_has_nowhere_else_to_go_is_told_why() {
    let mut visit = Visit::greeted();
    assert!(!visit.turnaway.is_over(), "it waits for a name");
    visit.send(introduction());
    let [Command::ExceptionResponse(answer)] = &visit.heard()[..] else { panic!("an exception") };
    let text = answer.exception.as_ref().and_then(|exception| exception.message.clone()).unwrap();
    assert_eq!((answer.correlation_id, text.to_string()), (1, "the master is a".to_owned()));
    assert!(visit.turnaway.is_over());
}

#[test]
fn who_fails_over_is_sent_on_without_a_word() {
    let mut visit = Visit::greeted();
    visit.send(ConnectionInfo { fault_tolerant: true, failover_reconnect: true, ..introduction() });
    assert!(visit.turnaway.is_over() && visit.turnaway.is_reconnecting());
    assert!(visit.heard().is_empty());

    let mut visit = Visit::greeted();
    visit.send(ConnectionControl { fault_tolerant: true, ..Default::default() });
    visit.send(introduction());
    assert!(visit.turnaway.is_over() && visit.heard().is_empty());
}

#[test]
fn who_talks_nonsense_is_hung_up_on() {
    let mut visit = Visit::greeted();
    visit.turnaway.read_buffer().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    visit.turnaway.take();
    assert!(visit.turnaway.is_over());
}
