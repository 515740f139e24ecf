//! [`Outbox`]: what the engine has for one connection, handed over a batch at a time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ferromq_engine::{Effect, Fault, LocalId, Notice, Tag};
use ferromq_model::Delivery;
use tokio::sync::Notify;

/// One thing for one connection, in the order in which the engine said it.
#[derive(Debug)]
pub enum Parcel {
    /// A message, or the end of a browse or pull.
    Deliver(LocalId, Delivery),
    /// An answer.
    Reply(Tag, Effect),
    /// Something the peer did not ask for.
    Notify(Notice),
    /// Read no more.
    Pause,
    /// Read again.
    Resume,
    /// Other brokers have come or gone; the place of the connection among those who are told.
    Brokers(u32),
    /// Send what is on the way, then close.
    Close(Fault),
}

/// What a parcel without a message is taken to weigh: a small frame and its place in the list.
const SMALL_PARCEL_BYTES: usize = 128;

impl Parcel {
    /// What it will take on its way to the socket, roughly.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Deliver(_, delivery) => {
                SMALL_PARCEL_BYTES + delivery.message.as_ref().map_or(0, |message| message.charge())
            }
            _ => SMALL_PARCEL_BYTES,
        }
    }
}

/// The way from the engine to one connection's driver.
///
/// The engine never waits for it; that it stays bounded is the work of [`crate::Switchboard`] (which stops
/// deliveries) and of the driver (which stops reading requests, so that answers stop as well).
#[derive(Debug, Default)]
pub struct Outbox {
    parcels: Mutex<VecDeque<Parcel>>,
    queued_bytes: AtomicUsize,
    arrived: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Parcel>> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a batch, of `weight_bytes` together, and wakes the driver.
    pub(crate) fn hand_over(&self, batch: &mut VecDeque<Parcel>, weight_bytes: usize) {
        self.queued_bytes.fetch_add(weight_bytes, Ordering::Relaxed);
        move_all(batch, &mut self.lock());
        self.arrived.notify_one();
    }

    /// Everything that waits, appended to `into`.
    pub fn take(&self, into: &mut VecDeque<Parcel>) {
        move_all(&mut self.lock(), into);
    }

    /// Waits for a batch; a batch that came before the call counts.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Bytes handed over and not yet written to the socket.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// The driver has let go of so many bytes; what is left afterwards.
    pub fn settle(&self, weight_bytes: usize) -> usize {
        self.queued_bytes.fetch_sub(weight_bytes, Ordering::Relaxed).saturating_sub(weight_bytes)
    }
}

fn move_all(from: &mut VecDeque<Parcel>, into: &mut VecDeque<Parcel>) {
    if into.is_empty() {
        std::mem::swap(from, into);
    } else {
        into.append(from);
    }
}
