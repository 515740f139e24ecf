//! `ferromq run`: the broker in the foreground.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use ferromq_broker::{Broken, Broker, ErrorKind, Settings, StartError, StoreChoice};
use ferromq_config::{Config, load};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::descriptors;
use crate::door::OperatorDoor;
use crate::exit::{Exit, Failure, Outcome};
pub(crate) use crate::layers::Args;
use crate::logs;

/// Runs a broker until SIGTERM or SIGINT; a second signal ends it without waiting for connections.
pub(crate) fn run(args: Args) -> Outcome {
    let loaded = load(&args.input(true)?).map_err(|mistakes| Failure::new(Exit::Usage, mistakes))?;
    logs::start(&loaded.config.log);
    for warning in loaded.warnings.iter() {
        tracing::warn!("{warning}");
    }
    let mut settings = Settings::from_config(&loaded.config).map_err(refused)?;
    descriptors::provide(&mut settings);
    let runtime = runtime().map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let outcome = runtime.block_on(serve(&loaded.config, settings, args.end_with_stdin));
    runtime.shutdown_background();
    outcome
}

/// For what accepts, follows and answers operators; connections have threads of their own.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn serve(config: &Config, settings: Settings, end_with_stdin: bool) -> Outcome {
    let orders = signals(end_with_stdin).map_err(|error| Failure::new(Exit::Software, error))?;
    let in_folder = !matches!(settings.store, StoreChoice::Memory | StoreChoice::Postgres);
    let (kept, data) = (settings.store, settings.data.clone());
    let door = OperatorDoor::reserve(config).await?;
    let broker = Broker::start(settings).map_err(refused)?;
    // Who reads these lines finds the notice as well.
    let (_open, operators) = door.open(broker.door(), in_folder.then_some(data.as_path()));
    say(format_args!("role {}", broker.role()));
    for url in broker.urls() {
        say(format_args!("listening on {url}"));
    }
    for url in operators {
        say(format_args!("operators on {url}"));
    }
    hint(broker.urls(), kept, &data);

    broker.serve(orders, |role| say(format_args!("role {role}"))).await.map_err(ended)
}

/// A line on standard output. The broker goes on although nobody reads it any longer.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The same on standard error, for people.
fn advise(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Each SIGTERM or SIGINT is an order to stop, and so is the end of standard input if it is to be.
fn signals(end_with_stdin: bool) -> std::io::Result<mpsc::Receiver<&'static str>> {
    let (stop, orders) = mpsc::channel(2);
    if end_with_stdin {
        let stop = stop.clone();
        tokio::spawn(async move {
            // An input that can't be read has ended, too.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
            // Whoever stopped listening is on the way out already.
            let _ = stop.send("the end of standard input").await;
        });
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if stop.send(order).await.is_err() {
                return;
            }
        }
    });
    Ok(orders)
}

fn hint(urls: &[String], kept: StoreChoice, data: &Path) {
    let url = urls.first().map_or("", String::as_str);
    match kept {
        StoreChoice::Memory => advise("messages are kept in memory and gone when the broker ends"),
        StoreChoice::Postgres => advise("messages are kept in the database"),
        _ => advise(format_args!("messages are kept in {}", data.display())),
    }
    advise(format_args!("try it:  ferromq send --url {url} queue://hello 'Hello, world'"));
    advise(format_args!("         ferromq receive --url {url} queue://hello --count 1"));
}

fn refused(error: StartError) -> Failure {
    Failure::new(exit(error.kind()), error)
}

fn ended(broken: Broken) -> Failure {
    Failure::new(exit(broken.kind()), broken)
}

const fn exit(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Caller => Exit::Usage,
        ErrorKind::Resource => Exit::Unavailable,
        ErrorKind::Refused => Exit::CantCreate,
        ErrorKind::Storage => Exit::Io,
        _ => Exit::Software,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_ended_by_a_bug_is_told_from_one_whose_store_failed() {
        assert_eq!(ended(Broken::Bug("it is wrong".to_owned())).exit, Exit::Software);
        assert_eq!(ended(Broken::Storage("it is gone".to_owned())).exit, Exit::Io);
    }
}
