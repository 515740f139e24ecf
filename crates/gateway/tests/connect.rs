//! How connections begin, and how they end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{Effect, Fault, FaultKind, Input, Intent, Tag};
use ferromq_gateway::{Cluster, Credentials, ErrorKind, Login, LoginRefused, SessionError, SessionSettings};
use ferromq_openwire::{
    BrokerInfo, Command, ConnectionControl, ConnectionId, KeepAliveInfo, Limits, RemoveInfo, SessionId,
    SessionInfo, ShutdownInfo, WireFormat, WireFormatOptions, WireStr,
};
use world::{CONNECTION, World, connection_info, exception, names};

mod world;

/// One user.
#[derive(Debug)]
struct OneUser;

impl Login for OneUser {
    fn authenticate(&self, shown: Credentials<'_>) -> Result<(), LoginRefused> {
        match (shown.user, shown.password) {
            (Some("ann"), Some("secret")) => Ok(()),
            (user, _) => Err(LoginRefused::wrong_credentials(user)),
        }
    }
}

fn with_login() -> SessionSettings {
    let mut settings = SessionSettings::default();
    settings.login = Arc::new(OneUser);
    settings
}

#[test]
fn a_broker_greets_at_once_and_introduces_itself_after_the_peers_greeting() {
    let mut world = World::new(SessionSettings::default(), WireFormatOptions::default());
    let mut out = Vec::new();
    world.session.transmit(&mut out);
    let greeting = WireFormat::new(Limits::default()).decode(out.split_off(4).into()).unwrap();
    assert!(matches!(greeting, Command::WireFormatInfo(info) if info.version == 12));
    assert_eq!(world.session.tcp_no_delay(), None);

    let world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
    assert_eq!(world.session.tcp_no_delay(), Some(true));
}

#[test]
fn a_client_is_told_to_the_engine_with_its_address_and_without_its_password() {
    let mut world = World::greeted(with_login(), WireFormatOptions::default());
    let mut info = connection_info();
    info.user_name = Some("ann".into());
    info.password = Some("secret".into());
    info.failover_reconnect = true;
    world.request(ConnectionControl { fault_tolerant: true, ..Default::default() });
    assert_eq!(names(&world.answers()), ["Response"]);
    world.request(info);
    let (_, Intent::Connect(facts)) = world.wanted() else { panic!("a connect") };
    assert_eq!(facts.connection.to_str(), CONNECTION);
    assert_eq!(facts.client_id.to_str(), "client");
    assert_eq!(facts.user.as_ref().map(|user| user.to_str().into_owned()).as_deref(), Some("ann"));
    assert_eq!(facts.remote.to_str(), "tcp://127.0.0.1:4711");
    assert!(facts.fault_tolerant && facts.reconnected && facts.manageable);
    assert!(!format!("{facts:?}{}", world.session.describe()).contains("secret"));
}

#[test]
fn a_wrong_password_is_answered_as_activemq_does_and_the_door_closes_after_a_while() {
    let mut world = World::greeted(with_login(), WireFormatOptions::default());
    let mut info = connection_info();
    info.user_name = Some("u".into());
    info.password = Some("wrong".into());
    world.request(info);
    let (class, text) = exception(&world.answer());
    assert_eq!(class, "java.lang.SecurityException");
    assert_eq!(text, "User name [u] or password is invalid.");
    assert!(!world.session.is_finished(), "the peer is given time to read");
    world.pass(Duration::from_secs(2));
    world.assert_over();
    assert_eq!(world.inputs.len(), 1, "the engine never heard of a connection");
    assert!(matches!(world.session.failure(), Some(SessionError::LoginRefused(_))));
}

/// What a bridge says first: that it wants another one back over its connection.
fn duplex_peer() -> BrokerInfo {
    BrokerInfo { network_connection: true, duplex_connection: true, ..Default::default() }
}

#[test]
fn a_bridge_back_begins_when_its_peer_has_logged_in_and_not_before() {
    let mut world = World::greeted(with_login(), WireFormatOptions::default());
    world.tell(duplex_peer());
    assert!(world.session.poll_aside().is_none(), "nobody knows who it is");
    let mut info = connection_info();
    info.user_name = Some("ann".into());
    info.password = Some("secret".into());
    let id = world.request(info);
    assert!(world.session.poll_aside().is_none(), "the engine may still refuse it");
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    assert!(matches!(world.session.poll_aside(), Some(Command::BrokerInfo(_))));

    let mut world = World::greeted(with_login(), WireFormatOptions::default());
    world.tell(duplex_peer());
    let mut info = connection_info();
    info.user_name = Some("ann".into());
    info.password = Some("guess".into());
    world.request(info);
    assert!(world.session.poll_aside().is_none());
}

