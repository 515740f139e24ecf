//! [`Turnaway`]: what a broker that does not serve says to a client, so that it goes to the next one at once.

use bytes::BytesMut;
use ferromq_engine::{Effect, Fault, FaultKind};
use ferromq_openwire::{Command, Framer, Limits, WireFormat, WireFormatOptions};

use super::outbound;
use super::session::wire_options;
use crate::SessionSettings;

/// How far the peer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Introduction,
    Over,
}

/// A connection that will not be served: it is greeted, heard until the client has said who it is, told the reason
/// and closed.
///
/// Who comes through a `failover:` URI is told nothing: its transport takes the end of the connection as "try the next
/// URI", while an answer would reach the application as an exception. Who comes straight to this broker has no next
/// URI, and gets the reason as the answer to its login.
///
/// The driver appends what it reads to [`Turnaway::read_buffer`] and calls [`Turnaway::take`], writes what
/// [`Turnaway::transmit`] gives, and closes the socket once [`Turnaway::is_over`].
#[derive(Debug)]
pub struct Turnaway {
    phase: Phase,
    options: WireFormatOptions,
    format: WireFormat,
    framer: Framer,
    fault_tolerant: bool,
    reconnected: bool,
    reason: String,
    out: Vec<u8>,
}

impl Turnaway {
    /// Greets; `reason` is for those who have nowhere else to go.
    pub fn new(settings: &SessionSettings, reason: impl Into<String>) -> Self {
        let limits = Limits { frame_bytes: settings.max_frame_size, ..Limits::default() };
        let mut turnaway = Self {
            phase: Phase::Greeting,
            options: wire_options(settings),
            framer: Framer::new(limits.greeting_bytes),
            format: WireFormat::new(limits),
            fault_tolerant: false,
            reconnected: false,
            reason: reason.into(),
            out: Vec::new(),
        };
        match turnaway.options.to_info() {
            Ok(info) => turnaway.say(&info.into()),
            Err(_) => turnaway.phase = Phase::Over,
        }
        turnaway
    }

    /// Where the driver appends what it reads; follow with [`Turnaway::take`].
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.framer.buffer()
    }

    /// Takes in what was read. What can't be understood ends the connection as well.
    pub fn take(&mut self) {
        while self.phase != Phase::Over {
            let command = match self.framer.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.format.decode(frame),
                Err(error) => Err(error),
            };
            match (self.phase, command) {
                (Phase::Greeting, Ok(Command::WireFormatInfo(info))) => {
                    match self.format.renegotiate(&self.options, &info) {
                        // A greeting's worth of bytes is all that is needed to hear a name.
                        Ok(_) => self.phase = Phase::Introduction,
                        Err(_) => self.phase = Phase::Over,
                    }
                }
                (Phase::Introduction, Ok(Command::ConnectionControl(control))) => {
                    self.fault_tolerant |= control.fault_tolerant;
                }
                (Phase::Introduction, Ok(Command::ConnectionInfo(info))) => {
                    self.fault_tolerant |= info.fault_tolerant;
                    self.reconnected = info.failover_reconnect;
                    self.answer(info.response_required.then_some(info.command_id));
                }
                (Phase::Introduction, Ok(Command::KeepAliveInfo(_))) => {}
                _ => self.phase = Phase::Over,
            }
        }
    }

    fn answer(&mut self, request: Option<i32>) {
        if !self.fault_tolerant {
            let fault = Fault { kind: FaultKind::General, text: self.reason.clone() };
            let command = match request {
                Some(request) => outbound::response(request, Effect::Failed(fault)),
                None => outbound::connection_error(&fault),
            };
            self.say(&command);
        }
        self.phase = Phase::Over;
    }

    fn say(&mut self, command: &Command) {
        if self.format.encode(command, &mut self.out).is_err() {
            self.phase = Phase::Over;
        }
    }

    /// What is to be written; empty if there is nothing.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether everything was said: write what is left and close the socket.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the client has been connected before, to whatever broker, and came here by itself.
    pub const fn is_reconnecting(&self) -> bool {
        self.fault_tolerant && self.reconnected
    }
}
