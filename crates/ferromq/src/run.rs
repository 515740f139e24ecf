//! `ferromq run`: the broker in the foreground.

use std::path::PathBuf;

use clap::ValueEnum;
use ferromq_broker::{Broker, ErrorKind, Settings, StartError, StoreChoice};
use ferromq_net::ListenAddress;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::{Exit, Failure, Outcome};
use crate::logs::{self, LogFormat};

/// What the command line may say; it wins over environment and file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker's name, which clients and logs show
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The folder for messages; made if it does not exist [default: ferromq-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen; may be repeated, port 0 picks a free one [default: tcp://127.0.0.1:61616]
    #[arg(long, value_name = "URI")]
    listen: Vec<ListenAddress>,
    /// How messages are kept [default: journal]
    #[arg(long, value_name = "KIND")]
    store: Option<Store>,
    /// Listen beyond this machine although nobody has to log in
    #[arg(long)]
    open_to_network: bool,
    /// The shape of log lines
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Store {
    /// FerroMQ's own journal
    Journal,
    /// One SQLite database
    Sqlite,
    /// Nothing is kept when the broker ends
    Memory,
}

/// Runs a broker until SIGTERM or SIGINT; a second signal ends it without waiting for connections.
pub(crate) fn run(args: Args) -> Outcome {
    logs::start(args.log_format);
    let settings = settings(args);
    let runtime = runtime().map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let outcome = runtime.block_on(serve(settings));
    runtime.shutdown_background();
    outcome
}

/// Connections need little but a wake-up; two threads keep two cores of a small machine busy beside the engine's.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("net").enable_all().build()
}

async fn serve(settings: Settings) -> Outcome {
    let orders = signals().map_err(|error| Failure::new(Exit::Software, error))?;
    let in_memory = settings.store == StoreChoice::Memory;
    let data = settings.data.clone();
    let broker = Broker::start(settings).map_err(refused)?;
    for url in broker.urls() {
        println!("listening on {url}");
    }
    hint(broker.urls(), (!in_memory).then_some(&data));

    broker.serve(orders).await.map_err(|error| Failure::new(Exit::Io, error))
}

/// Each SIGTERM or SIGINT is an order to stop.
fn signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let (stop, orders) = mpsc::channel(2);
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

fn settings(args: Args) -> Settings {
    let mut settings = Settings::default();
    if let Some(name) = args.name {
        settings.name = name;
    }
    if let Some(data) = args.data {
        settings.data = data;
    }
    if !args.listen.is_empty() {
        settings.listen = args.listen;
    }
    if let Some(store) = args.store {
        settings.store = match store {
            Store::Journal => StoreChoice::Journal,
            Store::Sqlite => StoreChoice::Sqlite,
            Store::Memory => StoreChoice::Memory,
        };
    }
    settings.open_to_network |= args.open_to_network;
    settings
}

fn hint(urls: &[String], data: Option<&PathBuf>) {
    let url = urls.first().map_or("", String::as_str);
    match data {
        Some(data) => eprintln!("messages are kept in {}", data.display()),
        None => eprintln!("messages are kept in memory and gone when the broker ends"),
    }
    eprintln!("try it:  ferromq send --url {url} queue://hello 'Hello, world'");
    eprintln!("         ferromq receive --url {url} queue://hello --count 1");
}

fn refused(error: StartError) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Caller => Exit::Usage,
        ErrorKind::Resource => Exit::Unavailable,
        ErrorKind::Refused => Exit::CantCreate,
        ErrorKind::Storage => Exit::Io,
        _ => Exit::Software,
    };
    Failure::new(exit, error)
}
