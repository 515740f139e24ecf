//! Peers that are broken or mean: each is told or dropped, none makes the session panic or grow.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use ferromq_gateway::{SessionError, SessionSettings};
use ferromq_openwire::json::from_hex;
use ferromq_openwire::{Command, WireFormatOptions};
use serde_json::Value as Json;
use world::World;

mod world;

fn data(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/openwire/");
    std::fs::read_to_string(format!("{root}{path}")).unwrap()
}

#[test]
fn frames_that_the_real_broker_cannot_read_end_the_connection_with_a_word() {
    let mut refused = 0;
    for line in data("vectors/malformed.json-lines.txt").lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let hex = case["hex"].as_str().unwrap();
        if !case["realDecoder"].as_str().unwrap_or_default().starts_with("error") {
            continue;
        }
        let options = WireFormatOptions {
            version: i32::try_from(case["version"].as_i64().unwrap()).unwrap(),
            tight_encoding: case["tight"] == true,
            cache: case["cache"] == true,
            ..WireFormatOptions::default()
        };
        let mut world = World::connected(SessionSettings::default(), options);
        world.feed(&from_hex(hex).unwrap());
        if !world.session.is_finished() {
            // A frame whose size says that more is to come is waited for, and dropped by the clock.
            world.pass(std::time::Duration::from_secs(120));
        }
        world.assert_over();
        let answers = world.answers();
        assert!(answers.len() <= 12, "{}: {answers:?}", case["case"]);
        refused += 1;
    }
    assert!(refused >= 10, "the table was read: {refused}");
}

#[test]
fn a_frame_beyond_the_limit_is_refused_by_its_size_alone() {
    let mut settings = SessionSettings::default();
    settings.max_frame_size = 10_000;
    let mut world = World::connected(settings, WireFormatOptions::default());
    world.feed(&10_001_i32.to_be_bytes());
    assert!(matches!(world.answer(), Command::ConnectionError(_)));
    world.assert_over();
    assert!(matches!(world.session.failure(), Some(SessionError::Malformed(text)) if text.contains("10000")));
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut world = World::plain();
    world.feed(&[0xff; 4]);
    world.assert_over();
    let seen = world.inputs.len();
    world.feed_command(&world::connection_info().into());
    assert_eq!(world.inputs.len(), seen);
}

/// A generator whose every run is the same.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn recorded_frames_with_flipped_bytes_never_break_the_session() {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for line in data("captures/connect-produce-consume.v12-tight-cache.jsonl").lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        if line["dir"] == "c>s" && line["decoded"]["$type"] != "WireFormatInfo" {
            frames.extend(line["hex"].as_str().and_then(from_hex));
        }
    }
    let mut dice = Lcg(7);
    let mut ended = 0;
    for _ in 0..500 {
        let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
        for frame in &frames {
            let mut frame = frame.clone();
            if dice.below(4) == 0 {
                let at = dice.below(frame.len());
                frame[at] ^= 1 << dice.below(8);
            }
            world.feed(&frame);
        }
        world.answers();
        ended += usize::from(world.session.is_finished());
        world.session.lost();
        world.assert_over();
    }
    assert!(ended > 100, "damage is noticed: {ended}");
}
