//! Pulls: a consumer with prefetch 0 asks for one message at a time, and may say how long it waits.

use std::time::Duration;

use ferromq_model::{Delivery, Sequence};

use crate::consumer::ConsumerKey;
use crate::engine::{Engine, Timer};
use crate::place::{Body, PlaceKey};
use crate::{ConnId, Fault, LocalId, Output};

/// Pulls that one consumer may have open at once; more are answered with nothing.
const MOST_PULLS: usize = 4_096;

impl Engine {
    /// A consumer wants one message.
    pub(crate) fn pull(
        &mut self,
        conn: ConnId,
        local: LocalId,
        timeout: Option<Duration>,
    ) -> Result<(), Fault> {
        let Some(key) =
            self.connections.get(&conn).and_then(|connection| connection.consumers.get(&local)).copied()
        else {
            return Ok(());
        };
        let deadline = timeout.map(|wait| self.now.mono + wait);
        let Some(consumer) = self.consumers.get_mut(key) else { return Ok(()) };
        if consumer.prefetch > 0 {
            return Ok(());
        }
        if consumer.pulls.len() >= MOST_PULLS {
            self.nothing(key);
            return Ok(());
        }
        consumer.pulls.push_back(deadline);
        self.pulled = true;
        if timeout.is_some_and(|wait| !wait.is_zero()) {
            self.arm_pulls(key);
        }
        self.wake_consumer(key);
        let idle = self.consumers.get(key).is_some_and(|consumer| {
            consumer.places.iter().all(|place| {
                self.places
                    .get(*place)
                    .and_then(|site| site.queue())
                    .is_none_or(|queue| queue.window.held == 0 && queue.backlog.is_empty())
            })
        });
        if idle {
            // No queue will be looked at, so nobody else would notice that there is nothing.
            self.dispatch_consumer(key);
            self.answer_idle_pulls_of(key);
        }
        Ok(())
    }

    /// Answers pulls whose time is over.
    pub(crate) fn end_pulls(&mut self, key: ConsumerKey) {
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.pull_timer = None;
        }
        self.answer_pulls(key);
        self.arm_pulls(key);
    }

    /// Sees to it that the first pull to end is noticed: one timer for a consumer, however often it pulls.
    fn arm_pulls(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let Some(first) = consumer.pulls.iter().flatten().min().copied() else { return };
        if consumer.pull_timer.is_some_and(|armed| armed <= first) {
            return;
        }
        if let Some(armed) = consumer.pull_timer.replace(first) {
            self.timers.remove(&(armed, Timer::Pull(key)));
        }
        self.timers.insert((first, Timer::Pull(key)));
    }

    /// Answers pulls that don't wait, of the consumers of a queue that was just looked through.
    pub(crate) fn answer_idle_pulls(&mut self, place: PlaceKey) {
        let waiting: Vec<ConsumerKey> = match self.places.get(place).map(|site| &site.body) {
            Some(Body::Queue(queue)) => queue
                .attached
                .iter()
                .map(|attachment| attachment.consumer)
                .filter(|consumer| {
                    self.consumers
                        .get(*consumer)
                        .is_some_and(|consumer| consumer.pulls.front().is_some_and(Option::is_some))
                })
                .collect(),
            _ => return,
        };
        for consumer in waiting {
            self.answer_idle_pulls_of(consumer);
        }
    }

    /// Answers pulls that don't wait, unless a message may still come by itself.
    pub(crate) fn answer_idle_pulls_of(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        if !consumer.pulls.iter().any(|deadline| deadline.is_some_and(|deadline| deadline <= self.now.mono)) {
            return;
        }
        let durable = self.outbox.durable();
        let busy = consumer.places.iter().any(|place| {
            self.places.get(*place).and_then(|site| site.queue()).is_some_and(|queue| {
                queue.dirty
                    || queue.window.is_busy()
                    || queue.window.iter().next_back().is_some_and(|entry| entry.ticket > durable)
                    || queue.window.exposing()
                    || queue.backlog.loading.is_some()
                    || self.can_spool() && queue.waits_in_spool_for(key)
            })
        }) || consumer.durable().and_then(|durable| self.durables.get(durable)).is_some_and(
            |durable| durable.shares.iter().any(|share| share.window.is_busy() || share.window.exposing()),
        ) || !consumer.pending.is_empty();
        if !busy {
            self.answer_pulls(key);
        }
    }

    fn answer_pulls(&mut self, key: ConsumerKey) {
        let now = self.now.mono;
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let before = consumer.pulls.len();
        consumer.pulls.retain(|deadline| deadline.is_none_or(|deadline| deadline > now));
        for _ in consumer.pulls.len()..before {
            self.nothing(key);
        }
    }

    /// Tells a consumer that there is nothing.
    fn nothing(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        self.outbox.send(Output::Deliver {
            conn: consumer.conn,
            consumer: consumer.local,
            delivery: Delivery {
                message: None,
                sequence: Sequence(0),
                redelivery_counter: 0,
                first_of_group: false,
                position: None,
            },
        });
    }

    /// A consumer changes its window.
    pub(crate) fn set_prefetch(&mut self, conn: ConnId, local: LocalId, prefetch: u32) -> Result<(), Fault> {
        let Some(key) =
            self.connections.get(&conn).and_then(|connection| connection.consumers.get(&local)).copied()
        else {
            return Ok(());
        };
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.prefetch = prefetch;
        }
        self.wake_consumer(key);
        Ok(())
    }
}
