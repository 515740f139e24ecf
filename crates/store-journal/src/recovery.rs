//! Becoming the writer: claim, close the chain, find the end, make it safe, replay, seal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Clock, Disk, OpenMode};
use ferromq_journal::{
    History, Item, Known, Position, Survey, Writer, WriterOptions, parse_segment_name, segment_path,
};
use ferromq_model::Epoch;
use ferromq_store::{Claimed, Quarantined, StoreError};

use crate::backend::JournalBackend;
use crate::checkpoint::{Candidate, Checkpoints, Restored};
use crate::claim::{Claim, Claims};
use crate::failure;
use crate::index::{Index, PageFileId, SegmentUse};
use crate::marker;
use crate::options::Options;
use crate::reader::JournalReader;
use crate::replay::Replay;
use crate::shared::Shared;
use crate::warm::Warm;

/// How often the look at a store begins again, because a master that does not know yet that it is none goes on.
const ATTEMPTS: usize = 16;

/// A store, and how it is opened.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
}

/// What a standby has ready.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) warm: Option<Warm>,
    pub(crate) known: Known,
}

/// Becomes the writer of a store under `epoch`. `prepared` is used up unless somebody else has the store.
pub(crate) fn claim(place: &Place, epoch: Epoch, prepared: &mut Prepared) -> Result<Claimed, StoreError> {
    let Place { disk, clock, folder, options } = place.clone();
    let journal = folder.join("journal");
    let mark = marker::read(&*disk, &folder, options.known_format)?;
    disk.create_dir_all(&folder).map_err(failure::io("make", &folder))?;
    let claims = Claims::new(disk.clone(), &folder);
    let claim = claims.claim(epoch, &options.owner)?;
    // What is there already keeps its format until somebody says otherwise.
    let mark = match mark {
        Some(mark) => mark,
        None => marker::make(&*disk, &folder, options.known_format, epoch.claim)?,
    };
    let format = mark.format;
    let claim = claim.in_format(format);
    let streams = format >= marker::STREAMS;
    disk.create_dir_all(&journal).map_err(failure::io("make", &journal))?;

    // Only what is read from here on counts: whoever writes below the claim completes nothing any longer.
    let mut found = again(|| find(place, &claims, epoch, prepared))?;
    found.checkpoints.adopt(found.candidate, std::mem::take(&mut found.pages))?;
    let written = WriterOptions { segment_bytes: options.segment_bytes, format, ..WriterOptions::default() };
    let writer = seal(&disk, &journal, &found, &claim, written)?;
    let Found { history, checkpoints, mut index, quarantined, .. } = found;
    let first = writer.position().segment;
    let mut sealing = SegmentUse::new(epoch, u64::from(writer.capacity()), 0);
    sealing.needs_gone = history.segments.iter().map(|segment| (segment.id, 0)).collect();
    index.usage.add_segment(first, sealing);
    index.written = writer.position();

    let mut recovered = index.recovered(epoch);
    recovered.streams = recovered.streams.filter(|_| streams);
    recovered.quarantined = quarantined;
    let unnamed = |reason| Quarantined { destination: None, sequence: None, message_id: None, reason };
    recovered.quarantined.extend(history.damage.into_iter().map(unnamed));
    let shared = Arc::new(Shared::new(disk, journal, index));
    let reader = JournalReader::new(shared.clone());
    let mut backend = JournalBackend::new(shared, writer, claim, clock, options, epoch, first, checkpoints)?;
    backend.streams = streams;
    Ok(Claimed { backend: Box::new(backend), reader: Box::new(reader), recovered })
}

