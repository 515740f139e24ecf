//! One OpenWire connection without its socket.

use std::sync::Arc;

use bytes::BytesMut;
use ferromq_engine::{ConnId, Effect, Fault, Input, LocalId, Notice, Tag};
use ferromq_model::{Delivery, Instant, Now, Text};

use crate::{SessionError, SessionSettings};

/// One peer's connection: bytes ⇄ engine.
///
/// A driver loop appends what it reads to [`Session::read_buffer`] and calls [`Session::received`], posts what
/// [`Session::poll_input`] yields to the engine until it yields nothing (it stops asking while it is paused or the
/// engine's mailbox is full), hands over what the engine says (`deliver`, `reply`, `notify`, `close`, `pause`,
/// `resume`), writes what [`Session::transmit`] gives, sleeps no longer than [`Session::next_deadline`] and then
/// calls [`Session::tick`]. When [`Session::is_finished`], it writes the rest and closes the socket; when the socket
/// ends first it calls [`Session::lost`]. Either way it then posts the last inputs (`Detach`).
#[derive(Debug)]
pub struct Session {
    _settings: Arc<SessionSettings>,
    _conn: ConnId,
    read: BytesMut,
    out: Vec<u8>,
}

impl Session {
    /// A connection that was just accepted from `remote` (`tcp://127.0.0.1:4711`).
    pub fn new(settings: Arc<SessionSettings>, conn: ConnId, _remote: Text, _now: Now) -> Self {
        Self { _settings: settings, _conn: conn, read: BytesMut::new(), out: vec![0] }
    }

    /// Where the driver appends what it reads; follow with [`Session::received`].
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        &mut self.read
    }

    /// Bytes were appended to the read buffer.
    pub fn received(&mut self, _now: Now) {}

    /// The next thing for the engine: decodes at most as many frames as it takes to find one.
    pub fn poll_input(&mut self, _now: Now) -> Option<Input> {
        None
    }

    /// Encodes a delivery into the output.
    pub fn deliver(&mut self, _now: Now, _consumer: LocalId, _delivery: &Delivery) {}

    /// Encodes an answer.
    pub fn reply(&mut self, _now: Now, _tag: Tag, _effect: Effect) {}

    /// Encodes what the peer did not ask for.
    pub fn notify(&mut self, _now: Now, _notice: Notice) {}

    /// The engine wants the connection closed after what is on the way.
    pub fn close(&mut self, _now: Now, _reason: &Fault) {}

    /// The broker stops: says so to the peer and finishes.
    pub fn shutdown(&mut self, _now: Now) {}

    /// The driver reads no more until [`Session::resume`]; silence is not held against the peer.
    pub fn pause(&mut self, _now: Now) {}

    /// The driver reads again.
    pub fn resume(&mut self, _now: Now) {}

    /// The socket has ended or failed.
    pub fn lost(&mut self) {}

    /// Moves the encoded output behind what is in `out` (by swapping if `out` is empty); whether there was any.
    pub fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.out.is_empty();
        if out.is_empty() {
            std::mem::swap(&mut self.out, out);
        } else {
            out.append(&mut self.out);
        }
        any
    }

    /// Bytes encoded and not yet taken by [`Session::transmit`].
    pub fn pending_bytes(&self) -> usize {
        self.out.len()
    }

    /// When to call [`Session::tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Time has passed.
    pub fn tick(&mut self, _now: Now) {}

    /// Whether nothing more is read or said: write what is left, close the socket, post the last inputs.
    pub fn is_finished(&self) -> bool {
        false
    }

    /// Why the connection ended, if not by the peer's wish.
    pub fn failure(&self) -> Option<&SessionError> {
        None
    }

    /// Whether the peers agreed to set `TCP_NODELAY`; `None` before the greeting.
    pub fn tcp_no_delay(&self) -> Option<bool> {
        None
    }

    /// For the log: the peer's client id, user and address as far as they are known.
    pub fn describe(&self) -> String {
        String::new()
    }
}
