//! How a broker is reached over the network: at whichever of its addresses it serves.

use std::net::SocketAddr;
use std::time::Duration;

use ferromq_client::{Address, Link as Wire, Stream};
use ferromq_openwire::{BrokerInfo, Command};
use tokio::net::lookup_host;

use super::clock::Clock;
use super::line::{Moved, transfer};
use super::port::{Port, greeting};

/// How long a broker may take to greet and introduce itself, if there is another one to turn to.
pub(super) const INTRODUCTION: Duration = Duration::from_secs(2);
/// How long the last one may take: it may be far away, or busy.
pub(super) const LAST_INTRODUCTION: Duration = Duration::from_secs(10);

/// Addresses that a name may stand for.
const MOST_PLACES: usize = 16;

/// A broker that serves, and what it said of itself. Each address of a name may be another node of a pair, and a standby
/// hangs up. The last address is left after `patience`; `lasts` is told how long all of them may take.
pub(super) async fn reach(
    address: &Address,
    patience: Duration,
    clock: Clock,
    lasts: impl Fn(Duration),
) -> Result<(Port, BrokerInfo), String> {
    let told = |reason: String| format!("{}: {reason}", address.uri);
    let mut reasons = Vec::new();
    lasts(longest(1, address.connect_timeout, patience).saturating_add(address.connect_timeout));
    let places = places(address).await.map_err(told)?;
    lasts(longest(places.len(), address.connect_timeout, patience));
    for (index, place) in places.iter().enumerate() {
        let patience = if index + 1 < places.len() { INTRODUCTION } else { patience };
        match greet(address, *place, patience, clock).await {
            Ok(reached) => return Ok(reached),
            Err(reason) => reasons.push(told(reason)),
        }
    }
    Err(reasons.join("; "))
}

/// How long it may take until each of so many addresses was tried, and the last of them left.
fn longest(places: usize, connect_timeout: Duration, patience: Duration) -> Duration {
    let further = u32::try_from(places.saturating_sub(1)).unwrap_or(u32::MAX);
    let each = connect_timeout.saturating_add(INTRODUCTION);
    each.saturating_mul(further).saturating_add(connect_timeout).saturating_add(patience)
}

/// A connection to the first place of an address that listens.
pub(super) async fn dial(address: &Address) -> Result<Stream, String> {
    let told = |reason: String| format!("{}: {reason}", address.uri);
    let mut last = String::new();
    for place in places(address).await.map_err(told)? {
        match connect(address, place).await {
            Ok(stream) => return Ok(stream),
            Err(reason) => last = reason,
        }
    }
    Err(told(last))
}

/// A broker that serves, at one of its addresses.
async fn greet(
    address: &Address,
    place: SocketAddr,
    patience: Duration,
    clock: Clock,
) -> Result<(Port, BrokerInfo), String> {
    let mut stream = connect(address, place).await?;
    let mut wire = greeting(address)?;
    let info = introduced(&mut stream, &mut wire, patience, clock).await?;
    Ok((Port::new(stream, wire, clock), info))
}

/// Waits until the broker has introduced itself, as one that serves does right after its greeting. A standby may greet,
/// but has nothing to say.
async fn introduced(
    stream: &mut Stream,
    wire: &mut Wire,
    patience: Duration,
    clock: Clock,
) -> Result<BrokerInfo, String> {
    let introduced = async {
        loop {
            match transfer(stream, wire, true).await.map_err(|error| error.to_string())? {
                Moved::Read(0) => return Err("it closed the connection; a standby does that".to_owned()),
                Moved::Read(_) => {}
                Moved::Written(bytes) => wire.written(bytes),
            }
            while let Some(command) = wire
                .next_command(clock.now())
                .map_err(|error| format!("what it says is no OpenWire: {error}"))?
            {
                if let Command::BrokerInfo(info) = command {
                    return Ok(info);
                }
            }
        }
    };
    tokio::time::timeout(patience, introduced).await.unwrap_or_else(|_| {
        Err(format!("it did not introduce itself within {patience:?}; a standby does not"))
    })
}

/// Where the host of an address may be; each of a name's addresses may be another node of a pair.
async fn places(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (address.endpoint.host.to_string(), address.endpoint.port_or_default());
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::time::timeout(address.connect_timeout, lookup_host((host, port))).await;
    let found = found.map_err(|_| "the name was not resolved in time".to_owned())?;
    let found: Vec<_> = found.map_err(|error| error.to_string())?.take(MOST_PLACES).collect();
    if found.is_empty() { Err("the name has no address".to_owned()) } else { Ok(found) }
}

async fn connect(address: &Address, place: SocketAddr) -> Result<Stream, String> {
    match tokio::time::timeout(address.connect_timeout, Stream::open(address, place)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {:?}", address.connect_timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_several_addresses_is_given_the_time_to_try_each() {
        let (connect, patience) = (Duration::from_secs(30), LAST_INTRODUCTION);
        assert_eq!(longest(1, connect, patience), Duration::from_secs(40));
        assert_eq!(longest(3, connect, patience), Duration::from_secs(2 * 32 + 40));
        assert_eq!(longest(16, Duration::MAX, patience), Duration::MAX);
    }
}
