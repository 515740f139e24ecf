//! The task that owns a connection: it selects what is ready, then applies it without waiting.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use ferromq_model::Now;
use ferromq_uri::SocketOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::clock::Clock;
use super::dial::{Report, Transport, reason};
use super::order::{ConsumerState, Nudge, Order, ProducerState, Reply, Shared};
use super::outage::Failover;
use super::stream::{Stream, WriteHalf};
use crate::core::{ConsumerKey, Core, Event, ProducerKey};
use crate::error::{Error, Result};

/// Room for one read. Large enough for dozens of messages, small enough to stay in the cache.
const READ_BYTES: usize = 128 << 10;

/// Orders applied before what they produced is written.
const ORDERS_A_TURN: usize = 128;

/// A driver that has nothing to wait for looks at the clock this often.
pub(super) const IDLE: Duration = Duration::from_secs(3600);

/// How long the last bytes may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Driver {
    pub core: Core<Reply>,
    pub clock: Clock,
    pub orders: mpsc::UnboundedReceiver<Order>,
    pub nudges: mpsc::UnboundedReceiver<Nudge>,
    pub shared: Arc<Shared>,
    pub opened: Option<oneshot::Sender<Result<()>>>,
    pub consumers: BTreeMap<ConsumerKey, Arc<ConsumerState>>,
    pub producers: BTreeMap<ProducerKey, Arc<ProducerState>>,
    pub wakers: Vec<Waker>,
    /// Places of orders taken, to be given back when the turn ends.
    pub freed: usize,
    /// When closing gives up.
    pub close_by: Option<TokioInstant>,
    /// How to find another broker.
    pub failover: Option<Failover>,
}

/// What was ready.
enum Ready {
    Read(io::Result<usize>),
    Order(Option<Order>),
    Nudge(Nudge),
    Report(Report),
    Writable,
    Time,
}

impl Driver {
    /// Runs until the connection is over: with one transport, or with one after the other.
    pub async fn run(mut self, stream: Option<Stream>) {
        if let Some(stream) = stream {
            let patience = write_timeout(&self.shared.options.socket);
            return self.serve(stream, patience).await;
        }
        self.begin_search();
        while let Some(transport) = self.find_transport().await {
            let Transport { address, stream, link } = *transport;
            self.core.attach(link, &address, self.clock.now());
            if let Some(failover) = &mut self.failover {
                failover.current = Some(Arc::clone(&address.uri));
            }
            self.serve(stream, write_timeout(&address.socket)).await;
        }
    }

    fn begin_search(&mut self) {
        let now = self.clock.now().mono;
        if let Some(failover) = &mut self.failover {
            failover.planner.start(now);
            failover.went_away(&self.shared);
        }
    }

    /// Runs until the transport is of no use any more, or the broker leaves unread what is sent for so long.
    async fn serve(&mut self, mut stream: Stream, patience: Option<Duration>) {
        let mut stuck: Option<TokioInstant> = None;
        let (mut reader, writer) = stream.split();
        let sleep = sleep_until(TokioInstant::now());
        tokio::pin!(sleep);
        while !self.core.is_closed() && !self.core.is_detached() {
            let overdue = stuck.zip(patience).map(|(since, patience)| since + patience);
            let wake_at = self.wake_at();
            let wake_at = overdue.map_or(wake_at, |at| at.min(wake_at));
            if sleep.deadline() != wake_at {
                sleep.as_mut().reset(wake_at);
            }
            let takes_orders = self.takes_orders();
            let unwritten = !self.core.output().is_empty();
            let reports = async {
                match &mut self.failover {
                    Some(failover) => failover.report_queue.recv().await,
                    None => std::future::pending().await,
                }
            };
            let buffer = self.core.read_buffer();
            buffer.reserve(READ_BYTES);
            let ready = tokio::select! {
                biased;
                read = reader.read_buf(buffer) => Ready::Read(read),
                Some(nudge) = self.nudges.recv() => Ready::Nudge(nudge),
                order = self.orders.recv(), if takes_orders => Ready::Order(order),
                Some(report) = reports => Ready::Report(report),
                _ = writer.writable(), if unwritten => Ready::Writable,
                () = &mut sleep => Ready::Time,
            };
            self.apply(ready);
            match self.write(&writer) {
                Ok(_) if self.core.output().is_empty() => stuck = None,
                Ok(0) => stuck = stuck.or_else(|| Some(TokioInstant::now())),
                Ok(_) => stuck = Some(TokioInstant::now()),
                Err(error) => self.core.lost(&error.to_string()),
            }
            if overdue.is_some_and(|at| stuck.is_some() && at <= TokioInstant::now()) {
                self.core.lost("the broker does not read what is sent (soWriteTimeout)");
            }
            if self.settle() {
                // Who was woken runs first: its acknowledgements then go out together.
                tokio::task::yield_now().await;
            }
        }
        let mut last = self.core.output();
        let _ = tokio::time::timeout(LAST_WORDS, stream.write_all_buf(&mut last)).await;
        let _ = stream.shutdown().await;
    }

