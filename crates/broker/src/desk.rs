//! [`Desk`]: what becomes of a connection that a listener accepted, by the broker's role.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferromq_gateway::SessionSettings;
use ferromq_net::{Seat, turn_away};
use tokio::net::TcpStream;

use crate::reign::Counter;

/// Connections that wait for a master at most; the others are turned away.
const HELD: usize = 1_024;

/// What becomes of a connection.
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Greets those who are turned away.
    greeting: Arc<SessionSettings>,
}

enum State {
    /// Turned away: a client with several URIs tries the next one, another is told why.
    Refusing(Arc<str>),
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
    pub(crate) fn new(greeting: SessionSettings) -> Self {
        let reason = Arc::from("this broker is about to start");
        Self { state: Mutex::new(State::Refusing(reason)), greeting: Arc::new(greeting) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection came in at the listener with this number.
    pub(crate) fn welcome(&self, port: usize, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        match &mut *self.state() {
            State::Refusing(reason) => {
                tracing::debug!(%peer, "turned away: this broker is not the master");
                self.turn_away(reason, stream, seat);
            }
            State::Holding(waiting) if waiting.len() < HELD => {
                waiting.push(Waiting { port, stream, peer, seat });
            }
            State::Holding(_) => {
                tracing::debug!(%peer, "turned away: too many wait for a master");
                self.turn_away(&Arc::from("too many clients wait for a master"), stream, seat);
            }
            State::Serving(counter) => counter.welcome(port, stream, peer, seat),
        }
    }

    fn turn_away(&self, reason: &Arc<str>, stream: TcpStream, seat: Seat) {
        tokio::spawn(turn_away(Arc::clone(&self.greeting), Arc::clone(reason), stream, seat));
    }

    /// Turns away who comes, and who waits; to be called within a runtime.
    pub(crate) fn refuse(&self, master: Option<&str>) {
        let reason = self.reason(master);
        let before = std::mem::replace(&mut *self.state(), State::Refusing(Arc::clone(&reason)));
        if let State::Holding(waiting) = before {
            for Waiting { stream, seat, .. } in waiting {
                self.turn_away(&reason, stream, seat);
            }
        }
    }

    /// For a client that knows the address of this broker alone.
    fn reason(&self, master: Option<&str>) -> Arc<str> {
        let name = &self.greeting.broker.name;
        let master =
            master.map_or_else(|| "no master is known".to_owned(), |name| format!("the master is {name}"));
        format!(
            "the broker {name} is a standby and serves nobody, {master}; \
             connect through failover:(tcp://…,tcp://…) with the addresses of all brokers"
        )
        .into()
    }

    /// Keeps who comes, unless everybody is served.
    pub(crate) fn hold(&self) {
        let mut state = self.state();
        if matches!(*state, State::Refusing(_)) {
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
