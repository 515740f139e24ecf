//! [`Claims`]: the numbered files by which an epoch is won, one after the other, without gaps.
//!
//! The file of an epoch is made exclusively, never renamed and never rewritten; the lock on it is a hint that its
//! owner lives. Whoever makes a claim marks the claims below it, in a place of each that nobody writes else, before it
//! reads anything that counts: a mark in a claim ends its epoch, whatever its owner believes. So an owner finds out by
//! reading its own file, which exists and is open, and need not look for a name that a cache may call absent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::{ClaimId, Epoch};

use super::marks;
use crate::{Contention, LockError};

/// Claims below the present one that are kept, so that a paused owner of one of them finds its successor.
const KEPT: u64 = 64;

/// How many numbers may be skipped by one claim: those of a folder that lost its claims, which are made anew.
const MAX_SKIP: u64 = 1 << 16;

/// How many claims are marked with one wait for the storage.
const AT_ONCE: usize = 256;

/// The text of a claim stays well within its page.
const MAX_OWNER: usize = 1024;

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LockError {
    let path = path.display().to_string();
    move |source| LockError::Io { action, path, source }
}

/// What tells that a higher claim exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The mark alone: everybody who may claim here marks.
    Mark,
    /// The name of the next claim as well: there may be claimants of a version that does not mark. On a file system that
    /// answers names from a cache they are seen late.
    MarkOrName,
}

/// The folder of claims below a folder that all share.
#[derive(Clone)]
pub struct Claims {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// A claim that is known to exist, whatever a listing says.
    known: Arc<AtomicU64>,
}

/// An epoch that was won, for as long as no higher claim exists.
pub struct Claim {
    claims: Claims,
    epoch: Epoch,
    fence: Fence,
    /// The claim itself, in which a mark would stand. Holds the lock, unless it was made by somebody else in this process.
    file: Arc<dyn DiskFile>,
    /// Ordinary reads show at once what others write.
    coherent: bool,
}

