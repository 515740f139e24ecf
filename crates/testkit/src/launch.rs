//! [`Launch`]: how to start the program, and [`Refused`]: what it said when it did not.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Lines, Node, PATIENCE};

/// A start of the program, to be tried once or many times on the same folder.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    data: Option<PathBuf>,
    listen: Vec<String>,
    /// How many listeners its configuration has, which also says where its folder is.
    configured: Option<usize>,
    directory: Option<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
}

/// The program ended, or did not become ready in time.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// Everything it wrote to standard error.
    pub said: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker did not start (exit code {:?}):\n{}", self.code, self.said)
    }
}

impl std::error::Error for Refused {}

impl Launch {
    /// The program at a path; tests of the package `ferromq` use `env!("CARGO_BIN_EXE_ferromq")`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            data: None,
            listen: Vec::new(),
            configured: None,
            directory: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Keeps messages in this folder instead of a fresh one that goes away with the node.
    #[must_use]
    pub fn data(mut self, folder: impl AsRef<Path>) -> Self {
        self.data = Some(folder.as_ref().to_owned());
        self
    }

    /// Listens here; without it, on a free port of the loopback interface.
    #[must_use]
    pub fn listen(mut self, url: impl Into<String>) -> Self {
        self.listen.push(url.into());
        self
    }

    /// Leaves to the configuration where it listens, so many times, and where its folder is.
    #[must_use]
    pub fn as_configured(mut self, listeners: usize) -> Self {
        self.configured = Some(listeners);
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn inside(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// One more argument of `ferromq run`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the broker and waits until it listens.
    ///
    /// # Errors
    /// It ended instead, or took longer than [`PATIENCE`].
    ///
    /// # Panics
    /// The program or a temporary folder is missing: the test can't be run at all.
    pub fn start(&self) -> Result<Node, Refused> {
        let (folder, data) = match &self.data {
            Some(data) => (None, data.clone()),
            None => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let data = folder.path().join("data");
                (Some(folder), data)
            }
        };
        let free = [String::from("tcp://127.0.0.1:0")];
        let listen = if self.listen.is_empty() { &free[..] } else { &self.listen[..] };
        let mut command = Command::new(&self.program);
        command.arg("run");
        if self.configured.is_none() {
            command.arg("--data").arg(&data);
            for url in listen {
                command.arg("--listen").arg(url);
            }
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let output = Lines::capture(child.stdout.take().expect("standard output is piped"));
        let log = Lines::capture(child.stderr.take().expect("standard error is piped"));
        let mut node = Node::new(child, data, folder, output, log);
        if node.wait_until_ready(self.configured.unwrap_or(listen.len()), PATIENCE) {
            Ok(node)
        } else {
            Err(node.refusal())
        }
    }
}
