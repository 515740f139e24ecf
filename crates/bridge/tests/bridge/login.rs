//! How a bridge makes itself known, and what becomes of it if a broker does not let it in.

use std::collections::BTreeMap;

use ferromq_bridge::{Bridge, Ending, Login, Order, Settings, Side};
use ferromq_openwire::{BrokerInfo, Command, Destination, Limits, Response, Value, WireStr};

use super::played::{NOW, consumer, info, refusal, reports, said, subscriptions, tell, up};

#[test]
fn who_logs_in_where_and_under_which_names() {
    let mut settings = Settings::default();
    settings.name = "link".into();
    settings.client_id_token = "~".into();
    settings.destination_filter = Some("Queue.orders".into());
    let login = |user: &str| Some(Login { user: user.into(), password: "secret".into() });
    (settings.local_login, settings.remote_login) = (login("ann"), login("bob"));
    for names in [true, false] {
        settings.names_in_ids = names;
        let mut bridge = Bridge::new(settings.clone(), "1");
        bridge.handle(Side::Local, info("here").into(), NOW);
        bridge.handle(Side::Remote, info("there").into(), NOW);
        let text = |text: &Option<WireStr>| text.as_ref().map(ToString::to_string).unwrap_or_default();
        let orders = said(&mut bridge);
        let logins = orders.iter().filter_map(|order| match order {
            Order::Say(side, Command::ConnectionInfo(info)) => {
                let id = info.connection_id.as_ref().map(|id| text(&id.value)).unwrap_or_default();
                Some((*side, text(&info.client_id), text(&info.user_name), id))
            }
            _ => None,
        });
        let logins: Vec<_> = logins.collect();
        let id = if names { "here->there-1" } else { "ID:1" };
        let expected = [
            (Side::Local, "link~there~inbound~here".into(), "ann".into(), format!("{id}:1")),
            (Side::Remote, "link~here~outbound".into(), "bob".into(), format!("{id}:2")),
        ];
        assert_eq!(logins, expected);
        let listens = orders.iter().find_map(|order| match order {
            Order::Say(Side::Remote, Command::ConsumerInfo(info)) => info.destination.clone(),
            _ => None,
        });
        let topics = listens.unwrap().name.to_string();
        assert!(topics.starts_with("ActiveMQ.Advisory.Consumer.Queue.orders,"), "{topics}");
    }
}

#[test]
fn wrong_credentials_end_the_attempt_with_the_reason() {
    let mut bridge = Bridge::new(Settings::default(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    said(&mut bridge);
    bridge.handle(Side::Remote, refusal(0, "java.lang.SecurityException", "User name or password"), NOW);
    let ended = said(&mut bridge);
    assert!(matches!(ended.as_slice(), [Order::End(Ending::Refused(reason))] if reason.contains("password")));
}

#[test]
fn a_broker_that_finds_itself_is_told_so() {
    let mut bridge = Bridge::new(Settings::default(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("here").into(), NOW);
    assert!(matches!(said(&mut bridge).as_slice(), [Order::End(Ending::Loop)]));
}

#[test]
fn the_local_broker_is_told_when_a_bridge_came_up_and_when_it_is_gone() {
    let mut bridge = Bridge::new(Settings::default(), "1").to("tcp://there:61616");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    let told = told_of_bridge(&said(&mut bridge));
    let origin =
        [("originBrokerId", "ID:here:1"), ("originBrokerName", "here"), ("originBrokerURL", "tcp://here:1")];
    let more = [("createdByDuplex", "false"), ("remoteIp", "tcp://there:61616"), ("started", "true")];
    assert_eq!(told, text([origin, more].concat()));
    bridge.lost(Side::Remote, "it closed the connection");
    let told = told_of_bridge(&said(&mut bridge));
    assert_eq!(told, text([&origin[..], &[("started", "false")]].concat()));
}

fn text(properties: Vec<(&str, &str)>) -> BTreeMap<String, String> {
    properties.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The properties of the only advisory about the bridge, which is about the remote broker and where it is.
fn told_of_bridge(orders: &[Order]) -> BTreeMap<String, String> {
    assert_eq!(reports(orders), ["ActiveMQ.Advisory.NetworkBridge"]);
    let message = orders.iter().find_map(|order| match order {
        Order::Say(Side::Local, Command::Message(message)) => Some(message),
        _ => None,
    });
    let message = message.unwrap();
    let Some(Command::BrokerInfo(about)) = message.data_structure.as_deref() else { panic!() };
    let told = (about.broker_name.clone(), about.broker_url.clone(), about.network_connection);
    assert_eq!(told, (Some("there".into()), Some("tcp://there:1".into()), false));
    let properties = message.decode_properties(&Limits::default()).unwrap();
    let text = |value: &Value| match value {
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    properties.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}

#[test]
fn who_a_broker_is_stays_as_it_was_said_first() {
    let mut bridge = up(Settings::default());
    bridge.handle(Side::Remote, info("else").into(), NOW);
    bridge.handle(Side::Remote, BrokerInfo::default().into(), NOW);
    assert_eq!(bridge.remote_name(), Some("there"));
    assert_eq!(subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).len(), 1);
}