impl Claims {
    /// The claims in `store`.
    pub fn new(disk: Arc<dyn Disk>, store: &Path) -> Self {
        Self { disk, folder: store.join("claims"), known: Arc::default() }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}"))
    }

    fn place(&self) -> String {
        self.folder.parent().unwrap_or(&self.folder).display().to_string()
    }

    fn numbers(&self) -> Result<Vec<u64>, LockError> {
        let names = match self.disk.list(&self.folder) {
            Ok(names) => names,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("list", &self.folder)(error)),
        };
        // Whatever else stands here, as a copy that somebody made, is no claim.
        let number = |path: &PathBuf| {
            let number = path.file_name()?.to_str()?.parse().ok()?;
            self.path(number).ends_with(path.file_name()?).then_some(number)
        };
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        // The highest claim is never removed: a listing that lacks a known one is an old one.
        let known = self.known.load(Ordering::Relaxed);
        let listed = numbers.last().copied().unwrap_or(0);
        numbers.extend(listed.saturating_add(1)..=known);
        Ok(numbers)
    }

    fn exists(&self, number: u64) {
        self.known.fetch_max(number, Ordering::Relaxed);
    }

    /// The highest epoch that was claimed, and by whom.
    ///
    /// # Errors
    /// The folder or the claim can't be read.
    pub fn highest(&self) -> Result<(Epoch, Option<String>), LockError> {
        let Some(number) = self.numbers()?.last().copied() else { return Ok((Epoch::default(), None)) };
        let read = self.read(number);
        // Somebody took it away, against the rule. The next look believes the listing again.
        if let Err(LockError::Io { source, .. }) = &read
            && source.kind() == std::io::ErrorKind::NotFound
        {
            self.known.store(0, Ordering::Relaxed);
        }
        let (claim, owner) = read?;
        Ok((Epoch { number, claim }, owner))
    }

    fn read(&self, number: u64) -> Result<(ClaimId, Option<String>), LockError> {
        let path = self.path(number);
        let file = self.disk.open(&path, OpenMode::Read).map_err(io("open", &path))?;
        let text = self.text(&*file).map_err(io("read", &path))?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let claim = line("claim ").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
        Ok((ClaimId(claim), line("owner ")))
    }

    fn text(&self, file: &dyn DiskFile) -> std::io::Result<String> {
        let mut bytes = vec![0; 4096];
        let got = if self.disk.is_coherent(&self.folder) {
            file.read_at(&mut bytes, 0)
        } else {
            file.read_past_cache(&mut bytes, 0)
        };
        let text = String::from_utf8_lossy(bytes.get(..got?).unwrap_or_default()).into_owned();
        Ok(text.trim_end_matches('\0').to_owned())
    }

    /// Its maker holds the lock by then.
    fn is_whole(&self, file: &dyn DiskFile) -> std::io::Result<bool> {
        Ok(self.text(file)?.ends_with('\n'))
    }

    /// The claim id of an epoch, if its claim can be read.
    pub fn id_of(&self, number: u64) -> Option<ClaimId> {
        self.read(number).ok().map(|(claim, _)| claim)
    }

    fn in_use(&self, number: u64) -> LockError {
        let owner = self.read(number).ok().and_then(|(_, owner)| owner);
        let holder = owner.unwrap_or_else(|| String::from("another process"));
        LockError::Held { place: self.place(), holder: format!("{holder} (epoch {number})") }
    }

    /// The claim of an epoch that was won already, with the same id, by a provider of this process that holds it.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn adopt(&self, epoch: Epoch) -> Result<Option<Claim>, LockError> {
        let (highest, _) = self.highest()?;
        // Without a living holder it is the claim of an earlier run, whoever asks.
        if highest != epoch || epoch.number == 0 || self.has_died(epoch.number)? {
            return Ok(None);
        }
        let path = self.path(epoch.number);
        let file = self.disk.open(&path, OpenMode::Read).map_err(io("open", &path))?;
        self.mark_below(epoch)?;
        Ok(Some(self.won(epoch, file)))
    }

    fn won(&self, epoch: Epoch, file: Arc<dyn DiskFile>) -> Claim {
        self.exists(epoch.number);
        let coherent = self.disk.is_coherent(&self.folder);
        Claim { claims: self.clone(), epoch, fence: Fence::MarkOrName, file, coherent }
    }

    /// Whether the lock on the claim of an epoch can be had, which its owner holds while it lives. Taken and given
    /// back at once; no byte changes. A claim without its text may be one whose owner is about to lock it, and is left
    /// to the silence.
    ///
    /// # Errors
    /// The claim can't be opened or read.
    pub fn has_died(&self, number: u64) -> Result<bool, LockError> {
        let path = self.path(number);
        match self.disk.open(&path, OpenMode::Write) {
            Ok(file) => {
                let whole = self.is_whole(&*file).map_err(io("read", &path))?;
                Ok(whole && file.try_lock().map_err(io("lock", &path))?)
            }
            // Removed by a successor, which is another way to be no longer there. A cache may only be mistaken.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound && self.disk.is_coherent(&path) => {
                Ok(true)
            }
            Err(error) => Err(io("open", &path)(error)),
        }
    }

    /// Wins `epoch`, unless a claim as high exists or, without `over_silence`, the owner of the highest one lives. When it
    /// returns, every owner of a lower claim finds its mark, and only what is read from then on counts.
    ///
    /// # Errors
    /// [`LockError::Held`], [`LockError::Superseded`], or a file can't be used.
    pub fn claim(&self, epoch: Epoch, owner: &str, over_silence: bool) -> Result<Claim, LockError> {
        self.win(epoch, owner, over_silence, true, || Ok(()))
    }

    /// As [`Claims::claim`], for who judges by silence as well: a claim without its text is nobody's yet. `before` is done
    /// when nothing stands in the way any more, and the claim is not yet seen.
    pub(super) fn claim_leased(
        &self,
        epoch: Epoch,
        owner: &str,
        why: Contention,
        before: impl FnOnce() -> Result<(), LockError>,
    ) -> Result<Claim, LockError> {
        self.win(epoch, owner, why == Contention::OverSilence, false, before)
    }

    fn win(
        &self,
        epoch: Epoch,
        owner: &str,
        over_silence: bool,
        torn_is_vacant: bool,
        before: impl FnOnce() -> Result<(), LockError>,
    ) -> Result<Claim, LockError> {
        self.disk.create_dir_all(&self.folder).map_err(io("make", &self.folder))?;
        let highest = self.numbers()?.last().copied().unwrap_or(0);
        // Held until the new claim is safe, so that of two claimants one waits outside.
        let mut _old = None;
        if highest > 0 {
            let path = self.path(highest);
            let file = self.disk.open(&path, OpenMode::Write).map_err(io("open", &path))?;
            if !over_silence && !torn_is_vacant && !self.is_whole(&*file).map_err(io("read", &path))? {
                return Err(self.in_use(highest));
            }
            let vacant = file.try_lock().map_err(io("lock", &path))?;
            if !vacant && !over_silence {
                return Err(self.in_use(highest));
            }
            _old = Some(file);
        }
        if epoch.number <= highest {
            let theirs = Epoch { number: highest, claim: self.read(highest)?.0 };
            return Err(LockError::Superseded { place: self.place(), ours: epoch, theirs });
        }
        if epoch.number - highest > MAX_SKIP {
            let reason = format!(
                "{highest} is the last one, and {} is to be made; put those back that are missing",
                epoch.number
            );
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
            return Err(io("go on with the claims in", &self.folder)(source));
        }
        before()?;
        let mut held = None;
        for number in highest + 1..=epoch.number {
            held = Some(self.make(number, epoch, owner)?);
        }
        let Some(file) = held else { return Err(LockError::Bug(String::from("no claim was made"))) };
        self.disk.sync_dir(&self.folder).map_err(io("sync", &self.folder))?;
        self.mark_below(epoch)?;
        Ok(self.won(epoch, file))
    }

    /// Makes all claims below `epoch` marked, and safe so, in any order but that the one right below is marked when all
    /// others are. So below a claim that was marked by the next one all are, whoever dies half way. A mark is never wrong,
    /// however late it is written.
    fn mark_below(&self, epoch: Epoch) -> Result<(), LockError> {
        let mut wanted = self.unmarked_below(epoch)?;
        let Some(last) = wanted.pop() else { return Ok(()) };
        // Not all at once: they may be more than a process may have open.
        for some in wanted.chunks(AT_ONCE) {
            self.mark(some, epoch)?;
        }
        self.mark(&[last], epoch)
    }

    /// The claims that `epoch` has to make safe with the marks that are there, if there are any; the lowest first.
    fn unmarked_below(&self, epoch: Epoch) -> Result<Vec<(u64, Option<Epoch>)>, LockError> {
        let coherent = self.disk.is_coherent(&self.folder);
        let mut wanted = Vec::new();
        // A listing of a folder in which this machine has just made a name is not older than that.
        for number in self.numbers()?.into_iter().rev().filter(|number| *number < epoch.number) {
            let Some(file) = self.open_below(number, epoch)? else { break };
            let mark = marks::read(&*file, coherent).map_err(io("read", &self.path(number)))?;
            // Where machines share a folder, its maker may not have come to sync it, and go together with it. On one
            // machine whoever might miss it goes as well.
            if mark.is_none_or(|by| by != epoch && !coherent) {
                wanted.push((number, mark));
            }
            if mark.is_some_and(|by| by.number == number + 1) {
                break;
            }
        }
        wanted.reverse();
        Ok(wanted)
    }

    fn mark(&self, claims: &[(u64, Option<Epoch>)], epoch: Epoch) -> Result<(), LockError> {
        let mut marked = Vec::new();
        for (number, mark) in claims {
            let Some(file) = self.open_below(*number, epoch)? else { continue };
            marks::write(&*file, mark.unwrap_or(epoch)).map_err(io("mark", &self.path(*number)))?;
            marked.push(file);
        }
        self.disk.sync_files(&marked).map_err(io("sync marks in", &self.folder))
    }

    /// A claim below `epoch`, unless it is gone as those of long ago are: whoever removed it had marked it.
    fn open_below(&self, number: u64, epoch: Epoch) -> Result<Option<Arc<dyn DiskFile>>, LockError> {
        let path = self.path(number);
        match self.disk.open(&path, OpenMode::Write) {
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound && number + KEPT < epoch.number => {
                Ok(None)
            }
            Err(error) => Err(io("open", &path)(error)),
            Ok(file) => Ok(Some(file)),
        }
    }

    fn make(&self, number: u64, epoch: Epoch, owner: &str) -> Result<Arc<dyn DiskFile>, LockError> {
        let path = self.path(number);
        let file = match self.disk.open(&path, OpenMode::CreateNew) {
            Ok(file) => file,
            Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists => {
                self.exists(number);
                return Err(self.in_use(number));
            }
            Err(error) => return Err(io("create", &path)(error)),
        };
        if !file.try_lock().map_err(io("lock", &path))? {
            return Err(self.in_use(number));
        }
        // Room for a mark, which may stand there already: whoever lengthens a file changes no byte of it.
        file.set_len(marks::CLAIM_BYTES).map_err(io("lengthen", &path))?;
        let letters = owner.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let owner: String = letters.take(MAX_OWNER / 4).collect();
        // Locked before it has its text, see `has_died`.
        let text = format!("ferromq claim 1\nepoch {number}\nclaim {:016x}\nowner {owner}\n", epoch.claim.0);
        file.write_at(text.as_bytes(), 0).map_err(io("write", &path))?;
        // One that only fills a gap is synced with its mark.
        if number == epoch.number {
            file.sync().map_err(io("sync", &path))?;
        }
        Ok(file)
    }
}

