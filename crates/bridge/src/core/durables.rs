//! Durable subscribers over there, and the durable subscriptions here that stand for them: found again when the bridge
//! begins, compared with the remote broker's own (`syncDurableSubs`), and given up with the last subscriber.

use std::collections::{BTreeMap, BTreeSet};

use ferromq_openwire::{
    BrokerSubscriptionInfo, ConsumerInfo, Destination, DestinationKind, RemoveSubscriptionInfo, WireStr,
};

use super::{Bridge, Order, Side};
use crate::demand::{Change, Durable, Fate, Subscriber};
use crate::rivals::Wish;

/// Every durable subscription of a bridge is named so (ActiveMQ's name).
const PREFIX: &str = "NC-DS";

/// A durable subscription that the bridge made while the local broker had another name. It goes on under that name, for it
/// has what was sent meanwhile.
#[derive(Debug)]
struct Former {
    client: String,
    name: String,
}

/// What both brokers told of their durable subscriptions.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// By their topics.
    former: BTreeMap<Destination, Former>,
    local: Option<Vec<ConsumerInfo>>,
    remote: Option<Vec<ConsumerInfo>>,
    /// The remote broker was told of the local ones.
    told: bool,
}

impl Bridge {
    /// The durable subscription that stands for durable subscribers of a topic over there.
    pub(super) fn durable(&self, info: &ConsumerInfo, destination: &Destination) -> Option<Durable> {
        let subscriber = subscriber(info);
        if subscriber.is_none() && !self.settings.forces_durable(destination) {
            return None;
        }
        Some(Durable { name: self.durable_name(destination)?, subscriber })
    }

    fn durable_name(&self, destination: &Destination) -> Option<String> {
        if let Some(former) = self.durables.former.get(destination) {
            return Some(former.name.clone());
        }
        let local = self.local.as_ref()?;
        Some(self.name_by(&local.name, destination))
    }

    /// What a broker of that name calls it.
    fn name_by(&self, broker: &str, destination: &Destination) -> String {
        let token = &self.settings.client_id_token;
        format!("{PREFIX}{token}{broker}{token}{}", destination.name)
    }

    /// The client id under which a durable subscription was made, if the local broker had another name then.
    pub(super) fn former_client(&self, name: &str) -> Option<&str> {
        self.durables.former.values().find(|former| former.name == name).map(|former| former.client.as_str())
    }

    /// The local broker has told of its durable subscriptions: those of an earlier life of this bridge forward what they
    /// have gathered, unless `dynamicOnly` makes them wait for their subscribers.
    pub(super) fn list_local(&mut self, info: BrokerSubscriptionInfo) {
        if self.durables.local.is_some() {
            return;
        }
        let list: Vec<ConsumerInfo> = info.subscription_infos.unwrap_or_default().to_vec();
        self.note_former(&list);
        if !self.settings.dynamic_only {
            for info in &list {
                self.adopt(info);
            }
        }
        self.durables.local = Some(list);
        self.compare();
    }

    fn adopt(&mut self, info: &ConsumerInfo) {
        let (Some(destination), Some(name)) = (&info.destination, &info.subscription_name) else { return };
        let name = name.to_string();
        let client = info.client_id.as_ref();
        let own = self.durable_name(destination).is_some_and(|expected| expected == name)
            && client.is_some_and(|client| {
                *client.to_str() == *self.former_client(&name).unwrap_or(&self.local_client)
            });
        if own
            && destination.kind == DestinationKind::Topic
            && self.settings.permits(destination)
            && let Some(number) = self.demand.adopt(destination.clone(), name.clone())
        {
            let info = ConsumerInfo::default();
            self.subscribe(number, Wish { destination: destination.clone(), info, durable: Some(name) });
        }
    }

