//! A folder that all share: `crates/lock/src/file` and `crates/store-journal`.
//!
//! Leases are left out: a standby may claim at any moment, which is worse than any lease that is misjudged. An epoch has
//! one segment; that a master can't roll into another one unseen (the closing name) is for the simulator. A node that
//! was fenced, or lost power, comes back as another process; one that was killed is one that is never stepped again.

use stateright::{Model, Property};

use super::{holds, is_violated};

/// A unit of work: the epoch and the node that wrote it first, and which of that reign.
type Batch = (u8, usize, u8);

/// What the masters do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// `JournalBackend::commit`.
    Commits,
    /// `JournalBackend::reclaim`: copies what is live out of the oldest segment, and unlinks that.
    Reclaim,
    /// `JournalBackend::write_checkpoint`, and then the unlinking of what only the checkpoint still holds.
    Checkpoints,
}

/// One step that is not as in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    FenceUncheckedAfterSync,
    ClaimByRename,
    SealNotInherited,
    ScanOfCachedTail,
    UnlinkWithoutFence,
    CheckpointWithoutEpoch,
    CheckpointAnywhereCounts,
    TailNotMadeSafe,
    ScanBeforeMark,
    LastMarkInAnyOrder,
    AnyMarkEndsTheLook,
    OneMarkForAll,
    NameFromCache,
    SealWithoutFence,
}

use Mutation as M;

/// The model and how far it goes.
#[derive(Clone, Debug)]
pub struct Folder {
    nodes: usize,
    claims: u8,
    /// Claims above the first master's, of nodes that died before they marked anything.
    unmarked: u8,
    /// For more nodes: it is all one which of the standbys does something.
    renames: bool,
    work: Work,
    /// Of each reign.
    commits: u8,
    power_losses: u8,
    mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mark {
    None,
    ByNext,
    ByHigher,
}

/// A file `claims/<number>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClaimFile {
    number: u8,
    by: usize,
    /// A higher claim exists, says whoever made it.
    marked: Mark,
    /// A rename has put another file in its place.
    replaced: bool,
}

/// The segment of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Segment {
    by: usize,
    /// Ends of older segments that were there; `None` for what no epoch sealed.
    seal: Vec<Option<u8>>,
    seal_synced: bool,
    batches: Vec<Batch>,
    synced: u8,
    /// So many batches were in files that are unlinked.
    unlinked: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Checkpoint {
    /// In its name.
    by: (u8, usize),
    /// Segment and offset.
    at: (u8, u8),
    holds: Vec<Batch>,
}

/// Where a node stands; the next step is what it will do next, however late.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum At {
    Standby,
    /// It has listed the claims.
    Listed(u8),
    /// It has made its claim.
    Claimed,
    /// It will mark these, a bit for each.
    Marking(u8),
    Marked,
    Scanned,
    Safe,
    Sealed,
    SealSynced,
    Serving,
    Written,
    Synced,
    /// Copies are written, synced, checked.
    Copied,
    CopiesSynced,
    CopiesChecked,
    CheckpointWritten,
    CheckpointChecked,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    at: At,
    epoch: u8,
    /// Its claim among the files.
    claim: usize,
    /// Ends that it found.
    ends: Vec<Option<u8>>,
    /// What it serves, sorted.
    loaded: Vec<Batch>,
    committed: u8,
    /// What a cache holds: the length of a segment; that the next claim is absent.
    tail: Option<(u8, u8)>,
    absent: bool,
}

/// Everything that is shared, and the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    claims: Vec<ClaimFile>,
    /// By epoch.
    segments: Vec<Option<Segment>>,
    checkpoints: Vec<Checkpoint>,
    /// Only if one file stands for all marks.
    fence: u8,
    nodes: Vec<Node>,
    /// Sorted.
    answered: Vec<Batch>,
    power_losses: u8,
}

/// A step of a node, named as in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Follow(usize),
    List(usize),
    Claim(usize),
    Survey(usize),
    Mark(usize, u8),
    Scan(usize),
    MakeSafe(usize),
    Seal(usize),
    SyncSeal(usize),
    Check(usize),
    Append(usize),
    Sync(usize),
    CopyForward(usize),
    WriteCheckpoint(usize),
    Unlink(usize),
    PowerLoss,
}

