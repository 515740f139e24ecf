//! [`Planted`] bugs: what a broken broker would do, put between the parts of a whole one.
//!
//! A simulator that finds nothing proves nothing. Each of these is planted alone, and the run must end with a
//! violation.

use ferromq_engine::{Input, Intent, Output, TransactionVerb};
use ferromq_env::simulated::SeededEntropy;
use ferromq_model::Ticket;
use ferromq_store::{Recovered, StoreOp, StreamOp, Sync, WriteBatch};

use crate::mesh::LinkBug;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Sends are answered, and messages shown, before anything is written.
    AnswerBeforeSync,
    /// The store reports units of work as durable that were only handed to the system.
    NeverSync,
    /// Some acknowledgements never reach the store.
    LoseAcknowledgement,
    /// Some messages never reach the store.
    LoseMessage,
    /// A rollback commits.
    ForgetRollback,
    /// A unit of work is written in two.
    SplitUnitOfWork,
    /// Redelivered messages look fresh.
    ForgetRedeliveredFlag,
    /// What may have been delivered is not noted before it is.
    ForgetExposure,
    /// Two deliveries change places.
    SwapDeliveries,
    /// Some deliveries are made twice.
    DeliverTwice,
    /// Some deliveries are never made.
    SwallowDelivery,
    /// The windows of stored sequences are lost at a restart.
    ForgetProducerWindows,
    /// A durable subscription is left out when its message is stored.
    ForgetSubscription,
    /// A rolled-back or refused message is answered as if a commit had happened.
    CommitNothing,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::AnswerBeforeSync,
        Self::NeverSync,
        Self::LoseAcknowledgement,
        Self::LoseMessage,
        Self::ForgetRollback,
        Self::SplitUnitOfWork,
        Self::ForgetRedeliveredFlag,
        Self::ForgetExposure,
        Self::SwapDeliveries,
        Self::DeliverTwice,
        Self::SwallowDelivery,
        Self::ForgetProducerWindows,
        Self::ForgetSubscription,
        Self::CommitNothing,
    ];
}

/// Stands between the parts of a node and spoils what passes, or does nothing.
pub(crate) struct Saboteur {
    planted: Option<Planted>,
    dice: SeededEntropy,
    /// Of a mesh.
    pub(crate) link_bug: Option<LinkBug>,
}

impl Saboteur {
    pub(crate) const fn new(planted: Option<Planted>, dice: SeededEntropy) -> Self {
        Self { planted, dice, link_bug: None }
    }

    fn is(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// Between a session and the engine.
    pub(crate) fn input(&self, input: Input) -> Input {
        let to = match self.planted {
            Some(Planted::ForgetRollback) => (TransactionVerb::Rollback, TransactionVerb::CommitOnePhase),
            Some(Planted::CommitNothing) => (TransactionVerb::CommitOnePhase, TransactionVerb::Rollback),
            _ => return input,
        };
        match input {
            Input::Intent { conn, tag, intent: Intent::Transaction { id, verb } } if verb == to.0 => {
                Input::Intent { conn, tag, intent: Intent::Transaction { id, verb: to.1 } }
            }
            other => other,
        }
    }

    /// Between the engine and the sessions.
    pub(crate) fn outputs(&mut self, mut out: Vec<Output>) -> Vec<Output> {
        match self.planted {
            Some(Planted::ForgetRedeliveredFlag) => {
                for output in &mut out {
                    if let Output::Deliver { delivery, .. } = output {
                        delivery.redelivery_counter = 0;
                    }
                }
            }
            Some(Planted::SwapDeliveries) => {
                let deliveries: Vec<usize> = (0..out.len())
                    .filter(|i| matches!(&out[*i], Output::Deliver { delivery, .. } if delivery.message.is_some()))
                    .collect();
                if let [first, .., last] = deliveries[..] {
                    out.swap(first, last);
                }
            }
            Some(Planted::DeliverTwice) => {
                if let Some(i) = out.iter().position(|output| matches!(output, Output::Deliver { .. }))
                    && self.dice.chance(1, 10)
                    && let Output::Deliver { conn, consumer, delivery } = &out[i]
                {
                    let again =
                        Output::Deliver { conn: *conn, consumer: *consumer, delivery: delivery.clone() };
                    out.insert(i, again);
                }
            }
            Some(Planted::SwallowDelivery) => {
                out.retain(|output| !matches!(output, Output::Deliver { .. }) || !self.dice.chance(1, 20));
            }
            _ => {}
        }
        out
    }

    /// Between the engine and the store.
    pub(crate) fn batch(&mut self, mut batch: WriteBatch) -> WriteBatch {
        if let Some(bug) = self.link_bug {
            batch.ops.retain(|op| match op {
                StoreOp::Stream(StreamOp::Place { passage, .. }) => !bug.forgets(passage.destination.0 > 0),
                _ => true,
            });
        }
        match self.planted {
            Some(Planted::LoseAcknowledgement) => batch.ops.retain(|op| {
                !matches!(op, StoreOp::RemoveMessage { .. } | StoreOp::AckDurable { .. })
                    || !self.dice.chance(1, 4)
            }),
            Some(Planted::LoseMessage) => {
                batch.ops.retain(|op| !matches!(op, StoreOp::PutMessage { .. }) || !self.dice.chance(1, 6));
            }
            Some(Planted::ForgetExposure) => {
                batch.ops.retain(|op| {
                    !matches!(op, StoreOp::ExposeQueue { .. } | StoreOp::ExposeSubscription { .. })
                });
                for op in &mut batch.ops {
                    if let StoreOp::PutMessage { exposed, .. } = op {
                        *exposed = false;
                    }
                }
            }
            Some(Planted::ForgetSubscription) => {
                for op in &mut batch.ops {
                    if let StoreOp::PutMessage { subscriptions, .. } = op
                        && subscriptions.len() > 1
                    {
                        subscriptions.pop();
                    }
                }
            }
            _ => {}
        }
        batch
    }

    pub(crate) fn answers_before_sync(&self) -> bool {
        self.is(Planted::AnswerBeforeSync)
    }

    /// Before the store is asked to write.
    pub(crate) fn unsynced(&self, mut batches: Vec<WriteBatch>) -> Vec<WriteBatch> {
        if self.is(Planted::NeverSync) {
            for batch in &mut batches {
                batch.sync = Sync::Lazy;
            }
        }
        batches
    }

    /// A proof of durability that nobody gave.
    pub(crate) fn forged(&self, last: Option<Ticket>) -> Option<Ticket> {
        if self.is(Planted::NeverSync) { last } else { None }
    }

    /// What of the batches on the way reaches the disk when the power fails.
    pub(crate) fn interrupted(&mut self, mut batches: Vec<WriteBatch>) -> Vec<WriteBatch> {
        if self.is(Planted::SplitUnitOfWork) {
            for batch in &mut batches {
                let half = batch.ops.len() / 2;
                batch.ops.truncate(half.max(1));
            }
        }
        batches
    }

    /// What a new engine is told.
    pub(crate) fn recovered(&self, mut recovered: Recovered) -> Recovered {
        if self.is(Planted::ForgetProducerWindows) {
            recovered.producers.clear();
        }
        recovered
    }
}
