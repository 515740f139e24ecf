//! A process that writes is killed again and again; what it had told as durable is there each time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, Ticket,
};
use ferromq_store::{Budget, Claimed, Follower, PageRequest, ProducerWindows, StoreOp, Sync, WriteBatch};
use ferromq_store_sqlite::{SqliteOptions, SqliteStore};

const FOLDER: &str = "FERROMQ_TEST_KILL_FOLDER";
const QUEUE: DestinationId = DestinationId(1);

fn claim(folder: &Path) -> Claimed {
    let mut store = Box::new(SqliteStore::new(&folder.join("ferromq.db"), SqliteOptions::default()));
    store.follow(Budget { bytes: u64::MAX }).unwrap();
    let number = store.seen_epoch().number + 1;
    store.claim(Epoch { number, claim: ClaimId(number) }).unwrap_or_else(|(_, error)| panic!("{error}"))
}

fn producer() -> ProducerId {
    ProducerId::new("ID:killed".into(), 1, 1)
}

/// Not a test: the process that is killed. Writes until its end and prints the last durable place each time.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let Claimed { mut backend, recovered, .. } = claim(Path::new(&folder));
    let mut tickets = 1..;
    let mut batch =
        |ops, sync| WriteBatch { epoch: recovered.epoch, ticket: Ticket(tickets.next().unwrap()), ops, sync };
    if recovered.destinations.is_empty() {
        let queue = StoreOp::PutDestination { id: QUEUE, destination: Destination::queue("q") };
        backend.commit(&[batch(vec![queue], Sync::Required)], false).unwrap();
    }
    let mut out = std::io::stdout();
    for place in recovered.next_sequence.0.. {
        let message = Message {
            body: Some(vec![place as u8; 500].into()),
            ..Message::new(MessageId::new(producer(), place as i64), Destination::queue("q"))
        };
        let put = StoreOp::PutMessage {
            destination: QUEUE,
            sequence: Sequence(place),
            message: message.into(),
            subscriptions: Vec::new(),
            dedup: true,
            exposed: false,
        };
        // Every third message is removed again in the batch of the next one.
        let gone = StoreOp::RemoveMessage { destination: QUEUE, sequence: Sequence(place - 1) };
        let ops = if place % 3 == 0 { vec![put, gone] } else { vec![put] };
        let batch = batch(ops, if place % 5 == 0 { Sync::Lazy } else { Sync::Required });
        if backend.commit(&[batch], false).unwrap().is_some() {
            writeln!(out, "durable {place}").unwrap();
            out.flush().unwrap();
        }
        if place % 50 == 0 {
            backend.maintain(Budget { bytes: 1 << 20 }).unwrap();
        }
    }
}

#[test]
fn nothing_durable_is_lost_by_twenty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..20u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
        acknowledged = told.take(5 + (kill * 37 % 90) as usize).last().unwrap_or(acknowledged);
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder.path(), acknowledged);
    }
    assert!(acknowledged > 500, "{acknowledged} messages were written at least");
}

/// Each place up to the last acknowledged one is there, or was removed by the batch of the one after it.
fn check(folder: &Path, acknowledged: u64) {
    let Claimed { backend, mut reader, recovered } = claim(folder);
    let last = recovered.next_sequence.0 - 1;
    assert!(last >= acknowledged, "{last} is the last, {acknowledged} was acknowledged");
    let page = reader
        .page(PageRequest::Queue { destination: QUEUE, after: Sequence(0), limit: usize::MAX })
        .unwrap();
    let found: Vec<u64> = page.iter().map(|entry| entry.sequence.0).collect();
    let expected: Vec<u64> = (1..=last).filter(|place| *place == last || place % 3 != 2).collect();
    assert_eq!(found, expected);
    assert_eq!(recovered.destinations[0].messages, expected.len() as u64);
    let windows = ProducerWindows::from_recovered(recovered.producers);
    assert!(windows.contains(&producer(), last as i64) && !windows.contains(&producer(), last as i64 + 1));
    drop(reader);
    backend.close().unwrap();
}