impl Folder {
    fn new(work: Work) -> Self {
        Self {
            nodes: 3,
            claims: 3,
            unmarked: 0,
            renames: false,
            work,
            commits: 1,
            power_losses: 0,
            mutation: None,
        }
    }

    fn but(self, mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..self }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// `file::Claims::claim`, the exclusive creation.
    fn claim(&self, state: &mut State, node: usize, number: u8) -> bool {
        let taken = state.claims.iter_mut().find(|file| file.number == number && !file.replaced);
        match taken {
            Some(taken) if self.is(M::ClaimByRename) => taken.replaced = true,
            Some(_) => return false,
            None => {}
        }
        state.claims.push(ClaimFile { number, by: node, marked: Mark::None, replaced: false });
        state.nodes[node].claim = state.claims.len() - 1;
        state.nodes[node].epoch = number;
        true
    }

    /// `file::Claims::unmarked_below`: what a claimant of `number` has to mark, from its own down to a claim that was marked
    /// by the next one, below which all are.
    fn to_mark(&self, state: &State, number: u8) -> u8 {
        if self.is(M::OneMarkForAll) {
            return 1;
        }
        let mark = |below: u8| {
            let file = state.claims.iter().find(|file| file.number == below && !file.replaced);
            file.map_or(Mark::None, |file| file.marked)
        };
        let ends = |below: &u8| match mark(*below) {
            Mark::None => false,
            Mark::ByNext => true,
            Mark::ByHigher => self.is(M::AnyMarkEndsTheLook),
        };
        let found = (1..number).rev().take_while(|below| !ends(below));
        found.filter(|below| mark(*below) == Mark::None).fold(0, |all, below| all | 1 << below)
    }

    /// What may be marked next: in any order, but that of the claim right below the own one is the last.
    fn markable(&self, state: &State, node: usize, wanted: u8) -> impl Iterator<Item = u8> {
        let last = 1 << (state.nodes[node].epoch - 1);
        let early = wanted & !last;
        let may = if early == 0 || self.is(M::LastMarkInAnyOrder) { wanted } else { early };
        (0..8).filter(move |number| may & 1 << number != 0)
    }

    /// `file::Claims::mark_below`, one claim.
    fn mark(&self, state: &mut State, node: usize, number: u8) {
        let epoch = state.nodes[node].epoch;
        if self.is(M::OneMarkForAll) {
            state.fence = epoch;
            return;
        }
        let file = state.claims.iter_mut().find(|file| file.number == number && !file.replaced);
        if let Some(file) = file {
            file.marked = if number + 1 == epoch { Mark::ByNext } else { Mark::ByHigher };
        }
    }

    /// `file::Claim::check`.
    fn check(&self, state: &mut State, node: usize) -> bool {
        let Node { epoch, claim, absent, .. } = state.nodes[node];
        if self.is(M::NameFromCache) {
            let free = absent || !state.claims.iter().any(|file| file.number == epoch + 1);
            state.nodes[node].absent = free;
            return free;
        }
        if self.is(M::OneMarkForAll) {
            return state.fence <= epoch;
        }
        state.claims[claim].marked == Mark::None
    }

    /// Ends of all segments as whoever claims now would find them, by `History::survey` and `settle`.
    fn ends(&self, state: &State) -> Vec<Option<u8>> {
        let last = state.segments.iter().rposition(Option::is_some).unwrap_or(0);
        let seal = state.segments[last].as_ref().map(|segment| segment.seal.clone()).unwrap_or_default();
        let found = state.segments.iter().enumerate().map(|(epoch, segment)| {
            let segment = segment.as_ref()?;
            let whole = u8::try_from(segment.batches.len()).unwrap();
            // The one before the last is stated by the last; those before it were so by the seal before.
            let derived = self.is(M::SealNotInherited) && epoch + 1 < last;
            if epoch == last || derived { Some(whole) } else { seal.get(epoch).copied().flatten() }
        });
        found.collect()
    }

