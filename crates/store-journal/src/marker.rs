//! [`Mark`]: the file `format`, which says that a folder is a store, which one, and in what format it is written.
//!
//! A program writes a store in the format that it found, and raises it only when somebody says so ([`finalize`]): until
//! then the version before can follow and claim it.

use std::fmt;
use std::path::{Path, PathBuf};

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::ClaimId;
use ferromq_store::StoreError;

use crate::failure;

/// The newest format that this version knows of the folder as a whole, segments included.
pub(crate) const FORMAT: u32 = ferromq_journal::FORMAT;

/// From this format on a store has streams of links.
pub(crate) const STREAMS: u32 = 2;

const MARKER: &str = "ferromq-store ";

/// Which store it is: random, drawn once when it was made, the same in every copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a store says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The format in which it is written.
    pub format: u32,
    /// Which store it is; `None` if it is older than ids.
    pub id: Option<StoreId>,
}

/// What the store in `folder` says of itself; `None` if there is none yet. Writes nothing.
///
/// # Errors
/// There is something else, or a store of a newer format, or it can't be read.
pub fn mark(disk: &dyn Disk, folder: &Path) -> Result<Option<Mark>, StoreError> {
    read(disk, folder, FORMAT)
}

/// From the next claim on, the store is written in the newest format that this program knows; the version before can
/// follow and claim it no longer. Returns the formats before and after.
///
/// # Errors
/// There is no store, or it can't be read or written.
pub fn finalize(disk: &dyn Disk, folder: &Path) -> Result<(u32, u32), StoreError> {
    raise(disk, folder, FORMAT)
}

pub(crate) fn raise(disk: &dyn Disk, folder: &Path, to: u32) -> Result<(u32, u32), StoreError> {
    let Some(found) = read(disk, folder, to)? else {
        let reason = String::from("the file `format` is missing");
        return Err(StoreError::NotAStore { store: folder.display().to_string(), reason });
    };
    if found.format < to {
        write(disk, folder, OpenMode::Write, Mark { format: to, ..found })?;
    }
    Ok((found.format, to))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("format")
}

/// As [`mark`], for a program that knows formats up to `known`.
pub(crate) fn read(disk: &dyn Disk, folder: &Path, known: u32) -> Result<Option<Mark>, StoreError> {
    let path = path(folder);
    let not_a_store = |reason: String| StoreError::NotAStore { store: folder.display().to_string(), reason };
    if !is_worth_a_look(disk, folder)? {
        return Ok(None);
    }
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            // Without the marker there must be nothing that looks like a journal, or it would be overlooked.
            if has_journal(disk, folder) {
                return Err(not_a_store(String::from(
                    "there is a journal, but the file `format` is missing",
                )));
            }
            return Ok(None);
        }
        Err(error) => return Err(failure::io("open", &path)(error)),
    };
    let text = read_text(disk, &*file, &path)?;
    match parse(&text) {
        Some((found, _)) if found > known => {
            Err(StoreError::NewerFormat { store: folder.display().to_string(), found, known })
        }
        // A first start that lost power before the marker was safe has written nothing else.
        Some((_, None)) if !has_journal(disk, folder) => Ok(None),
        Some((format, id)) => Ok(Some(Mark { format, id })),
        None if is_beginning(text.trim_end_matches('\0')) && !has_journal(disk, folder) => Ok(None),
        None => Err(not_a_store(format!("the file `format` says {text:?}"))),
    }
}

fn read_text(disk: &dyn Disk, file: &dyn DiskFile, path: &Path) -> Result<String, StoreError> {
    let mut bytes = [0; 64];
    let got = if disk.is_coherent(path) {
        file.read_at(&mut bytes, 0)
    } else {
        file.read_past_cache(&mut bytes, 0)
    };
    let got = got.map_err(failure::io("read", path))?;
    Ok(String::from_utf8_lossy(bytes.get(..got).unwrap_or_default()).into_owned())
}

/// The format, and the id if it is there.
fn parse(text: &str) -> Option<(u32, Option<StoreId>)> {
    let mut lines = text.trim_end_matches('\0').split_inclusive('\n');
    let number = lines.next()?.strip_prefix(MARKER)?.strip_suffix('\n')?.parse().ok()?;
    let id = lines.next().and_then(|line| line.strip_prefix("id ")?.strip_suffix('\n'));
    Some((number, id.and_then(|hex| u64::from_str_radix(hex, 16).ok()).map(StoreId)))
}

