//! Relays a queue from one ActiveMQ (or FerroMQ) to another one, filtered, without a broker of ours:
//!
//! ```text
//! cargo run -p ferromq-bridge --features net --example relay -- \
//!     tcp://localhost:61616 tcp://localhost:61617 'orders.>' "region = 'EU'"
//! ```
//!
//! Matching messages go over once the other broker has stored them; the others stay where they are. `masterslave:` and
//! several addresses are up to the program: all that are given after the first belong to one master and its standbys.

use ferromq_bridge::{Link, LinkState, Retry, Rule, Settings};
use ferromq_client::ConnectOptions;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, queue, rest @ ..] = &arguments[..] else {
        return Err("usage: relay FROM-URI TO-URI QUEUE [SELECTOR]".into());
    };
    let mut rule = Rule::queue(queue);
    if let [selector, ..] = rest {
        rule = rule.select(selector);
    }
    let mut settings = Settings::default();
    settings.name = "relay".to_owned();
    // Everything that matches goes over, whether anybody consumes there or not.
    settings.static_bridge = true;
    settings.statically_included = vec![rule];

    let (from, to) = (ConnectOptions::parse(from)?, ConnectOptions::parse(to)?);
    // Unique to this run: the ids of connections are made of it.
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let seed = format!("relay-{}-{started}", std::process::id());
    let mut link = Link::between(settings, from, vec![to], Retry::default(), &seed);

    let mut before = None;
    loop {
        let status = link.changed().await;
        if before != Some(status.state) {
            before = Some(status.state);
            println!("{} {}: {}", status.connector, status.remote, status.state);
            if let (false, Some(reason)) = (status.state == LinkState::Up, &status.reason) {
                println!("  because {reason}");
            }
        }
        if status.state == LinkState::Up {
            let totals = status.totals();
            println!(
                "  {} forwarded, {} refused, {:.1}/s",
                totals.forwarded, totals.refused, status.rates.forwarded
            );
        }
    }
}
