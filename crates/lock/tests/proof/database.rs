//! A database that all share: `crates/store-postgres`.
//!
//! Leases are left out: a standby may claim at any moment. A node is a process and its session; one that is never
//! stepped stands still with its transaction open, until a claimant ends its session.

use stateright::{Model, Property};

use super::{holds, is_violated};

/// A unit of work: epoch, node, and which of that reign.
type Batch = (u8, usize, u8);

/// Number and claim id of an epoch.
type Epoch = (u8, usize);

/// One step that is not as in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    PlainReadOfEpoch,
    NumberWithoutClaimId,
    LoadInTheClaim,
    RepeatedBlindly,
}

use Mutation as M;

/// The model and how far it goes.
#[derive(Clone, Debug)]
pub struct Database {
    nodes: usize,
    claims: u8,
    commits: u8,
    mutation: Option<Mutation>,
}

/// A transaction that is open on the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Transaction {
    batch: Batch,
    /// It holds the lock of the epoch's row.
    locks: bool,
    /// The server has been told to commit.
    committing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Standby,
    /// It has read the epoch, and sends its claim of this number; again, if an answer was lost.
    Claiming {
        number: u8,
        again: bool,
    },
    Claimed,
    Serving,
    Open,
    Put,
    Committing,
    /// The session broke before the answer; the second is open, the first was ended.
    InDoubt,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    at: At,
    epoch: Epoch,
    /// What its claim would load, were it to load what it sees.
    snapshot: Vec<Batch>,
    loaded: Vec<Batch>,
    answered: u8,
}

/// The database, and the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    epoch: Epoch,
    /// Sorted; twice if it was applied twice.
    rows: Vec<Batch>,
    open: Vec<Option<Transaction>>,
    nodes: Vec<Node>,
    answered: Vec<Batch>,
}

/// A step, named as in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Look(usize),
    /// `move_epoch`, whose answer arrives or not.
    MoveEpoch {
        node: usize,
        answered: bool,
    },
    /// The request was lost on its way.
    LoseClaim(usize),
    /// `pg_terminate_backend` by a claimant, of the session that holds the row.
    Terminate {
        by: usize,
        whose: usize,
    },
    Load(usize),
    /// The first statement of a transaction.
    Fence(usize),
    Put(usize),
    Commit(usize),
    /// The server commits, and the answer arrives or not.
    Committed {
        node: usize,
        answered: bool,
    },
    /// The session breaks while the commit is under way.
    Cut(usize),
    /// On a new session, after the old one was ended: `progress` tells what became of the commit.
    LookUp(usize),
}

impl Database {
    const fn new() -> Self {
        Self { nodes: 3, claims: 3, commits: 1, mutation: None }
    }

    fn but(self, mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..self }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn is_epoch(&self, state: &State, epoch: Epoch) -> bool {
        state.epoch == epoch || (self.is(M::NumberWithoutClaimId) && state.epoch.0 == epoch.0)
    }

    fn is_locked(state: &State, but: usize) -> bool {
        state
            .open
            .iter()
            .enumerate()
            .any(|(node, open)| node != but && open.as_ref().is_some_and(|open| open.locks))
    }