/// One user whose hash takes long to check.
#[derive(Debug)]
struct SlowLogin;

impl Login for SlowLogin {
    fn quick(&self, _: Credentials<'_>) -> Option<Result<(), LoginRefused>> {
        None
    }

    fn authenticate(&self, shown: Credentials<'_>) -> Result<(), LoginRefused> {
        OneUser.authenticate(shown)
    }
}

#[test]
fn a_login_that_takes_long_is_asked_elsewhere_and_nothing_is_read_before_the_answer() {
    for (password, lets_in) in [("secret", true), ("guess", false)] {
        let mut settings = SessionSettings::default();
        settings.login = Arc::new(SlowLogin);
        let mut world = World::greeted(settings, WireFormatOptions::default());
        let mut info = connection_info();
        info.user_name = Some("ann".into());
        info.password = Some(password.into());
        world.request(info);
        world.tell(SessionInfo { session_id: Some(SessionId::new(CONNECTION, 1)), ..Default::default() });
        assert!(world.inputs.is_empty(), "nobody is asked, and nothing is read");
        let question = world.session.login_question().unwrap();
        assert!(world.session.login_question().is_none(), "it is asked once");
        assert!(!format!("{question:?}").contains(password));
        // However long it takes, the peer is not blamed for its silence.
        world.pass(Duration::from_secs(600));
        assert!(world.session.awaits_login() && !world.session.is_finished());

        world.session.login_decided(world.now, question.decide());
        world.poll();
        if lets_in {
            let intents: Vec<_> = world
                .inputs
                .iter()
                .map(|input| match input {
                    Input::Intent { intent: Intent::Connect(_), .. } => "connect",
                    Input::Intent { intent: Intent::AddSession { .. }, .. } => "session",
                    _ => "other",
                })
                .collect();
            assert_eq!(intents, ["connect", "session"], "what came meanwhile comes after it");
        } else {
            let refusal = world.answers().pop().unwrap();
            assert_eq!(exception(&refusal).1, "User name [ann] or password is invalid.");
            assert!(matches!(world.inputs[..], [Input::Detach { .. }]), "{:?}", world.inputs);
        }
    }
}

#[test]
fn what_the_engine_refuses_is_told_by_its_java_class() {
    for (kind, class) in [
        (FaultKind::InvalidClientId, "javax.jms.InvalidClientIDException"),
        (FaultKind::Security, "java.lang.SecurityException"),
        (FaultKind::InvalidSelector, "javax.jms.InvalidSelectorException"),
        (FaultKind::InvalidDestination, "javax.jms.InvalidDestinationException"),
        (FaultKind::DestinationGone, "org.apache.activemq.DestinationDoesNotExistException"),
        (FaultKind::ResourceAllocation, "javax.jms.ResourceAllocationException"),
        (FaultKind::IllegalState, "java.lang.IllegalStateException"),
        (FaultKind::RolledBack, "javax.jms.TransactionRolledBackException"),
        (FaultKind::Unsupported, "javax.jms.JMSException"),
        (FaultKind::Protocol, "javax.jms.JMSException"),
        (FaultKind::General, "javax.jms.JMSException"),
    ] {
        let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
        let id = world.request(connection_info());
        let fault = Fault { kind, text: "é".repeat(40_000) };
        world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Failed(fault));
        let (told, text) = exception(&world.answer());
        assert_eq!(told, class);
        assert!(text.len() < 32_000, "the tight encoding carries no more");
        world.pass(Duration::from_secs(2));
        world.assert_over();
    }
}

#[test]
fn a_client_that_is_not_manageable_and_asks_nothing_gets_nothing() {
    let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
    let mut info = connection_info();
    info.manageable = false;
    let id = world.tell(info);
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    assert!(world.answers().is_empty());
}

#[test]
fn commands_before_a_connection_is_registered_are_refused_with_the_reason() {
    let session = || SessionInfo { session_id: Some(SessionId::new(CONNECTION, 1)), ..Default::default() };
    let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
    world.request(session());
    let answer = world.answer();
    assert!(matches!(&answer, Command::ExceptionResponse(_)));
    assert_eq!(exception(&answer).0, "java.lang.IllegalStateException");

    let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
    world.tell(session());
    assert!(matches!(world.answer(), Command::ConnectionError(_)));
    world.pass(Duration::from_secs(2));
    world.assert_over();
    assert_eq!(world.session.failure().unwrap().kind(), ErrorKind::Peer);
}

