//! A connection to a broker that is played by the test.

use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::{Command, Destination, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Connection;
use crate::link::Link;
use crate::message::Outgoing;

/// Answers everything until the first message has come, and reads nothing from then on.
async fn answer_until_a_message(mut stream: TcpStream) {
    let mut link = Link::new(Default::default(), Default::default()).unwrap();
    loop {
        let out = link.output().to_vec();
        stream.write_all(&out).await.unwrap();
        link.written(out.len());
        if stream.read_buf(link.read_buffer()).await.unwrap() == 0 {
            return;
        }
        while let Some(command) = link.next_command(Instant(0)).unwrap() {
            let number = match command {
                Command::ConnectionInfo(info) => info.command_id,
                Command::ProducerInfo(info) => info.command_id,
                Command::Message(_) => return std::future::pending().await,
                _ => continue,
            };
            link.push(&Response { correlation_id: number, ..Response::default() }.into()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_broker_that_does_not_read_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer_until_a_message(stream).await;
    });
    let uri = format!("tcp://{place}?soWriteTimeout=200&wireFormat.maxInactivityDuration=0");
    let client = Connection::connect(&uri).await.unwrap();
    let producer = client.producer(Destination::queue("q")).await.unwrap();
    // More than the buffers of any system take.
    let body = "x".repeat(8 << 20);
    let sends = producer.send_all((0..8).map(|_| Outgoing::text(body.as_str())));
    let error = tokio::time::timeout(Duration::from_secs(10), sends).await.expect("an end").unwrap_err();
    assert!(error.to_string().contains("soWriteTimeout"), "{error}");
}
