//! The state of one connection's encoding: greeting first, then what was negotiated, with a cache each way.

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::{DecodeCache, EncodeCache, EncodeState, Layout, decode_frame, encode_frame};
use crate::error::{Error, Result};
use crate::frame::Framer;
use crate::limits::Limits;
use crate::negotiate::{KeepAlive, Negotiated, WireFormatOptions};
use crate::structures::{Command, WireFormatInfo};

/// Encodes and decodes the frames of one connection.
///
/// It begins loose and uncached, as greetings travel; [`WireFormat::renegotiate`] switches to what the two sides
/// agreed on.
#[derive(Clone, Debug)]
pub struct WireFormat {
    agreed: Negotiated,
    limits: Limits,
    sent: Option<EncodeCache>,
    received: Option<DecodeCache>,
    scratch: EncodeState,
}

impl WireFormat {
    /// The format of greetings: loose, uncached, highest version.
    pub fn new(limits: Limits) -> Self {
        let greeting = Negotiated {
            version: 12,
            tight_encoding: false,
            cache: false,
            cache_size: 0,
            stack_trace: false,
            tcp_no_delay: false,
            size_prefix_disabled: false,
            max_frame_size: limits.frame_bytes,
            keep_alive: KeepAlive::new(0, 0),
        };
        Self::with(greeting, limits)
    }

    /// A format that is already agreed on.
    pub fn with(agreed: Negotiated, limits: Limits) -> Self {
        let mut format = Self { agreed, limits, sent: None, received: None, scratch: EncodeState::default() };
        format.start();
        format
    }

    /// The format in which stores keep commands: loose, uncached, of one version.
    pub fn loose(version: u8, limits: Limits) -> Self {
        let mut format = Self::new(limits);
        format.agreed.version = version.clamp(1, 12);
        format
    }

    /// Takes the peer's greeting and switches to what both sides agree on. Caches start empty.
    pub fn renegotiate(&mut self, ours: &WireFormatOptions, theirs: &WireFormatInfo) -> Result<&Negotiated> {
        let theirs = WireFormatOptions::from_info(theirs, &self.limits)?;
        self.agreed = Negotiated::between(ours, &theirs)?;
        self.start();
        Ok(&self.agreed)
    }

    fn start(&mut self) {
        let size = self.agreed.cache_size.min(i16::MAX as usize);
        let cached = self.agreed.cache && size > 0;
        self.sent = cached.then(|| EncodeCache::new(size));
        self.received = cached.then(|| DecodeCache::new(size, self.limits.cache_bytes));
    }