    fn wake_at(&self) -> TokioInstant {
        let mut next = self.core.next_deadline();
        if let Some(failover) = &self.failover {
            if failover.holds_orders() && self.takes_orders() {
                return TokioInstant::now();
            }
            next = [next, failover.planner.next_deadline()].into_iter().flatten().min();
        }
        let next = next.map(|at| self.clock.deadline(at));
        [next, self.close_by].into_iter().flatten().min().unwrap_or_else(|| TokioInstant::now() + IDLE)
    }

    fn takes_orders(&self) -> bool {
        self.close_by.is_none() && !self.core.is_away() && !self.core.is_congested()
    }

    /// What was ordered first, without waiting.
    fn next_order(&mut self) -> Option<Order> {
        let held = self.failover.as_mut().and_then(Failover::next_held);
        held.or_else(|| self.orders.try_recv().ok())
    }

    fn apply(&mut self, ready: Ready) {
        let now = self.clock.now();
        match ready {
            Ready::Read(Ok(0)) => self.core.lost("the broker closed it"),
            Ready::Read(Ok(_)) => self.core.received(now),
            Ready::Read(Err(error)) => self.core.lost(&error.to_string()),
            Ready::Order(Some(order)) => self.order(order, now),
            // Every handle is gone, and nothing that it ordered is left.
            Ready::Order(None) => {
                self.take_nudges(now);
                self.close(None);
            }
            Ready::Nudge(nudge) => self.nudge(nudge, now),
            Ready::Report(report) => self.reported(report),
            Ready::Writable => {}
            Ready::Time => {
                if self.close_by.is_some_and(|by| by <= TokioInstant::now()) {
                    self.core.lost("the broker did not answer while it was closed");
                }
            }
        }
        self.take_nudges(now);
        for _ in 0..ORDERS_A_TURN {
            if !self.takes_orders() {
                break;
            }
            let Some(order) = self.next_order() else { break };
            self.order(order, now);
        }
        self.shared.room.add_permits(std::mem::take(&mut self.freed));
        if self.core.next_deadline().is_some_and(|at| at <= now.mono) {
            self.core.tick(now);
        }
    }

    pub(super) fn take_nudges(&mut self, now: Now) {
        while let Ok(nudge) = self.nudges.try_recv() {
            self.nudge(nudge, now);
        }
    }

