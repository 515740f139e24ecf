//! [`Postgres`]: a PostgreSQL server in a temporary folder, from the binaries that Debian installs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{children, ended, free_port, processes, signal};
use crate::{Lines, PATIENCE};

/// What installs the missing programs.
pub const INSTALL_POSTGRES: &str = "apt-get update && apt-get install -y postgresql";

/// The name of the superuser and of the database that are there from the start.
const USER: &str = "postgres";

/// A database server on a port of the loopback interface; ends, and takes its folder along, when dropped.
///
/// It runs as the user `postgres` or `nobody` when the test runs as root, for PostgreSQL refuses root. Everybody may
/// log in without a password.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    settings: BTreeMap<String, String>,
    port: u16,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    log: Lines,
}

/// A user that is not root.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Whether a server can be started here, or what to do.
    ///
    /// # Errors
    /// The command that installs what is missing.
    pub fn find() -> Result<PathBuf, String> {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
            .collect();
        versions.sort();
        match versions.pop() {
            Some((_, bin)) => Ok(bin),
            None => Err(format!("PostgreSQL is not installed; install it with: {INSTALL_POSTGRES}")),
        }
    }

    /// A server for this test alone, to be stopped and killed; `None`, told on standard error, where PostgreSQL is
    /// not installed.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub fn start_or_skip() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`Postgres::start_or_skip`], with further settings of the server.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        match Self::find() {
            Ok(programs) => Some(Self::initialised(programs, settings)),
            Err(missing) => {
                eprintln!("skip: {missing}");
                None
            }
        }
    }

    /// A server that the tests of one program share, each in a schema or database of its own; it ends with the last
    /// one. `None` as for [`Postgres::start_or_skip`].
    ///
    /// # Panics
    /// It is installed and does not start.
    pub fn shared_or_skip() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start_or_skip()?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    fn initialised(programs: PathBuf, settings: &[(&str, &str)]) -> Self {
        let folder =
            tempfile::Builder::new().prefix("ferromq-postgres-").tempdir().expect("a temporary folder");
        if let Some(Account { uid, gid }) = unprivileged() {
            chown(folder.path(), Some(uid), Some(gid)).expect("the folder can be given away");
        }
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut server =
            Self { programs, folder, settings: settings.collect(), port: free_port(), running: None };
        let data = server.data();
        let made = server
            .program("initdb")
            .args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--auth=trust"])
            .args([OsStr::new("--username"), OsStr::new(USER), OsStr::new("--pgdata"), data.as_os_str()])
            .output()
            .expect("initdb can be run");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.start();
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's own folder, which its user may read and write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn program(&self, name: &str) -> Command {
        self.as_its_user(Command::new(self.programs.join(name)))
    }

    fn as_its_user(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).env("LC_ALL", "C").stdin(Stdio::null());
        if let Some(Account { uid, gid }) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// For a connection as superuser to the database that is there from the start.
    pub fn url(&self) -> String {
        self.url_of(USER)
    }

    /// As [`Postgres::url`], for another database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Takes this setting from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Starts a server that was stopped or killed, on the same port and data; waits until it takes connections.
    ///
    /// # Panics
    /// It does not start within [`PATIENCE`].
    pub fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "logging_collector=off"] {
            command.args(["-c", setting]);
        }
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let mut child = command
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres can be run");
        let log = Lines::capture(child.stderr.take().expect("standard error is piped"));
        let ready = log.wait_for("database system is ready to accept connections", PATIENCE).is_some();
        if !ready {
            let _ = child.kill();
            let _ = child.wait();
            panic!("PostgreSQL does not start: {:#?}", log.all());
        }
        self.running = Some(Running { child, log });
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> Vec<String> {
        self.running.as_ref().map_or_else(Vec::new, |running| running.log.all())
    }

    /// Ends all sessions and the server in an orderly way; returns when it is gone.
    ///
    /// # Panics
    /// It takes longer than [`PATIENCE`].
    pub fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        signal(running.child.id(), Signal::INT);
        assert!(ended(&mut running.child), "PostgreSQL does not stop: {:#?}", running.log.all());
    }

    /// [`Postgres::stop`] and [`Postgres::start`].
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Stops the server and copies its folder, as a backup of a machine does; whoever wants it to go on starts it again.
    ///
    /// # Panics
    /// It does not stop, or there is no room.
    pub fn copy_aside(&mut self) {
        self.stop();
        self.replace(&self.data(), &self.aside());
    }

    /// Stops the server and puts back what was last copied aside.
    ///
    /// # Panics
    /// It does not stop, or nothing was copied.
    pub fn put_back(&mut self) {
        self.stop();
        self.replace(&self.aside(), &self.data());
    }

    fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }

    fn replace(&self, from: &Path, to: &Path) {
        let _ = fs::remove_dir_all(to);
        let copied = self.as_its_user(Command::new("cp")).arg("-a").args([from, to]).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} to {}", from.display(), to.display());
    }

    /// Kills every process of the server at once, as a crash of its machine's kernel would, but for the disk's cache.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let server = running.child.id();
        // A server that stands still makes no new children.
        signal(server, Signal::STOP);
        for child in children(server) {
            signal(child, Signal::KILL);
        }
        signal(server, Signal::KILL);
        assert!(ended(&mut running.child), "nothing survives SIGKILL");
        // The children are init's now; the next start must not meet one of them.
        let until = Instant::now() + PATIENCE;
        while self.still_used() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a process that belongs to this folder is alive.
    fn still_used(&self) -> bool {
        let data = self.data();
        processes().any(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data))
    }

    /// Stops every process of the server in its tracks; the kernel goes on taking its connections and bytes.
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, what: Signal) {
        let Some(running) = &self.running else { return };
        signal(running.child.id(), what);
        for child in children(running.child.id()) {
            signal(child, what);
        }
    }

    /// Runs statements as superuser by `psql`, and gives back what they say, a row a line, columns by `|`.
    ///
    /// # Panics
    /// A statement fails.
    pub fn sql(&self, statements: &str) -> String {
        let out = self
            .program("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .args(["--command", statements, &self.url()])
            .output()
            .expect("psql can be run");
        assert!(out.status.success(), "{statements}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// Whether somebody listens on its port.
    pub fn listens(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        self.running = None;
        let server = running.child.id();
        let all = children(server);
        signal(server, Signal::KILL);
        for child in all {
            signal(child, Signal::KILL);
        }
        let _ = running.child.wait();
    }
}

/// Whom PostgreSQL may run as; `None` if we are nobody special ourselves.
fn unprivileged() -> Option<Account> {
    if !fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some(Account { uid: numbers.next()?.ok()?, gid: numbers.next()?.ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_data_over_stops_and_kills() {
        let Some(mut server) = Postgres::start_or_skip() else { return };
        server.sql("CREATE TABLE t (x int); INSERT INTO t VALUES (1)");
        server.restart();
        assert_eq!(server.sql("SELECT x FROM t"), "1");
        server.sql("INSERT INTO t VALUES (2)");
        server.kill();
        assert!(!server.listens());
        server.start();
        assert_eq!(server.sql("SELECT count(*), max(x) FROM t"), "2|2");
        let folder = server.folder().to_owned();
        drop(server);
        assert!(!folder.exists(), "nothing is left behind");
    }

    #[test]
    fn a_paused_server_answers_when_it_goes_on() {
        let Some(server) = Postgres::start_with(&[("max_connections", "20")]) else { return };
        assert_eq!(server.sql("SHOW max_connections"), "20");
        server.pause();
        assert!(server.listens(), "the kernel still takes connections");
        server.resume();
        assert_eq!(server.sql("SELECT 1"), "1");
    }
}
