//! [`Node`]: one broker of a cluster, ours or the real one, and what it says about its role.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Microseconds since 1970: comparable with what the Java programs print.
pub(crate) type Micros = u64;

/// Now.
pub(crate) fn micros() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What a node is, as far as it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Not started, or gone.
    Down,
    /// Started, and neither of the others.
    Starting,
    /// Follows a master.
    Standby,
    /// Serves.
    Active,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Down => "down",
            Role::Starting => "starting",
            Role::Standby => "standby",
            Role::Active => "active",
        }
    }
}

/// Something that a node became, or said, at a time.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Micros,
    pub(crate) role: Role,
    /// The line itself, empty for what was done to the node from outside.
    pub(crate) line: String,
}

/// One broker of a cluster.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) port: u16,
    arguments: Vec<String>,
    program: PathBuf,
    environment: Vec<(String, String)>,
    /// Standard output and the log, appended over restarts.
    folder: PathBuf,
    child: Option<Child>,
    /// Of a process that another run of this program started.
    foreign: Option<u32>,
    changes: Arc<Mutex<Vec<Change>>>,
    watching: Option<Arc<AtomicBool>>,
}

impl Node {
    /// A node that is started by `program arguments…`; its output goes to files in `folder`.
    pub(crate) fn new(
        name: &str,
        port: u16,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        folder: &Path,
    ) -> Self {
        Self {
            name: name.to_owned(),
            port,
            arguments,
            program,
            environment,
            folder: folder.to_owned(),
            child: None,
            foreign: None,
            changes: Arc::default(),
            watching: None,
        }
    }

    /// Is this program from the next start on.
    pub(crate) fn becomes_version(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// From its next start on an option has another value.
    pub(crate) fn rename(&mut self, option: &str, value: &str) {
        let joined = format!("{option}=");
        for index in 0..self.arguments.len() {
            if self.arguments.get(index).is_some_and(|word| word.starts_with(&joined)) {
                self.arguments[index] = format!("{joined}{value}");
            } else if self.arguments.get(index).is_some_and(|word| word == option)
                && index + 1 < self.arguments.len()
            {
                value.clone_into(&mut self.arguments[index + 1]);
            }
        }
    }

    /// Stands for a process that runs already.
    pub(crate) fn adopt(&mut self, pid: u32) {
        self.foreign = Some(pid);
    }

    fn output(&self) -> PathBuf {
        self.folder.join(format!("{}.out", self.name))
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Where clients reach it.
    pub(crate) fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Its process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id).or(self.foreign)
    }

    /// Starts it, in the foreground of this program or, with `detached`, as a process that outlives it.
    pub(crate) fn start(&mut self, detached: bool) -> Result<()> {
        if self.pid().is_some() {
            bail!("{} runs already", self.name);
        }
        fs::create_dir_all(&self.folder)?;
        let append = |path: PathBuf| File::options().create(true).append(true).open(path);
        let (output, log) = (append(self.output())?, append(self.log())?);
        let from = output.metadata()?.len();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command.stdout(output).stderr(log);
        if detached {
            use std::os::unix::process::CommandExt;
            command.stdin(Stdio::null()).process_group(0);
        } else {
            // The real broker ends with its standard input; ours is killed when it is dropped.
            command.stdin(Stdio::piped());
        }
        let child = command.spawn().with_context(|| format!("can't start {}", self.program.display()))?;
        self.became(Role::Starting);
        if detached {
            self.foreign = Some(child.id());
        } else {
            self.child = Some(child);
            self.watch(from);
        }
        Ok(())
    }

