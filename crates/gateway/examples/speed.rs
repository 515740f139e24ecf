//! What a message costs on its way through a session: frame to intent, and delivery to frame.
//!
//! `cargo run --release -p ferromq-gateway --example speed`

#![allow(clippy::unwrap_used, clippy::panic, reason = "an example may fail loudly")]

use std::sync::Arc;
use std::time::Instant;

use ferromq_engine::{ConnId, Effect, Input, Intent, LocalId, Tag};
use ferromq_gateway::{Session, SessionSettings};
use ferromq_model::{Delivery, Message as Stored, Now, Sequence, Text};
use ferromq_openwire::{
    Command, ConnectionId, ConnectionInfo, Destination, Framer, Limits, Message, MessageId, MessageKind,
    ProducerId, SessionId, WireFormat, WireFormatOptions,
};

const MESSAGES: usize = 200_000;
const BATCH: usize = 64;

/// A session that has been taken by its engine, and the client's side of its encoding.
fn connected(options: &WireFormatOptions) -> (Session, WireFormat) {
    let now = Now::default();
    let remote = Text::from("tcp://127.0.0.1:1");
    let mut session = Session::new(Arc::new(SessionSettings::default()), ConnId(1), remote, now);
    let mut client = WireFormat::new(Limits::default());
    let mut bytes = Vec::new();
    client.encode(&options.to_info().unwrap().into(), &mut bytes).unwrap();
    let mut greeting = Vec::new();
    session.transmit(&mut greeting);
    let mut framer = Framer::new(1 << 20);
    framer.feed(&greeting);
    let greeting = client.decode(framer.next_frame().unwrap().unwrap()).unwrap();
    let Command::WireFormatInfo(info) = greeting else { panic!("a greeting") };
    client.renegotiate(options, &info).unwrap();
    let hello = ConnectionInfo { connection_id: Some(ConnectionId::new("ID:c:1")), ..Default::default() };
    client.encode(&hello.into(), &mut bytes).unwrap();
    session.read_buffer().extend_from_slice(&bytes);
    while session.poll_input(now).is_some() {}
    session.reply(now, Tag(0), Effect::Done);
    session.transmit(&mut Vec::new());
    (session, client)
}

fn message(n: usize) -> Message {
    let producer = ProducerId::new(&SessionId::new("ID:c:1", 1), 1);
    Message {
        producer_id: Some(producer.clone()),
        destination: Some(Destination::queue("orders")),
        message_id: Some(MessageId::new(producer, i64::try_from(n).unwrap())),
        persistent: true,
        content: Some(vec![b'x'; 1_024].into()),
        timestamp: 1_700_000_000_000,
        ..Message::new(MessageKind::Bytes)
    }
}

fn main() {
    for (name, tight_encoding) in [("warm-up", false), ("tight", true), ("loose", false)] {
        let options = WireFormatOptions { tight_encoding, ..Default::default() };
        let now = Now::default();
        let (mut session, mut client) = connected(&options);
        let mut frames = Vec::new();
        for n in 0..MESSAGES {
            client.encode(&message(n).into(), &mut frames).unwrap();
        }
        let mut stored: Vec<Arc<Stored>> = Vec::with_capacity(MESSAGES);
        let start = Instant::now();
        for piece in frames.chunks(64 * 1_024) {
            session.read_buffer().extend_from_slice(piece);
            session.received(now);
            while let Some(input) = session.poll_input(now) {
                if let Input::Intent { intent: Intent::Send(send), .. } = input {
                    stored.push(send.message);
                }
            }
        }
        let inbound = start.elapsed();
        assert_eq!(stored.len(), MESSAGES);

        let mut out = Vec::new();
        let mut bytes = 0;
        let start = Instant::now();
        for (batch, messages) in stored.chunks(BATCH).enumerate() {
            for (n, message) in messages.iter().enumerate() {
                let delivery = Delivery {
                    message: Some(Arc::clone(message)),
                    sequence: Sequence((batch * BATCH + n) as u64),
                    redelivery_counter: 0,
                    first_of_group: false,
                    position: None,
                };
                session.deliver(now, LocalId { session: 1, value: 1 }, &delivery);
            }
            session.transmit(&mut out);
            bytes += out.len();
            out.clear();
        }
        let outbound = start.elapsed();
        let each = |span: std::time::Duration| span.as_secs_f64() * 1e6 / MESSAGES as f64;
        println!(
            "{name}: in {:.2} µs, out {:.2} µs for each message of 1 KiB ({bytes} bytes out)",
            each(inbound),
            each(outbound)
        );
    }
}
