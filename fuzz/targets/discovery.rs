//! What strangers say about where brokers are: datagrams of multicast, and lists of URIs from brokers, files and servers.
//! No panic, and nothing that is remembered grows without a bound.

#![no_main]

use ferromq_client::{ConnectOptions, Planner};
use ferromq_discovery::{Agent, Datagram, MAX_BROKERS, Output};
use ferromq_env::SystemEntropy;
use ferromq_model::Instant;
use ferromq_uri::MulticastOptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut agent = Agent::new(&MulticastOptions::default(), Vec::new());
    for (nth, datagram) in bytes.split(|byte| *byte == b'\n').enumerate() {
        agent.heard(datagram, Instant(nth as u64));
        if let Some(said) = Datagram::read(datagram, "default") {
            assert_eq!(Datagram::read(&said.write("default"), "default").as_ref(), Some(&said));
        }
    }
    assert!(agent.known().count() <= MAX_BROKERS);
    let mut found = Vec::new();
    while let Some(output) = agent.poll() {
        if let Output::Found(uri) = output {
            found.push(uri);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = ConnectOptions::parse("failover:(tcp://a:1)").expect("a URI").failover.expect("a policy");
    let mut planner = Planner::new(policy, Box::new(SystemEntropy));
    planner.start(Instant(0));
    planner.discovered(&found, Instant(1));
    planner.listed(text);
    planner.advised(&ferromq_openwire::ConnectionControl {
        connected_brokers: Some(text.into()),
        reconnect_to: Some(text.into()),
        rebalance_connection: true,
        ..Default::default()
    });
    assert!(planner.known().len() <= 4 * ferromq_uri::MAX_COMPONENTS);
});