    /// Reads what it prints from `from` on, as it comes.
    fn watch(&mut self, from: u64) {
        let going = Arc::new(AtomicBool::new(true));
        self.watching = Some(Arc::clone(&going));
        let (path, changes) = (self.output(), Arc::clone(&self.changes));
        std::thread::spawn(move || {
            let Ok(mut file) = File::open(path) else { return };
            let _ = file.seek(SeekFrom::Start(from));
            let mut text = String::new();
            while going.load(Ordering::Relaxed) {
                let mut more = String::new();
                if file.read_to_string(&mut more).unwrap_or(0) == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                }
                text.push_str(&more);
                while let Some(end) = text.find('\n') {
                    let line: String = text.drain(..=end).collect();
                    if let Some(role) = role_of(line.trim()) {
                        let change = Change { at: micros(), role, line: line.trim().to_owned() };
                        changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
                    }
                }
            }
        });
    }

    fn became(&self, role: Role) {
        let change = Change { at: micros(), role, line: String::new() };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// What it became, from the first start on.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it said last.
    pub(crate) fn role(&self) -> Role {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .map_or(Role::Down, |change| change.role)
    }

    /// What the output file of a node that was started elsewhere says.
    pub(crate) fn told(&self) -> String {
        let text = fs::read_to_string(self.output()).unwrap_or_default();
        let told = text.lines().rev().find(|line| role_of(line).is_some()).map(str::to_owned);
        told.unwrap_or_else(|| String::from("nothing yet"))
    }

    /// Waits until its output has a line that begins so; the rest of the last such line.
    pub(crate) fn waits_for(&self, beginning: &str, limit: Duration) -> Result<String> {
        let until = Instant::now() + limit;
        loop {
            let text = fs::read_to_string(self.output()).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
            if let Some(rest) = whole.lines().rev().find_map(|line| line.strip_prefix(beginning)) {
                return Ok(rest.to_owned());
            }
            if Instant::now() > until {
                bail!("{} did not say {beginning:?} within {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process is there.
    pub(crate) fn is_alive(&self) -> bool {
        self.process().is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
    }

    fn process(&self) -> Option<Pid> {
        self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.process().with_context(|| format!("{} does not run", self.name))?;
        kill_process(pid, signal).with_context(|| format!("can't signal {}", self.name))
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self) -> Result<Micros> {
        let at = micros();
        self.signal(Signal::KILL)?;
        self.gone(Duration::from_secs(10))?;
        Ok(at)
    }

    /// SIGTERM; returns when the process is gone.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.gone(Duration::from_secs(30))
    }

    fn gone(&mut self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            let ended = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => !self.is_alive(),
            };
            if ended {
                break;
            }
            if Instant::now() > until {
                bail!("{} did not end within {limit:?}; its log is {}", self.name, self.log().display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(going) = self.watching.take() {
            // What it said last is still to be read.
            std::thread::sleep(Duration::from_millis(20));
            going.store(false, Ordering::Relaxed);
        }
        self.child = None;
        self.foreign = None;
        self.became(Role::Down);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(going) = self.watching.take() {
            going.store(false, Ordering::Relaxed);
        }
    }
}

/// The role that a line of output announces. The real broker says nothing before it listens.
fn role_of(line: &str) -> Option<Role> {
    match line.strip_prefix("role ") {
        Some(role) if role.starts_with("active") => Some(Role::Active),
        Some(role) if role.starts_with("standby") => Some(Role::Standby),
        Some(_) => Some(Role::Starting),
        None if line.starts_with("serving alone on tcp://") => Some(Role::Active),
        None => None,
    }
}

/// A port of the loopback interface that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_the_lines_that_announce_them() {
        assert_eq!(role_of("role active (epoch 8, takeover 143 ms)"), Some(Role::Active));
        assert_eq!(role_of("role standby (master: a, epoch 7)"), Some(Role::Standby));
        assert_eq!(role_of("listening on tcp://127.0.0.1:1"), None);
    }

    #[test]
    fn a_process_is_started_watched_and_killed() {
        let folder = std::env::temp_dir().join(format!("xtask-node-{}", std::process::id()));
        let script = "echo 'role standby (nobody)'; echo 'role active (epoch 1)'; sleep 30";
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let mut node = Node::new("n", 1, "/bin/sh".into(), arguments, Vec::new(), &folder);
        node.start(false).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while node.role() != Role::Active && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        node.kill().unwrap();
        let roles: Vec<_> = node.changes().iter().map(|change| change.role).collect();
        assert_eq!(roles, [Role::Starting, Role::Standby, Role::Active, Role::Down]);
        let _ = fs::remove_dir_all(folder);
    }
}
