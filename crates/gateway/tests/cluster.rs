//! What clients are told of other brokers, and how a broker that is linked to this one is known.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{Effect, Tag};
use ferromq_gateway::{Cluster, PeerBroker, SessionSettings};
use ferromq_model::Text;
use ferromq_openwire::{
    BrokerInfo, Command, ConnectionControl, ConnectionInfo, FlushCommand, WireFormatOptions, WireStr,
};
use world::{World, connection_info};

mod world;

fn cluster(rebalance: bool) -> Arc<Cluster> {
    Arc::new(Cluster::new("tcp://a:1".into(), rebalance))
}

/// A client that follows, unless `change` makes it another one; with what it was told at its login.
fn client(cluster: &Arc<Cluster>, change: impl FnOnce(&mut ConnectionInfo)) -> (World, ConnectionControl) {
    let mut settings = SessionSettings::default();
    settings.cluster = Some(Arc::clone(cluster));
    let mut world = World::greeted(settings, WireFormatOptions::default());
    let mut info = connection_info();
    info.fault_tolerant = true;
    change(&mut info);
    let id = world.request(info);
    world.inputs.clear();
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    let control = world.answers().into_iter().find_map(|command| match command {
        Command::ConnectionControl(control) => Some(control),
        _ => None,
    });
    (world, control.expect("it is told at its login"))
}

/// What it was told of brokers, and whether it is to move; signs of life come in between.
fn told(world: &mut World) -> Vec<(String, bool)> {
    let control = |command| match command {
        Command::ConnectionControl(control) => {
            assert_eq!(control.reconnect_to, Some(WireStr::default()));
            Some((control.connected_brokers.unwrap().to_string(), control.rebalance_connection))
        }
        Command::KeepAliveInfo(_) => None,
        other => panic!("{other:?}"),
    };
    world.answers().into_iter().filter_map(control).collect()
}

fn replace(cluster: &Cluster, brokers: &[&str]) {
    assert!(cluster.replace(brokers.iter().map(|broker| Text::from(*broker)).collect(), true));
}

fn link(cluster: &Cluster) {
    replace(cluster, &["tcp://a:1", "tcp://b:1"]);
}

#[test]
fn a_client_is_told_at_its_login_and_when_brokers_come() {
    let cluster = cluster(false);
    let (mut world, control) = client(&cluster, |_| {});
    assert_eq!(control.connected_brokers, Some(WireStr::from("tcp://a:1")));
    assert!(!control.rebalance_connection);
    link(&cluster);
    world.session.brokers_changed(world.now, 500);
    world.pass(Duration::ZERO);
    assert_eq!(told(&mut world), [("tcp://a:1,tcp://b:1".to_owned(), false)]);
}

