//! [`JournalFollower`]: a store that was opened and not claimed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Clock, Disk, OpenMode};
use ferromq_journal::{History, JournalError, Survey};
use ferromq_model::Epoch;
use ferromq_store::{Budget, Claimed, Follower, Position, StoreError};

use crate::checkpoint::Checkpoints;
use crate::claim::Claims;
use crate::failure;
use crate::index::PageFileId;
use crate::marker::{self, Mark};
use crate::options::Options;
use crate::recovery::{self, Place, Prepared};
use crate::warm::{Stop, Warm};

/// While there is always more to read, names are looked at every so many calls.
const LOOK_EVERY: u32 = 32;

/// Memory is looked after whenever so much was read.
const EVICT_EVERY: u64 = 4 << 20;

/// Opens the store in `folder`, which need not exist yet. Nothing is written before it is claimed.
///
/// # Errors
/// The folder holds something else, or a store of a newer format, or can't be read.
pub fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    folder: &Path,
    options: Options,
) -> Result<Box<dyn Follower>, StoreError> {
    let mark = marker::read(&*disk, folder, options.known_format)?;
    let (seen, _) = Claims::new(disk.clone(), folder).highest()?;
    let options = options.fitted(room(&*disk, folder));
    let place = Place { disk, clock, folder: folder.to_path_buf(), options };
    Ok(Box::new(JournalFollower::new(place, seen, mark)))
}

/// What the store may ever occupy on its disk. What can't be measured is no reason for small segments.
fn room(disk: &dyn Disk, folder: &Path) -> u64 {
    let journal = folder.join("journal");
    let names = disk.list(&journal).unwrap_or_default();
    let length = |name: &PathBuf| disk.open(name, OpenMode::Read)?.len();
    let used: u64 = names.iter().filter_map(|name| length(name).ok()).sum();
    disk.free_bytes(folder).unwrap_or(u64::MAX).saturating_add(used)
}

/// A store that was opened and not claimed: a standby keeps its index ready.
///
/// Whatever the master does meanwhile, it never fails for good: where it can't go on, it begins again at the newest
/// checkpoint. When the master writes a checkpoint, a second index is begun there and takes over once it has caught
/// up, so that what is in memory alone stays as little as the master itself allows.
struct JournalFollower {
    place: Place,
    seen: Epoch,
    mark: Option<Mark>,
    prepared: Prepared,
    /// Begun at a newer checkpoint, and not yet as far.
    next: Option<Warm>,
    history: History,
    /// The newest checkpoint when one was begun at last, and how many candidates could not be read.
    newest: Option<PageFileId>,
    skip: usize,
    /// Calls since names were looked at.
    calls: u32,
    /// Nothing came the last time.
    idle: bool,
    /// It has not come to the end of what was written since it was last somewhere else.
    behind: bool,
    /// Bytes read since memory was looked after.
    read: u64,
}

impl JournalFollower {
    fn new(place: Place, seen: Epoch, mark: Option<Mark>) -> Self {
        Self {
            place,
            seen,
            mark,
            prepared: Prepared::default(),
            next: None,
            history: History::default(),
            newest: None,
            skip: 0,
            calls: 0,
            idle: true,
            behind: true,
            read: 0,
        }
    }

