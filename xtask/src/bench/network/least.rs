//! [`Least`]: what a hop adds at least when a message is stored on both sides before anybody sees it: threads that read, write,
//! sync and pass on, and nothing else.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ROUNDS;
use crate::bench::quantile;

/// A message with what a protocol adds.
const FRAME: usize = 1_200;
/// What is written and synced for it.
const BLOCK: usize = 4_096;
/// Blocks of a file, which are written over and over.
const BLOCKS: u64 = 1_024;
/// As the rows of latency.
const PACE: Duration = Duration::from_millis(5);

/// Latency in milliseconds: the median, and the 99th percentile.
type Latency = [f64; 2];

/// What one more such store adds, the median of the rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    added: Latency,
}

impl Least {
    pub(super) fn measure(folder: &Path, seconds: u32) -> Result<Self> {
        let mut added: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            let (one, two) = (chain(folder, 1, seconds)?, chain(folder, 2, seconds)?);
            for ((all, one), two) in added.iter_mut().zip(one).zip(two) {
                all.push(two - one);
            }
        }
        Ok(Self { added: added.map(|all| quantile(all, 0.5).unwrap_or(f64::NAN)) })
    }
}

impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, tail] = self.added;
        write!(
            f,
            "a bare hop (a thread that reads a message, writes and syncs 4 KiB and passes it on, no broker) adds p50 {median:.2} ms, p99 {tail:.2} ms"
        )
    }
}

/// The latency of messages through so many stores, one after the other.
fn chain(folder: &Path, stores: usize, seconds: u32) -> Result<Latency> {
    let (end, mut next) = listen()?;
    let mut links = Vec::new();
    for store in 0..stores {
        let (listener, address) = listen()?;
        let file = blank(&folder.join(format!("least-{store}")))?;
        let onward = std::mem::replace(&mut next, address);
        links.push(std::thread::spawn(move || pass_on(&listener, onward, &file)));
    }
    let began = Instant::now();
    let reader = std::thread::spawn(move || receive(&end, began));
    let mut sender = TcpStream::connect(next)?;
    sender.set_nodelay(true)?;
    let mut frame = [0; FRAME];
    let mut due = Instant::now();
    for _ in 0..u64::from(seconds) * 1_000 / 5 {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += PACE;
        let sent = u64::try_from(began.elapsed().as_nanos())?;
        for (place, byte) in frame.iter_mut().zip(sent.to_le_bytes()) {
            *place = byte;
        }
        sender.write_all(&frame)?;
    }
    drop(sender);
    for link in links {
        joined(link)?;
    }
    let millis = joined(reader)?;
    for store in 0..stores {
        std::fs::remove_file(folder.join(format!("least-{store}")))?;
    }
    let of = |q| quantile(millis.iter().copied(), q).context("nothing came");
    Ok([of(0.5)?, of(0.99)?])
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the bare hop failed"))?
}

fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A file whose blocks are all there, so that a sync writes nothing but data.
fn blank(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    for block in 0..BLOCKS {
        file.write_all_at(&[0; BLOCK], block * BLOCK as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Reads frames, stores each, and passes it on.
fn pass_on(listener: &TcpListener, onward: SocketAddr, file: &File) -> Result<()> {
    let (mut from, _) = listener.accept()?;
    let mut to = TcpStream::connect(onward)?;
    to.set_nodelay(true)?;
    let mut block = [0; BLOCK];
    for number in 0.. {
        let Some(frame) = block.get_mut(..FRAME) else { break };
        if from.read_exact(frame).is_err() {
            break;
        }
        file.write_all_at(&block, number % BLOCKS * BLOCK as u64)?;
        file.sync_data()?;
        to.write_all(block.get(..FRAME).unwrap_or_default())?;
    }
    Ok(())
}

/// How long each frame was on its way, in milliseconds.
fn receive(end: &TcpListener, began: Instant) -> Result<Vec<f64>> {
    let (mut from, _) = end.accept()?;
    let (mut frame, mut all) = ([0; FRAME], Vec::new());
    while from.read_exact(&mut frame).is_ok() {
        let sent = frame.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        all.push((began.elapsed() - Duration::from_nanos(sent)).as_secs_f64() * 1e3);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_two_stores_arrives_and_takes_time() {
        let folder = tempfile::tempdir().unwrap();
        let [median, tail] = chain(folder.path(), 2, 1).unwrap();
        assert!(median > 0.0 && tail >= median);
    }
}
