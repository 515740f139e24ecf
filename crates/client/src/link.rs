//! One transport: greeting, framing, encoding, and signs of life both ways.
//!
//! It knows nothing of sessions and messages, so that another link can take the place of a lost one.

use std::time::Duration;

use bytes::BytesMut;
use ferromq_model::Instant;
use ferromq_openwire::{
    Command, Error as WireError, Framer, KeepAlive, KeepAliveInfo, Limits, WireFormat, WireFormatOptions,
    WireStr,
};

/// The state of one transport.
#[derive(Debug)]
pub struct Link {
    options: WireFormatOptions,
    format: WireFormat,
    framer: Framer,
    greeted: bool,
    out: Vec<u8>,
    /// Bytes of `out` that the transport has taken already.
    taken: usize,
    monitor: Option<Monitor>,
    /// No transport: what is pushed goes nowhere.
    severed: bool,
    /// What the peer calls its make.
    provider: Option<WireStr>,
    /// What the peer calls itself.
    broker: Option<WireStr>,
}

/// When to say, and expect, a sign of life (OpenWire keep-alive).
#[derive(Debug)]
struct Monitor {
    periods: KeepAlive,
    next_write: Instant,
    next_read: Instant,
    wrote: bool,
    read: bool,
}

/// What a look at the clock found.
#[derive(Debug, PartialEq, Eq)]
pub enum Vital {
    /// Nothing is wrong.
    Well,
    /// The peer said nothing for so long.
    Silent(Duration),
}

impl Link {
    /// A link that has its greeting to send.
    pub fn new(options: WireFormatOptions, limits: Limits) -> Result<Self, WireError> {
        let mut format = WireFormat::new(limits.clone());
        let mut out = Vec::with_capacity(1024);
        format.encode(&Command::from(options.to_info()?), &mut out)?;
        let framer = Framer::new(limits.greeting_bytes);
        Ok(Self {
            options,
            format,
            framer,
            greeted: false,
            out,
            taken: 0,
            monitor: None,
            severed: false,
            provider: None,
            broker: None,
        })
    }

    /// Stands where a lost link was, until another takes its place.
    pub fn severed() -> Self {
        let format = WireFormat::new(Limits::default());
        Self {
            options: WireFormatOptions::default(),
            framer: format.framer(),
            format,
            greeted: false,
            out: Vec::new(),
            taken: 0,
            monitor: None,
            severed: true,
            provider: None,
            broker: None,
        }
    }

    /// Whether the peer introduced itself by that name (`ProviderName`).
    pub fn is_provided_by(&self, name: &str) -> bool {
        self.provider.as_ref().is_some_and(|provider| provider.to_str() == name)
    }

    /// Where the transport appends what it reads.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.framer.buffer()
    }

    /// Bytes came.
    pub fn heard(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            monitor.read = true;
        }
    }

    /// The next command. The greeting is handled here, and returned so that the owner knows that it came.
    pub fn next_command(&mut self, now: Instant) -> Result<Option<Command>, WireError> {
        let Some(frame) = self.framer.next_frame()? else { return Ok(None) };
        let command = self.format.decode(frame)?;
        match &command {
            Command::WireFormatInfo(info) if !self.greeted => {
                let agreed = self.format.renegotiate(&self.options, info)?;
                let periods = agreed.keep_alive;
                let theirs = WireFormatOptions::from_info(info, &Limits::default());
                self.provider = theirs.ok().and_then(|theirs| theirs.provider_name);
                let limit = self.format.max_frame_size();
                self.framer.set_limit(limit);
                self.greeted = true;
                self.monitor = periods.is_enabled().then(|| Monitor::new(periods, now));
            }
            // It may come before anybody logs in.
            Command::BrokerInfo(info) if self.greeted => self.broker.clone_from(&info.broker_name),
            _ if !self.greeted => return Err(WireError::BadMagic),
            _ => {}
        }
        Ok(Some(command))
    }

    /// The name under which the broker introduced itself.
    pub fn broker_name(&self) -> Option<&WireStr> {
        self.broker.as_ref()
    }

    /// Whether commands may be sent.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Puts a command behind what waits to be written. After an error nothing has changed.
    pub fn push(&mut self, command: &Command) -> Result<(), WireError> {
        if self.severed {
            return Ok(());
        }
        self.format.encode(command, &mut self.out)
    }

    /// What waits to be written.
    pub fn output(&self) -> &[u8] {
        self.out.get(self.taken..).unwrap_or_default()
    }

    /// The transport took so many bytes.
    pub fn written(&mut self, bytes: usize) {
        self.taken += bytes;
        if let Some(monitor) = &mut self.monitor {
            monitor.wrote |= bytes > 0;
        }
        if self.taken >= self.out.len() {
            self.out.clear();
            self.taken = 0;
            // One large message must not keep its memory for as long as the connection lives.
            if self.out.capacity() > 4 << 20 {
                self.out = Vec::with_capacity(64 << 10);
            }
        }
    }

    /// When to look at the clock again.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.monitor.as_ref().map(|monitor| monitor.next_write.min(monitor.next_read))
    }

    /// Looks at the clock: sends a sign of life, or finds that the peer sent none.
    pub fn tick(&mut self, now: Instant) -> Vital {
        let Some(monitor) = &mut self.monitor else { return Vital::Well };
        let mut beat = false;
        if now >= monitor.next_write {
            // What waits in the buffer is no sign of life yet, but a peer that does not read needs no other.
            beat = !monitor.wrote && self.out.is_empty();
            monitor.wrote = false;
            monitor.next_write = now + Duration::from_millis(monitor.periods.write_check_ms);
        }
        if now >= monitor.next_read {
            if !monitor.read {
                return Vital::Silent(Duration::from_millis(monitor.periods.read_check_ms));
            }
            monitor.read = false;
            monitor.next_read = now + Duration::from_millis(monitor.periods.read_check_ms);
        }
        if beat {
            // A keep-alive has no text that could be too long.
            let _ = self.format.encode(&Command::from(KeepAliveInfo::default()), &mut self.out);
        }
        Vital::Well
    }
}

impl Monitor {
    fn new(periods: KeepAlive, now: Instant) -> Self {
        let first = now + Duration::from_millis(periods.initial_delay_ms);
        // The greeting counts as a sign of life for the first check.
        Self { periods, next_write: first, next_read: first, wrote: true, read: true }
    }
}
