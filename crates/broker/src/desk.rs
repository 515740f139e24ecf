//! [`Desk`]: what becomes of a connection that a listener accepted, by the broker's role.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ferromq_net::{Seat, turn_away};
use tokio::net::TcpStream;

use crate::reign::Counter;

/// Connections that wait for a master at most; the others are turned away.
const HELD: usize = 1_024;

/// What becomes of a connection.
pub(crate) struct Desk {
    state: Mutex<State>,
}

enum State {
    /// Turned away: a client with several URIs tries the next one.
    Refusing,
    /// Kept, until it is clear who is master.
    Holding(Vec<Waiting>),
    /// Served.
    Serving(Counter),
}

struct Waiting {
    port: usize,
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
}

impl Desk {
    /// A desk that turns everybody away for now.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Refusing) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection came in at the listener with this number.
    pub(crate) fn welcome(&self, port: usize, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        match &mut *self.state() {
            State::Refusing => {
                tracing::debug!(%peer, "turned away: this broker is not the master");
                turn_away(stream, seat);
            }
            State::Holding(waiting) if waiting.len() < HELD => {
                waiting.push(Waiting { port, stream, peer, seat });
            }
            State::Holding(_) => {
                tracing::debug!(%peer, "turned away: too many wait for a master");
                turn_away(stream, seat);
            }
            State::Serving(counter) => counter.welcome(port, stream, peer, seat),
        }
    }

    /// Turns away who comes, and who waits; to be called within a runtime.
    pub(crate) fn refuse(&self) {
        let before = std::mem::replace(&mut *self.state(), State::Refusing);
        if let State::Holding(waiting) = before {
            for Waiting { stream, seat, .. } in waiting {
                turn_away(stream, seat);
            }
        }
    }

    /// Keeps who comes, unless everybody is served.
    pub(crate) fn hold(&self) {
        let mut state = self.state();
        if matches!(*state, State::Refusing) {
            *state = State::Holding(Vec::new());
        }
    }

    /// Serves who waits, and who comes.
    pub(crate) fn serve(&self, counter: Counter) {
        let mut state = self.state();
        if let State::Holding(waiting) = &mut *state {
            for Waiting { port, stream, peer, seat } in waiting.drain(..) {
                counter.welcome(port, stream, peer, seat);
            }
        }
        *state = State::Serving(counter);
    }
}