/// Where a cache may remember that a name was looked for in vain, nothing is looked for before a listing shows it: what
/// another machine has just made would be missing for a while, and with it the store.
fn is_worth_a_look(disk: &dyn Disk, folder: &Path) -> Result<bool, StoreError> {
    if disk.is_coherent(folder) {
        return Ok(true);
    }
    match disk.list(folder) {
        Ok(names) => Ok(names.iter().any(|name| name.ends_with("format") || name.ends_with("journal"))),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failure::io("list", folder)(error)),
    }
}

/// Whether a marker may begin like this.
fn is_beginning(text: &str) -> bool {
    MARKER.starts_with(text)
        || text.strip_prefix(MARKER).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn has_journal(disk: &dyn Disk, folder: &Path) -> bool {
    disk.list(&folder.join("journal")).is_ok_and(|names| !names.is_empty())
}

/// Makes the folder a store, safely, before anything else is written in it, unless somebody was faster; what it is then.
/// Its id is that of the claim that made it, which is random.
pub(crate) fn make(disk: &dyn Disk, folder: &Path, format: u32, claim: ClaimId) -> Result<Mark, StoreError> {
    let path = path(folder);
    let file = disk.open(&path, OpenMode::CreateOrKeep).map_err(failure::io("create", &path))?;
    match parse(&read_text(disk, &*file, &path)?) {
        Some((found, Some(_))) if found > format => {
            Err(StoreError::NewerFormat { store: folder.display().to_string(), found, known: format })
        }
        Some((format, id @ Some(_))) => Ok(Mark { format, id }),
        _ => {
            let mark = Mark { format, id: Some(StoreId(claim.0)) };
            write(disk, folder, OpenMode::CreateOrKeep, mark)?;
            Ok(mark)
        }
    }
}

/// All of it is in one sector, which is written whole or not at all.
pub(crate) fn write(disk: &dyn Disk, folder: &Path, mode: OpenMode, mark: Mark) -> Result<(), StoreError> {
    let path = path(folder);
    let file = disk.open(&path, mode).map_err(failure::io("create", &path))?;
    let id = mark.id.map(|id| format!("id {id}\n")).unwrap_or_default();
    let text = format!("{MARKER}{}\n{id}", mark.format);
    file.write_at(text.as_bytes(), 0).map_err(failure::io("write", &path))?;
    file.sync().map_err(failure::io("sync", &path))?;
    disk.sync_dir(folder).map_err(failure::io("sync", folder))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferromq_env::simulated::{SimClock, SimDisk};
    use ferromq_journal::{HeaderRead, SegmentHeader};
    use ferromq_model::Epoch;
    use ferromq_store::{Budget, Follower};

    use super::*;
    use crate::Options;

    const STORE: &str = "/store";

    fn version(disk: &SimDisk, known_format: u32) -> Result<Box<dyn Follower>, StoreError> {
        let options = Options { segment_bytes: 1 << 20, known_format, ..Options::default() };
        crate::open(
            Arc::new(disk.another_process()),
            Arc::new(SimClock::default()),
            Path::new(STORE),
            options,
        )
    }

    fn reign(follower: Box<dyn Follower>) {
        let number = follower.seen_epoch().number + 1;
        let claimed = follower.claim(Epoch { number, claim: ClaimId(number + 70) });
        claimed.map_err(|(_, error)| error).unwrap().backend.close().unwrap();
    }

    #[test]
    fn a_store_keeps_its_id() {
        let disk = SimDisk::new();
        assert_eq!(mark(&disk, Path::new(STORE)).unwrap(), None);
        for _ in 0..3 {
            reign(version(&disk, 1).unwrap());
            let found = mark(&disk, Path::new(STORE)).unwrap().unwrap();
            assert_eq!(found, Mark { format: 1, id: Some(StoreId(71)) });
        }
    }

    /// The formats that the headers of the segments state, in their order.
    fn segments(disk: &SimDisk) -> Vec<u32> {
        let mut paths = disk.list(&Path::new(STORE).join("journal")).unwrap();
        paths.retain(|path| ferromq_journal::parse_segment_name(path).is_some());
        paths.sort();
        let formats = paths.iter().filter_map(|path| {
            let mut bytes = [0; 64];
            disk.open(path, OpenMode::Read).unwrap().read_at(&mut bytes, 0).unwrap();
            match SegmentHeader::decode_up_to(&bytes, 9) {
                HeaderRead::Whole(header) => Some(header.format),
                // What closes the chain of a reign.
                _ => None,
            }
        });
        formats.collect()
    }

    #[test]
    fn a_store_has_streams_of_links_from_format_2_on_and_not_before() {
        use ferromq_model::{StreamId, StreamPosition, Ticket};
        use ferromq_store::{StoreOp, StreamOp, StreamRecord, Sync, WriteBatch};

        let disk = SimDisk::new();
        reign(version(&disk, 1).unwrap());
        let epoch = |number| Epoch { number, claim: ClaimId(number + 70) };
        let put = |number| WriteBatch {
            epoch: epoch(number),
            ticket: Ticket(1),
            ops: vec![StoreOp::Stream(StreamOp::Put(StreamRecord {
                id: StreamId(1),
                name: "a".into(),
                reserved: StreamPosition(1),
            }))],
            sync: Sync::Required,
        };
        let claim = |number| version(&disk, 2).unwrap().claim(epoch(number)).map_err(|(_, error)| error);
        // Given a store of the first format, the new version writes nothing that the old one could not read
        let mut claimed = claim(2).unwrap();
        assert_eq!(claimed.recovered.streams, None);
        let refusal = claimed.backend.commit(&[put(2)], false).unwrap_err();
        assert!(refusal.to_string().contains("format"), "{refusal}");
        drop(claimed);
        // When it is finalized, the next reign has streams
        raise(&disk, Path::new(STORE), 2).unwrap();
        let mut claimed = claim(3).unwrap();
        assert_eq!(claimed.recovered.streams, Some(Vec::new()));
        claimed.backend.commit(&[put(3)], false).unwrap();
        claimed.backend.close().unwrap();
        // and keeps them, by its snapshot as by its journal.
        for number in [4, 5] {
            let claimed = claim(number).unwrap();
            assert_eq!(claimed.recovered.streams.map(|streams| streams.len()), Some(1));
        }
    }

    #[test]
    fn two_versions_share_a_store_until_it_is_finalized() {
        let disk = SimDisk::new();
        // Given a store of the old version, a rolling upgrade and a way back
        for known in [1, 2, 1, 2] {
            reign(version(&disk, known).unwrap());
        }
        assert_eq!(segments(&disk).iter().max(), Some(&1), "the new version writes what it found");
        let budget = Budget { bytes: 1 << 20 };
        let (mut old, mut new) = (version(&disk, 1).unwrap(), version(&disk, 2).unwrap());
        old.follow(budget).unwrap();
        new.follow(budget).unwrap();
        // When the new one is said to be there to stay
        assert_eq!(raise(&disk, Path::new(STORE), 2).unwrap(), (1, 2));
        // Then the old one is told so, wherever it meets the store, and the new one goes on.
        let refusals = [
            old.follow(budget).err(),
            version(&disk, 1).err(),
            old.claim(Epoch { number: 9, claim: ClaimId(1) }).err().map(|(_, error)| error),
        ];
        for refusal in refusals {
            let refusal = refusal.unwrap();
            assert!(matches!(refusal, StoreError::NewerFormat { found: 2, known: 1, .. }), "{refusal}");
        }
        new.follow(budget).unwrap();
        reign(new);
        assert_eq!(segments(&disk).last(), Some(&2), "and its segments say so");
        // Without the marker's word the old version meets the segment, and is refused by that.
        write(&disk, Path::new(STORE), OpenMode::Write, Mark { format: 1, id: Some(StoreId(71)) }).unwrap();
        let refusal = version(&disk, 1).unwrap().follow(budget).unwrap_err();
        assert!(matches!(refusal, StoreError::NewerFormat { found: 2, known: 1, .. }), "{refusal}");
        assert_eq!(raise(&disk, Path::new(STORE), 2).unwrap(), (1, 2));
        let found = read(&disk, Path::new(STORE), 2).unwrap().unwrap();
        assert_eq!(found, Mark { format: 2, id: Some(StoreId(71)) });
        assert_eq!(raise(&disk, Path::new(STORE), 2).unwrap(), (2, 2), "saying it again changes nothing");
    }
}
