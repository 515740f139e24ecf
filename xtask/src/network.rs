//! The released Java clients at two linked brokers, of which one is the real ActiveMQ: `cargo xtask interop --only
//! network`. Either of them has the connector, one-way and duplex, and either finds the other by multicast.

use std::process::Command;

use anyhow::Result;

use crate::interop::{Tally, follow};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, RealBroker, RealOptions};

/// Runs the checks over four links with one client line.
///
/// # Errors
/// A broker or the Java program could not be started, or ended early.
pub(crate) fn run(java: &Java, line: Line, quiet: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for duplex in [false, true] {
        let ways = if duplex { "duplex" } else { "one way" };
        println!("-- {ways}, ferromq has the connector");
        let theirs = activemq(java, line, Vec::new())?;
        let connector = format!("static:({})?name=nc&duplex={duplex}", theirs.url());
        let ours = ferromq(vec!["--network-connector".to_owned(), connector])?;
        tally.add(clients(java, line, quiet, &ours, &theirs, duplex)?);
        drop((ours, theirs));

        println!("-- {ways}, activemq has the connector");
        let ours = ferromq(Vec::new())?;
        let link = vec![format!("--network.nc=static:({})|duplex={duplex}", ours.url())];
        let theirs = activemq(java, line, link)?;
        tally.add(clients(java, line, quiet, &theirs, &ours, duplex)?);
    }
    let group = group();
    println!("-- ferromq finds activemq by multicast");
    let theirs = activemq(java, line, vec![format!("--discovery={group}")])?;
    let ours = ferromq(vec!["--network-connector".to_owned(), format!("{group}&name=nc")])?;
    tally.add(clients(java, line, quiet, &ours, &theirs, false)?);
    drop((ours, theirs));

    println!("-- activemq finds ferromq by multicast");
    let listen_options = format!("discoveryUri={}", group.replace('&', "%26"));
    let ours = FerroBroker::start(&FerroOptions { listen_options, ..FerroOptions::default() })?;
    let theirs = activemq(java, line, vec![format!("--network.nc={group}")])?;
    tally.add(clients(java, line, quiet, &theirs, &ours, false)?);
    Ok(tally)
}

/// A group on the loopback interface that only this run uses.
fn group() -> String {
    let number = std::process::id();
    let [_, _, high, low] = number.to_be_bytes();
    let port = 20_000 + number % 10_000;
    format!(
        "multicast://239.255.{high}.{low}:{port}?interface=127.0.0.1&joinNetworkInterface=lo&initialReconnectDelay=500"
    )
}

fn ferromq(arguments: Vec<String>) -> Result<Broker> {
    FerroBroker::start(&FerroOptions { arguments, ..FerroOptions::default() })
}

fn activemq(java: &Java, line: Line, arguments: Vec<String>) -> Result<Broker> {
    RealBroker::start(java, &RealOptions { line: line.broker(), arguments, ..RealOptions::default() })
}

fn clients(java: &Java, line: Line, quiet: bool, from: &Broker, to: &Broker, duplex: bool) -> Result<Tally> {
    let programs = java.programs(line)?;
    let mut command: Command = java.command(&programs);
    command
        .arg("-Xmx256M")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
        .arg("interop.Network")
        .arg(format!("--from={}", from.url()))
        .arg(format!("--to={}", to.url()))
        .arg(format!("--duplex={duplex}"));
    let tally = follow(command, quiet)?;
    if tally.failed > 0 {
        println!("logs: {} and {}", from.log().display(), to.log().display());
    }
    Ok(tally)
}