    fn next(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Look(node) => {
                let number = state.epoch.0 + 1;
                (number <= self.claims).then_some(())?;
                state.nodes[node].at = At::Claiming { number, again: false };
                state.nodes[node].snapshot = self.seen_by_claim(state);
            }
            Step::LoseClaim(node) => {
                let At::Claiming { number, again: false } = state.nodes[node].at else { return None };
                state.nodes[node].at = At::Claiming { number, again: true };
            }
            Step::MoveEpoch { node, answered } => {
                let At::Claiming { number, again } = state.nodes[node].at else { return None };
                (!Self::is_locked(state, node)).then_some(())?;
                let ours = (number, node);
                if state.epoch.0 < number || (again && self.is_epoch(state, ours)) {
                    // Without an id nothing in the row tells who moved it.
                    state.epoch = ours;
                    state.nodes[node].epoch = ours;
                    state.nodes[node].at =
                        if answered { At::Claimed } else { At::Claiming { number, again: true } };
                } else {
                    state.nodes[node].at = At::Standby;
                }
            }
            Step::Terminate { whose, .. } => {
                state.open[whose] = None;
            }
            Step::Load(node) => {
                let snapshot = std::mem::take(&mut state.nodes[node].snapshot);
                let loaded = if self.is(M::LoadInTheClaim) { snapshot } else { state.rows.clone() };
                // What it has loaded it delivers, and answers repetitions of it.
                state.answered.extend(&loaded);
                state.answered.sort_unstable();
                state.answered.dedup();
                state.nodes[node].loaded = loaded;
                state.nodes[node].at = At::Serving;
            }
            Step::Fence(node) => {
                let Node { epoch, answered, .. } = state.nodes[node];
                if self.is_epoch(state, epoch) {
                    let locks = !self.is(M::PlainReadOfEpoch);
                    let batch = (epoch.0, node, answered);
                    state.open[node] = Some(Transaction { batch, locks, committing: false });
                    state.nodes[node].at = At::Open;
                } else {
                    self.stop(state, node);
                }
            }
            Step::Put(node) => {
                // A session that was ended has lost its transaction.
                state.nodes[node].at = if state.open[node].is_some() { At::Put } else { At::InDoubt };
            }
            Step::Commit(node) => {
                if let Some(open) = &mut state.open[node] {
                    open.committing = true;
                    state.nodes[node].at = At::Committing;
                } else {
                    state.nodes[node].at = At::InDoubt;
                }
            }
            Step::Committed { node, answered } => {
                state.open[node].as_ref().filter(|open| open.committing)?;
                let done = state.open[node].take()?;
                state.rows.push(done.batch);
                state.rows.sort_unstable();
                if state.nodes[node].at == At::Committing {
                    if answered {
                        complete(state, node);
                    } else {
                        state.nodes[node].at = At::InDoubt;
                    }
                }
            }
            Step::Cut(node) => state.nodes[node].at = At::InDoubt,
            Step::LookUp(node) => {
                let Node { epoch, answered, .. } = state.nodes[node];
                if !self.is(M::RepeatedBlindly) {
                    state.open[node] = None;
                }
                let done = state.rows.contains(&(epoch.0, node, answered));
                if done && !self.is(M::RepeatedBlindly) {
                    complete(state, node);
                } else if state.open[node].is_none() {
                    state.nodes[node].at = At::Serving;
                } else {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Only of interest if a claim loads what its own transaction sees.
    fn seen_by_claim(&self, state: &State) -> Vec<Batch> {
        if self.is(M::LoadInTheClaim) { state.rows.clone() } else { Vec::new() }
    }

    fn standby() -> Node {
        Node { at: At::Standby, epoch: (0, 0), snapshot: Vec::new(), loaded: Vec::new(), answered: 0 }
    }

    fn stop(&self, state: &mut State, node: usize) {
        state.nodes[node] = Node { at: At::Stopped, ..Self::standby() };
    }
}

/// The ticket completes.
fn complete(state: &mut State, node: usize) {
    let Node { epoch, answered, .. } = state.nodes[node];
    let batch = (epoch.0, node, answered);
    state.answered.push(batch);
    state.answered.sort_unstable();
    state.nodes[node].loaded.push(batch);
    state.nodes[node].answered += 1;
    state.nodes[node].at = At::Serving;
}

impl State {
    fn serving(&self) -> impl Iterator<Item = (usize, &Node)> {
        let serves = |at: &At| matches!(at, At::Serving | At::Open | At::Put | At::Committing | At::InDoubt);
        self.nodes.iter().enumerate().filter(move |(_, node)| serves(&node.at))
    }
}

impl Model for Database {
    type State = State;
    type Action = Step;

    /// The first node is the master of a store with one batch of long ago.
    fn init_states(&self) -> Vec<State> {
        let old = (0, usize::MAX, 0);
        let mut nodes = vec![Self::standby(); self.nodes];
        nodes[0] = Node { at: At::Serving, epoch: (1, 0), loaded: vec![old], ..Self::standby() };
        vec![State {
            epoch: (1, 0),
            rows: vec![old],
            open: vec![None; self.nodes],
            nodes,
            answered: vec![old],
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (node, it) in state.nodes.iter().enumerate() {
            match it.at {
                At::Standby => steps.push(Step::Look(node)),
                At::Claiming { again, .. } => {
                    steps.push(Step::MoveEpoch { node, answered: true });
                    if !again {
                        steps.extend([Step::MoveEpoch { node, answered: false }, Step::LoseClaim(node)]);
                    }
                    let holders = state.open.iter().enumerate();
                    let holders = holders.filter(|(_, open)| open.as_ref().is_some_and(|open| open.locks));
                    steps.extend(holders.map(|(whose, _)| Step::Terminate { by: node, whose }));
                }
                At::Claimed => steps.push(Step::Load(node)),
                At::Serving if it.answered < self.commits => steps.push(Step::Fence(node)),
                At::Open => steps.push(Step::Put(node)),
                At::Put => steps.push(Step::Commit(node)),
                At::Committing => steps.push(Step::Cut(node)),
                At::InDoubt => steps.push(Step::LookUp(node)),
                At::Serving | At::Stopped => {}
            }
            if state.open[node].as_ref().is_some_and(|open| open.committing) {
                steps.extend([
                    Step::Committed { node, answered: true },
                    Step::Committed { node, answered: false },
                ]);
            }
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.next(&mut next, step)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("durable-before-reply", |_, state: &State| {
                state.answered.iter().all(|batch| state.rows.contains(batch))
            }),
            Property::always("single-writer", |_, state: &State| {
                state.serving().all(|(number, node)| {
                    let others = |batch: &&Batch| {
                        batch.0 < node.epoch.0 || (batch.0 == node.epoch.0 && batch.1 != number)
                    };
                    state.answered.iter().filter(others).all(|batch| node.loaded.contains(batch))
                })
            }),
            Property::always("no-invention", |_, state: &State| {
                state.serving().all(|(_, node)| {
                    let before = |batch: &&Batch| batch.0 < node.epoch.0;
                    state.rows.iter().filter(before).all(|batch| node.loaded.contains(batch))
                })
            }),
            Property::always("applied once", |_, state: &State| {
                state.rows.iter().zip(state.rows.iter().skip(1)).all(|(a, b)| a != b)
            }),
            Property::sometimes("the last epoch serves", |model: &Self, state: &State| {
                state.serving().any(|(_, node)| node.epoch.0 == model.claims)
            }),
            Property::sometimes("a lost answer is found out", |_, state: &State| {
                state.nodes.iter().any(|node| node.at == At::Serving && node.answered > 0)
            }),
        ]
    }
}

#[test]
fn single_writer_in_a_database() {
    holds("database, two commits a reign", Database { commits: 2, ..Database::new() });
    holds("database, four nodes", Database { nodes: 4, ..Database::new() });
}

#[test]
fn a_plain_read_of_the_epoch_lets_a_transaction_commit_after_the_claim() {
    is_violated("PlainReadOfEpoch", Database::new().but(M::PlainReadOfEpoch), "single-writer");
}

#[test]
fn an_epoch_without_a_claim_id_is_won_twice() {
    is_violated("NumberWithoutClaimId", Database::new().but(M::NumberWithoutClaimId), "single-writer");
}

#[test]
fn a_claim_that_loads_what_its_own_transaction_sees_misses_a_commit() {
    is_violated("LoadInTheClaim", Database::new().but(M::LoadInTheClaim), "single-writer");
}

#[test]
fn a_commit_that_is_repeated_blindly_is_applied_twice() {
    is_violated("RepeatedBlindly", Database::new().but(M::RepeatedBlindly), "applied once");
}
