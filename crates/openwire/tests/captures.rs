//! Whole conversations between real clients and brokers, and between brokers: both directions, from the greeting
//! on, with the agreement computed from the greetings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::collections::BTreeMap;

use ferromq_openwire::json::from_hex;
use ferromq_openwire::json::vectors::Checker;
use ferromq_openwire::{Command, Framer, Limits, Negotiated, WireFormat, WireFormatInfo, WireFormatOptions};
use serde_json::Value as Json;

mod data;

/// One TCP connection of a recording.
struct Connection {
    greetings: Vec<WireFormatInfo>,
    checkers: BTreeMap<String, Checker>,
    agreed: Option<Negotiated>,
}

impl Connection {
    fn new() -> Self {
        Self { greetings: Vec::new(), checkers: BTreeMap::new(), agreed: None }
    }

    fn frame(&mut self, dir: &str, fields: &Json, frame: Vec<u8>) -> Result<(), String> {
        let greeting = || Checker::new(WireFormat::new(Limits::default()), true);
        let checker = self.checkers.entry(dir.to_owned()).or_insert_with(greeting);
        if let Command::WireFormatInfo(info) = checker.check(None, fields, frame)? {
            self.greetings.push(info);
            if let [one, other] = self.greetings.as_slice() {
                let options = |info| WireFormatOptions::from_info(info, &Limits::default()).unwrap();
                let agreed = Negotiated::between(&options(one), &options(other)).unwrap();
                assert_eq!(Negotiated::between(&options(other), &options(one)).unwrap(), agreed);
                for checker in self.checkers.values_mut() {
                    *checker = Checker::new(WireFormat::with(agreed.clone(), Limits::default()), true);
                }
                self.agreed = Some(agreed);
            }
        }
        Ok(())
    }

    fn check_agreement(&self, note: &Json) {
        let agreed = self.agreed.as_ref().expect("both greetings came");
        assert_eq!(u64::from(agreed.version), note["version"]);
        assert_eq!(agreed.tight_encoding, note["tight"]);
        assert_eq!(agreed.cache, note["cache"]);
        assert_eq!(agreed.cache_size as u64, note["cacheSize"]);
        assert_eq!(agreed.stack_trace, note["stackTrace"]);
    }
}

#[test]
fn every_conversation_is_understood_both_ways() {
    let (mut frames, mut connections) = (0, 0);
    for (file, text) in data::files("captures", "jsonl") {
        let mut open: BTreeMap<u64, Connection> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let event: Json = serde_json::from_str(line).unwrap();
            let id = event["conn"].as_u64().unwrap();
            let connection = open.entry(id).or_insert_with(Connection::new);
            if event["event"] == "negotiated" {
                connection.check_agreement(&event);
                continue;
            }
            let Some(hex) = event["hex"].as_str() else { continue };
            let dir = event["dir"].as_str().unwrap();
            let checked = connection.frame(dir, &event["decoded"], from_hex(hex).unwrap());
            assert_eq!(checked, Ok(()), "{file}:{}", number + 1);
            frames += 1;
        }
        connections += open.len();
    }
    assert!(frames > 1000 && connections > 40, "{frames} frames, {connections} connections");
}

#[test]
fn streams_are_cut_where_the_frames_end() {
    for (file, text) in data::files("captures", "jsonl") {
        let mut streams: BTreeMap<(u64, String), (Vec<u8>, usize)> = BTreeMap::new();
        for line in text.lines() {
            let event: Json = serde_json::from_str(line).unwrap();
            let Some(hex) = event["hex"].as_str() else { continue };
            let key = (event["conn"].as_u64().unwrap(), event["dir"].to_string());
            let (bytes, frames) = streams.entry(key).or_default();
            bytes.extend(from_hex(hex).unwrap());
            *frames += 1;
        }
        for ((conn, dir), (bytes, frames)) in streams {
            let mut framer = Framer::new(Limits::default().frame_bytes);
            let mut found = 0;
            for piece in bytes.chunks(13) {
                framer.feed(piece);
                while framer.next_frame().unwrap().is_some() {
                    found += 1;
                }
            }
            assert_eq!((found, framer.buffered()), (frames, 0), "{file} {conn} {dir}");
        }
    }
}
