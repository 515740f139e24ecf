//! The bridge's subscriptions at the local broker: one is made for what is wanted over there, and ended when nobody wants it
//! any longer and nothing of it is under way.

use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::{
    ConsumerId, ConsumerInfo, NetworkBridgeFilter, ObjectId, RemoveInfo, RemoveSubscriptionInfo, WireStr,
};

use super::{Bridge, Ending, Order, Side};
use crate::forward::grown;
use crate::rivals::Wish;

/// How long a subscription may wait for answers before it is ended (as in ActiveMQ).
const MOST_CLOSING: Duration = Duration::from_secs(30);

/// A subscription that is to be ended.
#[derive(Debug)]
pub(super) struct Closing {
    /// It ends no later than this.
    pub(super) until: Instant,
    /// Its durable name, if that is given up then.
    durable: Option<String>,
    /// It is there; one that was left to rivals is not.
    made: bool,
}

impl Bridge {
    pub(super) fn subscribe_statically(&mut self) {
        for rule in self.settings.statically_included.clone() {
            let destination = rule.destination();
            if self.settings.permits(&destination) {
                let number = self.demand.fix(destination.clone(), rule.selector());
                let info =
                    ConsumerInfo { selector: rule.selector().map(WireStr::from), ..Default::default() };
                self.subscribe(number, Wish { destination, info, durable: None });
            }
        }
    }

    /// Subscribes at the local broker for what is wanted over there.
    pub(super) fn subscribe(&mut self, number: i64, wish: Wish) {
        let Some(target) = self.remote.as_ref().map(|broker| broker.id.clone()) else { return };
        let Wish { destination, info: remote, durable } = wish;
        let path = grown(remote.broker_path.as_deref(), &target);
        let fixed = self.demand.subscription(number).is_some_and(|found| found.fixed);
        // One copy goes over the link whoever wants it, and the remote broker selects; a durable subscription stands for
        // all durable subscribers of its topic.
        let selects = destination.is_queue() || fixed || (!self.settings.conduit && durable.is_none());
        let command_id = self.command_id();
        let known = remote.network_consumer_path.as_deref().unwrap_or_default().iter();
        let network_path = known.chain(&remote.consumer_id).cloned().collect();
        let info = ConsumerInfo {
            command_id,
            response_required: true,
            consumer_id: Some(ConsumerId::new(&self.local_session, number)),
            priority: self.priority(remote.priority, path.len()),
            selector: remote.selector.filter(|_| selects),
            // A durable subscription is the bridge's own.
            client_id: match durable.as_deref() {
                Some(name) => self.former_client(name).map(WireStr::from),
                None => remote.client_id,
            },
            subscription_name: durable.map(WireStr::from),
            exclusive: remote.exclusive && destination.is_queue(),
            destination: Some(destination),
            prefetch_size: i32::try_from(self.settings.prefetch.max(1)).unwrap_or(i32::MAX),
            dispatch_async: self.settings.dispatch_async,
            network_subscription: true,
            broker_path: Some(path),
            network_consumer_path: Some(network_path),
            additional_predicate: Some(Arc::new(
                NetworkBridgeFilter {
                    network_broker_id: Some(target),
                    message_ttl: self.settings.message_ttl,
                    consumer_ttl: self.settings.consumer_ttl,
                    ..Default::default()
                }
                .into(),
            )),
            ..Default::default()
        };
        self.say(Side::Local, info);
    }

    /// One broker away −5, two −8, three −9: who is nearer is served first (`decreaseNetworkConsumerPriority`).
    pub(super) fn priority(&self, own: i8, hops: usize) -> i8 {
        if !self.settings.decrease_priority {
            return own;
        }
        let far = if hops > 1 { i8::try_from(hops + 1).unwrap_or(i8::MAX) } else { 0 };
        self.settings.priority_base.saturating_sub(far)
    }

    pub(super) fn end_subscription(&mut self, number: i64, durable: Option<String>) {
        // They were refused for now, so they are here alone.
        let (gone, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, flight)| flight.subscription == number);
        self.waiting = rest;
        for (at, flight) in gone {
            match self.copies.stayed(&flight) {
                Some(other) => self.waiting.push_back((at, other)),
                None => self.in_flight_bytes = self.in_flight_bytes.saturating_sub(flight.bytes()),
            }
        }
        let made = !self.rivals.withdraw(number);
        self.closing.insert(number, Closing { until: self.now + MOST_CLOSING, durable, made });
        self.close_if_done(number);
    }

    /// Ends a subscription that is to be ended, once nothing of it is under way.
    pub(super) fn close_if_done(&mut self, number: i64) {
        // Looked at first, for it is rare, and this is asked with each answer.
        if self.closing.contains_key(&number)
            && self.flights.values().all(|flight| flight.subscription != number)
        {
            self.unsubscribe(number);
        }
    }

    pub(super) fn unsubscribe(&mut self, number: i64) {
        let Some(closing) = self.closing.remove(&number) else { return };
        if closing.made {
            self.close_consumer(number);
        }
        if let Some(name) = closing.durable {
            // As a request, because a failure that nobody waits for ends a connection.
            let info = RemoveSubscriptionInfo {
                command_id: self.command_id(),
                response_required: true,
                connection_id: Some(self.local_session.connection()),
                client_id: Some(WireStr::from(self.former_client(&name).unwrap_or(&self.local_client))),
                subscription_name: Some(WireStr::from(name)),
            };
            self.say(Side::Local, info);
        }
    }

    pub(super) fn close_consumer(&mut self, number: i64) {
        let consumer = ConsumerId::new(&self.local_session, number);
        let info = RemoveInfo {
            command_id: self.command_id(),
            response_required: true,
            object_id: Some(ObjectId::Consumer(consumer)),
            last_delivered_sequence_id: -2,
        };
        self.say(Side::Local, info);
    }

    /// Ends subscriptions that have waited for answers long enough.
    pub(super) fn end_late(&mut self, now: Instant) {
        let late = self.closing.iter().filter(|(_, closing)| closing.until <= now);
        let late: Vec<i64> = late.map(|(number, _)| *number).collect();
        for number in late {
            let open = self.flights.values().filter(|flight| flight.subscription == number).count();
            if self.has_stream() && open > 0 {
                // Both brokers know better what became of them.
                let text = format!("{open} messages whose consumer over there is gone were not answered for");
                return self.end(Ending::Lost(text));
            }
            let text = format!(
                "{open} messages whose consumer over there is gone were not answered for; they may come twice"
            );
            self.orders.push_back(Order::Warn(text));
            self.unsubscribe(number);
        }
    }
}