    /// What whoever claims now would load: the newest checkpoint that counts, and what stands behind it.
    fn load(&self, state: &State, ends: &[Option<u8>]) -> Vec<Batch> {
        let counts = |checkpoint: &&Checkpoint| {
            let (segment, offset) = checkpoint.at;
            let end = ends.get(usize::from(segment)).copied().flatten();
            let owner = state.segments[usize::from(segment)].as_ref().map(|segment| segment.by);
            self.is(M::CheckpointAnywhereCounts)
                || (end.is_some_and(|end| offset <= end) && owner == Some(checkpoint.by.1))
        };
        let newest = state.checkpoints.iter().filter(counts).max_by_key(|checkpoint| checkpoint.at);
        let mut found = newest.map(|checkpoint| checkpoint.holds.clone()).unwrap_or_default();
        for (segment, end) in state.segments.iter().zip(ends) {
            if let (Some(segment), Some(end)) = (segment, end) {
                let there =
                    usize::from(segment.unlinked)..usize::from(*end).max(usize::from(segment.unlinked));
                found.extend(segment.batches.get(there).unwrap_or_default());
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn next(&self, state: &mut State, step: Step) -> Option<()> {
        let epoch_of = |node: usize, state: &State| usize::from(state.nodes[node].epoch);
        match step {
            Step::Follow(node) => {
                let last = state.segments.iter().rposition(Option::is_some)?;
                let len = state.segments[last].as_ref()?.batches.len();
                state.nodes[node].tail = Some((u8::try_from(last).ok()?, u8::try_from(len).ok()?));
            }
            Step::List(node) => {
                let highest = state.claims.iter().map(|file| file.number).max()?;
                (highest < self.claims).then(|| state.nodes[node].at = At::Listed(highest))?;
            }
            Step::Claim(node) => {
                let At::Listed(highest) = state.nodes[node].at else { return None };
                if self.claim(state, node, highest + 1) {
                    let scans_first = self.is(M::ScanBeforeMark);
                    state.nodes[node].at = if scans_first { At::Marked } else { At::Claimed };
                } else {
                    state.nodes[node].at = At::Standby;
                }
            }
            Step::Survey(node) => {
                let wanted = self.to_mark(state, state.nodes[node].epoch);
                state.nodes[node].at = if wanted == 0 { At::Marked } else { At::Marking(wanted) };
            }
            Step::Mark(node, number) => {
                let At::Marking(wanted) = state.nodes[node].at else { return None };
                self.mark(state, node, number);
                let left = wanted & !(1 << number);
                let done = if self.is(M::ScanBeforeMark) { At::Scanned } else { At::Marked };
                state.nodes[node].at = if left == 0 { done } else { At::Marking(left) };
            }
            Step::Scan(node) => self.scan(state, node),
            Step::MakeSafe(node) => {
                let ends = state.nodes[node].ends.clone();
                for (segment, end) in state.segments.iter_mut().zip(ends) {
                    if let (Some(segment), Some(end)) = (segment, end) {
                        segment.synced = segment.synced.max(end);
                    }
                }
                state.nodes[node].at = At::Safe;
            }
            Step::Seal(node) => {
                let epoch = epoch_of(node, state);
                // An epoch is begun once, and never below one that was begun.
                if state.segments.iter().skip(epoch).any(Option::is_some) {
                    self.stop(state, node);
                    return Some(());
                }
                state.segments.resize(state.segments.len().max(epoch + 1), None);
                state.segments[epoch] = Some(Segment {
                    by: node,
                    seal: std::mem::take(&mut state.nodes[node].ends),
                    seal_synced: false,
                    batches: Vec::new(),
                    synced: 0,
                    unlinked: 0,
                });
                state.nodes[node].at = At::Sealed;
            }
            Step::SyncSeal(node) => {
                let epoch = epoch_of(node, state);
                state.segments[epoch].as_mut()?.seal_synced = true;
                let unchecked = self.is(M::SealWithoutFence);
                state.nodes[node].at = At::SealSynced;
                if unchecked {
                    serve(state, node);
                }
            }
            Step::Check(node) => self.checked(state, node)?,
            Step::Append(node) => {
                let epoch = epoch_of(node, state);
                let batch = (state.nodes[node].epoch, node, state.nodes[node].committed);
                state.segments[epoch].as_mut()?.batches.push(batch);
                state.nodes[node].committed += 1;
                state.nodes[node].loaded.push(batch);
                state.nodes[node].loaded.sort_unstable();
                state.nodes[node].at = At::Written;
            }
            Step::Sync(node) => {
                let epoch = epoch_of(node, state);
                let segment = state.segments[epoch].as_mut()?;
                segment.synced = u8::try_from(segment.batches.len()).ok()?;
                let unchecked = self.is(M::FenceUncheckedAfterSync);
                state.nodes[node].at = match state.nodes[node].at {
                    At::Copied if self.is(M::UnlinkWithoutFence) => At::CopiesChecked,
                    At::Copied => At::CopiesSynced,
                    _ if unchecked => {
                        complete(state, node);
                        At::Serving
                    }
                    _ => At::Synced,
                };
            }
            Step::CopyForward(node) => {
                let epoch = epoch_of(node, state);
                let live = state.segments[0].as_ref()?.batches.clone();
                state.segments[epoch].as_mut()?.batches.extend(live);
                state.nodes[node].at = At::Copied;
            }
            Step::WriteCheckpoint(node) => self.write_checkpoint(state, node)?,
            Step::Unlink(node) => {
                let epoch = epoch_of(node, state);
                let whole = state.nodes[node].at == At::CheckpointChecked;
                // A checkpoint holds everything before it; a copy only what was copied.
                for (number, segment) in state.segments.iter_mut().enumerate() {
                    let Some(segment) =
                        segment.as_mut().filter(|_| number == 0 || (whole && number <= epoch))
                    else {
                        continue;
                    };
                    let known =
                        segment.batches.iter().take_while(|batch| state.nodes[node].loaded.contains(batch));
                    segment.unlinked = segment.unlinked.max(u8::try_from(known.count()).ok()?);
                }
                self.stop(state, node);
            }
            Step::PowerLoss => self.lose_power(state),
        }
        Some(())
    }

    fn scan(&self, state: &mut State, node: usize) {
        let mut ends = self.ends(state);
        if self.is(M::ScanOfCachedTail)
            && let Some((segment, len)) = state.nodes[node].tail
            && let Some(Some(end)) = ends.get_mut(usize::from(segment))
        {
            *end = len;
        }
        state.nodes[node].loaded = self.load(state, &ends);
        state.nodes[node].ends = ends;
        let number = state.nodes[node].epoch;
        state.nodes[node].at = match self.mutation {
            Some(M::ScanBeforeMark) => match self.to_mark(state, number) {
                0 => At::Scanned,
                wanted => At::Marking(wanted),
            },
            Some(M::TailNotMadeSafe) => At::Safe,
            _ => At::Scanned,
        };
    }

    fn checked(&self, state: &mut State, node: usize) -> Option<()> {
        if !self.check(state, node) {
            self.stop(state, node);
            return Some(());
        }
        match state.nodes[node].at {
            At::SealSynced => serve(state, node),
            At::Synced => {
                complete(state, node);
                state.nodes[node].at = At::Serving;
            }
            At::CopiesSynced => state.nodes[node].at = At::CopiesChecked,
            At::CheckpointWritten => state.nodes[node].at = At::CheckpointChecked,
            _ => return None,
        }
        Some(())
    }

    fn write_checkpoint(&self, state: &mut State, node: usize) -> Option<()> {
        let epoch = state.nodes[node].epoch;
        let segment = state.segments[usize::from(epoch)].as_ref()?;
        let made = Checkpoint {
            by: (epoch, node),
            at: (epoch, u8::try_from(segment.batches.len()).ok()?),
            holds: state.nodes[node].loaded.clone(),
        };
        // Two may write one name only if the epoch is no part of it.
        let shared = self.is(M::CheckpointWithoutEpoch);
        state.checkpoints.retain(|other| !shared && other.by != made.by);
        state.checkpoints.push(made);
        state.checkpoints.sort_unstable_by_key(|checkpoint| checkpoint.by);
        state.nodes[node].at = At::CheckpointWritten;
        Some(())
    }

    /// All that was not synced is gone, and every process.
    fn lose_power(&self, state: &mut State) {
        state.power_losses += 1;
        for segment in &mut state.segments {
            if segment.as_ref().is_some_and(|segment| !segment.seal_synced) {
                *segment = None;
            } else if let Some(segment) = segment {
                segment.batches.truncate(usize::from(segment.synced));
            }
        }
        let fresh = self.standby();
        state.nodes.iter_mut().for_each(|node| *node = fresh.clone());
    }

    /// The process ends, or begins anew and follows; what it knew is gone.
    fn stop(&self, state: &mut State, node: usize) {
        state.nodes[node] = Node { at: At::Stopped, ..self.standby() };
    }

    fn standby(&self) -> Node {
        Node {
            at: At::Standby,
            epoch: 0,
            claim: 0,
            ends: Vec::new(),
            loaded: Vec::new(),
            committed: 0,
            tail: None,
            absent: false,
        }
    }
}

/// What a master has loaded it delivers, and answers repetitions of it.
fn serve(state: &mut State, node: usize) {
    state.nodes[node].at = At::Serving;
    let loaded = state.nodes[node].loaded.clone();
    answer(state, &loaded);
}

/// The ticket completes.
fn complete(state: &mut State, node: usize) {
    let Node { epoch, committed, .. } = state.nodes[node];
    answer(state, &[(epoch, node, committed - 1)]);
}

fn answer(state: &mut State, batches: &[Batch]) {
    state.answered.extend(batches);
    state.answered.sort_unstable();
    state.answered.dedup();
}

impl State {
    /// Gives those that began as standbys new numbers, so that states that differ in nothing else are one.
    fn rename(&mut self) {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order[1..].sort_by_key(|number| (self.nodes[*number].epoch, self.nodes[*number].at.clone()));
        let new = |old: usize| order.iter().position(|number| *number == old).unwrap_or(old);
        let all = |batches: &mut Vec<Batch>| batches.iter_mut().for_each(|batch| batch.1 = new(batch.1));
        self.nodes = order.iter().map(|number| self.nodes[*number].clone()).collect();
        for node in &mut self.nodes {
            all(&mut node.loaded);
            node.loaded.sort_unstable();
        }
        for segment in self.segments.iter_mut().flatten() {
            segment.by = new(segment.by);
            all(&mut segment.batches);
        }
        for checkpoint in &mut self.checkpoints {
            checkpoint.by.1 = new(checkpoint.by.1);
            all(&mut checkpoint.holds);
            checkpoint.holds.sort_unstable();
        }
        self.checkpoints.sort_unstable_by_key(|checkpoint| checkpoint.by);
        self.claims.iter_mut().for_each(|claim| claim.by = new(claim.by));
        all(&mut self.answered);
        self.answered.sort_unstable();
    }

    fn serving(&self) -> impl Iterator<Item = (usize, &Node)> {
        let serves = |at: &At| {
            !matches!(
                at,
                At::Standby
                    | At::Listed(_)
                    | At::Claimed
                    | At::Marking(_)
                    | At::Marked
                    | At::Scanned
                    | At::Safe
                    | At::Sealed
                    | At::SealSynced
                    | At::Stopped
            )
        };
        self.nodes.iter().enumerate().filter(move |(_, node)| serves(&node.at))
    }
}

impl Model for Folder {
    type State = State;
    type Action = Step;

    /// A store with one batch of long ago; the first node is its master, the others follow.
    fn init_states(&self) -> Vec<State> {
        let old: Batch = (0, usize::MAX, 0);
        let base = Segment {
            by: usize::MAX,
            seal: Vec::new(),
            seal_synced: true,
            batches: vec![old],
            synced: 1,
            unlinked: 0,
        };
        let first = Segment { by: 0, seal: vec![Some(1)], batches: Vec::new(), synced: 0, ..base.clone() };
        let mut nodes = vec![self.standby(); self.nodes];
        nodes[0] = Node { at: At::Serving, epoch: 1, loaded: vec![old], ..self.standby() };
        let claim = |number| ClaimFile { number, by: 0, marked: Mark::None, replaced: false };
        vec![State {
            claims: (1..=1 + self.unmarked).map(claim).collect(),
            segments: vec![Some(base), Some(first)],
            checkpoints: Vec::new(),
            fence: 1,
            nodes,
            answered: vec![old],
            power_losses: 0,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (number, node) in state.nodes.iter().enumerate() {
            match node.at {
                At::Standby => {
                    if self.is(M::ScanOfCachedTail) {
                        steps.push(Step::Follow(number));
                    }
                    steps.push(Step::List(number));
                }
                At::Listed(_) => steps.push(Step::Claim(number)),
                At::Claimed => steps.push(Step::Survey(number)),
                At::Marking(wanted) => {
                    steps.extend(self.markable(state, number, wanted).map(|claim| Step::Mark(number, claim)));
                }
                At::Marked => steps.push(Step::Scan(number)),
                At::Scanned => steps.push(Step::MakeSafe(number)),
                At::Safe => steps.push(Step::Seal(number)),
                At::Sealed => steps.push(Step::SyncSeal(number)),
                At::SealSynced | At::Synced | At::CopiesSynced | At::CheckpointWritten => {
                    steps.push(Step::Check(number));
                }
                At::Serving => match self.work {
                    Work::Commits if node.committed < self.commits => steps.push(Step::Append(number)),
                    Work::Reclaim => steps.push(Step::CopyForward(number)),
                    Work::Checkpoints if node.committed < self.commits => steps.push(Step::Append(number)),
                    Work::Checkpoints => steps.push(Step::WriteCheckpoint(number)),
                    Work::Commits => {}
                },
                // The code syncs and checks before a checkpoint; the argument does without.
                At::Written if self.work == Work::Checkpoints => {
                    steps.extend([Step::Sync(number), Step::WriteCheckpoint(number)]);
                }
                At::Written => steps.push(Step::Sync(number)),
                At::Copied => steps.push(Step::Sync(number)),
                At::CopiesChecked | At::CheckpointChecked => steps.push(Step::Unlink(number)),
                At::Stopped => {}
            }
        }
        if state.power_losses < self.power_losses {
            steps.push(Step::PowerLoss);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.next(&mut next, step)?;
        if self.renames {
            next.rename();
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("durable-before-reply", |model: &Self, state: &State| {
                let found = model.load(state, &model.ends(state));
                state.answered.iter().all(|batch| found.contains(batch))
            }),
            Property::always("single-writer", |_, state: &State| {
                state.serving().all(|(number, node)| {
                    let before =
                        |batch: &&Batch| batch.0 < node.epoch || (batch.0 == node.epoch && batch.1 != number);
                    state.answered.iter().filter(before).all(|batch| node.loaded.contains(batch))
                })
            }),
            Property::always("no-invention", |model: &Self, state: &State| {
                let found = model.load(state, &model.ends(state));
                state.serving().all(|(_, node)| {
                    let before = |batch: &&Batch| batch.0 < node.epoch;
                    found.iter().filter(before).all(|batch| node.loaded.contains(batch))
                })
            }),
            Property::sometimes("the last epoch serves", |model: &Self, state: &State| {
                state.serving().any(|(_, node)| node.epoch == model.claims)
            }),
        ]
    }
}

#[test]
fn single_writer_on_a_folder_while_masters_commit() {
    holds("folder, commits", Folder { commits: 2, ..Folder::new(Work::Commits) });
    let four = Folder { nodes: 4, claims: 4, renames: true, ..Folder::new(Work::Commits) };
    holds("folder, commits, four nodes", four);
}

#[test]
fn single_writer_on_a_folder_that_loses_power() {
    let model = Folder { claims: 4, power_losses: 1, ..Folder::new(Work::Commits) };
    holds("folder, commits, power loss", model);
}

#[test]
fn single_writer_on_a_folder_with_claims_that_nobody_marked() {
    let model = Folder { claims: 5, unmarked: 2, ..Folder::new(Work::Commits) };
    holds("folder, commits, unmarked claims", model);
}

#[test]
fn single_writer_on_a_folder_while_masters_reclaim() {
    let four = Folder { nodes: 4, claims: 4, renames: true, ..Folder::new(Work::Reclaim) };
    holds("folder, reclaim", four);
}

#[test]
fn single_writer_on_a_folder_while_masters_write_checkpoints() {
    holds("folder, checkpoints", Folder { nodes: 4, ..Folder::new(Work::Checkpoints) });
}

/// The file case of the mutations, each with what breaks.
fn breaks(model: Folder, mutation: Mutation, property: &'static str) {
    is_violated(&format!("{mutation:?}"), model.but(mutation), property);
}

#[test]
fn a_fence_that_is_not_checked_after_the_sync_loses_what_was_answered() {
    breaks(Folder::new(Work::Commits), M::FenceUncheckedAfterSync, "durable-before-reply");
}

#[test]
fn a_claim_by_rename_is_won_twice() {
    breaks(Folder { nodes: 4, ..Folder::new(Work::Commits) }, M::ClaimByRename, "durable-before-reply");
}

#[test]
fn a_seal_that_is_not_inherited_lets_late_bytes_in() {
    breaks(Folder::new(Work::Commits), M::SealNotInherited, "no-invention");
}

#[test]
fn a_scan_of_a_cached_tail_loses_what_was_answered() {
    breaks(Folder::new(Work::Commits), M::ScanOfCachedTail, "durable-before-reply");
}

#[test]
fn an_unlink_without_a_fence_check_removes_what_the_next_master_needs() {
    breaks(Folder::new(Work::Reclaim), M::UnlinkWithoutFence, "durable-before-reply");
}

#[test]
fn a_checkpoint_without_the_epoch_in_its_name_is_overwritten_by_a_stale_master() {
    breaks(Folder::new(Work::Checkpoints), M::CheckpointWithoutEpoch, "durable-before-reply");
}

#[test]
fn a_checkpoint_beyond_the_sealed_history_invents() {
    breaks(Folder::new(Work::Checkpoints), M::CheckpointAnywhereCounts, "no-invention");
}

#[test]
fn a_tail_that_was_not_made_safe_goes_with_the_power() {
    let model = Folder { power_losses: 1, ..Folder::new(Work::Commits) };
    breaks(model, M::TailNotMadeSafe, "durable-before-reply");
}

#[test]
fn a_scan_before_the_marks_misses_what_is_answered_meanwhile() {
    breaks(Folder::new(Work::Commits), M::ScanBeforeMark, "durable-before-reply");
}

#[test]
fn a_last_mark_that_is_not_the_last_leaves_one_out_when_a_claimant_dies() {
    let model = Folder { claims: 4, unmarked: 1, ..Folder::new(Work::Commits) };
    breaks(model, M::LastMarkInAnyOrder, "durable-before-reply");
}

#[test]
fn a_look_that_ends_at_any_mark_leaves_one_out_when_a_claimant_dies() {
    let model = Folder { claims: 5, unmarked: 2, ..Folder::new(Work::Commits) };
    breaks(model, M::AnyMarkEndsTheLook, "durable-before-reply");
}

#[test]
fn one_mark_for_all_is_turned_back_by_a_late_claimant() {
    breaks(Folder::new(Work::Commits), M::OneMarkForAll, "single-writer");
}

#[test]
fn a_name_that_a_cache_answers_as_absent_fences_nobody() {
    breaks(Folder::new(Work::Commits), M::NameFromCache, "durable-before-reply");
}

#[test]
fn a_seal_without_a_fence_check_lets_a_late_claimant_serve() {
    breaks(Folder::new(Work::Commits), M::SealWithoutFence, "single-writer");
}
