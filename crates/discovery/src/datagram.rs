//! [`Datagram`]: what one broker says to all: `<group>.ActiveMQ-4.alive.%<broker>%<uri>`.
//!
//! The text is ActiveMQ's (`MulticastDiscoveryAgent`). The name between the percent signs is always `localhost`
//! there; it tells nobody apart, and is kept for those who read it.

/// More than ActiveMQ reads, too.
pub const MAX_DATAGRAM_BYTES: usize = 8_192;

const KIND: &str = ".ActiveMQ-4.";
const ALIVE: &str = "alive.";
const DEAD: &str = "dead.";
const NAME: &str = "localhost";

/// Whether the broker is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Alive,
    /// It ends.
    Dead,
}

/// A datagram that was read, or is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Whether the broker is there.
    pub state: State,
    /// The broker as its agent names it.
    pub broker: &'a str,
    /// Where it listens.
    pub service: &'a str,
}

impl<'a> Datagram<'a> {
    /// That of a broker that listens at `service`.
    pub fn of(state: State, service: &'a str) -> Self {
        Self { state, broker: NAME, service }
    }

    /// Reads a datagram of this group; `None` for everything else that may come to its port.
    pub fn read(bytes: &'a [u8], group: &str) -> Option<Self> {
        if bytes.len() > MAX_DATAGRAM_BYTES {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let said = text.strip_prefix(group)?.strip_prefix(KIND)?;
        let (state, said) = match said.strip_prefix(ALIVE) {
            Some(said) => (State::Alive, said),
            None => (State::Dead, said.strip_prefix(DEAD)?),
        };
        let (broker, service) = said.strip_prefix('%')?.split_once('%')?;
        (!service.is_empty()).then_some(Self { state, broker, service })
    }

    /// The bytes to be sent.
    pub fn write(&self, group: &str) -> Vec<u8> {
        let state = match self.state {
            State::Alive => ALIVE,
            State::Dead => DEAD,
        };
        format!("{group}{KIND}{state}%{}%{}", self.broker, self.service).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_activemqs() {
        let said = b"default.ActiveMQ-4.alive.%localhost%tcp://vm:61616";
        let read = Datagram::read(said, "default").unwrap();
        assert_eq!(read, Datagram::of(State::Alive, "tcp://vm:61616"));
        assert_eq!(read.write("default"), said);
        let said = b"a.b.ActiveMQ-4.dead.%localhost%nio://[::1]:7";
        assert_eq!(Datagram::read(said, "a.b"), Some(Datagram::of(State::Dead, "nio://[::1]:7")));
    }

    #[test]
    fn what_is_for_others_is_passed_over() {
        for said in [
            &b""[..],
            b"other.ActiveMQ-4.alive.%localhost%tcp://vm:1",
            b"default.ActiveMQ-3.alive.%localhost%tcp://vm:1",
            b"default.ActiveMQ-4.asleep.%localhost%tcp://vm:1",
            b"default.ActiveMQ-4.alive.localhost%tcp://vm:1",
            b"default.ActiveMQ-4.alive.%localhost",
            b"default.ActiveMQ-4.alive.%localhost%",
            b"default.ActiveMQ-4.alive.%\xff%tcp://vm:1",
            b"defaultX.ActiveMQ-4.alive.%localhost%tcp://vm:1",
        ] {
            assert_eq!(Datagram::read(said, "default"), None, "{}", String::from_utf8_lossy(said));
        }
        let long = [&b"default.ActiveMQ-4.alive.%localhost%tcp://"[..], &[b'a'; MAX_DATAGRAM_BYTES]].concat();
        assert_eq!(Datagram::read(&long, "default"), None);
    }
}
