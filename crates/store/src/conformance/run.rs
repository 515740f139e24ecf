//! [`Run`]: one reign over a store beside the reference.

use std::collections::BTreeMap;

use ferromq_model::{ClaimId, Epoch, Ticket};

use super::snapshot::Snapshot;
use super::world::World;
use crate::memory::Contents;
use crate::{
    Budget, Claimed, Follower, IndexEntry, Loaded, MessageRef, PageRequest, Recovered, StoreBackend,
    StoreError, StoreOp, StoreReader, Sync, WriteBatch,
};

/// More than any check ever writes.
pub(super) const EVERYTHING: Budget = Budget { bytes: u64::MAX };

/// One reign over a store, and what it should contain after each batch that was handed over.
pub struct Run {
    /// The writer.
    pub backend: Box<dyn StoreBackend>,
    /// The reader.
    pub reader: Box<dyn StoreReader>,
    /// What the claim found.
    pub recovered: Recovered,
    /// The reign.
    pub epoch: Epoch,
    last: Ticket,
    durable: Ticket,
    /// What the store should contain after ticket n, from the durable ticket on.
    states: BTreeMap<Ticket, Contents>,
}

/// Follows a store to its end and claims it with the next epoch.
pub(super) fn claim(world: &mut dyn World) -> Result<(Claimed, Epoch), StoreError> {
    let mut follower = world.open()?;
    read_all(&mut *follower)?;
    let number = follower.seen_epoch().number + 1;
    let epoch = Epoch { number, claim: ClaimId(0x00c0_ffee ^ number) };
    let claimed = follower.claim(epoch).map_err(|(_, error)| error)?;
    assert_eq!(claimed.recovered.epoch, epoch);
    Ok((claimed, epoch))
}

fn read_all(follower: &mut dyn Follower) -> Result<(), StoreError> {
    let mut position = follower.follow(EVERYTHING)?;
    loop {
        let next = follower.follow(EVERYTHING)?;
        if next == position {
            return Ok(());
        }
        position = next;
    }
}

impl Run {
    /// The first reign over an empty store.
    pub fn begin(world: &mut dyn World) -> Self {
        Self::resume(world, &[Contents::default()])
    }

    /// As [`Run::begin`], where the medium may fail.
    ///
    /// # Errors
    /// The store can't be opened.
    pub fn try_begin(world: &mut dyn World) -> Result<Self, StoreError> {
        Self::try_resume(world, &[Contents::default()])
    }

    /// Opens a store that must show one of these states.
    pub(super) fn resume(world: &mut dyn World, legal: &[Contents]) -> Self {
        Self::try_resume(world, legal).unwrap_or_else(|error| panic!("the store does not open: {error}"))
    }

    pub(super) fn try_resume(world: &mut dyn World, legal: &[Contents]) -> Result<Self, StoreError> {
        let (Claimed { backend, mut reader, recovered }, epoch) = claim(world)?;
        let found = Snapshot::take(&recovered, &mut *reader);
        // The newest first: states that look the same may differ in the ids that were used.
        let contents = legal.iter().rev().find(|state| {
            let expected = state.recovered(epoch);
            expected.next_sequence <= recovered.next_sequence
                && expected.next_destination <= recovered.next_destination
                && expected.next_subscription <= recovered.next_subscription
                && snapshot(state, epoch) == found
        });
        let Some(contents) = contents else {
            let expected: Vec<Snapshot> = legal.iter().map(|state| snapshot(state, epoch)).collect();
            panic!(
                "the store shows none of the {} legal states\nfound, with next place {:?}, destination {:?}, \
                 subscription {:?}:\n{found:#?}\nlegal:\n{expected:#?}",
                legal.len(),
                recovered.next_sequence,
                recovered.next_destination,
                recovered.next_subscription
            );
        };
        let states = BTreeMap::from([(Ticket(0), contents.clone())]);
        Ok(Self { backend, reader, recovered, epoch, last: Ticket(0), durable: Ticket(0), states })
    }

