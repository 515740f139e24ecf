//! What real brokers said to real clients, said to this one: it understands all of it, and stays connected.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::path::Path;

use ferromq_client::{ConnectOptions, Core, Event, Now};
use ferromq_openwire::json::from_hex;
use ferromq_openwire::{Command, Framer, Limits, WireFormat, WireFormatOptions};
use serde_json::Value as Json;

/// The frames of the first connection in a recording, by direction.
fn frames(text: &str, dir: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let first: Vec<Json> = lines.filter(|line| line["conn"] == 1).collect();
    let wanted = first.iter().filter(|line| line["dir"] == dir);
    wanted.filter_map(|line| line["hex"].as_str()).map(|hex| from_hex(hex).unwrap()).collect()
}

/// What the client of the recording offered, so that both come to the same agreement.
fn offered(greeting: &[u8]) -> WireFormatOptions {
    let limits = Limits::default();
    let mut framer = Framer::new(limits.greeting_bytes);
    framer.feed(greeting);
    let frame = framer.next_frame().unwrap().unwrap();
    match WireFormat::new(limits.clone()).decode(frame).unwrap() {
        Command::WireFormatInfo(info) => WireFormatOptions::from_info(&info, &limits).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_of_real_brokers_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/openwire/captures");
    let mut opened = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Bridges speak first, and as brokers.
        if !name.ends_with(".jsonl") || name.starts_with("network-bridge") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut options = ConnectOptions::parse("tcp://recorded:1").unwrap();
        options.wire_format = offered(&frames(&text, "c>s")[0]);
        let mut core: Core<u32> = Core::new(options, "ID:recorded-1:1", Now::default()).unwrap();
        for frame in frames(&text, "s>c") {
            core.read_buffer().extend_from_slice(&frame);
            core.received(Now::default());
            let bytes = core.output().len();
            core.written(bytes);
        }
        while let Some(event) = core.next_event() {
            match event {
                Event::Opened => opened += 1,
                // Recorded logins that were refused, and brokers that stopped.
                Event::Closed(error) => {
                    assert!(!error.to_string().contains("broke the protocol"), "{name}: {error}");
                }
                _ => {}
            }
        }
    }
    assert!(opened >= 20, "{opened} conversations were opened");
}
