//! What the remote broker tells of its consumers, and what follows from it here.

use ferromq_openwire::{
    AckType, Command, ConsumerId, ConsumerInfo, Destination, DestinationInfo, Message, MessageAck,
    MessageDispatch, ObjectId,
};

use super::{Bridge, Side};
use crate::demand::Merge;
use crate::forward::{exceeds, grown, passed};
use crate::rivals::Wanting;
use crate::settings::VIRTUAL_CONSUMERS;

/// Members of one composite destination that are looked at.
const MOST_MEMBERS: usize = 1_000;

/// Advisories that were not acknowledged yet, by the broker that they are from.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    local: u32,
    remote: u32,
}

impl Bridge {
    /// Listens to what other bridges subscribe to, so that of several ways to a consumer one is used.
    pub(super) fn listen_locally(&mut self) {
        let Some(topics) = self.settings.local_advisory_topics() else { return };
        let number = self.demand.take_number();
        self.local_advisories = Some(number);
        let info = ConsumerInfo {
            consumer_id: Some(ConsumerId::new(&self.local_session, number)),
            destination: Some(Destination::topic(topics)),
            prefetch_size: i32::try_from(self.advisory_prefetch()).unwrap_or(i32::MAX),
            dispatch_async: true,
            ..Default::default()
        };
        self.say(Side::Local, info);
    }

    /// Listens to who consumes over there.
    pub(super) fn listen_remotely(&mut self) {
        if !self.settings.static_bridge {
            let info = ConsumerInfo {
                command_id: self.command_id(),
                consumer_id: Some(self.advisories.clone()),
                destination: Some(Destination::topic(self.settings.advisory_topics())),
                prefetch_size: i32::try_from(self.advisory_prefetch()).unwrap_or(i32::MAX),
                dispatch_async: true,
                ..Default::default()
            };
            self.say(Side::Remote, info);
        }
    }

    fn advisory_prefetch(&self) -> u32 {
        match self.settings.advisory_prefetch {
            0 => self.settings.prefetch.max(1),
            prefetch => prefetch,
        }
    }

    /// The local broker hands something out: an advisory, or a message that is wanted over there.
    pub(super) fn dispatched(&mut self, dispatch: MessageDispatch) {
        if let Some(message) = &dispatch.message {
            self.note_clock(Side::Local, message);
        }
        let number = dispatch.consumer_id.as_ref().map(|id| id.value);
        if number.is_none() || number != self.local_advisories {
            return self.forward(dispatch);
        }
        let Some(message) = &dispatch.message else { return };
        match message.data_structure.as_deref() {
            Some(Command::ConsumerInfo(info)) => self.rival_came(info),
            Some(Command::RemoveInfo(info)) => {
                if let Some(ObjectId::Consumer(id)) = &info.object_id {
                    self.rival_went(id);
                }
            }
            _ => {}
        }
        if let Some(id) = dispatch.consumer_id.clone() {
            self.acknowledge_advisory(Side::Local, id, message);
        }
    }

    /// An advisory for the bridge's own consumer.
    pub(super) fn advised(&mut self, dispatch: &MessageDispatch) {
        let Some(message) = &dispatch.message else { return };
        self.note_clock(Side::Remote, message);
        self.told(message);
        self.acknowledge_advisory(Side::Remote, self.advisories.clone(), message);
    }

    fn acknowledge_advisory(&mut self, side: Side, consumer: ConsumerId, message: &Message) {
        let limit = self.advisory_prefetch();
        let percent = u32::from(self.settings.advisory_ack_percentage.clamp(1, 100));
        let Unacknowledged { local, remote } = &mut self.unacknowledged;
        let count = if side == Side::Local { local } else { remote };
        *count += 1;
        if *count * 100 < limit.saturating_mul(percent) {
            return;
        }
        let ack = MessageAck {
            consumer_id: Some(consumer),
            destination: message.destination.clone(),
            last_message_id: message.message_id.clone(),
            message_count: i32::try_from(std::mem::take(count)).unwrap_or(i32::MAX),
            ack_type: AckType::Standard as i8,
            ..Default::default()
        };
        self.say(side, ack);
    }

    /// What an advisory is about.
    pub(super) fn told(&mut self, message: &Message) {
        // A consumer of a queue is told of a second time, as one of the topic that feeds the queue.
        let fed = message
            .destination
            .as_ref()
            .is_some_and(|topic| topic.name.to_str().starts_with(VIRTUAL_CONSUMERS));
        match message.data_structure.as_deref() {
            Some(Command::ConsumerInfo(info)) => self.wanted(info, fed),
            Some(Command::RemoveInfo(info)) => {
                if let Some(ObjectId::Consumer(id)) = &info.object_id {
                    self.left(&remote_name(id, fed));
                }
            }
            Some(Command::RemoveSubscriptionInfo(info)) => self.gave_up(info),
            Some(Command::DestinationInfo(info)) => self.temporary(info),
            _ => {}
        }
    }

