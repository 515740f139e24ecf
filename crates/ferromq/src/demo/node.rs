//! A broker of the play: a process of this same program.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::{PATIENCE, line_of};
use crate::exit::{Exit, Failure};

/// A line on a node's standard output.
pub(super) struct Line {
    pub(super) node: &'static str,
    pub(super) text: String,
}

/// A running broker. It ends with this process: its standard input closes, however this process ends.
pub(super) struct Node {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Node {
    /// Starts a broker on `folder/shared`; its log goes to a file in `folder`.
    pub(super) fn start(
        name: &'static str,
        folder: &Path,
        takeover_after: &str,
        database: Option<&str>,
        tell: mpsc::Sender<Line>,
    ) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| Failure::new(Exit::Unavailable, format!("{what}: {error}"))
        };
        let log = folder.join(format!("{name}.log"));
        let program = std::env::current_exe().map_err(wrong("this program can't be found"))?;
        // Beside a database, only what a node keeps for itself is in its folder.
        let data = if database.is_some() { format!("{name}-data") } else { "shared".to_owned() };
        let mut child = Command::new(program)
            .args(["run", "--end-with-stdin", "--listen", "tcp://127.0.0.1:0", "--name", name])
            .args(["--takeover-after", takeover_after, "--data"])
            .arg(folder.join(data))
            .args(database.into_iter().flat_map(|url| ["--store", url]))
            // What is set for the brokers of this user is not meant for these.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("FERROMQ_")))
            // Nor do these tell their whereabouts outside of the play.
            .env("TMPDIR", folder)
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(wrong(&log.display().to_string()))?)
            .kill_on_drop(true)
            .spawn()
            .map_err(wrong("a broker can't be started"))?;
        if let Some(output) = child.stdout.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(output).lines();
                while let Ok(Some(text)) = lines.next_line().await {
                    if tell.send(Line { node: name, text }).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { name, child, log })
    }

    /// Waits until it has this role and listens; gives the URI.
    pub(super) async fn ready(
        &mut self,
        lines: &mut mpsc::Receiver<Line>,
        role: &str,
    ) -> Result<String, Failure> {
        const LISTENS: &str = "listening on ";
        let role = line_of(lines, self.name, role, PATIENCE).await;
        let listens = line_of(lines, self.name, LISTENS, PATIENCE).await;
        match (role, listens) {
            (Some(_), Some(line)) => Ok(line.trim_start_matches(LISTENS).to_owned()),
            _ => {
                let text =
                    format!("broker {} did not start; its last words:\n{}", self.name, self.last_words());
                Err(Failure::new(Exit::Unavailable, text))
            }
        }
    }

    /// SIGKILL.
    pub(super) async fn kill(&mut self) {
        // A process that is gone already is as dead as it should be.
        let _ = self.child.kill().await;
    }

    /// Lets it end in order.
    pub(super) async fn stop(&mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}
