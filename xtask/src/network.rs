//! The released Java clients at two linked brokers, of which one is the real ActiveMQ: `cargo xtask interop --only
//! network`. Either of them has the connector, one-way and duplex.

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
        let link = vec![format!("--network=static:({})", ours.url()), format!("--duplex={duplex}")];
        let theirs = activemq(java, line, link)?;
        tally.add(clients(java, line, quiet, &theirs, &ours, duplex)?);
    }
    Ok(tally)
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
