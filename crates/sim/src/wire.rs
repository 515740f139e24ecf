//! [`Wire`]: the client's end of one OpenWire connection.

use ferromq_openwire::{Command, Error, Framer, Limits, WireFormat, WireFormatOptions};

/// Turns commands into bytes and back, and numbers requests.
pub(crate) struct Wire {
    options: WireFormatOptions,
    format: WireFormat,
    framer: Framer,
    out: Vec<u8>,
    last_id: i32,
    greeted: bool,
}

impl Wire {
    /// A connection that was just opened; the greeting is ready to be taken.
    pub(crate) fn open(options: WireFormatOptions) -> Result<Self, Error> {
        let mut format = WireFormat::new(Limits::default());
        let mut out = Vec::new();
        format.encode(&Command::from(options.to_info()?), &mut out)?;
        let framer = format.framer();
        Ok(Self { options, format, framer, out, last_id: 0, greeted: false })
    }

    /// Whether the broker has greeted, so that commands may be sent.
    pub(crate) const fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// The number for the next command.
    pub(crate) fn next_id(&mut self) -> i32 {
        self.last_id += 1;
        self.last_id
    }

    /// Encodes a command.
    pub(crate) fn send(&mut self, command: impl Into<Command>) -> Result<(), Error> {
        self.format.encode(&command.into(), &mut self.out)
    }

    /// Decodes what arrived.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Command>, Error> {
        self.framer.feed(bytes);
        let mut commands = Vec::new();
        while let Some(frame) = self.framer.next_frame()? {
            let command = self.format.decode(frame)?;
            if let Command::WireFormatInfo(theirs) = &command {
                self.format.renegotiate(&self.options, theirs)?;
                self.greeted = true;
            }
            commands.push(command);
        }
        Ok(commands)
    }

    /// What is to be sent.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}