    /// What the store should contain now.
    pub fn contents(&self) -> &Contents {
        self.states.last_key_value().map(|(_, state)| state).expect("there is always one")
    }

    /// The next batch, which the reference applies at once.
    pub(super) fn batch(&mut self, ops: Vec<StoreOp>, sync: Sync) -> WriteBatch {
        let mut contents = self.contents().clone();
        self.last = Ticket(self.last.0 + 1);
        let batch = WriteBatch { epoch: self.epoch, ticket: self.last, ops, sync };
        contents.apply(&batch).expect("the check itself is wrong");
        self.states.insert(self.last, contents);
        batch
    }

    /// Hands batches over.
    ///
    /// # Errors
    /// As the store says; what was in them may or may not survive.
    pub(super) fn hand_over(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<(), StoreError> {
        let wanted = force_sync || batches.iter().any(|batch| batch.sync == Sync::Required);
        let durable = self.backend.commit(batches, force_sync)?;
        assert_eq!(durable.is_some(), wanted, "durable if and only if a sync was asked for");
        if let Some(durable) = durable {
            assert_eq!(durable.upto(), self.last, "a sync covers all that was committed");
            self.durable = durable.upto();
            self.states.retain(|ticket, _| *ticket >= durable.upto());
        }
        Ok(())
    }

    /// Commits a unit of work that somebody waits for.
    pub fn commit(&mut self, ops: Vec<StoreOp>) {
        self.try_commit(ops).unwrap();
    }

    pub(super) fn try_commit(&mut self, ops: Vec<StoreOp>) -> Result<(), StoreError> {
        let batch = self.batch(ops, Sync::Required);
        self.hand_over(&[batch], false)
    }

    /// Commits a unit of work that nobody waits for.
    pub(super) fn commit_lazily(&mut self, ops: Vec<StoreOp>) {
        let batch = self.batch(ops, Sync::Lazy);
        self.hand_over(&[batch], false).unwrap();
    }

    /// All the maintenance there is to do, which must come to an end.
    pub(super) fn maintain(&mut self) -> crate::Space {
        for _ in 0..100_000 {
            let outcome = self.backend.maintain(Budget { bytes: 8 << 20 }).unwrap();
            if !outcome.more {
                return outcome.space;
            }
        }
        panic!("maintenance finds no end");
    }

    /// What any crash may leave: everything from the last durable batch to the last one handed over.
    pub(super) fn legal(&self) -> Vec<Contents> {
        self.states.values().cloned().collect()
    }

    /// What must be there after an orderly end or a mere kill.
    pub(super) fn now(&self) -> Vec<Contents> {
        vec![self.contents().clone()]
    }

    /// Asserts that the reader shows what was committed, synced or not.
    pub fn check_reader(&mut self) {
        let expected = self.contents().recovered(self.epoch);
        // The counts are the reference's on both sides; what is compared are pages and messages.
        let found = Snapshot::take(&expected, &mut *self.reader);
        assert_eq!(found, snapshot(self.contents(), self.epoch));
    }

    /// Ends in an orderly way.
    pub(super) fn close(self) -> Vec<Contents> {
        let now = self.now();
        drop(self.reader);
        self.backend.close().unwrap();
        now
    }

    /// Ends in an orderly way and opens again; everything must be there.
    #[must_use]
    pub fn reopen(self, world: &mut dyn World) -> Self {
        let now = self.close();
        Self::resume(world, &now)
    }
}

/// What the reference shows.
fn snapshot(contents: &Contents, epoch: Epoch) -> Snapshot {
    Snapshot::take(&contents.recovered(epoch), &mut Reference(contents))
}

struct Reference<'a>(&'a Contents);

impl StoreReader for Reference<'_> {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        Ok(wanted.iter().map(|wanted| self.0.load(*wanted)).collect())
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.0.page(wanted))
    }
}
