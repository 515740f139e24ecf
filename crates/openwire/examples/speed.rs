//! Measures the codec: a persistent text message of 1 KiB on a version 12 connection, tight and cached.
//!
//! `cargo run --release -p ferromq-openwire --example speed`

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ferromq_openwire::{
    Command, ConsumerId, Destination, Limits, Message, MessageAck, MessageDispatch, MessageId, MessageKind,
    ProducerId, SessionId, WireFormat, WireFormatOptions,
};

const ROUNDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    for tight in [true, false] {
        let options = WireFormatOptions { tight_encoding: tight, ..WireFormatOptions::default() };
        println!("{}", if tight { "tight, cached" } else { "loose, cached" });
        measure(&options)?;
    }
    Ok(())
}

fn measure(options: &WireFormatOptions) -> Result<(), Box<dyn Error>> {
    let mut client = WireFormat::new(Limits::default());
    client.renegotiate(options, &options.to_info()?)?;
    let mut broker_in = client.clone();
    let mut broker_out = client.clone();

    let session = SessionId::new("ID:host.example-42255-1795460772787-28:1", 1);
    let message = sample(&session)?;
    let sent = Command::from(message.clone());
    let consumer = ConsumerId::new(&session, 1);

    let mut frame = Vec::new();
    // Twice, so that the cache is warm and the frame is the one that travels all the time.
    for _ in 0..2 {
        frame.clear();
        client.encode(&sent, &mut frame)?;
        broker_in.decode(Bytes::copy_from_slice(&frame[4..]))?;
    }
    println!("  frame                        {:>6} bytes", frame.len());

    let decode = time(|| {
        let frame = Bytes::copy_from_slice(&frame[4..]);
        broker_in.decode(frame)
    })?;
    let mut out = Vec::new();
    let shared = Arc::new(message);
    let encode = time(|| {
        out.clear();
        let dispatch = MessageDispatch {
            consumer_id: Some(consumer.clone()),
            destination: shared.destination.clone(),
            message: Some(Arc::clone(&shared)),
            ..MessageDispatch::default()
        };
        broker_out.encode(&dispatch.into(), &mut out)
    })?;
    let copy = time(|| Ok(Message { broker_in_time: 1, ..(*shared).clone() }))?;
    let ack = Command::from(MessageAck {
        destination: shared.destination.clone(),
        consumer_id: Some(consumer.clone()),
        ack_type: 2,
        first_message_id: shared.message_id.clone(),
        last_message_id: shared.message_id.clone(),
        message_count: 1,
        ..MessageAck::default()
    });
    let mut frame = Vec::new();
    let mut acked = client.clone();
    for _ in 0..2 {
        frame.clear();
        client.encode(&ack, &mut frame)?;
        acked.decode(Bytes::copy_from_slice(&frame[4..]))?;
    }
    let ack = time(|| acked.decode(Bytes::copy_from_slice(&frame[4..])))?;

    println!("  decode a message             {decode:>6.0} ns");
    println!("  encode its dispatch          {encode:>6.0} ns");
    println!("  copy it with a new time      {copy:>6.0} ns");
    println!("  decode its acknowledgement   {ack:>6.0} ns");
    println!("  decode and encode            {:>6.2} µs", (decode + encode) / 1000.0);
    Ok(())
}

/// A message as a Java client sends it, with two properties and 1 KiB of text.
fn sample(session: &SessionId) -> Result<Message, Box<dyn Error>> {
    let producer = ProducerId::new(session, 1);
    let properties = [("region", "eu".into()), ("kind", "order".into())];
    let properties = properties.map(|(key, text)| (key, ferromq_openwire::Value::String(text)));
    let mut message = Message {
        command_id: 4711,
        response_required: true,
        producer_id: Some(producer.clone()),
        destination: Some(Destination::queue("orders.eu.incoming")),
        message_id: Some(MessageId::new(producer, 1234)),
        persistent: true,
        priority: 4,
        timestamp: 1_795_460_772_787,
        ..Message::new(MessageKind::Text)
    };
    message.set_text(&"0123456789abcdef".repeat(64))?;
    message.set_properties(&properties.into_iter().collect())?;
    Ok(message)
}

/// Nanoseconds for one call: the best of several runs, so that neighbours on the machine count least.
fn time<T>(mut call: impl FnMut() -> ferromq_openwire::Result<T>) -> Result<f64, Box<dyn Error>> {
    let mut best = f64::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        for _ in 0..ROUNDS / 10 {
            black_box(call()?);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS / 10));
    }
    Ok(best)
}
