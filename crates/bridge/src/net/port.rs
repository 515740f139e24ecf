//! [`Port`]: one connection of a bridge: bytes to commands and back, with signs of life.

use std::collections::VecDeque;
use std::io;

use ferromq_client::{Address, Link, Vital};
use ferromq_model::Instant;
use ferromq_openwire::{Command, ErrorKind, WireFormatOptions};

use super::clock::Clock;
use super::line::{Line, Moved, transfer, try_write};

/// Orders are encoded until so many bytes wait for the socket.
const ENCODE_AHEAD_BYTES: usize = 256 * 1024;
/// Who has so much to be said to it that is not written yet is behind.
pub(super) const BEHIND_BYTES: usize = 4 << 20;
/// Larger frames are taken from nobody.
const MOST_FRAME_BYTES: i64 = 1 << 30;
/// What a command takes beside the body of its message, about.
const COMMAND_BYTES: usize = 256;
/// How long the peer may take to read the last words.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);

/// The encoding of a new connection, with the greeting as its first words.
pub(super) fn greeting(address: &Address) -> Result<Link, String> {
    let (mut format, mut limits) = (address.wire_format.clone(), address.limits.clone());
    // How large a message may be is up to the two brokers, unless the address says something else.
    if format.max_frame_size == WireFormatOptions::default().max_frame_size {
        (format.max_frame_size, limits.frame_bytes) = (MOST_FRAME_BYTES, MOST_FRAME_BYTES.unsigned_abs());
    }
    Link::new(format, limits).map_err(|error| error.to_string())
}

/// A connection with its encoding.
pub(super) struct Port {
    line: Box<dyn Line>,
    link: Link,
    clock: Clock,
    /// Not encoded yet. They are bounded by who asks whether this is behind before there is more to be said.
    orders: VecDeque<Command>,
    order_bytes: usize,
    /// Messages that make no frame which the peer would take, by their commands' ids, and why.
    unsendable: VecDeque<(i32, String)>,
}

/// What a command weighs that waits.
pub(super) fn bytes(command: &Command) -> usize {
    let body = match command {
        Command::Message(message) => message.content.as_ref().map_or(0, |content| content.len()),
        _ => 0,
    };
    body + COMMAND_BYTES
}

impl Port {
    /// The peer's greeting is still to come.
    pub fn open(line: impl Line + 'static, address: &Address, clock: Clock) -> Result<Self, String> {
        Ok(Self::new(line, greeting(address)?, clock))
    }

    pub fn new(line: impl Line + 'static, link: Link, clock: Clock) -> Self {
        let line = Box::new(line);
        Self { line, link, clock, orders: VecDeque::new(), order_bytes: 0, unsendable: VecDeque::new() }
    }

    /// Waits until something came, if it is `heard`, or there is room for something that waits. Nothing is lost if it is dropped
    /// while it waits.
    pub async fn ready(&mut self, heard: bool) -> Result<(), String> {
        if !heard {
            // Who is not listened to is not silent.
            self.link.heard();
        }
        match transfer(&mut *self.line, &mut self.link, heard).await {
            Ok(Moved::Read(0)) => Err("it closed the connection".to_owned()),
            Ok(Moved::Read(_)) => {
                self.link.heard();
                Ok(())
            }
            Ok(Moved::Written(bytes)) => {
                self.link.written(bytes);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The next command that came.
    pub fn heard(&mut self) -> Result<Option<Command>, String> {
        loop {
            match self.link.next_command(self.clock.now()) {
                Ok(Some(Command::WireFormatInfo(_) | Command::KeepAliveInfo(_))) => {}
                Ok(command) => return Ok(command),
                Err(error) => return Err(format!("what it says is no OpenWire: {error}")),
            }
        }
    }

    /// Notes what is to be said; it leaves with the next [`Port::flush`] that the socket has room for.
    pub fn say(&mut self, command: Command) {
        self.order_bytes += bytes(&command);
        self.orders.push_back(command);
    }

    /// Whether there is much to be said already that the peer has not taken.
    pub fn is_behind(&self) -> bool {
        self.order_bytes + self.link.output().len() >= BEHIND_BYTES
    }

    /// The next message that could not be sent to this peer, by its command's id, and why.
    pub fn unsendable(&mut self) -> Option<(i32, String)> {
        self.unsendable.pop_front()
    }

    /// Writes what the socket takes at once, as much of it together as there is.
    pub fn flush(&mut self) -> Result<(), String> {
        loop {
            self.encode()?;
            let out = self.link.output();
            if out.is_empty() {
                return Ok(());
            }
            match try_write(&mut *self.line, out) {
                Ok(bytes) => self.link.written(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn encode(&mut self) -> Result<(), String> {
        while self.link.is_greeted()
            && self.link.output().len() < ENCODE_AHEAD_BYTES
            && let Some(command) = self.orders.pop_front()
        {
            self.order_bytes = self.order_bytes.saturating_sub(bytes(&command));
            match (self.link.push(&command), &command) {
                (Ok(()), _) => {}
                // One message that this peer can't be told of is no reason to leave it.
                (Err(error), Command::Message(message)) if error.kind() == ErrorKind::Caller => {
                    self.unsendable.push_back((message.command_id, error.to_string()));
                }
                (Err(error), _) => return Err(format!("{}: {error}", command.type_name())),
            }
        }
        Ok(())
    }

    /// When to call [`Port::tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.link.next_deadline()
    }

    /// Says that it lives, or finds that the peer does not say so.
    pub fn tick(&mut self, now: Instant) -> Result<(), String> {
        match self.link.tick(now) {
            Vital::Silent(time) => Err(format!("it was silent for more than {time:?}")),
            Vital::Well => Ok(()),
        }
    }

    /// Lets the peer read what was said last, and closes the connection.
    pub fn close(mut self) {
        if self.flush().is_err() || self.is_silent() {
            return;
        }
        tokio::spawn(async move {
            let said = async {
                while self.flush().is_ok() && !self.is_silent() {
                    // What it still says is not heard.
                    if self.ready(true).await.is_err() {
                        return;
                    }
                    self.link.read_buffer().clear();
                }
            };
            // A peer that does not listen loses them.
            let _ = tokio::time::timeout(LAST_WORDS, said).await;
        });
    }

    /// Nothing waits that can be written. Who has not greeted is told nothing.
    fn is_silent(&self) -> bool {
        self.link.output().is_empty()
    }
}
