//! What the remote broker tells of its consumers, and what follows from it here.

use std::sync::Arc;
use std::time::Duration;

use ferromq_openwire::{
    AckType, Command, ConsumerId, ConsumerInfo, Destination, DestinationInfo, DestinationKind, MessageAck,
    MessageDispatch, ObjectId, RemoveInfo,
};

use super::{Bridge, Order, Side};
use crate::demand::{Change, Merge};
use crate::forward::{exceeds, grown, passed};

/// How long a subscription may wait for answers before it is ended (as in ActiveMQ).
const MOST_CLOSING: Duration = Duration::from_secs(30);
/// Members of one composite destination that are looked at.
const MOST_MEMBERS: usize = 1_000;

impl Bridge {
    /// An advisory for the bridge's own consumer.
    pub(super) fn advised(&mut self, dispatch: &MessageDispatch) {
        let Some(message) = &dispatch.message else { return };
        if let Some(told) = &message.data_structure {
            self.told(told);
        }
        self.advisories_unacknowledged += 1;
        let percent = u32::from(self.settings.advisory_ack_percentage.clamp(1, 100));
        if self.advisories_unacknowledged * 100 < self.advisory_prefetch().saturating_mul(percent) {
            return;
        }
        let ack = MessageAck {
            consumer_id: Some(self.advisories.clone()),
            destination: message.destination.clone(),
            last_message_id: message.message_id.clone(),
            message_count: i32::try_from(std::mem::take(&mut self.advisories_unacknowledged))
                .unwrap_or(i32::MAX),
            ack_type: AckType::Standard as i8,
            ..Default::default()
        };
        self.say(Side::Remote, ack);
    }

    /// What an advisory is about.
    pub(super) fn told(&mut self, told: &Arc<Command>) {
        match &**told {
            Command::ConsumerInfo(info) => self.wanted(info),
            Command::RemoveInfo(info) => {
                if let Some(ObjectId::Consumer(id)) = &info.object_id {
                    self.unwanted(id);
                }
            }
            Command::DestinationInfo(info) => self.temporary(info),
            _ => {}
        }
    }

    /// Somebody consumes over there.
    fn wanted(&mut self, info: &ConsumerInfo) {
        let (Some(id), Some(destination)) = (&info.consumer_id, &info.destination) else { return };
        let path = info.broker_path.as_deref();
        let came_round = self.local.as_ref().is_some_and(|local| passed(path, &local.id));
        if info.browser || exceeds(path.map_or(0, <[_]>::len), self.settings.consumer_ttl) || came_round {
            return;
        }
        let remote = id.to_string();
        for member in members(destination) {
            if member.name.to_str().starts_with("ActiveMQ.Advisory.") || !self.settings.permits(&member) {
                continue;
            }
            self.want(&remote, info, member);
        }
    }

    fn want(&mut self, remote: &str, info: &ConsumerInfo, destination: Destination) {
        let merge =
            Merge { conduit: self.settings.conduit, network_queues: self.settings.conduit_network_queues };
        let durable = (destination.kind == DestinationKind::Topic)
            .then(|| self.durable_name(info, &destination))
            .flatten();
        let most = self.settings.most_consumers;
        match self.demand.add(remote, info, destination.clone(), durable, merge, most) {
            Change::Subscribe { number, durable } => self.subscribe(number, destination, info, durable),
            Change::Joined => {}
            Change::Full => {
                let text = format!(
                    "nothing of {destination} is forwarded to consumer {remote}: the bridge knows {most} consumers, \
                     and that is the limit"
                );
                self.orders.push_back(Order::Warn(text));
            }
        }
    }

    /// The durable subscription that stands for durable subscribers of a topic over there (ActiveMQ: `NC-DS_…`).
    fn durable_name(&self, info: &ConsumerInfo, destination: &Destination) -> Option<String> {
        let wanted = info.subscription_name.as_ref().is_some_and(|name| !name.is_empty())
            || self.settings.forces_durable(destination);
        let local = self.local.as_ref().filter(|_| wanted)?;
        let token = &self.settings.client_id_token;
        Some(format!("NC-DS{token}{}{token}{}", local.name, destination.name))
    }

    /// Somebody consumes no longer.
    fn unwanted(&mut self, id: &ConsumerId) {
        for number in self.demand.remove(&id.to_string()) {
            // They were refused for now, so they are here alone.
            self.waiting.retain(|(_, flight)| flight.subscription != number);
            self.closing.insert(number, self.now + MOST_CLOSING);
            self.close_if_done(number);
        }
    }

    /// Ends a subscription that is to be ended, once nothing of it is under way.
    pub(super) fn close_if_done(&mut self, number: i64) {
        let done = self.flights.values().all(|flight| flight.subscription != number);
        if done && self.closing.contains_key(&number) {
            self.unsubscribe(number);
        }
    }

    pub(super) fn unsubscribe(&mut self, number: i64) {
        self.closing.remove(&number);
        let consumer = ConsumerId::new(&self.local_session, number);
        let info = RemoveInfo {
            object_id: Some(ObjectId::Consumer(consumer)),
            last_delivered_sequence_id: -2,
            ..Default::default()
        };
        self.say(Side::Local, info);
    }

    /// A temporary destination came or went over there: replies find their way by it.
    fn temporary(&mut self, info: &DestinationInfo) {
        let Some(destination) = &info.destination else { return };
        let temporary = matches!(destination.kind, DestinationKind::TempQueue | DestinationKind::TempTopic);
        let path = info.broker_path.as_deref();
        let came_round = self.local.as_ref().is_some_and(|local| passed(path, &local.id));
        if !temporary || !self.settings.temp_destinations || came_round {
            return;
        }
        let mut info = info.clone();
        info.connection_id = Some(self.local_session.connection());
        info.response_required = false;
        // Whoever consumes from it still may not keep it.
        info.timeout = if info.operation_type == 1 { 1 } else { info.timeout };
        if let Some(remote) = &self.remote {
            info.broker_path = Some(grown(info.broker_path.as_deref(), &remote.id));
        }
        self.say(Side::Local, info);
    }
}

/// A composite destination is wanted member by member.
fn members(destination: &Destination) -> Vec<Destination> {
    let name = destination.name.to_str();
    let member = |part: &str| {
        let part = part.trim();
        match (part.strip_prefix("queue://"), part.strip_prefix("topic://")) {
            (Some(name), _) => Destination::queue(name),
            (_, Some(name)) => Destination::topic(name),
            _ => Destination::new(destination.kind, part),
        }
    };
    name.split(',').filter(|part| !part.trim().is_empty()).take(MOST_MEMBERS).map(member).collect()
}
