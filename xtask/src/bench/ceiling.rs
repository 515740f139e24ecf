//! What no broker can exceed on this machine, measured in the same run.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::rows::{Bound, Row};
use super::target::Tools;

/// The machine's own limits.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// `fdatasync` after overwriting 4 KiB, median, microseconds.
    pub sync_us: f64,
    /// Overwriting 4 KiB and syncing that, mean, microseconds.
    pub flush_us: f64,
    /// One byte there and back over loopback, median, microseconds.
    pub round_trip_us: f64,
}

impl Ceilings {
    pub fn measure(tools: &Tools) -> anyhow::Result<Self> {
        let (sync_us, flush_us) = disk_us(&tools.scratch().join("sync-probe"))?;
        Ok(Self { sync_us, flush_us, round_trip_us: round_trip_us()? })
    }

    /// Messages a second that the disk allows, if the row waits for it.
    pub fn by_disk(&self, row: &Row) -> Option<f64> {
        match row.bound {
            Bound::Client => None,
            Bound::Flush(shared) => Some(shared * 1e6 / (self.sync_us + self.round_trip_us)),
        }
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fdatasync of 4 KiB p50 {:.0} µs, empty round trip over loopback p50 {:.0} µs",
            self.sync_us, self.round_trip_us
        )
    }
}

fn median(mut micros: Vec<f64>) -> f64 {
    micros.sort_by(f64::total_cmp);
    micros.get(micros.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of a sync, and the mean of a write with its sync.
fn disk_us(path: &std::path::Path) -> anyhow::Result<(f64, f64)> {
    const BLOCK: usize = 4096;
    const ROUNDS: u64 = 200;
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    for i in 0..ROUNDS {
        file.write_all_at(&[0; BLOCK], i * BLOCK as u64)?;
    }
    file.sync_all()?;
    let mut micros = Vec::new();
    let start = Instant::now();
    for i in 0..ROUNDS {
        file.write_all_at(&[1; BLOCK], i * BLOCK as u64)?;
        let began = Instant::now();
        file.sync_data()?;
        micros.push(began.elapsed().as_nanos() as f64 / 1e3);
    }
    let mean = start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64;
    std::fs::remove_file(path)?;
    Ok((median(micros), mean))
}

fn round_trip_us() -> anyhow::Result<f64> {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    const ROUNDS: usize = 2_000;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut peer, _) = listener.accept()?;
        peer.set_nodelay(true)?;
        let mut byte = [0];
        for _ in 0..ROUNDS {
            peer.read_exact(&mut byte)?;
            peer.write_all(&byte)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut micros = Vec::new();
    let mut byte = [7];
    for _ in 0..ROUNDS {
        let began = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        micros.push(began.elapsed().as_nanos() as f64 / 1e3);
    }
    echo.join().map_err(|_| anyhow::anyhow!("the echo thread failed"))??;
    Ok(median(micros))
}