impl Claim {
    /// The epoch that was won.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Looks from now on at what `fence` says. A claim looks at both to begin with.
    #[must_use]
    pub fn fenced_by(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Fails if a higher claim exists: the storage is asked, and no cache of names or bytes. Fails as well if the claim is no
    /// longer where the next claimant will look for it.
    ///
    /// # Errors
    /// [`LockError::Superseded`], [`LockError::Unclaimed`], or the claim can't be read.
    pub fn check(&self) -> Result<(), LockError> {
        let path = || self.claims.path(self.epoch.number);
        let marker = marks::read(&*self.file, self.coherent).map_err(|error| io("read", &path())(error))?;
        if marker.is_none() && (self.fence == Fence::Mark || !self.is_followed_by_name()?) {
            return self.is_in_place();
        }
        let next = Epoch { number: self.epoch.number + 1, claim: ClaimId(0) };
        let listed = self.claims.highest().map(|(epoch, _)| epoch).unwrap_or_default();
        let theirs = listed.max(marker.unwrap_or(next));
        Err(LockError::Superseded { place: self.claims.place(), ours: self.epoch, theirs })
    }

    /// Whoever claims marks what it finds in the folder. A claim that somebody took away from there would never be marked.
    fn is_in_place(&self) -> Result<(), LockError> {
        let path = self.claims.path(self.epoch.number);
        if self.file.is_named(&path).map_err(io("look for", &path))? {
            return Ok(());
        }
        // What it knew of this folder is no longer so.
        self.claims.known.store(0, Ordering::Relaxed);
        let (highest, _) = self.claims.highest()?;
        if highest.number > self.epoch.number {
            return Err(LockError::Superseded {
                place: self.claims.place(),
                ours: self.epoch,
                theirs: highest,
            });
        }
        Err(LockError::Unclaimed { path: path.display().to_string(), ours: self.epoch })
    }

    fn is_followed_by_name(&self) -> Result<bool, LockError> {
        // The own name is looked for after the successor's: claims are removed from below, so if it came and went, ours
        // went before it.
        let path = self.claims.path(self.epoch.number + 1);
        match self.claims.disk.open(&path, OpenMode::Read) {
            Ok(_) => Ok(true),
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io("open", &path)(error)),
        }
    }

