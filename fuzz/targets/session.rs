//! A whole connection from a stranger: pieces of a stream, answers of every kind in between, time that passes.
//!
//! Input: the stream as a client would send it. How it is cut, and how the engine answers, follows from its bytes.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{ConnId, Effect, Fault, FaultKind, Input};
use ferromq_gateway::{Session, SessionSettings};
use ferromq_model::{Now, Text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut settings = SessionSettings::default();
    settings.max_frame_size = 1 << 20;
    let mut now = Now::default();
    let mut session = Session::new(Arc::new(settings), ConnId(1), Text::from("tcp://127.0.0.1:4711"), now);
    let mut out = Vec::new();
    let (mut attached, mut detached) = (0, 0);
    let mut rest = data;
    let mut step: usize = 97;
    while !session.is_finished() && !rest.is_empty() {
        step = (step * 31 + usize::from(rest[0])) % 4096 + 1;
        let (piece, more) = rest.split_at(step.min(rest.len()));
        rest = more;
        session.read_buffer().extend_from_slice(piece);
        session.received(now);
        while let Some(input) = session.poll_input(now) {
            answer(&mut session, &input, now, step);
            attached += usize::from(matches!(input, Input::Attach { .. }));
            detached += usize::from(matches!(input, Input::Detach { .. }));
            assert!(attached == 1 && detached <= 1, "attach comes first, each comes once");
        }
        out.clear();
        session.transmit(&mut out);
        if step % 64 == 0 {
            now.mono = now.mono + Duration::from_secs(7);
            session.tick(now);
        }
    }
    session.lost();
    while let Some(input) = session.poll_input(now) {
        detached += usize::from(matches!(input, Input::Detach { .. }));
    }
    assert_eq!(attached, detached, "who attached is detached in the end");
});

fn answer(session: &mut Session, input: &Input, now: Now, step: usize) {
    let Input::Intent { tag: Some(tag), .. } = input else { return };
    let fault = Fault { kind: FaultKind::General, text: "no".to_owned() };
    match step % 5 {
        0 => session.reply(now, *tag, Effect::Failed(fault)),
        1 => session.reply(now, *tag, Effect::Count(3)),
        _ => session.reply(now, *tag, Effect::Done),
    }
}
