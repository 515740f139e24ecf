//! One connection of a bridge: bytes to commands and back, with signs of life.

use std::io;

use ferromq_client::{Link, Stream, Vital};
use ferromq_openwire::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use crate::Side;

/// What a connection has for the bridge.
#[allow(clippy::large_enum_variant, reason = "nearly all are commands")]
pub(super) enum Event {
    Said(Side, Command),
    Gone(Side, String),
}

/// Orders that are encoded at once.
const BATCH: usize = 256;
/// Orders are encoded until so many bytes wait for the socket.
const ENCODE_AHEAD_BYTES: usize = 256 * 1024;
/// What one read takes at most.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// When nothing else is due.
const IDLE: std::time::Duration = std::time::Duration::from_secs(3_600);
/// How long the peer may take to read the last words.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);

/// A connection with its encoding.
pub(super) struct Port {
    side: Side,
    stream: Stream,
    link: Link,
    clock: Clock,
}

impl Port {
    pub fn new(side: Side, stream: Stream, link: Link, clock: Clock) -> Self {
        Self { side, stream, link, clock }
    }

    /// Begins to carry on a task of its own; the way in comes back.
    pub fn begin(self, events: &mpsc::Sender<Event>) -> mpsc::UnboundedSender<Command> {
        let (way, orders) = mpsc::unbounded_channel();
        tokio::spawn(self.carry(events.clone(), orders));
        way
    }

    /// Carries commands both ways until one side ends. Orders are not bounded here: they are answers and messages
    /// that the windows of the bridge's subscriptions bound.
    async fn carry(mut self, events: mpsc::Sender<Event>, mut orders: mpsc::UnboundedReceiver<Command>) {
        let reason = match self.run(&events, &mut orders).await {
            Ok(()) => return self.say_last_words().await,
            Err(reason) => reason,
        };
        // Nobody listens any longer if the bridge has ended.
        let _ = events.send(Event::Gone(self.side, reason)).await;
    }

    async fn run(
        &mut self,
        events: &mpsc::Sender<Event>,
        orders: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), String> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let wake = self.link.next_deadline().map(|at| self.clock.deadline(at));
            let wake = wake.unwrap_or_else(|| Instant::now() + IDLE);
            let waiting = self.link.output().len();
            let greeted = self.link.is_greeted();
            self.link.read_buffer().reserve(READ_BYTES);
            tokio::select! {
                read = self.stream.read_some(self.link.read_buffer()) => match read {
                    Ok(0) => return Err("it closed the connection".to_owned()),
                    Ok(_) => {
                        self.link.heard();
                        self.understand(events).await?;
                    }
                    Err(error) => return Err(error.to_string()),
                },
                ready = self.stream.writable(), if waiting > 0 => ready.map_err(|error| error.to_string())?,
                taken = orders.recv_many(&mut batch, BATCH), if greeted && waiting < ENCODE_AHEAD_BYTES => {
                    if taken == 0 {
                        return Ok(());
                    }
                    for command in batch.drain(..) {
                        self.link.push(&command).map_err(|error| format!("{}: {error}", command.type_name()))?;
                    }
                }
                () = sleep_until(wake) => {}
            }
            if let Vital::Silent(time) = self.link.tick(self.clock.now()) {
                return Err(format!("it was silent for more than {time:?}"));
            }
            self.flush()?;
        }
    }

    async fn understand(&mut self, events: &mpsc::Sender<Event>) -> Result<(), String> {
        loop {
            match self.link.next_command(self.clock.now()) {
                Ok(None) => return Ok(()),
                Ok(Some(Command::WireFormatInfo(_) | Command::KeepAliveInfo(_))) => {}
                Ok(Some(command)) => {
                    if events.send(Event::Said(self.side, command)).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(format!("what it says is no OpenWire: {error}")),
            }
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        loop {
            let out = self.link.output();
            if out.is_empty() {
                return Ok(());
            }
            match self.stream.try_write(out) {
                Ok(bytes) => self.link.written(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn say_last_words(mut self) {
        let said = async {
            while self.flush().is_ok() && !self.link.output().is_empty() {
                if self.stream.writable().await.is_err() {
                    return;
                }
            }
        };
        // A peer that does not listen loses them.
        let _ = tokio::time::timeout(LAST_WORDS, said).await;
    }
}
