//! How a bridge makes itself known, and what becomes of it if a broker does not let it in.

use ferromq_bridge::{Bridge, Ending, Login, Order, Settings, Side};
use ferromq_openwire::{Command, Response, WireStr};

use super::played::{NOW, info, refusal, reports, said};

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
    assert_eq!(reports(&said(&mut bridge)), ["ActiveMQ.Advisory.NetworkBridge"]);
    bridge.lost(Side::Remote, "it closed the connection");
    assert_eq!(reports(&said(&mut bridge)), ["ActiveMQ.Advisory.NetworkBridge"]);
}