    /// Somebody consumes over there.
    fn wanted(&mut self, info: &ConsumerInfo, fed: bool) {
        let (Some(id), Some(destination)) = (&info.consumer_id, &info.destination) else { return };
        let path = info.broker_path.as_deref();
        let came_round = self.local.as_ref().is_some_and(|local| passed(path, &local.id));
        if info.browser || exceeds(path.map_or(0, <[_]>::len), self.settings.consumer_ttl) || came_round {
            return;
        }
        let remote = remote_name(id, fed);
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
        let durable = self.durable(info, &destination);
        let most = self.settings.most_consumers;
        let change = self.demand.add(remote, info, destination.clone(), durable, merge, most);
        self.follow(change, destination, remote, info);
    }

    /// A remote consumer as rivals know it; `None` if it does not matter that there are several ways to it.
    fn wanting<'a>(
        &self,
        destination: &Destination,
        remote: &'a str,
        info: &'a ConsumerInfo,
    ) -> Option<Wanting<'a>> {
        let matters = self.local_advisories.is_some()
            && self.settings.suppresses(destination)
            && info.consumer_id.is_some();
        let hops = info.broker_path.as_deref().map_or(0, <[_]>::len) + 1;
        matters.then(|| Wanting { name: remote, info, priority: self.priority(info.priority, hops) })
    }

    /// Whether no other bridge stands for the same consumer already.
    pub(super) fn may_subscribe(
        &mut self,
        number: i64,
        destination: &Destination,
        remote: &str,
        info: &ConsumerInfo,
        durable: Option<&String>,
    ) -> bool {
        let Some(wanting) = self.wanting(destination, remote, info) else { return true };
        let Some(target) = self.remote.as_ref().map(|broker| broker.id.clone()) else { return false };
        self.rivals.claim(number, &target, destination, durable, wanting)
    }

    /// A remote consumer shares a subscription; whether that is left to rivals who do not stand for this consumer.
    pub(super) fn joined(&mut self, number: i64, remote: &str, info: &ConsumerInfo) -> bool {
        let destination = self.demand.subscription(number).map(|shared| shared.destination().clone());
        let wanting = destination.and_then(|destination| self.wanting(&destination, remote, info));
        wanting.is_some_and(|wanting| self.rivals.join(number, wanting))
    }

    /// A remote consumer is gone.
    fn left(&mut self, remote: &str) {
        let shared = self.demand.of_remote(remote);
        let fates = self.demand.remove(remote);
        self.carry_out(fates);
        for number in shared {
            if self.rivals.leave(number, remote) {
                self.renew(number);
            }
        }
    }

    /// Ends a subscription, if it is there, and makes another one in its place, unless it is left to rivals now. What was
    /// handed out to the old one and not sent is the broker's again; by the number it is told from what the new one is
    /// given.
    pub(super) fn renew(&mut self, number: i64) {
        let made = !self.rivals.has_left(number);
        let Some(fresh) = self.demand.renumber(number) else { return };
        self.rivals.renumber(number, fresh);
        if made {
            self.end_subscription(number, None);
        }
        self.subscribe_if_best(fresh);
    }

    pub(super) fn subscribe_if_best(&mut self, number: i64) {
        if let Some(wish) = self.rivals.wish(number) {
            self.subscribe(number, wish);
        }
    }

    fn rival_came(&mut self, info: &ConsumerInfo) {
        if !info.network_subscription {
            return;
        }
        let Some(id) = &info.consumer_id else { return };
        if id.connection_id == self.local_session.connection_id {
            return self.rivals.told(id.value);
        }
        for number in self.rivals.came(info, self.settings.most_consumers) {
            self.renew(number);
        }
    }

    fn rival_went(&mut self, id: &ConsumerId) {
        for number in self.rivals.went(&id.to_string()) {
            self.renew(number);
        }
    }

    /// A temporary destination came or went over there: replies find their way by it.
    fn temporary(&mut self, info: &DestinationInfo) {
        let Some(destination) = &info.destination else { return };
        let path = info.broker_path.as_deref();
        let came_round = self.local.as_ref().is_some_and(|local| passed(path, &local.id));
        let too_far = exceeds(path.map_or(0, <[_]>::len), self.settings.consumer_ttl);
        if !destination.is_temporary() || !self.settings.temp_destinations || came_round || too_far {
            return;
        }
        let mut info = info.clone();
        info.connection_id = Some(self.local_session.connection());
        // As a request, because a failure that nobody waits for ends a connection.
        info.command_id = self.command_id();
        info.response_required = true;
        // Whoever consumes from it still may not keep it.
        info.timeout = if info.operation_type == 1 { 1 } else { info.timeout };
        if let Some(remote) = &self.remote {
            info.broker_path = Some(grown(info.broker_path.as_deref(), &remote.id));
        }
        self.say(Side::Local, info);
    }
}

/// A consumer over there, as demand knows it.
fn remote_name(id: &ConsumerId, fed: bool) -> String {
    if fed { format!("fed {id}") } else { id.to_string() }
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