/// A stale master may still unlink what nobody needs: what was listed and is gone is no fault, one looks again.
pub(crate) fn again<T>(mut look: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut attempt = 1;
    loop {
        match look() {
            Err(StoreError::Io { source, .. })
                if attempt < ATTEMPTS && source.kind() == std::io::ErrorKind::NotFound =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// What a claimant found, all of it safe.
struct Found {
    history: History,
    /// The name that keeps the old epoch from another segment; it stays until the next claim.
    closing: PathBuf,
    candidate: Candidate,
    pages: BTreeSet<PageFileId>,
    checkpoints: Checkpoints,
    index: Index,
    quarantined: Vec<Quarantined>,
}

fn find(place: &Place, claims: &Claims, epoch: Epoch, prepared: &mut Prepared) -> Result<Found, StoreError> {
    let Place { disk, folder, .. } = place;
    for name in ["journal", "meta", "index"] {
        see_names(&**disk, &folder.join(name), epoch)?;
    }
    let (surveyed, closing) = close(place, claims, epoch, &mut prepared.known)?;
    let warm = prepared.warm.take().filter(|warm| warm.is_of(&surveyed));
    // An epoch is begun once. A claim that failed half way may have left a part of a seal, and the next one takes the
    // next number.
    let numbers = surveyed.segments.iter().map(|segment| &segment.path).chain(&surveyed.abandoned);
    let begun = numbers.filter_map(|path| parse_segment_name(path)).map(|(number, _)| number).max();
    if let Some(number) = begun.filter(|number| *number >= epoch.number) {
        let theirs = Epoch { number, claim: claims.id_of(number).unwrap_or_default() };
        return Err(StoreError::Fenced { store: folder.display().to_string(), ours: epoch, theirs });
    }
    let checkpoints = Checkpoints::new(disk.clone(), folder, epoch);
    // Whoever wrote a checkpoint had synced everything before it.
    let from = match &warm {
        Some(warm) => warm.safe(),
        None => checkpoints.candidates(&surveyed)?.first().map_or_else(Position::default, Candidate::from),
    };
    let history = make_safe(&**disk, &surveyed, from)?;
    let ready = match warm {
        Some(warm) => warm.finish(disk, &history, &checkpoints)?,
        None => None,
    };
    let Rebuilt { candidate, pages, index, quarantined, lost } = match ready {
        Some(ready) => ready,
        None => restore(disk, &history, &checkpoints)?,
    };
    if !lost.is_empty() {
        let files: Vec<String> = lost.iter().map(|path| path.display().to_string()).collect();
        return Err(StoreError::Incomplete {
            store: folder.display().to_string(),
            reason: format!("{}, with messages that are not consumed", files.join(", ")),
            expendable: "`index`",
        });
    }
    Ok(Found { history, closing, candidate, pages, checkpoints, index, quarantined })
}

/// Makes sure that the last epoch writes no further segment, and looks at all there are, past the caches. The names
/// come from a listing after the closing one was made here, which no cache answers with an older state.
fn close(
    place: &Place,
    claims: &Claims,
    epoch: Epoch,
    known: &mut Known,
) -> Result<(History, PathBuf), StoreError> {
    let Place { disk, folder, options, .. } = place;
    let (disk, format) = (&**disk, options.known_format);
    let journal = folder.join("journal");
    // The two newest may have been read before they were safe.
    known.forget_newest(2);
    let mut survey = || {
        let survey = Survey { claim_id: &|number| claims.id_of(number), past_cache: true, known, format };
        History::survey_by(disk, &journal, survey).map_err(failure::journal)
    };
    let mut before = survey()?;
    for _ in 0..ATTEMPTS {
        let closing = before.close_chain(disk, &journal).map_err(failure::journal)?;
        if closing.is_none() {
            see_names(disk, &journal, epoch)?;
        }
        let after = survey()?;
        if let Some(closing) = closing
            && after.epoch == before.epoch
        {
            return Ok((after, closing));
        }
        before = after;
    }
    Err(StoreError::Io {
        action: "close the journal in",
        path: journal.display().to_string(),
        source: std::io::Error::other("somebody goes on making segments"),
    })
}

/// Makes sure that the next listing of a folder is not older than this: no cache has an answer to it from before this
/// machine has changed the folder itself.
fn see_names(disk: &dyn Disk, folder: &Path, epoch: Epoch) -> Result<(), StoreError> {
    if disk.is_coherent(folder) {
        return Ok(());
    }
    disk.create_dir_all(folder).map_err(failure::io("make", folder))?;
    let path = folder.join(format!("{:010}.look", epoch.number));
    disk.open(&path, OpenMode::CreateOrKeep).map_err(failure::io("create", &path))?;
    failure::removed(disk.remove(&path), &path)
}

/// Finds the end, and makes everything before it safe: what was found may be in a system's memory only, and a sync
/// that failed for somebody else may have left pages that look written. So it is synced here, and read once more
/// past the caches; what a stale master appends meanwhile does not count.
fn make_safe(disk: &dyn Disk, surveyed: &History, from: Position) -> Result<History, StoreError> {
    let settle = || {
        let mut history = surveyed.clone();
        history.settle_from(disk, from).map_err(failure::journal)?;
        Ok(history)
    };
    let mut history: History = settle()?;
    for _ in 0..ATTEMPTS {
        for segment in history.segments.iter().rev().take(2) {
            let file =
                disk.open(&segment.path, OpenMode::Write).map_err(failure::io("open", &segment.path))?;
            file.sync().map_err(failure::io("sync", &segment.path))?;
        }
        if history.is_still_there(disk).map_err(failure::journal)? {
            return Ok(history);
        }
        let again = settle()?;
        if again.end() >= history.end() {
            return Ok(history);
        }
        history = again;
    }
    Err(StoreError::Bug(String::from("the end of the journal goes back and back")))
}

/// Begins the epoch: its first segment with its seal, safe, and only then the look whether it is still the highest.
/// Nothing is delivered, loaded or removed before that.
fn seal(
    disk: &Arc<dyn Disk>,
    journal: &Path,
    found: &Found,
    claim: &Claim,
    options: WriterOptions,
) -> Result<Writer, StoreError> {
    let Found { history, closing, .. } = found;
    let writer = Writer::create(
        disk.clone(),
        journal.to_path_buf(),
        claim.epoch(),
        history.next_id,
        &history.seal(),
        options,
    )
    .map_err(failure::journal)?;
    claim.check()?;
    claim.tidy()?;
    for path in history.abandoned.iter().filter(|path| *path != closing) {
        failure::removed(disk.remove(path), path)?;
    }
    Ok(writer)
}

/// The index, and what it was made from.
pub(crate) struct Rebuilt {
    pub(crate) candidate: Candidate,
    /// Page files that the checkpoint it was made from needs.
    pub(crate) pages: BTreeSet<PageFileId>,
    pub(crate) index: Index,
    pub(crate) quarantined: Vec<Quarantined>,
    /// Segments that the newest checkpoint knows, or that stood between others behind it, and that are missing.
    pub(crate) lost: Vec<PathBuf>,
}

/// The index from the newest checkpoint that fits and the journal behind it; from the whole journal if none does.
/// Writes nothing.
pub(crate) fn restore(
    disk: &Arc<dyn Disk>,
    history: &History,
    checkpoints: &Checkpoints,
) -> Result<Rebuilt, StoreError> {
    // Only the newest checkpoint says what is missing: what an older one needs may be gone by right.
    let mut lost = None;
    for candidate in checkpoints.candidates(history)? {
        let Some(restored) = checkpoints.restore(candidate)? else {
            lost.get_or_insert_with(Vec::new);
            continue;
        };
        let (whole, from) = (restored.whole, restored.from);
        let pages = restored.pages.clone();
        match replay(disk, history, restored) {
            Ok((index, mut quarantined)) => {
                let missing = if whole { Vec::new() } else { missing(history, &index, from) };
                // Where something is damaged, a removal may be, and what it removed may be gone by right.
                let sound = quarantined.is_empty() && history.damage.is_empty();
                let lost = lost.get_or_insert_with(|| if sound { missing.clone() } else { Vec::new() });
                if whole || refers_only_to(history, &index) {
                    let lost = std::mem::take(lost);
                    quarantined.extend(forgotten(&**disk, history, candidate)?);
                    return Ok(Rebuilt { candidate, pages, index, quarantined, lost });
                }
                tracing::warn!("a checkpoint names segments that are missing; trying the one before");
            }
            Err(error @ StoreError::Damaged { .. }) if !whole => {
                tracing::warn!(%error, "a checkpoint can't be read; trying the one before");
                lost.get_or_insert_with(Vec::new);
            }
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Bug(String::from("the whole journal is always a candidate")))
}

/// What a journal without snapshots can't say once its beginning was unlinked.
pub(crate) fn forgotten(
    disk: &dyn Disk,
    history: &History,
    candidate: Candidate,
) -> Result<Option<Quarantined>, StoreError> {
    let Some(first) = history.segments.first() else { return Ok(None) };
    if candidate != Candidate::Journal || !history.is_cut_short(disk).map_err(failure::journal)? {
        return Ok(None);
    }
    let reason = format!(
        "the snapshots in `meta` are gone, and with them what stood before {} of durable subscriptions, producers and \
         links: durable subscribers begin anew, and what waited for them is not served",
        first.path.display()
    );
    Ok(Some(Quarantined { destination: None, sequence: None, message_id: None, reason }))
}

/// Segments that must be there and are not: something lives in them, or they stood between others of one reign behind
/// `from`, where nothing is unlinked before the next checkpoint.
fn missing(history: &History, index: &Index, from: Position) -> Vec<PathBuf> {
    let journal = history.segments.first().and_then(|segment| segment.path.parent()).unwrap_or(Path::new(""));
    let exists = |id: u32| history.segments.iter().any(|segment| segment.id == id);
    let dead = |(id, usage): &(u32, &SegmentUse)| usage.live > 0 && !exists(*id);
    let named = index.usage.segments().filter(dead).map(|(id, usage)| (usage.epoch.number, id));
    let between = history.segments.windows(2).filter_map(|pair| match pair {
        [one, next] if one.epoch == next.epoch && one.id >= from.segment => {
            Some((one.id + 1..next.id).map(|id| (one.epoch.number, id)))
        }
        _ => None,
    });
    let lost: BTreeSet<(u64, u32)> = named.chain(between.flatten()).collect();
    lost.into_iter().map(|(epoch, id)| segment_path(journal, epoch, id)).collect()
}

/// Whether everything that lives does so in a segment that exists.
pub(crate) fn refers_only_to(history: &History, index: &Index) -> bool {
    let exists = |id: u32| history.segments.iter().any(|segment| segment.id == id);
    index.usage.segments().all(|(id, segment)| segment.live == 0 || exists(id))
}

fn replay(
    disk: &Arc<dyn Disk>,
    history: &History,
    restored: Restored,
) -> Result<(Index, Vec<Quarantined>), StoreError> {
    let from = restored.from;
    let mut replay = Replay::new(restored);
    add_segments(&mut replay.index, history);
    forget_missing(&mut replay.index, history);
    let past_cache = history.segments.first().is_some_and(|segment| !disk.is_coherent(&segment.path));
    for segment in history.segments.iter().filter(|segment| segment.id >= from.segment) {
        let offset = if segment.id == from.segment { from.offset } else { 0 };
        let mut scan = segment.scan(&**disk, offset).map_err(failure::journal)?.past_cache(past_cache);
        loop {
            match scan.next().map_err(failure::journal)? {
                Item::End { .. } => break,
                item => replay.take(segment, item)?,
            }
        }
    }
    // Only damage can have swallowed the end of a batch: the history ends at a whole one.
    replay.finish_batch()?;
    // What was unlinked after the checkpoint is dead only now that its removals were replayed.
    forget_missing(&mut replay.index, history);
    Ok((replay.index, replay.quarantined))
}

/// Tells the index about all segments there are, and where they end.
pub(crate) fn add_segments(index: &mut Index, history: &History) {
    for segment in &history.segments {
        if index.usage.segment(segment.id).is_none() {
            let usage = SegmentUse::new(segment.epoch, segment.file_bytes, segment.end());
            index.usage.add_segment(segment.id, usage);
        }
        index.usage.end_segment(segment.id, segment.end());
    }
}

/// A segment that nothing lives in may be gone: it was unlinked after the checkpoint that still names it.
pub(crate) fn forget_missing(index: &mut Index, history: &History) {
    let gone: Vec<u32> = index
        .usage
        .segments()
        .filter(|(id, usage)| usage.live == 0 && !history.segments.iter().any(|s| s.id == *id))
        .map(|(id, _)| id)
        .collect();
    gone.into_iter().for_each(|id| index.usage.drop_segment(id));
}
