//! How a bridge makes itself known to both brokers, and whether they let it in.

use ferromq_openwire::{
    BrokerInfo, ConnectionId, ConnectionInfo, ConsumerId, ProducerId, ProducerInfo, SessionId, SessionInfo,
    Throwable, WireStr,
};

use super::stream::{KEEPS_STREAMS, TURNS_BACK};
use super::{Bridge, Broker, Ending, Order, Side, text_of};
use crate::{Login, properties};

impl Bridge {
    /// A broker has introduced itself: the bridge logs in at both, once both are known.
    pub(super) fn introduce(&mut self) {
        let (Some(local), Some(remote)) = (self.local.clone(), self.remote.clone()) else { return };
        if self.producer.connection_id.is_some() {
            return;
        }
        if local.id == remote.id || local.name == remote.name {
            return self.end(Ending::Loop);
        }
        let with_stream = self.wants_stream(&local, &remote);
        let ids = if self.settings.names_in_ids {
            format!("{}->{}-{}", local.name, remote.name, self.seed)
        } else {
            format!("ID:{}", self.seed)
        };
        self.log_in_locally(&format!("{ids}:1"), &local, &remote);
        if with_stream && self.asks_for_duplex() {
            // So that the other half may speak of its own stream.
            self.say(Side::Inbound, BrokerInfo { network_connection: true, ..Default::default() });
        }
        self.log_in_remotely(&format!("{ids}:2"), &local);
        if with_stream {
            self.open_stream(&local, &remote);
        } else {
            self.subscribe_statically();
            self.listen_remotely();
        }
        if self.remote_ready {
            self.came_up();
        }
    }

    fn log_in_locally(&mut self, connection: &str, local: &Broker, remote: &Broker) {
        let client = self.client_id(&[&remote.name, "inbound", &local.name]);
        self.local_client.clone_from(&client);
        let command_id = self.command_id();
        // The local broker tells its clients where the remote one is.
        let info = BrokerInfo {
            broker_name: Some(WireStr::from(remote.name.as_str())),
            broker_url: remote.url.clone(),
            network_connection: true,
            network_properties: Some(WireStr::from(properties::for_local(&self.settings))),
            ..Default::default()
        };
        self.say(Side::Local, info);
        let login = self.settings.local_login.clone();
        self.say(Side::Local, connection_info(command_id, connection, client, login.as_ref()));
        self.local_session = SessionId::new(connection, 1);
        let session_id = Some(self.local_session.clone());
        self.say(Side::Local, SessionInfo { session_id, ..Default::default() });
        self.listen_locally();
    }

    fn log_in_remotely(&mut self, connection: &str, local: &Broker) {
        if !self.mirror {
            let info = BrokerInfo {
                command_id: self.command_id(),
                broker_id: Some(local.id.clone()),
                broker_name: Some(WireStr::from(local.name.as_str())),
                broker_url: local.url.clone(),
                network_connection: true,
                duplex_connection: self.settings.duplex,
                network_properties: Some(WireStr::from(properties::write(
                    &self.settings,
                    local.keeps_streams,
                    local.turns_back,
                ))),
                ..Default::default()
            };
            self.say(Side::Remote, info);
        }
        // ActiveMQ passes the commands of a duplex bridge on to itself, and then nobody answers.
        let answered = !self.settings.duplex && !self.mirror;
        let client = self.client_id(&[&local.name, "outbound"]);
        let login = self.settings.remote_login.clone();
        let info = connection_info(self.command_id(), connection, client, login.as_ref());
        self.say(Side::Remote, ConnectionInfo { response_required: answered, ..info });
        let session = SessionId::new(connection, 1);
        self.producer = ProducerId::new(&session, 1);
        self.advisories = ConsumerId::new(&session, 1);
        let command_id = self.command_id();
        self.say(Side::Remote, SessionInfo { command_id, session_id: Some(session), ..Default::default() });
        let (command_id, producer_id) = (self.command_id(), Some(self.producer.clone()));
        self.say(Side::Remote, ProducerInfo { command_id, producer_id, ..Default::default() });
        if !answered {
            self.remote_ready = true;
        }
    }

    /// Whether the peer is to send back over the same connection.
    pub(super) const fn asks_for_duplex(&self) -> bool {
        self.settings.duplex && !self.mirror
    }

    /// ActiveMQ's name for a connection of this connector.
    fn client_id(&self, parts: &[&str]) -> String {
        let token = &self.settings.client_id_token;
        format!("{}{token}{}", self.settings.name, parts.join(token))
    }

    pub(super) fn came_up(&mut self) {
        if self.is_up() {
            self.orders.push_back(Order::Up);
            self.tell_bridge(true);
        }
    }

    /// The local broker has answered; before the bridge is up it is asked about nothing but the login.
    pub(super) fn local_answered(&mut self, request: i32, refusal: Option<&Throwable>) {
        if self.stream_answered(Side::Local, request, refusal) {
            return;
        }
        match refusal {
            None if !self.local_ready => {
                self.local_ready = true;
                self.came_up();
            }
            None => {}
            Some(reason) if !self.local_ready => self.not_let_in(Side::Local, reason),
            Some(reason) => {
                let text = format!(
                    "the local broker refused a subscription, or the end of one: {}",
                    text_of(Some(reason))
                );
                self.orders.push_back(Order::Warn(text));
            }
        }
    }

    /// The remote broker has answered to what is no message.
    pub(super) fn login_answered(&mut self, refusal: Option<&Throwable>) {
        match refusal {
            None if !self.remote_ready => {
                self.remote_ready = true;
                self.came_up();
            }
            None => {}
            Some(reason) if !self.remote_ready => self.not_let_in(Side::Remote, reason),
            Some(reason) => {
                let text = format!("the remote broker refused a command: {}", text_of(Some(reason)));
                self.orders.push_back(Order::Warn(text));
            }
        }
    }

    fn not_let_in(&mut self, side: Side, reason: &Throwable) {
        let text = format!("{} does not let the bridge in: {}", side.broker(), text_of(Some(reason)));
        self.end(Ending::Refused(text));
    }

    /// A broker says that something is wrong with the connection as a whole.
    pub(super) fn connection_failed(&mut self, side: Side, text: &str) {
        let text = format!("{} says: {text}", side.broker());
        let ending = if self.is_up() { Ending::Lost(text) } else { Ending::Refused(text) };
        self.end(ending);
    }
}

fn connection_info(
    command_id: i32,
    connection: &str,
    client: String,
    login: Option<&Login>,
) -> ConnectionInfo {
    ConnectionInfo {
        command_id,
        response_required: true,
        connection_id: Some(ConnectionId::new(connection)),
        client_id: Some(WireStr::from(client)),
        user_name: login.map(|login| WireStr::from(login.user.as_str())),
        password: login.map(|login| WireStr::from(login.password.as_str())),
        client_master: true,
        ..Default::default()
    }
}

/// The broker that introduces itself, if it says who it is.
pub(super) fn broker(info: &BrokerInfo) -> Option<Broker> {
    Some(Broker {
        id: info.broker_id.clone()?,
        name: info.broker_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        url: info.broker_url.clone(),
        keeps_streams: properties::has(info.network_properties.as_ref(), KEEPS_STREAMS),
        turns_back: properties::has(info.network_properties.as_ref(), TURNS_BACK),
    })
}
