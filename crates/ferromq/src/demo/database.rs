//! A PostgreSQL server for the play alone, from the programs that Debian installs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::PATIENCE;
use crate::exit::{Exit, Failure};

/// Ends the server when its own standard input ends, and that ends with the demo, however the demo ends.
const WATCHER: &str =
    "\"$@\" >postgres.log 2>&1 & server=$!; cat >/dev/null; kill -INT $server; wait $server";

/// A running server; everybody on this machine may log in.
pub(super) struct Database {
    watcher: Child,
    port: u16,
}

impl Database {
    /// Makes a database in `folder` and starts a server on it, on a port that is free.
    pub(super) async fn start(folder: &Path) -> Result<Self, Failure> {
        let wrong = |error: std::io::Error| Failure::new(Exit::Unavailable, format!("PostgreSQL: {error}"));
        let programs = programs().ok_or_else(|| {
            let text = "PostgreSQL is not installed; install it with: apt-get install -y postgresql";
            Failure::new(Exit::Unavailable, text)
        })?;
        let home = folder.join("database");
        fs::create_dir(&home).map_err(wrong)?;
        // PostgreSQL refuses to run as root.
        let account = unprivileged();
        if let Some((uid, gid)) = account {
            chown(&home, Some(uid), Some(gid)).map_err(wrong)?;
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&home).env("LC_ALL", "C").kill_on_drop(true);
            if let Some((uid, gid)) = account {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = command(&programs.join("initdb"))
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust", "--username=postgres"])
            .args(["--pgdata", "data"])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(wrong)?;
        if !made.status.success() {
            let text = format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
            return Err(Failure::new(Exit::Unavailable, text));
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(wrong)?.port();
        let watcher = command(Path::new("/bin/sh"))
            .args(["-c", WATCHER, "sh"])
            .arg(programs.join("postgres"))
            .args(["-D", "data", "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "logging_collector=off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(false)
            .spawn()
            .map_err(wrong)?;
        let database = Self { watcher, port };
        let (log, until) = (home.join("postgres.log"), Instant::now() + PATIENCE);
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("ready to accept connections") {
                return Ok(database);
            }
            if Instant::now() > until {
                return Err(Failure::new(Exit::Unavailable, format!("PostgreSQL does not start:\n{said}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What brokers are told.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Lets it end in order.
    pub(super) async fn stop(mut self) {
        drop(self.watcher.stdin.take());
        // The folder goes in any case.
        let _ = tokio::time::timeout(PATIENCE, self.watcher.wait()).await;
    }
}

/// Those of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let programs = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    programs.filter(|(_, bin)| bin.join("postgres").is_file()).max().map(|(_, bin)| bin)
}

/// Whom it may run as; `None` if we are not root.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}