    fn order(&mut self, order: Order, now: Now) {
        if order.needs_room() {
            self.freed += 1;
        }
        match order {
            Order::Send { producer, message, reply } => self.core.send(producer, message, reply),
            Order::Acknowledge { consumer, sequence } => {
                self.take_nudges(now);
                self.core.acknowledge(consumer, sequence);
            }
            Order::Commit { session, reply } => {
                self.take_nudges(now);
                self.core.commit(session, Some(reply), now);
            }
            Order::Rollback { session, reply } => {
                self.take_nudges(now);
                self.core.rollback(session, Some(reply), now);
            }
            Order::Recover { session, reply } => {
                self.take_nudges(now);
                self.core.recover(session, Some(reply), now);
            }
            Order::OpenSession { mode, reply } => {
                let _ = reply.send(self.core.open_session(mode));
            }
            Order::OpenProducer { session, producer, reply } => {
                let destination = producer.destination.clone();
                let key = self.core.open_producer(session, destination, producer.window, Some(reply));
                let _ = producer.key.set(key);
                self.producers.insert(key, producer);
            }
            Order::OpenConsumer { session, consumer, reply } => {
                let key = self.core.open_consumer(session, &consumer.spec, Some(reply));
                let _ = consumer.key.set(key);
                self.consumers.insert(key, consumer);
            }
            Order::AddTemporary { topic, place, reply } => {
                let _ = place.set(self.core.add_temporary(topic, Some(reply)));
            }
            Order::RemoveTemporary { destination, reply } => {
                self.core.remove_temporary(&destination, Some(reply));
            }
            Order::CloseConsumer(key) => {
                self.settle_taken(key, now);
                self.consumers.remove(&key);
                self.core.close_consumer(key);
            }
            Order::CloseProducer(key) => {
                self.producers.remove(&key);
                self.core.close_producer(key);
            }
            Order::CloseSession(key) => self.core.close_session(key, now),
            Order::DropTemporary(destination) => self.core.remove_temporary(&destination, None),
            Order::Unsubscribe { name, reply } => self.core.unsubscribe(&name, Some(reply)),
            Order::Close { reply } => {
                self.take_nudges(now);
                self.close(Some(reply));
            }
        }
    }

    fn nudge(&mut self, nudge: Nudge, now: Now) {
        match nudge {
            Nudge::Taken(key) => self.settle_taken(key, now),
            Nudge::Pull(key, timeout_ms) => self.core.pull(key, timeout_ms),
        }
    }

    fn settle_taken(&mut self, key: ConsumerKey, now: Now) {
        if let Some(consumer) = self.consumers.get(&key) {
            self.core.consumed(key, consumer.mailbox.settle(), now);
        }
    }

    fn close(&mut self, reply: Option<Reply>) {
        self.close_by = Some(TokioInstant::now() + self.shared.options.close_timeout);
        self.core.close(reply);
    }

    /// Writes as much as the socket takes, without waiting; how much that was.
    fn write(&mut self, writer: &WriteHalf<'_>) -> io::Result<usize> {
        let mut taken = 0;
        let result = write(|bytes| writer.try_write(bytes), self.core.output(), &mut taken);
        self.core.written(taken);
        result.map(|()| taken)
    }

    /// Does what the planner wants and hands out what was found, until there is nothing left of either: a connection that
    /// has just come up wants a spare one, and nothing else may come for long. True if somebody was woken.
    pub(super) fn settle(&mut self) -> bool {
        self.plan();
        while let Some(event) = self.core.next_event() {
            self.event(event);
            while let Some(event) = self.core.next_event() {
                self.event(event);
            }
            self.plan();
        }
        let woken = !self.wakers.is_empty();
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        woken
    }