    /// Finds what the bridge subscribed to while a broker had another name. Where it was the local one, that goes on, unless
    /// the topic is subscribed to by the present name as well; else somebody must know what keeps messages for nobody.
    fn note_former(&mut self, list: &[ConsumerInfo]) {
        let Some(local) = self.local.clone() else { return };
        let present: BTreeSet<&Destination> = list
            .iter()
            .filter(|info| info.client_id.as_ref().is_some_and(|id| *id.to_str() == *self.local_client))
            .filter_map(|info| info.destination.as_ref())
            .collect();
        let mut stranded = Vec::new();
        for info in list {
            let (Some(topic), Some((client, name))) = (&info.destination, subscription(info)) else {
                continue;
            };
            let Some((remote, by)) = self.ends_of(&client) else { continue };
            let same_peer = self.remote.as_ref().is_some_and(|broker| broker.name == remote);
            if name != self.name_by(by, topic) || (same_peer && by == local.name) {
                continue;
            }
            let free = !present.contains(topic) && !self.durables.former.contains_key(topic);
            if same_peer && free && local.keeps_streams {
                self.durables.former.insert(topic.clone(), Former { client, name });
            } else if same_peer || self.settings.only_link {
                stranded.push(format!("{name} of client {client}"));
            }
        }
        self.tell_stranded(&stranded);
    }

