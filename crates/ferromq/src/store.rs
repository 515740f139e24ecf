//! `ferromq store`: looks into a journal without touching it, whether or not a broker uses it; copies it; raises its format.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use ferromq_env::{Disk, SystemDisk};
use ferromq_model::{BodyKind, Destination, DestinationKind, Message, Sequence};
use ferromq_openwire::{Body, Limits, Message as WireMessage, MessageKind};
use ferromq_store::{Loaded, Quarantined, StoreError};
use ferromq_store_journal::inspect::Inspection;
use ferromq_store_postgres::PostgresOptions;

use crate::counted::counted;
use crate::exit::{Exit, Failure, Outcome};
use crate::link::io_failed;

/// What to look for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Destinations with what waits in them, and the files that hold it
    Ls(Folder),
    /// The messages of a destination, oldest first, one a line: number, id, size, and the text if it is one
    Cat(Cat),
    /// Read every record; exit code 74 if something is damaged
    Verify(Folder),
    /// Say which destination keeps which file of the journal from being removed
    Why(Folder),
    /// Copy the store while brokers run on it; every message that was answered before is in the copy, which is verified
    Backup(Copy),
    /// Write the newest format from the next start of a master on; the version before can't follow this store any longer
    Finalize(Which),
}

/// From where to where.
#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// The folder of the broker
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// A folder that does not exist yet, or is empty
    #[arg(value_name = "COPY")]
    to: PathBuf,
}

/// Where to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The folder of the broker
    #[arg(value_name = "DIR", default_value = "ferromq-data")]
    folder: PathBuf,
}

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The folder of the broker, or postgres://USER@HOST/DATABASE
    #[arg(
        value_name = "DIR|URL",
        default_value = "ferromq-data",
        env = "FERROMQ_STORE_URL",
        hide_env_values = true
    )]
    store: String,
    /// Where the store is in a database
    #[arg(long, value_name = "NAME", default_value = "ferromq")]
    schema: String,
}

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// queue://NAME or topic://NAME
    #[arg(value_name = "DESTINATION")]
    destination: String,
    #[command(flatten)]
    at: Folder,
    /// Begin behind this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Looks and tells.
pub(crate) fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Ls(at) => {
            ls(&open(&at.folder)?);
            Ok(())
        }
        Verb::Cat(what) => cat(&what),
        Verb::Verify(at) => verify(&open(&at.folder)?),
        Verb::Why(at) => why(&open(&at.folder)?),
        Verb::Backup(copy) => backup(&copy),
        Verb::Finalize(which) => finalize(which),
    }
}

/// What the SQLite store calls its file.
const DATABASE: &str = "ferromq.db";

fn open(folder: &Path) -> Result<Inspection, Failure> {
    let database = folder.join(DATABASE);
    if database.is_file() && !folder.join("journal").exists() {
        let path = database.display();
        let remedy =
            format!("`sqlite3 'file:{path}?mode=ro'` looks into it, `PRAGMA integrity_check` verifies it");
        return Err(Failure::new(Exit::Usage, format!("{path} is a database, and no journal; {remedy}")));
    }
    Inspection::open(Arc::new(SystemDisk), folder).map_err(failed)
}

fn backup(copy: &Copy) -> Outcome {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let made = ferromq_store_journal::backup(&disk, &copy.from, &copy.to).map_err(failed)?;
    println!("{}, {}, epoch {}", counted(made.messages, "message"), counted(made.bytes, "byte"), made.epoch);
    Ok(())
}

fn finalize(which: Which) -> Outcome {
    let of_database = ["postgres://", "postgresql://"].iter().any(|scheme| which.store.starts_with(scheme));
    let finalized = if of_database {
        let options = PostgresOptions { schema: which.schema, ..PostgresOptions::default() };
        ferromq_store_postgres::finalize(&which.store, options)
    } else {
        ferromq_store_journal::finalize(&SystemDisk, Path::new(&which.store))
    };
    let (before, after) = finalized.map_err(failed)?;
    if before == after {
        println!("format {after}, the newest that this version knows; nothing to do");
    } else {
        println!("format {before} until now, format {after} from the next start of a master on");
    }
    Ok(())
}

