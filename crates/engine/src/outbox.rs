//! [`Outbox`]: what leaves the engine, and what has to wait for the disk first.
//!
//! The changes of one input become one [`WriteBatch`]; what must not be seen before it is durable is held here
//! under the batch's ticket. Nothing else in the engine decides about waiting.

use std::collections::VecDeque;

use ferromq_model::{Epoch, Ticket};
use ferromq_store::{StoreOp, Sync, WriteBatch};

use crate::consumer::ConsumerKey;
use crate::durable::DurableKey;
use crate::place::PlaceKey;
use crate::{ConnId, Effect, Fault, LogEvent, Notice, Output, Severity, Tag};

/// What happens when a ticket is durable.
#[derive(Debug)]
pub(crate) enum Held {
    Output(Output),
    WakePlace(PlaceKey),
    WakeConsumer(ConsumerKey),
    /// Whoever consumes a durable subscription by then.
    WakeDurable(DurableKey),
    /// The consumers of a link that wait for positions.
    WakeLink(usize),
}

#[derive(Debug)]
pub(crate) struct Outbox {
    epoch: Epoch,
    out: Vec<Output>,
    ops: Vec<StoreOp>,
    required: bool,
    next_ticket: u64,
    durable: Ticket,
    held: VecDeque<(Ticket, Held)>,
}

impl Outbox {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            out: Vec::new(),
            ops: Vec::new(),
            required: false,
            next_ticket: 1,
            durable: Ticket(0),
            held: VecDeque::new(),
        }
    }

    /// Lets the caller's vector collect what comes next, or gives it back.
    pub(crate) fn swap(&mut self, out: &mut Vec<Output>) {
        std::mem::swap(&mut self.out, out);
    }

    /// Adds a change to the unit of work of this input.
    pub(crate) fn op(&mut self, op: StoreOp) {
        self.ops.push(op);
    }

    /// The ticket of the unit of work of this input.
    pub(crate) const fn ticket(&self) -> Ticket {
        Ticket(self.next_ticket)
    }

    pub(crate) const fn durable(&self) -> Ticket {
        self.durable
    }

    pub(crate) fn has_ops(&self) -> bool {
        !self.ops.is_empty()
    }

    /// Somebody waits for this input's unit of work, so it must be synced.
    pub(crate) fn require(&mut self) {
        self.required = true;
    }

    /// Sends at once.
    pub(crate) fn send(&mut self, output: Output) {
        self.out.push(output);
    }

    /// Does `held` when this input's unit of work is durable; the caller has made one.
    pub(crate) fn hold(&mut self, held: Held) {
        debug_assert!(self.has_ops(), "nothing to wait for");
        self.required = true;
        self.held.push_back((self.ticket(), held));
    }

    /// Does `held` when everything that was handed out so far is durable; says no if it is already.
    pub(crate) fn hold_for_issued(&mut self, held: Held) -> bool {
        if self.has_ops() {
            self.hold(held);
            return true;
        }
        let issued = Ticket(self.next_ticket - 1);
        if issued <= self.durable {
            return false;
        }
        self.held.push_back((issued, held));
        true
    }

    /// The places that are looked at again when this input's unit of work is durable.
    pub(crate) fn waking(&self) -> impl Iterator<Item = PlaceKey> {
        let ticket = self.ticket();
        let held = self.held.iter().rev().take_while(move |(held, _)| *held == ticket);
        held.filter_map(|(_, held)| if let Held::WakePlace(place) = held { Some(*place) } else { None })
    }

    /// Answers, after this input's changes are durable if it made any.
    pub(crate) fn reply(&mut self, conn: ConnId, tag: Option<Tag>, effect: Effect) {
        let Some(tag) = tag else { return };
        let output = Output::Reply { conn, tag, effect };
        if self.has_ops() { self.hold(Held::Output(output)) } else { self.out.push(output) }
    }

    /// Answers when everything that is held now has left.
    pub(crate) fn reply_last(&mut self, conn: ConnId, tag: Option<Tag>, effect: Effect) {
        self.reply_after(Ticket(0), conn, tag, effect);
    }

    /// Answers when everything that is held now has left, and `ticket` is durable.
    pub(crate) fn reply_after(&mut self, ticket: Ticket, conn: ConnId, tag: Option<Tag>, effect: Effect) {
        let Some(tag) = tag else { return };
        let output = Output::Reply { conn, tag, effect };
        if self.has_ops() {
            return self.hold(Held::Output(output));
        }
        let last = self.held.back().map_or(ticket, |(held, _)| ticket.max(*held));
        if last > self.durable {
            self.held.push_back((last, Held::Output(output)))
        } else {
            self.out.push(output)
        }
    }

    /// The ticket of the last unit of work that was handed out.
    pub(crate) const fn issued(&self) -> Ticket {
        Ticket(self.next_ticket - 1)
    }

    /// Answers what an earlier input did already, when all that was handed out so far is durable: the first answer may
    /// still be waiting for the disk, and the second must not come before it.
    pub(crate) fn reply_again(&mut self, conn: ConnId, tag: Option<Tag>, effect: Effect) {
        self.reply_after(self.issued(), conn, tag, effect);
    }

    /// Tells a peer that what it wanted can't be.
    pub(crate) fn fail(&mut self, conn: ConnId, tag: Option<Tag>, fault: Fault) {
        match tag {
            Some(tag) => self.out.push(Output::Reply { conn, tag, effect: Effect::Failed(fault) }),
            None => self.out.push(Output::Notify { conn, notice: Notice::Failure(fault) }),
        }
    }

    pub(crate) fn notify(&mut self, conn: ConnId, notice: Notice) {
        self.out.push(Output::Notify { conn, notice });
    }

    pub(crate) fn log(&mut self, severity: Severity, text: String) {
        self.out.push(Output::Log(LogEvent { severity, text }));
    }

    /// Ends the unit of work of this input.
    pub(crate) fn seal(&mut self) {
        if self.ops.is_empty() {
            return;
        }
        let sync = if self.required { Sync::Required } else { Sync::Lazy };
        self.required = false;
        let ops = std::mem::take(&mut self.ops);
        self.out.push(Output::Persist(WriteBatch { epoch: self.epoch, ticket: self.ticket(), ops, sync }));
        self.next_ticket += 1;
    }

    /// Notes that everything up to `ticket` is durable; what waited for it comes out of [`Outbox::released`].
    pub(crate) fn persisted(&mut self, upto: Ticket) {
        self.durable = self.durable.max(upto);
    }

    /// What waits no longer, oldest first.
    pub(crate) fn released(&mut self) -> Option<Held> {
        let (ticket, _) = self.held.front()?;
        if *ticket > self.durable {
            return None;
        }
        self.held.pop_front().map(|(_, held)| held)
    }

    /// Drops what is held for a peer that is gone.
    pub(crate) fn forget(&mut self, gone: ConnId) {
        self.held.retain(|(_, held)| {
            !matches!(held, Held::Output(Output::Reply { conn, .. } | Output::Notify { conn, .. }) if *conn == gone)
        });
    }
}