    /// The names of the remote and the local broker in a client id of this connector's bridges.
    fn ends_of<'a>(&self, client: &'a str) -> Option<(&'a str, &'a str)> {
        let token = &self.settings.client_id_token;
        let ends = client.strip_prefix(&self.settings.name)?.strip_prefix(token)?;
        ends.split_once(&format!("{token}inbound{token}"))
    }

    fn tell_stranded(&mut self, stranded: &[String]) {
        let Some(first) = stranded.first() else { return };
        let count = stranded.len();
        let text = format!(
            "durable subscriptions that this connector made while a broker had another name keep messages that nobody \
             fetches: {first}, {count} in all; `ferromq subscriptions` lists them, and `ferromq subscriptions end` ends one"
        );
        self.orders.push_back(Order::Warn(text));
    }
    pub(super) fn list_remote(&mut self, info: BrokerSubscriptionInfo) {
        self.durables.remote = Some(info.subscription_infos.unwrap_or_default().to_vec());
        self.compare();
    }

    /// Once both are known: what was subscribed or given up while the link was down is made up for.
    fn compare(&mut self) {
        if !self.settings.syncs() || self.durables.local.is_none() {
            return;
        }
        let Some(list) = self.durables.remote.take() else { return };
        let most = self.settings.most_consumers;
        for info in list {
            let (Some(destination), Some(subscriber)) = (info.destination.clone(), subscriber(&info)) else {
                continue;
            };
            if !self.is_compared(&destination) || self.is_of_a_bridge(&subscriber) {
                continue;
            }
            let Some(name) = self.durable_name(&destination) else { continue };
            let durable = Durable { name, subscriber: Some(subscriber) };
            let change = self.demand.add_subscriber(destination.clone(), durable, most);
            self.follow(change, destination, "", &info);
        }
        // A topic that makes plain subscribers durable may be adopted for one that has yet to show up.
        let settings = &self.settings;
        let fates = self.demand.settle(|topic| settings.permits(topic) && !settings.forces_durable(topic));
        self.carry_out(fates);
        self.tell_list();
    }

    fn is_compared(&self, destination: &Destination) -> bool {
        destination.kind == DestinationKind::Topic && self.settings.permits(destination)
    }

    /// Whether a durable subscription over there belongs to a bridge: to one that leads back here always, to another one
    /// if demand may not come from further than the next broker.
    fn is_of_a_bridge(&self, subscriber: &Subscriber) -> bool {
        if !subscriber.name.starts_with(PREFIX) {
            return false;
        }
        let token = &self.settings.client_id_token;
        // Whatever the remote broker was called when it made it.
        let leads_here = self.local.as_ref().is_some_and(|local| {
            subscriber.client.contains(&format!("{token}{}{token}inbound{token}", local.name))
        });
        leads_here || self.settings.consumer_ttl == 1
    }

    /// Tells the remote broker of the local durable subscriptions, for its half of a duplex bridge. Only one that has
    /// told of its own understands them.
    fn tell_list(&mut self) {
        if !self.asks_for_duplex() || std::mem::replace(&mut self.durables.told, true) {
            return;
        }
        let (Some(local), Some(list)) = (self.local.clone(), &self.durables.local) else { return };
        let infos = list.iter().filter(|info| {
            info.destination.as_ref().is_some_and(|destination| self.is_compared(destination))
        });
        let infos = infos.cloned().collect();
        let info = BrokerSubscriptionInfo {
            command_id: self.command_id(),
            broker_id: Some(local.id),
            broker_name: Some(WireStr::from(local.name.as_str())),
            subscription_infos: Some(infos),
            ..Default::default()
        };
        self.say(Side::Remote, info);
    }

    /// A durable subscriber over there has given up.
    pub(super) fn gave_up(&mut self, info: &RemoveSubscriptionInfo) {
        let text = |text: &Option<WireStr>| text.as_ref().map(ToString::to_string).unwrap_or_default();
        let gone = Subscriber { client: text(&info.client_id), name: text(&info.subscription_name) };
        let fates = self.demand.give_up(&gone);
        self.carry_out(fates);
    }

    /// What a change of demand makes of the local subscriptions.
    pub(super) fn follow(
        &mut self,
        change: Change,
        destination: Destination,
        remote: &str,
        info: &ConsumerInfo,
    ) {
        match change {
            Change::Subscribe { number, durable } => {
                if self.may_subscribe(number, &destination, remote, info, durable.as_ref()) {
                    self.subscribe(number, Wish { destination, info: info.clone(), durable });
                }
            }
            Change::Upgrade { old, number, durable } => {
                // Of a topic nothing is handed out again, so there is no answer to wait for.
                if !self.rivals.has_left(old) {
                    self.close_consumer(old);
                }
                self.rivals.renumber(old, number);
                self.rivals.make_durable(number, durable.as_ref());
                if self.rivals.knows(number) {
                    self.joined(number, remote, info);
                    self.subscribe_if_best(number);
                } else {
                    self.subscribe(number, Wish { destination, info: info.clone(), durable });
                }
            }
            Change::Joined { number } => {
                if self.joined(number, remote, info) {
                    self.renew(number);
                }
            }
            Change::Full => {
                self.beyond += 1;
                if !self.beyond.is_power_of_two() {
                    return;
                }
                let (most, beyond) = (self.settings.most_consumers, self.beyond);
                let remote = info.consumer_id.as_ref().map(ToString::to_string).unwrap_or_default();
                let text = format!(
                    "nothing of {destination} is forwarded to consumer {remote}: the bridge knows {most} consumers, \
                     and that is the limit; {beyond} came beyond it so far"
                );
                self.orders.push_back(Order::Warn(text));
            }
        }
    }

    /// Ends what nobody wants any longer.
    pub(super) fn carry_out(&mut self, fates: Vec<Fate>) {
        for fate in fates {
            match fate {
                Fate::End { number, durable } => self.end_subscription(number, durable),
                Fate::Downgrade { old, durable, number, destination } => {
                    self.end_subscription(old, Some(durable));
                    let info = ConsumerInfo::default();
                    self.subscribe(number, Wish { destination, info, durable: None });
                }
            }
        }
    }
}

/// Client id and name of a durable subscription.
fn subscription(info: &ConsumerInfo) -> Option<(String, String)> {
    Some((info.client_id.as_ref()?.to_string(), info.subscription_name.as_ref()?.to_string()))
}

/// The durable subscriber that a consumer is.
fn subscriber(info: &ConsumerInfo) -> Option<Subscriber> {
    let name = info.subscription_name.as_ref().filter(|name| !name.is_empty())?;
    let topic = info.destination.as_ref().is_some_and(|name| name.kind == DestinationKind::Topic);
    let client = info.client_id.as_ref().map(ToString::to_string).unwrap_or_default();
    topic.then(|| Subscriber { client, name: name.to_string() })
}