    /// What is in force.
    pub fn negotiated(&self) -> &Negotiated {
        &self.agreed
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Largest frame that may come or go.
    pub fn max_frame_size(&self) -> u64 {
        self.agreed.max_frame_size.min(self.limits.frame_bytes)
    }

    fn layout(&self) -> Layout {
        Layout {
            version: self.agreed.version,
            stack_trace: self.agreed.stack_trace,
            tight: self.agreed.tight_encoding,
            size_prefix: !self.agreed.size_prefix_disabled,
            limit: self.max_frame_size(),
        }
    }

    /// Decodes one frame, without its size prefix, as [`Framer`] gives it. Bodies share its memory.
    ///
    /// After an error the caches no longer match the peer's: close the connection. Bytes behind the structure are
    /// ignored, as in Java.
    pub fn decode(&mut self, frame: Bytes) -> Result<Command> {
        self.decode_prefix(&frame).map(|(command, _)| command)
    }

    fn decode_prefix(&mut self, frame: &Bytes) -> Result<(Command, usize)> {
        let layout = self.layout();
        decode_frame(frame, layout, &self.limits, self.received.as_mut())
    }

    /// Decodes the first command in `buffer` when frames carry no size (`SizePrefixDisabled`), or nothing if it is
    /// not complete yet. Each call reads from the beginning: for peers that are trusted.
    pub fn decode_unsized(&mut self, buffer: &mut BytesMut) -> Result<Option<Command>> {
        let frame = Bytes::copy_from_slice(buffer);
        let before = self.received.clone();
        match self.decode_prefix(&frame) {
            Ok((command, taken)) => {
                buffer.advance(taken.min(buffer.len()));
                Ok(Some(command))
            }
            Err(Error::Truncated { .. }) if (frame.len() as u64) < self.max_frame_size() => {
                self.received = before;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Appends a command to `out`, with its size prefix unless that was negotiated away. After an error, `out` and
    /// the cache are as before, and the connection may go on.
    pub fn encode(&mut self, command: &Command, out: &mut Vec<u8>) -> Result<()> {
        encode_frame(command, self.layout(), &mut self.scratch, self.sent.as_mut(), out)
    }

    /// Gives scratch memory back; for connections that fall silent.
    pub fn release(&mut self) {
        self.scratch = EncodeState::default();
    }

    /// A framer for this format's limits.
    pub fn framer(&self) -> Framer {
        Framer::new(self.max_frame_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Destination, Message, MessageKind, Response, WireStr};

    fn pair() -> (WireFormat, WireFormat) {
        let options = WireFormatOptions::default();
        let info = options.to_info().unwrap();
        let mut format = WireFormat::new(Limits::default());
        format.renegotiate(&options, &info).unwrap();
        (format.clone(), format)
    }

    fn body(frame: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&frame[4..])
    }

    #[test]
    fn a_response_has_the_bytes_of_the_worked_example() {
        let mut agreed = WireFormat::new(Limits::default());
        agreed.agreed.tight_encoding = true;
        let mut out = Vec::new();
        agreed.encode(&Response { correlation_id: 1, ..Response::default() }.into(), &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 0x0b, 0x1e, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_refused_command_leaves_no_trace_in_the_cache() {
        // Given a command that fails after it has put its destination into the cache
        let (mut sender, mut receiver) = pair();
        let message = |correlation_id: String| Message {
            destination: Some(Destination::queue("orders")),
            correlation_id: Some(WireStr::from(correlation_id)),
            ..Message::new(MessageKind::Text)
        };
        let mut out = vec![7];
        let refused = sender.encode(&message("x".repeat(40_000)).into(), &mut out);
        assert!(matches!(refused, Err(Error::StringTooLong { .. })));
        assert_eq!(out, [7]);
        // When the next one names the same destination
        let good = Command::from(message("short".into()));
        sender.encode(&good, &mut out).unwrap();
        // Then the peer can read it
        assert_eq!(receiver.decode(body(&out[1..])).unwrap(), good);
    }

    #[test]
    fn large_bodies_arrive_whole() {
        let (mut sender, mut receiver) = pair();
        let mut message = Message::new(MessageKind::Bytes);
        message.content = Some(Bytes::from(vec![1; 100_000]));
        message.marshalled_properties = Some(Bytes::from(vec![2; 5000]));
        let command = Command::from(message);
        let mut out = Vec::new();
        sender.encode(&command, &mut out).unwrap();
        assert_eq!(receiver.decode(body(&out)).unwrap(), command);
    }

    #[test]
    fn frames_beyond_the_agreed_size_are_not_sent() {
        let (mut sender, _) = pair();
        sender.agreed.max_frame_size = 1000;
        let mut message = Message::new(MessageKind::Bytes);
        message.content = Some(Bytes::from(vec![1; 1000]));
        let mut out = Vec::new();
        let refused = sender.encode(&message.into(), &mut out);
        assert!(matches!(refused, Err(Error::CommandTooLarge { limit: 1000, .. })));
    }

    #[test]
    fn frames_without_a_size_are_read_from_a_stream() {
        for tight in [false, true] {
            let (mut sender, mut receiver) = pair();
            for format in [&mut sender, &mut receiver] {
                format.agreed.size_prefix_disabled = true;
                format.agreed.tight_encoding = tight;
            }
            let command = Command::from(Message {
                destination: Some(Destination::topic("news")),
                ..Message::new(MessageKind::Plain)
            });
            let mut out = Vec::new();
            sender.encode(&command, &mut out).unwrap();
            sender.encode(&command, &mut out).unwrap();
            let mut buffer = BytesMut::new();
            let mut got = Vec::new();
            for byte in out {
                buffer.extend_from_slice(&[byte]);
                got.extend(receiver.decode_unsized(&mut buffer).unwrap());
            }
            assert_eq!(got, [command.clone(), command]);
        }
    }

    #[test]
    fn a_message_may_travel_in_a_form_that_the_sender_kept() {
        // Given a peer that sets the second bit of a nested message, and then sends a whole frame inside
        let mut format = WireFormat::new(Limits::default());
        format.agreed.tight_encoding = true;
        let message = Message {
            destination: Some(Destination::queue("orders")),
            timestamp: 1_700_000_000_123,
            persistent: true,
            ..Message::new(MessageKind::Text)
        };
        let mut kept = Vec::new();
        format.encode(&message.clone().into(), &mut kept).unwrap();
        // DataResponse: bits for responseRequired 0, not null 1, kept 1; ids; type of the message; its frame
        let mut frame = vec![32, 1, 0b110, 0, 0, 0, 0, 0, 0, 0, 1, 28];
        frame.extend_from_slice(&kept);
        // When it is decoded, then the message is there
        let Command::DataResponse(response) = format.decode(Bytes::from(frame)).unwrap() else { panic!() };
        assert_eq!(response.data.as_deref(), Some(&Command::from(message)));
    }

    #[test]
    fn structures_of_later_versions_are_neither_sent_nor_accepted() {
        let ack = Command::from(crate::ProducerAck::default());
        let mut out = Vec::new();
        let mut old = WireFormat::loose(2, Limits::default());
        let refused = old.encode(&ack, &mut out);
        assert_eq!(refused, Err(Error::NotInVersion { name: "ProducerAck", version: 2 }));
        WireFormat::loose(3, Limits::default()).encode(&ack, &mut out).unwrap();
        assert_eq!(old.decode(body(&out)), Err(Error::UnknownType { code: 19, version: 2 }));
    }
}