    fn event(&mut self, event: Event<Reply>) {
        match event {
            Event::Delivered { consumer, delivery } => {
                if let Some(state) = self.consumers.get(&consumer) {
                    self.wakers.extend(state.mailbox.put(delivery));
                }
            }
            Event::Answered { token, result } => {
                let _ = token.send(result);
            }
            Event::Returned { consumer, deliveries } => {
                if let Some(state) = self.consumers.get(&consumer) {
                    state.mailbox.put_back(deliveries);
                }
            }
            Event::Resumed { consumer } => {
                if let Some(state) = self.consumers.get(&consumer) {
                    self.wakers.extend(state.mailbox.resume());
                }
            }
            Event::Drained { consumer } => {
                if let Some(state) = self.consumers.get(&consumer) {
                    self.wakers.extend(state.mailbox.drained(state.spec.browser));
                }
            }
            Event::ConsumerClosed { consumer, error } => {
                if let Some(state) = self.consumers.remove(&consumer) {
                    self.wakers.extend(state.mailbox.fail(error));
                }
            }
            Event::Room { producer, bytes } => {
                if let Some(state) = self.producers.get(&producer) {
                    state.room.add_permits(bytes.min(state.window) as usize);
                }
            }
            Event::Opened => {
                if let Some(name) = self.core.broker_name() {
                    let _ = self.shared.broker_name.set(name.to_string());
                }
                self.opened();
                if let Some(opened) = self.opened.take() {
                    let _ = opened.send(Ok(()));
                }
            }
            Event::Failed(error) => {
                tracing::warn!(uri = %self.shared.name, %error, "the broker reported a failure");
                let _ = self.shared.failures.send(error);
            }
            Event::Suspended(error) => self.suspended(&error),
            Event::Advised(control) => {
                if let Some(failover) = &mut self.failover {
                    failover.planner.advised(&control);
                }
            }
            Event::Closed(error) => self.ended(error),
        }
    }

    fn opened(&mut self) {
        let Some(failover) = &mut self.failover else {
            self.shared.current.send_replace(Some(Arc::clone(&self.shared.name)));
            return tracing::info!(uri = %self.shared.name, "Successfully connected to {}", self.shared.name);
        };
        let uri = failover.current.clone().unwrap_or_else(|| Arc::clone(&self.shared.name));
        self.shared.current.send_replace(Some(Arc::clone(&uri)));
        match std::mem::replace(&mut failover.was_open, true) {
            false => tracing::info!(%uri, "Successfully connected to {uri}"),
            true => tracing::info!(%uri, "Successfully reconnected to {uri}"),
        }
        failover.planner.established(self.clock.now().mono);
        failover.is_back(&self.shared);
        failover.is_up = true;
    }

    /// What the application took counts before the rest is forgotten.
    fn suspended(&mut self, error: &Error) {
        let now = self.clock.now();
        for (key, consumer) in &self.consumers {
            self.core.consumed(*key, consumer.mailbox.interrupt(), now);
        }
        self.shared.current.send_replace(None);
        let Some(failover) = &mut self.failover else { return };
        let uri = failover.current.take().unwrap_or_else(|| Arc::clone(&self.shared.name));
        if std::mem::take(&mut failover.is_up) {
            if !std::mem::take(&mut failover.leaves) {
                tracing::warn!(%uri, %error, "Transport ({uri}) failed, attempting to automatically reconnect");
            }
            failover.went_away(&self.shared);
        } else if !failover.was_open && error.is_final() {
            // Another try would be refused as well.
            return self.core.give_up(error.clone());
        }
        failover.planner.lost(&reason(error), now.mono);
    }

    fn ended(&mut self, error: Error) {
        if self.close_by.is_none() && self.opened.is_none() {
            tracing::warn!(uri = %self.shared.name, %error, "the connection was lost");
            let _ = self.shared.failures.send(error.clone());
        }
        let _ = self.shared.ended.set(error.clone());
        self.shared.current.send_replace(None);
        self.shared.room.close();
        for producer in std::mem::take(&mut self.producers).into_values() {
            producer.room.close();
        }
        for consumer in std::mem::take(&mut self.consumers).into_values() {
            self.wakers.extend(consumer.mailbox.fail(error.clone()));
        }
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Err(error));
        }
    }
}

/// `soWriteTimeout`, 0 for ever.
fn write_timeout(options: &SocketOptions) -> Option<Duration> {
    options.so_write_timeout_ms.filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// Writes as much as the socket takes, without waiting; `taken` says how much that was.
pub(super) fn write(
    try_write: impl Fn(&[u8]) -> io::Result<usize>,
    mut bytes: &[u8],
    taken: &mut usize,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                *taken += count;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
