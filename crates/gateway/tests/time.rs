//! Deadlines: greetings, silence both ways, frames that stand still.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::time::Duration;

use ferromq_gateway::{SessionError, SessionSettings};
use ferromq_openwire::{Command, KeepAliveInfo, WireFormatOptions};
use world::{World, names};

mod world;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_peer_that_does_not_greet_is_dropped() {
    let mut world = World::new(SessionSettings::default(), WireFormatOptions::default());
    world.answers();
    world.pass(SECOND * 29);
    world.feed(&[0, 0]);
    assert!(!world.session.is_finished());
    world.pass(SECOND);
    assert!(world.session.is_finished(), "bytes that make no greeting buy no time");
    assert_eq!(world.session.failure(), Some(&SessionError::HandshakeTimeout { after_ms: 30_000 }));
}

#[test]
fn silence_of_the_peer_ends_the_connection_and_one_byte_saves_it() {
    let mut world = World::plain();
    for _ in 0..5 {
        world.pass(SECOND * 25);
        world.answers();
        world.feed_command(&KeepAliveInfo::default().into());
        assert!(!world.session.is_finished());
    }
    world.pass(SECOND * 61);
    world.assert_over();
    assert_eq!(world.session.failure(), Some(&SessionError::Inactive { after_ms: 30_000 }));
}

#[test]
fn a_broker_with_nothing_to_say_gives_signs_of_life() {
    let mut world = World::plain();
    let mut signs = 0;
    for _ in 0..6 {
        world.pass(SECOND * 10);
        world.feed_command(&KeepAliveInfo::default().into());
        let answers = world.answers();
        assert!(answers.iter().all(|answer| matches!(answer, Command::KeepAliveInfo(_))), "{answers:?}");
        signs += answers.len();
    }
    assert!((4..=6).contains(&signs), "every ten seconds: {signs}");
}

#[test]
fn no_sign_of_life_is_added_to_output_that_waits() {
    let mut world = World::plain();
    world.pass(SECOND * 10);
    world.answers();
    world.request(KeepAliveInfo::default());
    for _ in 0..2 {
        world.pass(SECOND * 20);
        world.feed_command(&KeepAliveInfo::default().into());
    }
    assert_eq!(names(&world.answers()), ["KeepAliveInfo"], "the answer alone");
}

#[test]
fn without_a_monitor_silence_is_allowed() {
    let options = WireFormatOptions { max_inactivity_ms: 0, ..WireFormatOptions::default() };
    let mut world = World::connected(SessionSettings::default(), options);
    world.pass(SECOND * 100_000);
    assert!(!world.session.is_finished());
    assert!(world.answers().is_empty());
}

#[test]
fn a_peer_that_the_broker_does_not_read_is_not_blamed_for_silence() {
    let mut world = World::plain();
    world.session.pause(world.now);
    world.pass(SECOND * 300);
    assert!(!world.session.is_finished());
    world.session.resume(world.now);
    world.pass(SECOND * 20);
    assert!(!world.session.is_finished(), "it gets a whole round first");
    world.pass(SECOND * 100);
    world.assert_over();
}

#[test]
fn a_driver_that_does_not_ask_excuses_the_peer_without_a_word() {
    let mut world = World::plain();
    world.feed(&1_000_000_i32.to_be_bytes());
    world.reading = false;
    world.pass(SECOND * 300);
    assert!(!world.session.is_finished());
    world.reading = true;
    world.pass(SECOND * 20);
    assert!(!world.session.is_finished(), "it gets a whole round first");
    world.pass(SECOND * 100);
    world.assert_over();
}

#[test]
fn a_slow_loris_inside_a_frame_is_dropped_while_a_slow_link_is_not() {
    let settings = SessionSettings::default;
    let mut world = World::connected(settings(), WireFormatOptions::default());
    world.feed(&1_000_000_i32.to_be_bytes());
    for _ in 0..120 {
        world.feed(&[0; 100]);
        world.pass(SECOND);
    }
    assert!(!world.session.is_finished(), "100 bytes a second are progress");
    for _ in 0..70 {
        world.feed(&[0]);
        world.pass(SECOND);
    }
    world.assert_over();
    assert_eq!(
        world.session.failure(),
        Some(&SessionError::Stalled { least_bytes: 1_024, within_ms: 30_000 })
    );
}
