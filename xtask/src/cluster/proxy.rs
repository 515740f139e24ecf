//! [`Proxy`]: a TCP relay on the loopback interface that can be cut, so that a node loses its database, or clients
//! lose a node, without anybody dying.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

const OPEN: u8 = 0;
/// Nothing passes, nothing is closed: both ends see a silent peer.
const SILENT: u8 = 1;
/// Connections are reset, new ones too.
const RESET: u8 = 2;
const ENDED: u8 = 3;

/// A relay from a port of its own to a target.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<AtomicU8>,
    /// Bytes from who connected to the target.
    forth: Arc<AtomicU64>,
}

impl Proxy {
    /// Relays to `target`, a loopback port.
    pub(crate) fn to(target: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let state = Arc::new(AtomicU8::new(OPEN));
        let seen = Arc::clone(&state);
        let forth = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&forth);
        std::thread::spawn(move || {
            while seen.load(Ordering::Relaxed) != ENDED {
                match listener.accept() {
                    Ok((near, _)) => relay(near, target, &seen, &counted),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Ok(Self { port, state, forth })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that went from those who connected to the target.
    pub(crate) fn forth(&self) -> u64 {
        self.forth.load(Ordering::Relaxed)
    }

    /// From now on nothing passes, and nobody is told.
    pub(crate) fn silence(&self) {
        self.state.store(SILENT, Ordering::Relaxed);
    }

    /// From now on connections are closed at once.
    pub(crate) fn reset(&self) {
        self.state.store(RESET, Ordering::Relaxed);
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        self.state.store(OPEN, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.store(ENDED, Ordering::Relaxed);
    }
}

fn relay(near: TcpStream, target: u16, state: &Arc<AtomicU8>, forth: &Arc<AtomicU64>) {
    if state.load(Ordering::Relaxed) == RESET {
        return;
    }
    let Ok(far) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], target))) else { return };
    // What comes back is not asked for, and counted in vain.
    let back = Arc::new(AtomicU64::new(0));
    for (from, to, counted) in
        [(near.try_clone(), far.try_clone(), Arc::clone(forth)), (Ok(far), Ok(near), back)]
    {
        let (Ok(from), Ok(to)) = (from, to) else { return };
        let state = Arc::clone(state);
        std::thread::spawn(move || copy(from, to, &state, &counted));
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8, counted: &AtomicU64) {
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match state.load(Ordering::Relaxed) {
            SILENT => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            RESET | ENDED => break,
            _ => {}
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => {
                counted.fetch_add(got as u64, Ordering::Relaxed);
                // What was read before the cut still passes; a cut is no moment on a wire either.
                if to.write_all(buffer.get(..got).unwrap_or_default()).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_relay_delays_and_a_reset_one_closes() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = echo.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in echo.incoming().flatten() {
                let mut back = stream.try_clone().unwrap();
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut back));
            }
        });
        let proxy = Proxy::to(port).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let mut byte = [0];
        client.write_all(b"a").unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"a");

        proxy.silence();
        std::thread::sleep(Duration::from_millis(60));
        client.write_all(b"b").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(client.read_exact(&mut byte).is_err());
        proxy.heal();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");

        proxy.reset();
        assert!(matches!(client.read(&mut byte), Ok(0) | Err(_)));
    }
}