fn failed(error: StoreError) -> Failure {
    let exit = match error.kind() {
        ferromq_store::ErrorKind::Refused => Exit::CantCreate,
        _ => Exit::Io,
    };
    Failure::new(exit, error)
}

fn ls(store: &Inspection) {
    let listing = store.ls();
    println!("epoch {} of {}", listing.claimed, listing.owner.as_deref().unwrap_or("nobody"));
    for line in &listing.destinations {
        println!("{}  {}", line.destination, held(line.messages, line.bytes));
    }
    for line in &listing.segments {
        println!("{}  {}, {} live", line.path.display(), counted(line.file_bytes, "byte"), line.live_bytes);
    }
}

fn held(messages: u64, bytes: u64) -> String {
    format!("{}, {}", counted(messages, "message"), counted(bytes, "byte"))
}

fn cat(what: &Cat) -> Outcome {
    let store = open(&what.at.folder)?;
    let destination = Destination::parse(&what.destination, DestinationKind::Queue);
    let mut out = std::io::stdout().lock();
    let (mut left, mut damaged, mut written) = (what.count.unwrap_or(u64::MAX), 0_u64, Ok(()));
    let known = store
        .cat(&destination, Sequence(what.after), |Sequence(number), loaded| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            written = match loaded {
                Loaded::Message(message) => writeln!(out, "{number}  {}", described(&message)),
                Loaded::Damaged(reason) => {
                    damaged += 1;
                    writeln!(out, "{number}  damaged: {reason}")
                }
                // It was consumed while we looked.
                Loaded::Gone => Ok(()),
            };
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .map_err(failed)?;
    written.map_err(io_failed("standard output"))?;
    if !known {
        let text = format!("{destination} is not in this store; `ferromq store ls` tells what is");
        return Err(Failure::new(Exit::Usage, text));
    }
    if damaged > 0 {
        let are = if damaged == 1 { "is" } else { "are" };
        let text = format!("{damaged} of these messages {are} damaged and not served");
        return Err(Failure::new(Exit::Io, text));
    }
    Ok(())
}

/// Id and size of a message, and its text in one line.
fn described(message: &Message) -> String {
    let bytes = counted(message.body.as_ref().map_or(0, |body| body.len()), "byte");
    match text(message) {
        Some(text) => format!("{}  {bytes}  {text:?}", message.id),
        None => format!("{}  {bytes}", message.id),
    }
}

fn text(message: &Message) -> Option<String> {
    if message.body_kind != BodyKind::Text {
        return None;
    }
    let mut wire = WireMessage::new(MessageKind::Text);
    wire.content = message.body.clone();
    wire.compressed = message.compressed;
    match wire.body(&Limits::default()) {
        Ok(Body::Text(text)) => Some(text.to_str().into_owned()),
        _ => None,
    }
}

fn verify(store: &Inspection) -> Outcome {
    let found = store.verify(|_| {}).map_err(failed)?;
    let segments = counted(found.segments, "segment");
    println!("{segments}, {}, {}", counted(found.records, "record"), counted(found.messages, "message"));
    if found.torn {
        println!("the last write was cut off, as by a power failure; nothing acknowledged was in it");
    }
    for damage in found.damaged.iter().chain(&found.unreadable) {
        println!("{}", told(damage));
    }
    if found.is_sound() {
        return Ok(());
    }
    Err(Failure::new(Exit::Io, "the store is damaged; what is named above is kept back, the rest is served"))
}

fn told(damage: &Quarantined) -> String {
    let destination =
        damage.destination.as_ref().map_or("unknown destination".to_owned(), ToString::to_string);
    let id = damage.message_id.as_ref().map_or("unknown message".to_owned(), ToString::to_string);
    format!("damaged: {destination} {id}: {}", damage.reason)
}

fn why(store: &Inspection) -> Outcome {
    for segment in store.why(None).map_err(failed)? {
        println!("segment {}", segment.id);
        for holder in &segment.holders {
            println!("  {}  {}", holder.destination, held(holder.messages, holder.bytes));
        }
    }
    Ok(())
}
