//! Processes that are no children of Rust's, ports, and signals.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// A port that nobody has now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// `tcp://127.0.0.1:PORT` of which nobody else takes the port before a broker listens there, or while it is down: it is
/// none that the system hands out by itself, and every process begins at another one.
///
/// # Panics
/// No port is free.
pub fn reserved_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: u32 = 18_000;
    for _ in 0..PORTS {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + std::process::id().wrapping_mul(61).wrapping_add(nth) % PORTS;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return format!("tcp://{address}");
        }
    }
    panic!("no port is free");
}

pub(crate) fn processes() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

pub(crate) fn children(parent: u32) -> Vec<u32> {
    processes().filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may have spaces and parentheses itself.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

pub(crate) fn signal(pid: u32, what: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // A process that is gone needs none.
        let _ = kill_process(pid, what);
    }
}

pub(crate) fn ended(child: &mut Child) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
