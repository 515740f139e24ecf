//! `ferromq store`: looks into a journal without touching it, whether or not a broker uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use ferromq_env::SystemDisk;
use ferromq_store::{Quarantined, StoreError};
use ferromq_store_journal::inspect::Inspection;

use crate::exit::{Exit, Failure, Outcome};

/// What to look for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Destinations with what waits in them, and the files that hold it
    Ls(Folder),
    /// Read every record; exit code 74 if something is damaged
    Verify(Folder),
    /// Say which destination keeps which file of the journal from being removed
    Why(Folder),
}

/// Where to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The folder of the broker
    #[arg(value_name = "DIR", default_value = "ferromq-data")]
    folder: PathBuf,
}

/// Looks and tells.
pub(crate) fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Ls(at) => {
            ls(&open(&at.folder)?);
            Ok(())
        }
        Verb::Verify(at) => verify(&open(&at.folder)?),
        Verb::Why(at) => why(&open(&at.folder)?),
    }
}

fn open(folder: &Path) -> Result<Inspection, Failure> {
    Inspection::open(Arc::new(SystemDisk), folder).map_err(failed)
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
        println!("{}  {} messages, {} bytes", line.destination, line.messages, line.bytes);
    }
    for line in &listing.segments {
        println!("{}  {} bytes, {} live", line.path.display(), line.file_bytes, line.live_bytes);
    }
}

fn verify(store: &Inspection) -> Outcome {
    let found = store.verify(|_| {}).map_err(failed)?;
    println!("{} segments, {} records, {} messages", found.segments, found.records, found.messages);
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
    format!("damaged: {:?} {:?}: {}", damage.destination, damage.message_id, damage.reason)
}

fn why(store: &Inspection) -> Outcome {
    for segment in store.why(None).map_err(failed)? {
        println!("segment {}", segment.id);
        for holder in &segment.holders {
            println!("  {}  {} messages, {} bytes", holder.destination, holder.messages, holder.bytes);
        }
    }
    Ok(())
}