#[test]
fn clients_that_are_to_spread_get_different_lists_one_after_the_other() {
    let cluster = cluster(true);
    let mut worlds: Vec<World> = (0..4).map(|_| client(&cluster, |_| {}).0).collect();
    link(&cluster);
    for (world, place) in worlds.iter_mut().zip(0..) {
        world.session.brokers_changed(world.now, place);
    }
    let mut firsts = Vec::new();
    for (world, place) in worlds.iter_mut().zip(0_u32..) {
        assert_eq!(told(world), [("tcp://b:1".to_owned(), false)], "at once, of the other one");
        world.pass(Duration::from_millis(20) * place);
        let told = told(world);
        let [(brokers, true)] = told.as_slice() else { panic!("at {place}: {told:?}") };
        firsts.push(brokers.split(',').next().unwrap().to_owned());
    }
    assert_eq!(firsts, ["tcp://a:1", "tcp://b:1", "tcp://a:1", "tcp://b:1"]);
    // However many there are, the last does not wait for ever.
    let world = &mut worlds[0];
    replace(&cluster, &["tcp://a:1", "tcp://b:1", "tcp://c:1"]);
    world.session.brokers_changed(world.now, 1_000_000);
    assert_eq!(told(world), [("tcp://b:1,tcp://c:1".to_owned(), false)]);
    world.pass(Duration::from_millis(9_999));
    assert_eq!(told(world), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(told(world), [("tcp://a:1,tcp://b:1,tcp://c:1".to_owned(), true)]);
}

/// A client that learned of a broker only when it is its turn to move would be lost if this broker died before, and never
/// learn of any if brokers kept coming.
#[test]
fn a_client_knows_at_once_of_each_broker_and_its_turn_is_not_put_off() {
    let cluster = cluster(true);
    let mut world = client(&cluster, |_| {}).0;
    link(&cluster);
    world.session.brokers_changed(world.now, 99);
    assert_eq!(told(&mut world), [("tcp://b:1".to_owned(), false)]);
    world.pass(Duration::from_millis(1_500));
    replace(&cluster, &["tcp://a:1", "tcp://b:1", "tcp://c:1"]);
    world.session.brokers_changed(world.now, 99);
    assert_eq!(told(&mut world), [("tcp://b:1,tcp://c:1".to_owned(), false)]);
    replace(&cluster, &["tcp://a:1", "tcp://c:1"]);
    world.session.brokers_changed(world.now, 98);
    assert_eq!(told(&mut world), [("tcp://c:1".to_owned(), false)]);
    world.pass(Duration::from_millis(479));
    assert_eq!(told(&mut world), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(told(&mut world), [("tcp://a:1,tcp://c:1".to_owned(), true)]);
    world.pass(Duration::from_secs(20));
    assert_eq!(told(&mut world), []);
}

#[test]
fn nobody_moves_because_a_broker_has_gone_or_for_what_it_knows() {
    let cluster = cluster(true);
    link(&cluster);
    let mut world = client(&cluster, |_| {}).0;
    // Another listener's clients were told.
    world.session.brokers_changed(world.now, 0);
    assert_eq!(told(&mut world), []);
    replace(&cluster, &["tcp://a:1"]);
    world.session.brokers_changed(world.now, 0);
    assert_eq!(told(&mut world), [("tcp://a:1".to_owned(), false)]);
    world.pass(Duration::from_secs(20));
    assert_eq!(told(&mut world), []);
}

#[test]
fn a_client_that_waits_for_an_answer_is_moved_after_it_but_not_never() {
    for answered in [true, false] {
        let cluster = cluster(true);
        let mut world = client(&cluster, |_| {}).0;
        let id = world.request(FlushCommand::default());
        link(&cluster);
        world.session.brokers_changed(world.now, 0);
        assert_eq!(told(&mut world), [("tcp://b:1".to_owned(), false)]);
        world.pass(Duration::from_secs(1));
        assert!(world.answers().is_empty());
        if answered {
            world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
            world.pass(Duration::from_millis(20));
            assert!(matches!(&world.answers()[..], [Command::Response(_), Command::ConnectionControl(_)]));
        } else {
            world.pass(Duration::from_secs(1));
            assert_eq!(told(&mut world).len(), 1);
        }
    }
}

#[test]
fn who_has_just_come_back_is_not_moved_and_who_cannot_follow_is_not_told() {
    let cluster = cluster(true);
    let (_, control) = client(&cluster, |info| info.failover_reconnect = true);
    assert!(!control.rebalance_connection);
    let (mut world, control) = client(&cluster, |info| info.fault_tolerant = false);
    assert!(control.rebalance_connection, "as in ActiveMQ: it is of no harm to who does not listen");
    link(&cluster);
    world.session.brokers_changed(world.now, 0);
    world.pass(Duration::from_secs(1));
    assert!(told(&mut world).is_empty());
}

#[test]
fn a_broker_that_is_linked_is_known_once_it_has_logged_in() {
    let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
    world.tell(BrokerInfo {
        broker_name: Some("b".into()),
        broker_url: Some("tcp://b:1".into()),
        network_connection: true,
        ..Default::default()
    });
    assert_eq!(world.session.poll_peer(), None);
    let id = world.request(connection_info());
    assert_eq!(world.session.poll_peer(), None);
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    assert_eq!(world.session.poll_peer(), Some(PeerBroker { name: "b".into(), url: "tcp://b:1".into() }));
    assert_eq!(world.session.poll_peer(), None);
    // An ordinary client that calls itself a broker is none.
    world.tell(BrokerInfo { broker_name: Some("c".into()), ..Default::default() });
    assert_eq!(world.session.poll_peer(), None);
}