    /// Removes claims of long ago, lowest first. Only once the own epoch is sealed.
    ///
    /// # Errors
    /// A file can't be removed.
    pub fn tidy(&self) -> Result<(), LockError> {
        for number in self.claims.numbers()? {
            if number + KEPT < self.epoch.number {
                let path = self.claims.path(number);
                match self.claims.disk.remove(&path) {
                    // Whoever was here before may have removed it just now.
                    Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
                    outcome => outcome.map_err(io("remove", &path))?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ferromq_env::simulated::{Crash, Fault, FaultError, OpKind, SimClock, SimDisk, StaleDisk, Staleness};

    use ferromq_model::WallTime;

    use super::*;

    const STORE: &str = "/store";

    fn claims(disk: &SimDisk) -> Claims {
        Claims::new(Arc::new(disk.another_process()), Path::new(STORE))
    }

    fn epoch(number: u64) -> Epoch {
        Epoch { number, claim: ClaimId(number + 70) }
    }

    #[test]
    fn a_store_of_many_epochs_that_lost_its_claims_is_claimed_above_them() {
        let disk = SimDisk::new();
        let claims = claims(&disk);
        let claim = claims.claim(epoch(3_000), "a", false).unwrap();
        assert_eq!(claims.highest().unwrap(), (epoch(3_000), Some("a".to_owned())));
        claim.check().unwrap();
        claim.tidy().unwrap();
        let kept = disk.list(&Path::new(STORE).join("claims")).unwrap();
        assert_eq!(kept.len() as u64, KEPT + 1);
        for path in kept.iter().filter(|path| !path.ends_with("0000003000")) {
            let file = disk.open(path, OpenMode::Read).unwrap();
            assert_eq!(marks::read(&*file, true).unwrap(), Some(epoch(3_000)), "{}", path.display());
        }
        let far = claims.claim(epoch(3_001 + MAX_SKIP), "a", true).err().unwrap();
        assert!(far.to_string().contains("put those back"), "{far}");
    }

    /// Whatever it is watched by: nobody would mark a claim that is not where claims are.
    #[test]
    fn a_claim_that_was_taken_away_or_replaced_counts_no_longer() {
        for fence in [Fence::Mark, Fence::MarkOrName] {
            for replaced in [false, true] {
                let disk = SimDisk::new();
                let (ours, others) = (claims(&disk), claims(&disk));
                let claim = ours.claim(epoch(2), "a", false).unwrap().fenced_by(fence);
                claim.check().unwrap();
                let folder = Path::new(STORE).join("claims");
                for path in disk.list(&folder).unwrap() {
                    disk.rename(&path, &Path::new(STORE).join("aside")).unwrap();
                }
                if replaced {
                    // A copy that was put back, or a number that was made anew: its mark is not in ours.
                    others.claim(epoch(2), "b", false).unwrap();
                }
                let gone = claim.check().unwrap_err();
                assert_eq!(gone.kind(), crate::ErrorKind::Superseded);
                assert!(gone.to_string().contains("the claim of epoch 2"), "{gone}");
                // Whoever held it claims like anybody else.
                let next = ours.claim(epoch(3), "a", true).unwrap();
                next.check().unwrap();
                assert!(
                    matches!(claim.check(), Err(LockError::Superseded { theirs, .. }) if theirs == epoch(3))
                );
            }
        }
    }

    /// As a version without marks leaves them.
    fn unmarked(claims: &Claims, numbers: std::ops::RangeInclusive<u64>) {
        claims.disk.create_dir_all(&claims.folder).unwrap();
        for number in numbers {
            let file = claims.disk.open(&claims.path(number), OpenMode::CreateNew).unwrap();
            let text = format!("ferromq claim 1\nepoch {number}\nclaim {:016x}\nowner z\n", number + 70);
            file.write_at(text.as_bytes(), 0).unwrap();
            file.sync().unwrap();
        }
        claims.disk.sync_dir(&claims.folder).unwrap();
    }

    fn marks(claims: &Claims, numbers: std::ops::RangeInclusive<u64>) -> Vec<Option<Epoch>> {
        let mark = |number| {
            let file = claims.disk.open(&claims.path(number), OpenMode::Read).unwrap();
            marks::read(&*file, false).unwrap()
        };
        numbers.map(mark).collect()
    }

    #[test]
    fn thousands_of_claims_are_marked_with_few_waits_for_the_storage() {
        let disk = SimDisk::new();
        let claims = claims(&disk);
        unmarked(&claims, 1..=1_000);
        let before = disk.count(OpKind::Sync);
        claims.claim(epoch(1_001), "a", false).unwrap();
        assert_eq!(disk.count(OpKind::SyncFiles), 1_000_u64.div_ceil(AT_ONCE as u64) + 1);
        assert_eq!(disk.count(OpKind::Sync) - before, 1_001);
        assert!(marks(&claims, 1..=1_000).iter().all(|mark| *mark == Some(epoch(1_001))));
        // Those that are made anew are safe with their marks.
        let before = disk.count(OpKind::Sync);
        claims.claim(epoch(2_001), "a", true).unwrap();
        assert_eq!(disk.count(OpKind::Sync) - before, 1_001);
        assert_eq!(disk.count(OpKind::SyncFiles), 10);
    }

    #[test]
    fn whoever_dies_while_it_marks_leaves_no_claim_out_that_the_next_one_finds() {
        for nth in 1..=6 {
            for seed in 0..20 {
                let disk = SimDisk::seeded(seed);
                unmarked(&claims(&disk), 1..=5);
                disk.plan(Fault::once(OpKind::Sync, nth, FaultError::Eio));
                claims(&disk).claim(epoch(6), "a", false).err().unwrap();
                disk.heal();
                // What its machine had not synced is there or not, in no order.
                let disk = disk.crash(Crash::Seeded(seed));
                let next = claims(&disk);
                let number = next.highest().unwrap().0.number + 1;
                next.claim(epoch(number), "b", true).unwrap();
                assert!(marks(&next, 1..=number - 1).iter().all(Option::is_some), "{nth}, {seed}");
            }
        }
    }

    /// Where machines share the storage: what one of them shows may go with it.
    #[test]
    fn marks_that_somebody_else_made_are_safe_before_they_are_counted_on() {
        for nth in 1..=3 {
            let disk = SimDisk::new();
            let clock = Arc::new(SimClock::new(WallTime(0)));
            let shared: Arc<dyn Disk> = Arc::new(disk.another_process());
            let next = Claims::new(
                Arc::new(StaleDisk::new(
                    shared,
                    clock,
                    Staleness { lasts: Duration::from_secs(1), names: true },
                )),
                Path::new(STORE),
            );
            unmarked(&next, 1..=2);
            disk.plan(Fault::once(OpKind::Sync, nth, FaultError::Eio));
            claims(&disk).claim(epoch(3), "a", false).err().unwrap();
            disk.heal();
            next.claim(epoch(4), "b", true).unwrap();
            let disk = disk.crash(Crash::LoseUnsynced);
            assert!(marks(&claims(&disk), 1..=3).iter().all(Option::is_some), "{nth}");
        }
    }

    #[test]
    fn what_is_no_claim_is_none_whatever_it_is_called() {
        let disk = SimDisk::new();
        let claims = claims(&disk);
        claims.claim(epoch(2), "a", false).unwrap();
        for name in ["7", "0000000003.bak", "+000000009", "copy"] {
            let path = Path::new(STORE).join("claims").join(name);
            disk.open(&path, OpenMode::CreateNew).unwrap();
        }
        assert_eq!(claims.highest().unwrap().0, epoch(2));
        claims.claim(epoch(3), "b", false).unwrap().check().unwrap();
        claims.claim(epoch(3), "a", false).err().unwrap();
    }
}
