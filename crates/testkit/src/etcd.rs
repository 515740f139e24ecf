//! [`Etcd`]: an etcd server in a temporary folder, from the program that Debian installs.

use std::env;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{ended, free_port, signal};
use crate::{Lines, PATIENCE};

/// What installs the missing program.
pub const INSTALL_ETCD: &str = "apt-get update && apt-get install -y etcd-server";

/// A server of one member on ports of the loopback interface; ends, and takes its folder along, when dropped.
#[derive(Debug)]
pub struct Etcd {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    peer_port: u16,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    log: Lines,
}

impl Etcd {
    /// Whether a server can be started here, or what to do.
    ///
    /// # Errors
    /// The command that installs what is missing.
    pub fn find() -> Result<PathBuf, String> {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|folder| folder.join("etcd"))
            .find(|program| program.is_file())
            .ok_or_else(|| format!("etcd is not installed; install it with: {INSTALL_ETCD}"))
    }

    /// A server for this test alone; `None`, told on standard error, where etcd is not installed.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub fn start_or_skip() -> Option<Self> {
        match Self::find() {
            Ok(program) => {
                let folder =
                    tempfile::Builder::new().prefix("ferromq-etcd-").tempdir().expect("a temporary folder");
                let (port, peer_port) = (free_port(), free_port());
                let mut server = Self { program, folder, port, peer_port, running: None };
                server.start();
                Some(server)
            }
            Err(missing) => {
                eprintln!("skip: {missing}");
                None
            }
        }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of [`Etcd::url`].
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Starts a server that was stopped or killed, on the same ports and data; waits until it takes connections.
    ///
    /// # Panics
    /// It does not start within [`PATIENCE`].
    pub fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer_port));
        let mut child = Command::new(&self.program)
            .args(["--name", "test", "--logger", "zap", "--log-outputs", "stderr", "--data-dir"])
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .current_dir(self.folder.path())
            .env_remove("ETCD_UNSUPPORTED_ARCH")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("etcd can be run");
        let log = Lines::capture(child.stderr.take().expect("standard error is piped"));
        if log.wait_for("serving client traffic", PATIENCE).is_none() || !self.answers() {
            let _ = child.kill();
            let _ = child.wait();
            panic!("etcd does not start: {:#?}", log.all());
        }
        self.running = Some(Running { child, log });
    }

    /// It says so a moment before it does.
    fn answers(&self) -> bool {
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            if self.listens() {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        false
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> Vec<String> {
        self.running.as_ref().map_or_else(Vec::new, |running| running.log.all())
    }

    /// Ends the server in an orderly way; returns when it is gone.
    ///
    /// # Panics
    /// It takes longer than [`PATIENCE`].
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// [`Etcd::stop`] and [`Etcd::start`].
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Ends it as a crash would, but for the disk's cache.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, how: Signal) {
        let Some(mut running) = self.running.take() else { return };
        signal(running.child.id(), how);
        assert!(ended(&mut running.child), "etcd does not stop: {:#?}", running.log.all());
    }

    /// Stops it in its tracks; the kernel goes on taking its connections and bytes.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, what: Signal) {
        if let Some(running) = &self.running {
            signal(running.child.id(), what);
        }
    }

    /// Whether somebody listens on its port.
    pub fn listens(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            signal(running.child.id(), Signal::KILL);
            let _ = running.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_and_goes_and_leaves_nothing_behind() {
        let Some(mut server) = Etcd::start_or_skip() else { return };
        assert!(server.listens());
        server.restart();
        server.pause();
        assert!(server.listens(), "the kernel still takes connections");
        server.resume();
        server.kill();
        assert!(!server.listens());
        server.start();
        let folder = server.folder.path().to_owned();
        drop(server);
        assert!(!folder.exists());
    }
}