    /// Looks at names: a higher claim, new segments, a seal, a checkpoint.
    fn survey(&mut self) -> Result<(), StoreError> {
        let Place { disk, folder, options, .. } = &self.place;
        self.mark = marker::read(&**disk, folder, options.known_format)?;
        let claims = Claims::new(disk.clone(), folder);
        let (seen, _) = claims.highest()?;
        self.seen = self.seen.max(seen);
        let survey = Survey {
            claim_id: &|number| claims.id_of(number),
            past_cache: !disk.is_coherent(folder),
            known: &mut self.prepared.known,
            format: options.known_format,
        };
        self.history = match History::survey_by(&**disk, &folder.join("journal"), survey) {
            Err(JournalError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                History::default()
            }
            found => found.map_err(failure::journal)?,
        };
        // If the claims are lost, the segments still say which numbers were used.
        self.seen = self.seen.max(self.history.epoch);
        for warm in [&mut self.prepared.warm, &mut self.next] {
            if warm.as_ref().is_some_and(|warm| !warm.is_of(&self.history)) {
                *warm = None;
            }
        }
        let checkpoints = Checkpoints::new(disk.clone(), folder, self.seen);
        let newest = checkpoints.newest()?;
        if newest != self.newest {
            (self.newest, self.skip) = (newest, 0);
            self.next = Warm::begin(&self.history, &checkpoints, 0)?;
        }
        if self.prepared.warm.is_none() {
            self.prepared.warm = match self.next.take() {
                Some(next) => Some(next),
                None => Warm::begin(&self.history, &checkpoints, self.skip)?,
            };
        }
        Ok(())
    }

    fn step(&mut self, budget: Budget) -> Result<(), StoreError> {
        self.calls += 1;
        if self.idle || self.calls >= LOOK_EVERY || self.prepared.warm.is_none() {
            self.calls = 0;
            self.survey()?;
        }
        let mut left = budget.bytes.max(1);
        let stop = self.advance(&mut left)?;
        self.idle = stop != Stop::Budget;
        self.behind = stop != Stop::End;
        self.read += budget.bytes.max(1) - left;
        if self.read >= EVICT_EVERY {
            self.read = 0;
            let cache = self.place.options.cache_bytes;
            self.prepared.warm.iter_mut().chain(&mut self.next).for_each(|warm| warm.evict(cache));
        }
        Ok(())
    }

    fn advance(&mut self, left: &mut u64) -> Result<Stop, StoreError> {
        let Place { disk, folder, .. } = &self.place;
        let past_cache = !disk.is_coherent(folder);
        let Some(warm) = &mut self.prepared.warm else { return Ok(Stop::End) };
        let stop = match warm.read(&**disk, &self.history, past_cache, left) {
            Ok(Stop::Lost) => {
                self.prepared.warm = self.next.take();
                return Ok(Stop::Lost);
            }
            Ok(stop) => stop,
            // Its pages were removed, or its segments: whoever was slow begins again.
            Err(error) if is_gone(&error) => {
                self.skip += usize::from(self.next.is_none() && matches!(error, StoreError::Damaged { .. }));
                self.prepared.warm = self.next.take();
                return Ok(Stop::Lost);
            }
            Err(error) => {
                self.prepared.warm = None;
                return Err(error);
            }
        };
        let at = warm.at();
        if let Some(next) = &mut self.next {
            match next.read(&**disk, &self.history, past_cache, left) {
                Ok(Stop::Lost) => self.next = None,
                Ok(_) if next.at() >= at => self.prepared.warm = self.next.take(),
                Ok(_) => {}
                Err(error) => {
                    self.next = None;
                    if !is_gone(&error) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(stop)
    }
}

fn is_gone(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } => true,
        StoreError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

impl Follower for JournalFollower {
    fn follow(&mut self, budget: Budget) -> Result<Position, StoreError> {
        match self.step(budget) {
            // What was listed is gone by now: next time.
            Err(error) if is_gone(&error) => {
                (self.prepared.warm, self.next) = (None, None);
                (self.idle, self.behind) = (true, true);
            }
            outcome => outcome?,
        }
        let at = self.prepared.warm.as_ref().map(Warm::at).unwrap_or_default();
        Ok(Position(at.to_u64()))
    }

    fn claim(mut self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        match recovery::claim(&self.place, epoch, &mut self.prepared) {
            Ok(claimed) => Ok(claimed),
            Err(error) => Err((self, error)),
        }
    }

    fn seen_epoch(&self) -> Epoch {
        self.seen
    }

    fn store_id(&self) -> Option<String> {
        Some(self.mark?.id?.to_string())
    }

    fn lag(&self) -> Option<u64> {
        self.prepared.warm.as_ref().map(|warm| warm.lag(&self.history, self.behind))
    }
}
