//! Consumers that do not keep up are closed, if the policy of their destination says so (`abortSlowConsumerStrategy`,
//! `abortSlowAckConsumerStrategy`).
//!
//! A consumer is told to go; one that is still there when it is looked at again loses its connection.

use ferromq_model::Instant;

use crate::consumer::{Consumer, ConsumerKey};
use crate::engine::{Engine, Timer, fault};
use crate::place::{Body, PlaceKey};
use crate::{AbortSlow, FaultKind, Notice, Output, Severity};

impl Engine {
    /// Begins to look at the consumers of a destination.
    pub(crate) fn arm_slow(&mut self, place: PlaceKey) {
        let now = self.now.mono;
        let Some(site) = self.places.get_mut(place) else { return };
        if let Some(rule) = site.policy.slow_consumers
            && !site.destination.is_advisory()
            && !std::mem::replace(&mut site.slow_armed, true)
        {
            self.timers.insert((now + rule.period, Timer::Slow(place)));
        }
    }

    /// Looks at the consumers of a destination, as long as there are any.
    pub(crate) fn look_for_slow(&mut self, place: PlaceKey) {
        let now = self.now.mono;
        let Some(site) = self.places.get_mut(place) else { return };
        site.slow_armed = false;
        let Some(rule) = site.policy.slow_consumers else { return };
        let (consumers, backlog): (Vec<ConsumerKey>, bool) = match &site.body {
            Body::Queue(queue) => (
                queue.attached.iter().map(|attachment| attachment.consumer).collect(),
                queue.window.ready() > 0 || !queue.window.at_end() || !queue.backlog.is_empty(),
            ),
            Body::Topic(topic) => {
                let active =
                    topic.durables.iter().filter_map(|durable| self.durables.get(*durable)?.consumer);
                (topic.consumers.iter().copied().chain(active).collect(), false)
            }
        };
        if consumers.is_empty() {
            return;
        }
        let name = site.destination.to_string();
        for key in consumers {
            let behind = backlog || self.consumers.get(key).is_some_and(|consumer| self.is_behind(consumer));
            let Some(consumer) = self.consumers.get_mut(key) else { continue };
            if rule.ignore_network && consumer.facts.network {
                continue;
            }
            if let Some(since) = slow_since(consumer, &rule, behind, now)
                && now.since(since) >= rule.most
            {
                self.abort(key, &rule, &name);
            }
        }
        self.arm_slow(place);
    }

    fn is_behind(&self, consumer: &Consumer) -> bool {
        let kept = consumer.durable().and_then(|durable| self.durables.get(durable));
        !consumer.pending.is_empty()
            || kept.is_some_and(|durable| durable.held() > consumer.dispatched.len() as u64)
    }

    fn abort(&mut self, key: ConsumerKey, rule: &AbortSlow, name: &str) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let (conn, local, id) = (consumer.conn, consumer.local, consumer.facts.id.clone());
        let again = std::mem::replace(&mut consumer.aborted, true);
        let text = format!(
            "consumer {id} of {name} did not keep up for {} s and is closed; {} messages that it holds go to others",
            rule.most.as_secs(),
            consumer.dispatched.len(),
        );
        self.outbox.log(Severity::Warn, text.clone());
        if again || rule.abort_connection {
            return self.outbox.send(Output::Close { conn, reason: fault(FaultKind::General, text) });
        }
        self.outbox.notify(conn, Notice::ConsumerClosed { consumer: local });
    }
}

/// Since when a consumer does not keep up.
fn slow_since(consumer: &mut Consumer, rule: &AbortSlow, behind: bool, now: Instant) -> Option<Instant> {
    if rule.by_acknowledgement {
        let idle = consumer.dispatched.is_empty() && consumer.topic_unacknowledged == 0;
        if idle && rule.ignore_idle {
            consumer.acknowledged_at = now;
        }
        return Some(consumer.acknowledged_at);
    }
    let full = consumer.prefetch > 0 && consumer.outstanding >= consumer.prefetch;
    // A busy consumer is always full: one that acknowledges keeps up.
    let since = consumer.slow_since.map_or(now, |since| since.max(consumer.acknowledged_at));
    consumer.slow_since = (full && behind).then_some(since);
    consumer.slow_since
}