#[test]
fn the_first_frame_is_a_greeting_or_the_connection_ends_without_a_word() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 5, 30, 0, 0, 0, 0], &[0, 0, 0, 0], &[0xff; 8]] {
        let mut world = World::new(SessionSettings::default(), WireFormatOptions::default());
        assert_eq!(names(&world.answers()), ["WireFormatInfo"]);
        world.feed(bytes);
        assert!(world.session.is_finished(), "{bytes:?}");
        assert!(world.answers().is_empty());
        assert!(world.inputs.is_empty(), "the engine hears nothing of strangers");
        assert!(matches!(world.session.failure(), Some(SessionError::NotOpenWire { .. })));
    }
}

#[test]
fn a_second_connection_on_one_transport_is_refused_and_a_repetition_answered() {
    let mut world = World::plain();
    world.request(connection_info());
    assert_eq!(names(&world.answers()), ["Response"]);
    let mut other = connection_info();
    other.connection_id = Some(ConnectionId::new("ID:other"));
    world.request(other);
    assert_eq!(exception(&world.answer()).0, "java.lang.IllegalStateException");
    world.pass(Duration::from_secs(2));
    world.assert_over();
}

#[test]
fn ids_of_other_connections_are_not_for_this_one() {
    let mut world = World::plain();
    world.request(SessionInfo { session_id: Some(SessionId::new("ID:other", 1)), ..Default::default() });
    let (class, text) = exception(&world.answer());
    assert_eq!(class, "java.lang.IllegalStateException");
    assert!(text.contains("ID:other"), "{text}");
    assert!(!world.session.is_finished());
}

#[test]
fn goodbye_is_answered_and_the_end_of_the_transport_follows() {
    let mut world = World::plain();
    let id = world.request(RemoveInfo {
        object_id: Some(ConnectionId::new(CONNECTION).into()),
        last_delivered_sequence_id: -1,
        ..Default::default()
    });
    assert!(matches!(world.wanted(), (Some(_), Intent::Disconnect { .. })));
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    assert!(matches!(world.answer(), Command::Response(response) if response.correlation_id == id));
    world.tell(ShutdownInfo::default());
    world.assert_over();
    assert_eq!(world.session.failure(), None);
}

#[test]
fn a_lost_socket_is_one_detach() {
    let mut world = World::plain();
    world.session.lost();
    world.session.lost();
    world.assert_over();
}

#[test]
fn the_engine_can_end_a_connection_and_the_peer_learns_why() {
    let mut world = World::plain();
    let reason = Fault { kind: FaultKind::IllegalState, text: "taken over by 10.0.0.1".into() };
    world.session.close(world.now, &reason);
    let answer = world.answer();
    assert!(matches!(answer, Command::ConnectionError(_)));
    assert_eq!(exception(&answer).1, "taken over by 10.0.0.1");
    world.assert_over();
    assert_eq!(world.session.failure().unwrap().kind(), ErrorKind::Broker);
}

#[test]
fn a_stopping_broker_says_so() {
    let mut world = World::plain();
    world.session.shutdown(world.now);
    assert_eq!(names(&world.answers()), ["ShutdownInfo"]);
    world.assert_over();
}

#[test]
fn a_request_for_a_sign_of_life_is_answered_in_kind() {
    let mut world = World::plain();
    let id = world.request(KeepAliveInfo::default());
    assert_eq!(world.answer(), KeepAliveInfo { command_id: id, response_required: false }.into());
}

#[test]
fn brokers_to_go_to_are_told_to_manageable_clients() {
    let mut settings = SessionSettings::default();
    let cluster = Cluster::new("tcp://a:1".into(), false);
    cluster.replace(vec!["tcp://a:1".into(), "tcp://b:2".into()], true);
    settings.cluster = Some(Arc::new(cluster));
    let mut world = World::greeted(settings, WireFormatOptions::default());
    let id = world.request(connection_info());
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    let answers = world.answers();
    let Some(Command::ConnectionControl(control)) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(control.connected_brokers, Some(WireStr::from("tcp://a:1,tcp://b:2")));
    assert!(matches!(world.inputs.last(), Some(Input::Intent { .. })));
}
