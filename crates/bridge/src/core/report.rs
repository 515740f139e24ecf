//! What a bridge tells on advisory topics of the local broker: that it came up or ended, and which message was refused
//! (`ActiveMQ.Advisory.NetworkBridge`, `ActiveMQ.Advisory.NetworkBridge.ForwardFailure`).

use std::sync::Arc;

use ferromq_openwire::{
    BrokerInfo, Command, Destination, Message, MessageId, MessageKind, PrimitiveMap, ProducerId,
    ProducerInfo, Value, WireStr,
};

use super::traffic::Flight;
use super::{Bridge, Side};

const BRIDGE: &str = "ActiveMQ.Advisory.NetworkBridge";
const FAILURE: &str = "ActiveMQ.Advisory.NetworkBridge.ForwardFailure";

impl Bridge {
    /// Who sends advisories at the local broker.
    fn reporter(&self) -> ProducerId {
        ProducerId::new(&self.local_session, 1)
    }

    pub(super) fn tell_bridge(&mut self, started: bool) {
        let Some(remote) = self.remote.clone() else { return };
        if started {
            let info = ProducerInfo { producer_id: Some(self.reporter()), ..Default::default() };
            self.say(Side::Local, info);
        }
        let info = BrokerInfo {
            broker_id: Some(remote.id),
            broker_name: Some(WireStr::from(remote.name)),
            broker_url: remote.url,
            // So ActiveMQ tells a duplex bridge from others.
            network_connection: self.settings.duplex,
            ..Default::default()
        };
        let mut properties = vec![("started", Value::Bool(started))];
        if started {
            properties.push(("createdByDuplex", Value::Bool(self.mirror)));
            properties.push(("remoteIp", Value::String(WireStr::from(self.remote_address.as_str()))));
        }
        self.report(BRIDGE, properties, info.into());
    }

    /// A message is a dead letter here, because the remote broker refused it.
    pub(super) fn tell_failed(&mut self, flight: &Flight, cause: &str) {
        if self.settings.tell_failed {
            let properties = vec![("cause", Value::String(WireStr::from(cause)))];
            self.report(FAILURE, properties, Command::Message(Arc::clone(&flight.message)));
        }
    }

    fn report(&mut self, topic: &str, properties: Vec<(&str, Value)>, about: Command) {
        let Some(local) = self.local.clone() else { return };
        self.reported += 1;
        let mut message = Message::new(MessageKind::Plain);
        let mut map = PrimitiveMap::default();
        for (key, value) in [
            ("originBrokerId", Value::String(local.id.value.clone().unwrap_or_default())),
            ("originBrokerName", Value::String(WireStr::from(local.name.as_str()))),
            ("originBrokerURL", Value::String(local.url.clone().unwrap_or_default())),
        ]
        .into_iter()
        .chain(properties)
        {
            map.insert(WireStr::from(key), value);
        }
        // Short texts fit.
        if message.set_properties(&map).is_err() {
            return;
        }
        let producer = self.reporter();
        message.message_id = Some(MessageId::new(producer.clone(), self.reported));
        message.producer_id = Some(producer);
        message.destination = Some(Destination::topic(topic));
        message.jms_type = Some(WireStr::from("Advisory"));
        message.data_structure = Some(Arc::new(about));
        self.say(Side::Local, message);
    }
}
