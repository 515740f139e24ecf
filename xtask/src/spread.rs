//! Many released Java clients that know one broker of a network that grows and shrinks: `cargo xtask interop --only
//! spread`. They learn of the others by `updateClusterClients`, and spread by `rebalanceClusterClients`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::interop::{Tally, show};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line};

/// Clients, each with a connection of its own.
const CLIENTS: u32 = 100;

/// What each broker says to its clients.
const TOLD: &str = "updateClusterClients=true&rebalanceClusterClients=true&updateClusterClientsOnRemove=true";

/// Runs the checks with one client line; `account` gets what is said of each batch of messages, as the program says it:
/// a name, and numbers.
///
/// # Errors
/// A broker or the Java program could not be started, or ended early.
pub(crate) fn run(
    java: &Java,
    line: Line,
    quiet: bool,
    mut account: impl FnMut(&str, &str),
) -> Result<Tally> {
    let mut brokers = BTreeMap::from([("a".to_owned(), start("a", &BTreeMap::new())?)]);
    let mut command = java.command(&java.programs(line)?);
    command
        .arg("-Xmx512M")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
        .arg("interop.Spread")
        .arg(format!("--url={}", brokers.get("a").context("the first broker")?.url()))
        .arg(format!("--count={CLIENTS}"));
    let mut child =
        command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().context("cannot run java")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let tally = show(stdout, quiet, |text| {
        let answer = match text.split_once(' ') {
            Some(("want", name)) => {
                let broker = start(name, &brokers)?;
                let url = broker.url().to_owned();
                brokers.insert(name.to_owned(), broker);
                url
            }
            Some(("stop", name)) => {
                brokers.remove(name).context("a broker of that name")?.stop()?;
                "done".to_owned()
            }
            Some(("kill", name)) => {
                brokers.remove(name).context("a broker of that name")?.kill_hard();
                "done".to_owned()
            }
            Some(("account", rest)) => {
                let (numbers, what) = rest.split_once(" of ").context("an account of something")?;
                account(what, numbers);
                return Ok(());
            }
            _ => return Ok(()),
        };
        writeln!(stdin, "{answer}").and_then(|()| stdin.flush()).context("the Java program has ended")
    });
    let status = child.wait();
    tally?.with_context(|| format!("the clients ended with {status:?} before they had printed their sums"))
}

/// A broker that links to all that are there, both ways over each link.
fn start(name: &str, others: &BTreeMap<String, Broker>) -> Result<Broker> {
    let connectors = others.iter().flat_map(|(other, broker)| {
        let uri = format!("static:({})?name={name}-{other}&duplex=true", broker.url());
        ["--network-connector".to_owned(), uri]
    });
    let listen_options = TOLD.to_owned();
    let (name, arguments) = (name.to_owned(), connectors.collect());
    FerroBroker::start(&FerroOptions { name, arguments, listen_options, ..FerroOptions::default() })
}
