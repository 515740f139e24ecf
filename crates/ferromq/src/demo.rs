//! `ferromq demo`: a master, a standby, a producer, a consumer, and a kill.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::counted::counted;
use crate::exit::{Exit, Failure, Outcome};
use database::Database;
use node::{Line, Node};
use screen::Screen;
use traffic::Traffic;

mod database;
mod node;
mod screen;
mod traffic;

/// What to show, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Two brokers, a and b, run on one temporary folder: the first is the master, the other stands by. A producer sends
numbered messages to both by `failover:`, a consumer takes them. Then the master is killed with SIGKILL, in the middle of its work.
Everything runs on this machine, on ports that the system picks, and is removed at the end.

Exit codes: 0 nothing was lost, 1 a message was lost or came twice unmarked, 69 a broker did not start or nobody took over.")]
pub(crate) struct Args {
    /// Seconds until the master is killed
    #[arg(long, value_name = "S", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    kill_after: u64,
    /// Seconds from the kill to the end
    #[arg(long, value_name = "S", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    go_on: u64,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long a silent master keeps its role, as 500ms or 2s; a dead one loses it at once
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    takeover_after: String,
    /// What the brokers share: a folder, or a PostgreSQL that is started for it
    #[arg(long, value_enum, default_value = "folder")]
    store: Shared,
    /// Plain lines, as when standard output is no terminal
    #[arg(long)]
    plain: bool,
    /// Leave the folder, with the brokers' logs, where it is
    #[arg(long)]
    keep: bool,
}

/// What the brokers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shared {
    /// A folder
    Folder,
    /// A database
    Postgres,
}

/// How long a broker may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long what is left may take to arrive, and when nothing more is expected.
const REST: Duration = Duration::from_secs(10);

/// Runs the play; brokers and folder are gone afterwards, whatever happened.
pub(crate) fn run(args: &Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let folder = Folder::make(args.keep)?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = play(args, &folder.path) => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "stopped")),
        }
    });
    runtime.shutdown_background();
    outcome
}

async fn play(args: &Args, folder: &Path) -> Outcome {
    let screen = Screen::new(args.plain);
    let (tell, mut lines) = mpsc::channel(64);
    screen.title("FerroMQ: two brokers, one store; one of them will be killed.");
    let database = match args.store {
        Shared::Folder => None,
        Shared::Postgres => Some(Database::start(folder).await?),
    };
    let url = database.as_ref().map(Database::url);
    match &url {
        None => screen.say(&format!("a folder that both share: {}", folder.join("shared").display())),
        Some(url) => screen.say(&format!("a database that both share, made for this: {url}")),
    }

    let mut a = Node::start("a", folder, &args.takeover_after, url.as_deref(), tell.clone())?;
    let url_a = a.ready(&mut lines, "role active").await?;
    screen.roles("master", "starting");
    screen.say(&format!("a is the master, on {url_a}"));
    let mut b = Node::start("b", folder, &args.takeover_after, url.as_deref(), tell)?;
    let url_b = b.ready(&mut lines, "role standby").await?;
    screen.roles("master", "standby");
    screen.say(&format!("b is a standby, on {url_b}: it reads along, and waits"));
    let uri = format!("failover:({url_a},{url_b})");
    let traffic = Traffic::start(&uri, args.rate).await?;
    screen.say(&format!("a producer sends {} a second to {uri}", counted(args.rate, "message")));
    screen.say("a consumer takes them from the same URI");
    watch(&screen, &traffic, Duration::from_secs(args.kill_after)).await?;

    let killed = Instant::now();
    traffic.mark();
    a.kill().await;
    screen.roles("killed", "standby");
    screen.say("kill -9 of a, in the middle of its work");
    let line = line_of(&mut lines, "b", "role active", PATIENCE).await.ok_or_else(|| {
        Failure::new(Exit::Unavailable, format!("b did not take over; its last words:\n{}", b.last_words()))
    })?;
    screen.roles("killed", "master");
    screen.say(&format!(
        "b is the master, {} ms after the kill ({line})",
        (Instant::now() - killed).as_millis()
    ));
    let acknowledged = traffic.first_since_mark(PATIENCE).await.ok_or_else(|| {
        Failure::new(
            Exit::Unavailable,
            format!("b acknowledged nothing; its last words:\n{}", b.last_words()),
        )
    })?;
    screen.say(&format!("b acknowledged the first message {} ms after the kill", acknowledged.as_millis()));
    watch(&screen, &traffic, Duration::from_secs(args.go_on)).await?;

    screen.say("that is enough; the consumer takes what is left");
    let account = traffic.finish(REST).await?;
    screen.end();
    b.stop().await;
    if let Some(database) = database {
        database.stop().await;
    }
    println!();
    println!("{account}");
    if account.is_whole() {
        println!();
        println!(
            "The same by hand: `ferromq run --name a --data DIR --listen tcp://127.0.0.1:61616`, once more with another name and"
        );
        println!(
            "port, and `failover:(tcp://127.0.0.1:61616,tcp://127.0.0.1:61617)` in the clients. No other setting is needed."
        );
        return Ok(());
    }
    Err(Failure::new(
        Exit::Wrong,
        "messages were lost or came twice unmarked: this is a bug of FerroMQ, please report it with the logs (--keep)",
    ))
}

/// Shows how it goes, until the time is over.
async fn watch(screen: &Screen, traffic: &Traffic, time: Duration) -> Outcome {
    let end = Instant::now() + time;
    let mut second = Instant::now();
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
        traffic.check()?;
        let second_is_over = second.elapsed() >= Duration::from_secs(1);
        if second_is_over {
            second += Duration::from_secs(1);
        }
        screen.counts(traffic.counts(), second_is_over);
    }
    Ok(())
}

/// Waits until the node says a line that begins so.
async fn line_of(
    lines: &mut mpsc::Receiver<Line>,
    node: &str,
    begin: &str,
    patience: Duration,
) -> Option<String> {
    let heard = async {
        while let Some(line) = lines.recv().await {
            if line.node == node && line.text.starts_with(begin) {
                return Some(line.text);
            }
        }
        None
    };
    tokio::time::timeout(patience, heard).await.ok().flatten()
}

/// A folder of this play's own, removed with it.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(keep: bool) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("ferromq-demo-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| {
            Failure::new(
                Exit::CantCreate,
                format!("{}: {error}; set TMPDIR to a folder that can be written", path.display()),
            )
        })?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}
