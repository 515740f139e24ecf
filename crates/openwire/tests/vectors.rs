//! Frames recorded from the real implementation: decoded, compared field by field, encoded again to the byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use ferromq_openwire::json::vectors::{check_line, describe, format_of};
use ferromq_openwire::json::{from_hex, to_json};
use serde_json::Value as Json;

mod data;

#[test]
fn every_recorded_frame_survives() {
    let mut checked = 0;
    let mut failures = Vec::new();
    for (file, text) in data::files("vectors", "jsonl") {
        for line in text.lines() {
            checked += 1;
            if let Err(why) = check_line(line) {
                failures.push(format!("{file}: {}: {why}", describe(line)));
            }
        }
    }
    assert!(checked > 700, "only {checked} vectors found");
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_changed_frame_or_field_is_noticed() {
    // Given vectors that pass
    let files = data::files("vectors", "jsonl");
    let (_, text) = files.iter().find(|(name, _)| name.starts_with("commands")).unwrap();
    let mut noticed = 0;
    for line in text.lines().filter(|line| line.contains(r#""case":"full""#)) {
        let mut vector: Json = serde_json::from_str(line).unwrap();
        // When a field says something else
        vector["fields"]["commandId"] = 77_777.into();
        let changed = check_line(&vector.to_string());
        // Then the checker says so
        assert!(changed.is_err(), "{}", describe(line));
        // And when a bit of the frame flips, the fields no longer fit, or the frame does not come back
        let mut vector: Json = serde_json::from_str(line).unwrap();
        let mut hex = vector["hex"].as_str().unwrap().to_owned();
        let last = hex.pop().and_then(|c| c.to_digit(16)).unwrap();
        hex.push(char::from_digit(last ^ 1, 16).unwrap());
        vector["hex"] = hex.into();
        noticed += usize::from(check_line(&vector.to_string()).is_err());
    }
    assert!(noticed > 150, "only {noticed} flipped bits were noticed");
}

#[test]
fn malformed_frames_get_the_answer_of_the_real_decoder() {
    let mut checked = 0;
    for (_, text) in data::files("vectors", "txt") {
        for line in text.lines() {
            let vector: Json = serde_json::from_str(line).unwrap();
            let mut format = format_of(&vector).unwrap();
            let frame = from_hex(vector["hex"].as_str().unwrap()).unwrap();
            let outcome = format.decode(bytes::Bytes::from(frame).slice(4..));
            let real = vector["realDecoder"].as_str().unwrap();
            match real.strip_prefix("accepted: ") {
                None => assert!(outcome.is_err(), "{}: {outcome:?}", vector["case"]),
                Some(fields) => {
                    let expected: Json = serde_json::from_str(fields).unwrap();
                    assert_eq!(to_json(&outcome.unwrap(), 12, false).unwrap(), expected);
                }
            }
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} malformed frames found");
}
