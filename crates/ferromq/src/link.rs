//! What `send`, `receive` and `browse` share: the broker, the login, the destination, and words for failures.

use std::future::Future;

use ferromq_client::{ConnectOptions, Connection, Destination, Error, ErrorKind};

use crate::exit::{Exit, Failure, Outcome};

/// Which broker, and as whom.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The broker
    #[arg(long, value_name = "URI", default_value = "tcp://127.0.0.1:61616")]
    url: String,
    /// The user, if the broker wants a login
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// The password; the variable keeps it out of the list of processes
    #[arg(long, value_name = "TEXT", env = "FERROMQ_CLIENT_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

impl Args {
    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        let mut options = ConnectOptions::parse(&self.url).map_err(failed)?;
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            options = options.login(user, password);
        }
        if options.failover.is_some() {
            // Whoever waits for another broker wants to know.
            crate::logs::start_plain();
        }
        Connection::connect_with(options).await.map_err(|error| self.unconnected(error))
    }
}

impl Args {
    /// A broker that ends a connection before it has said a word has a reason.
    fn unconnected(&self, error: Error) -> Failure {
        let ended = match &error {
            Error::Closed { .. } => true,
            Error::Connect { source, .. } => source.kind() == std::io::ErrorKind::ConnectionReset,
            _ => false,
        };
        if !ended {
            return failed(error);
        }
        let remedy = format!(
            "it may be a standby, `ferromq status {}` tells; name every broker: --url 'failover:(URI,URI)'",
            self.url
        );
        Failure::new(Exit::Unavailable, format!("{error}; {remedy}"))
    }
}

/// Runs a short conversation with a broker on this thread; Ctrl-C ends it.
pub(crate) fn converse(talk: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Unavailable, error))?.block_on(talk)
}

/// `queue://name`, `topic://name`, or a bare name for a queue.
pub(crate) fn destination(text: &str) -> Result<Destination, String> {
    let (topic, name) = match text.split_once("://") {
        None => (false, text),
        Some(("queue", name)) => (false, name),
        Some(("topic", name)) => (true, name),
        Some((kind, _)) => {
            return Err(format!("there is no kind {kind:?}; write queue://NAME or topic://NAME"));
        }
    };
    if name.is_empty() {
        return Err(String::from("the name is missing; write queue://NAME or topic://NAME"));
    }
    Ok(if topic { Destination::topic(name) } else { Destination::queue(name) })
}

/// Whose fault it was, and what to do about it.
pub(crate) fn failed(error: Error) -> Failure {
    let refused = match &error {
        Error::Connect { source, .. } => source.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::NoBroker { .. } => true,
        _ => false,
    };
    match &error {
        _ if refused => {
            let remedy = "is the broker running? start one with `ferromq run`, or name another with --url";
            Failure::new(Exit::Unavailable, format!("{error}; {remedy}"))
        }
        _ => match error.kind() {
            ErrorKind::Caller => Failure::new(Exit::Usage, error),
            _ => Failure::new(Exit::Unavailable, error),
        },
    }
}

/// Standard output or a file could not be used.
pub(crate) fn io_failed(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::new(Exit::Io, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_as_people_write_them() {
        for (text, expected) in [
            ("orders", Ok("queue://orders")),
            ("queue://orders.eu", Ok("queue://orders.eu")),
            ("topic://ticks", Ok("topic://ticks")),
            ("queue://", Err("the name is missing")),
            ("http://orders", Err("no kind \"http\"")),
        ] {
            match (destination(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
