//! Damaged frames: never a panic, never much memory, and the damage does not outlive the connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use bytes::Bytes;
use ferromq_openwire::json::from_hex;
use ferromq_openwire::json::vectors::format_of;
use ferromq_openwire::{Command, Error, ErrorKind, Limits, WireFormat};
use serde_json::Value as Json;

mod data;

/// Frames with the format in which they were written, one in `step`.
fn frames(step: usize) -> Vec<(WireFormat, Vec<Vec<u8>>)> {
    let files = data::files("vectors", "jsonl");
    let lines = files.iter().flat_map(|(_, text)| text.lines()).step_by(step);
    let frame = |step: &Json| from_hex(step["hex"].as_str().unwrap()).unwrap().split_off(4);
    lines
        .map(|line| {
            let vector: Json = serde_json::from_str(line).unwrap();
            let frames = match vector["sequence"].as_array() {
                Some(steps) => steps.iter().take(4).map(frame).collect(),
                None => vec![frame(&vector)],
            };
            (format_of(&vector).unwrap(), frames)
        })
        .collect()
}

/// A repeatable sequence of numbers.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

/// Decodes what came, and everything in it that is decoded on demand.
fn digest(format: &mut WireFormat, frame: Vec<u8>, limits: &Limits) -> bool {
    let command = match format.decode(Bytes::from(frame)) {
        Ok(command) => command,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Peer, "{error}");
            return false;
        }
    };
    let message = match &command {
        Command::Message(message) => Some(message),
        Command::MessageDispatch(dispatch) => dispatch.message.as_ref(),
        _ => None,
    };
    if let Some(message) = message {
        let _ = message.body(limits);
        let _ = message.decode_properties(limits);
        if let Some(properties) = message.properties(limits) {
            let _ = properties.get("k");
        }
    }
    // What was understood can be said again, or is refused in words.
    let mut out = Vec::new();
    let _ = WireFormat::with(format.negotiated().clone(), limits.clone()).encode(&command, &mut out);
    true
}

#[test]
fn damaged_frames_are_answered_with_an_error_or_a_command() {
    let limits = Limits { inflated_bytes: 1 << 20, ..Limits::default() };
    let mut noise = Noise(42);
    let (mut understood, mut refused) = (0, 0);
    for (format, frames) in frames(3) {
        for round in 0..40 {
            let mut format = format.clone();
            for mut frame in frames.iter().cloned() {
                frame.truncate(4096);
                match round % 4 {
                    0 => frame.truncate(noise.next(frame.len())),
                    1 => {
                        let at = noise.next(frame.len());
                        frame[at] ^= 1 << noise.next(8);
                    }
                    2 => {
                        for _ in 0..3 {
                            let at = noise.next(frame.len());
                            frame[at] = [0, 1, 0x7F, 0x80, 0xFF][noise.next(5)];
                        }
                    }
                    _ => {
                        let at = noise.next(frame.len());
                        let piece: Vec<u8> = frame[at..].iter().copied().take(noise.next(64)).collect();
                        let to = noise.next(frame.len());
                        frame.splice(to..to, piece);
                    }
                }
                if digest(&mut format, frame, &limits) {
                    understood += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    assert!(understood > 1000 && refused > 1000, "{understood} understood, {refused} refused");
    if let Some(peak) = peak_memory_kib() {
        assert!(peak < 256 * 1024, "the process grew to {peak} KiB");
    }
}

/// The most memory that this process ever had, where the system tells.
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn every_cut_of_a_frame_is_too_short() {
    for (format, frames) in frames(7) {
        let Some(frame) = frames.first().filter(|frame| frame.len() < 2000) else { continue };
        for end in 0..frame.len() {
            let outcome = format.clone().decode(Bytes::copy_from_slice(&frame[..end]));
            assert!(matches!(outcome, Err(Error::Truncated { .. })), "{end}: {outcome:?}");
        }
    }
}

fn loose() -> WireFormat {
    WireFormat::loose(12, Limits::default())
}

#[test]
fn nesting_stops_at_the_limit() {
    // Given a DataResponse in a DataResponse, and so on: 32, commandId, flag, correlationId, not null
    let mut frame = Vec::new();
    for _ in 0..100_000 {
        frame.extend_from_slice(&[32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
    assert_eq!(loose().decode(Bytes::from(frame)), Err(Error::TooDeep(32)));

    // And an exception with a cause, and so on, in a peer that sends stacks
    let mut agreed = loose().negotiated().clone();
    agreed.stack_trace = true;
    let mut frame = vec![31, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for _ in 0..100_000 {
        frame.extend_from_slice(&[1, 0, 0, 0, 0]);
    }
    let mut format = WireFormat::with(agreed, Limits::default());
    assert_eq!(format.decode(Bytes::from(frame)), Err(Error::TooDeep(32)));
}

#[test]
fn a_frame_cannot_unfold_to_many_times_its_size() {
    // Given a frame of 8 MiB with 255 arrays of 32767 null elements, each one byte on the wire
    let mut frame = vec![33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 255];
    for _ in 0..255 {
        frame.extend_from_slice(&[1, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 0xFF]);
        frame.resize(frame.len() + 32_767, 0);
    }
    let refused = loose().decode(Bytes::from(frame));
    assert!(matches!(refused, Err(Error::TooExpansive(_))), "{refused:?}");
}

#[test]
fn lengths_are_believed_only_as_far_as_the_bytes_reach() {
    for length in [[0x7F, 0xFF, 0xFF, 0xFF], [0xFF; 4], [0x80, 0, 0, 0], [0, 0, 0, 9]] {
        // XATransactionId with an array that promises too much
        let mut frame = vec![112, 0, 0, 0, 0, 1];
        frame.extend_from_slice(&length);
        frame.extend_from_slice(&[0; 8]);
        assert!(loose().decode(Bytes::from(frame)).is_err());
    }
}

#[test]
fn the_cache_is_bounded_in_slots_and_bytes() {
    let mut agreed = loose().negotiated().clone();
    (agreed.cache, agreed.cache_size) = (true, 1024);
    let limits = Limits { cache_bytes: 1 << 20, ..Limits::default() };
    let mut format = WireFormat::with(agreed, limits);
    // Given a peer that fills slot after slot with names of 60,000 bytes: RemoveInfo of a connection
    let remove = |slot: u16| {
        let mut frame = vec![12, 0, 0, 0, 0, 0, 1];
        frame.extend_from_slice(&slot.to_be_bytes());
        frame.extend_from_slice(&[1, 120, 1, 0xEA, 0x60]);
        frame.resize(frame.len() + 60_000, b'x');
        frame.extend_from_slice(&[0; 8]);
        Bytes::from(frame)
    };
    let accepted = (0..1024).take_while(|&slot| format.decode(remove(slot)).is_ok()).count();
    assert_eq!(accepted, (1 << 20) / 60_000);
    // And one that names a slot that does not exist
    assert!(matches!(format.decode(remove(1024)), Err(Error::CacheIndex { .. })));
}
