//! Brokers with a lock beside their store, as real processes: a journal in a shared folder, and etcd or SQLite to decide who
//! may claim it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ferromq_testkit::{Etcd, Launch, Node, PATIENCE, Postgres};
use rustix::process::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn node(name: &str, folder: &Path, lock: &str, takeover_after: &str) -> Launch {
    let launch = Launch::new(PROGRAM).arg("--name").arg(name).arg("--takeover-after").arg(takeover_after);
    launch.arg("--lock").arg(lock).data(folder)
}

fn start(name: &str, folder: &Path, lock: &str) -> Node {
    node(name, folder, lock, "2s").start().unwrap()
}

fn uri(server: &Etcd) -> String {
    format!("etcd://127.0.0.1:{}/shop", server.port())
}

fn send(node: &Node, text: &str) {
    let sent = Command::new(PROGRAM).args(["send", "--url", node.url(), "queue://q", text]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

fn receive(node: &Node) -> String {
    let arguments = ["receive", "--url", node.url(), "queue://q", "--count", "1"];
    let received = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(received.status.success(), "{}", String::from_utf8_lossy(&received.stderr));
    String::from_utf8(received.stdout).unwrap().trim().to_owned()
}

/// Whatever decides who may claim: a killed master, one that stops in order, and one that stands still and still has the
/// store's own claim are replaced; nothing that was answered is lost.
fn takeovers(lock: &str, store: &str) {
    let folder = tempfile::tempdir().unwrap();
    let start = |name| node(name, folder.path(), lock, "2s").arg("--store").arg(store).start().unwrap();
    let a = start("a");
    a.becomes("active (epoch 1");
    let b = start("b");
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "answered");
    a.kill();
    b.becomes("active (epoch 2");
    assert_eq!(receive(&b), "answered");

    let a = start("a");
    a.becomes("standby (master: b, epoch 2)");
    send(&b, "kept");
    assert_eq!(b.stop().code(), Some(0));
    a.becomes("active (epoch 3");

    let b = start("b");
    b.becomes("standby (master: a, epoch 3)");
    a.signal(Signal::STOP);
    b.becomes("active (epoch 4");
    assert_eq!(receive(&b), "kept");
    send(&b, "of the new master");
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 4)");
    assert_eq!(receive(&b), "of the new master");
}

#[test]
fn a_standby_takes_over_from_a_killed_a_stopped_and_a_paused_master_by_etcd() {
    let Some(server) = Etcd::start_or_skip() else { return };
    takeovers(&uri(&server), "journal");
}

#[test]
fn a_standby_takes_over_from_a_killed_a_stopped_and_a_paused_master_by_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    takeovers(&format!("sqlite:{}", folder.path().join("lock.db").display()), "journal");
}

#[test]
fn a_standby_takes_over_from_a_killed_a_stopped_and_a_paused_master_by_postgresql() {
    let Some(server) = Postgres::start_or_skip() else { return };
    takeovers(&server.url(), "sqlite");
}

#[test]
fn a_store_in_a_database_may_have_its_lock_in_etcd() {
    let (Some(server), Some(database)) = (Etcd::start_or_skip(), Postgres::start_or_skip()) else { return };
    takeovers(&uri(&server), &database.url());
}

/// What ActiveMQ's users write to have the lease of a database beside a shared folder.
#[test]
fn a_lease_database_locker_of_an_activemq_xml_is_a_lock_beside_the_folder() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = (folder.path().join("activemq.xml"), server.url());
    let (user, address) = url.trim_start_matches("postgres://").split_once('@').unwrap();
    let xml = format!(
        r##"<beans xmlns="http://www.springframework.org/schema/beans">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="pair">
    <persistenceAdapter><kahaDB directory="{}" lockKeepAlivePeriod="400">
      <locker><lease-database-locker dataSource="#pg" lockAcquireSleepInterval="1500"/></locker>
    </kahaDB></persistenceAdapter>
    <transportConnectors><transportConnector uri="tcp://127.0.0.1:0"/></transportConnectors>
  </broker>
  <bean id="pg" class="org.postgresql.ds.PGSimpleDataSource">
    <property name="url" value="jdbc:postgresql://{address}"/><property name="user" value="{user}"/>
  </bean>
</beans>"##,
        folder.path().join("kahadb").display()
    );
    std::fs::write(&file, xml).unwrap();
    let start = |name: &str| {
        let launch = Launch::new(PROGRAM).arg("--config").arg(&file).arg("--node").arg(name);
        launch.data(folder.path().join("kahadb")).start().unwrap()
    };
    let a = start("a");
    a.becomes("active (epoch 1");
    let b = start("b");
    b.becomes("standby (master: a, epoch 1)");
    assert_eq!(server.sql("SELECT owner LIKE 'broker a,%' FROM ferromq_guard.lease"), "t");
    send(&a, "kept");
    a.signal(Signal::STOP);
    b.becomes("active (epoch 2");
    assert_eq!(receive(&b), "kept");
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");
}

#[test]
fn a_killed_master_that_starts_again_at_once_is_no_second_node_of_its_name() {
    let Some(server) = Etcd::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let a = start("a", folder.path(), &uri(&server));
    a.becomes("active (epoch 1");
    send(&a, "kept");
    a.kill();
    let a = start("a", folder.path(), &uri(&server));
    a.becomes("active (epoch 2");
    assert_eq!(receive(&a), "kept");
    let Err(refused) = node("a", folder.path(), &uri(&server), "2s").start() else {
        panic!("two nodes of one name")
    };
    assert_eq!(refused.code, Some(73), "{refused}");
}

#[test]
fn a_restart_of_etcd_within_the_lease_is_ridden_out() {
    let Some(mut server) = Etcd::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| node(name, folder.path(), &uri(&server), "20s").start().unwrap());
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "before");
    server.restart();
    send(&a, "after");
    assert_eq!((receive(&a), receive(&a)), ("before".to_owned(), "after".to_owned()));
    assert_eq!((a.roles().len(), b.roles().len()), (1, 1), "{:?} {:?}", a.output().all(), b.output().all());
}

#[test]
fn an_etcd_that_stays_away_ends_the_reign_and_one_serves_when_it_is_back() {
    let Some(mut server) = Etcd::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let a = start("a", folder.path(), &uri(&server));
    let b = start("b", folder.path(), &uri(&server));
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "kept");
    server.stop();
    a.becomes("standby (master: unknown, epoch 1)");
    let told = a.log().wait_for("nobody takes over", PATIENCE);
    assert!(told.is_some(), "the consequence is told: {:?}", a.log().all());
    // Nobody may claim meanwhile, though the store is free.
    sleep(Duration::from_secs(3));
    assert_eq!(b.roles().len(), 1, "{:?}", b.output().all());
    server.start();
    let until = Instant::now() + PATIENCE;
    let leads = |node: &Node| node.output().all().iter().any(|line| line.starts_with("role active (epoch 2"));
    while !leads(&a) && !leads(&b) {
        assert!(Instant::now() < until, "nobody serves: {:?} {:?}", a.output().all(), b.output().all());
        sleep(Duration::from_millis(20));
    }
    assert!(!(leads(&a) && leads(&b)), "two masters of one epoch");
    let master = if leads(&a) { &a } else { &b };
    assert_eq!(receive(master), "kept");
}

#[test]
fn a_lock_that_can_not_be_used_is_told_at_the_start_and_no_password_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |lock: &str| match node("a", folder.path(), lock, "2s").start() {
        Ok(_) => panic!("started with {lock}"),
        Err(refused) => refused,
    };
    let nowhere = refused("etcd://me:s3cret@127.0.0.1:1/shop");
    assert_eq!(nowhere.code, Some(69), "{nowhere}");
    assert!(nowhere.said.contains("the lock beside the store (lock.uri) can't be used"), "{nowhere}");
    assert!(nowhere.said.contains("127.0.0.1:1") && !nowhere.said.contains("s3cret"), "{nowhere}");
    let no_prefix = refused("etcd://127.0.0.1:1");
    assert_eq!(no_prefix.code, Some(64), "{no_prefix}");
    assert!(no_prefix.said.contains("a prefix of its own"), "{no_prefix}");
}

#[test]
fn a_node_that_goes_without_the_lock_is_not_superseded_and_is_told_of() {
    let Some(server) = Etcd::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let stranger = Launch::new(PROGRAM).arg("--name").arg("stranger").arg("--takeover-after").arg("2s");
    let stranger = stranger.data(folder.path()).start().unwrap();
    stranger.becomes("active (epoch 1");
    let b = start("b", folder.path(), &uri(&server));
    b.becomes("standby (master: stranger, epoch 1)");
    let told = b.log().wait_for("does that node use the same lock?", PATIENCE);
    assert!(told.is_some(), "{:?}", b.log().all());
    assert_eq!((stranger.roles().len(), b.roles().len()), (1, 1));
    stranger.kill();
    b.becomes("active (epoch 2");
}

#[test]
fn the_lock_is_told_by_status_and_compared_by_the_check() {
    let Some(server) = Etcd::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let a = start("a", folder.path(), &uri(&server));
    a.becomes("active (epoch 1");
    let status = Command::new(PROGRAM).args(["status", a.url()]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    let shown = format!("etcd on 127.0.0.1:{}, prefix shop", server.port());
    assert!(
        status.lines().any(|line| line.trim_start().starts_with("lock") && line.ends_with(&shown)),
        "{status}"
    );
    let file = |name: &str, lock: &str| {
        let path = folder.path().join(format!("{name}.toml"));
        let text = format!(
            "listen = ['tcp://127.0.0.1:0']\n[broker]\nname = '{name}'\ndata_dir = '{}'\n[lock]\nuri = '{lock}'\n",
            folder.path().display()
        );
        std::fs::write(&path, text).unwrap();
        path
    };
    let check = |own: &Path, peer: &Path| {
        let told = Command::new(PROGRAM).arg("check").arg(own).arg("--peers").arg(peer).output().unwrap();
        String::from_utf8(told.stdout).unwrap()
    };
    let (b, c) = (file("b", &uri(&server)), file("c", &uri(&server)));
    let told = check(&b, &c);
    for line in ["one lock", "lock service"].map(|check| format!("pass    {check}: {shown}")) {
        assert!(told.contains(&line), "{told}");
    }
    let (other, away) = (file("d", "etcd://127.0.0.1:1/other"), file("e", "etcd://127.0.0.1:1/shop"));
    assert!(check(&b, &other).contains("refuse  one lock:"));
    let told = check(&away, &away);
    assert!(told.contains("refuse  lock service:") && told.contains("lock.uri"), "{told}");
}

/// The holder of both lives; an operator takes both from it, and it finds out by itself.
fn forced_claim(lock: &str) {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| node(name, folder.path(), lock, "20s").start().unwrap());
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "answered");
    let done = Command::new(PROGRAM).args(["force-claim", b.url(), "--yes"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).ends_with("epoch 2 is won\n"), "{done:?}");
    b.becomes("active (epoch 2");
    a.becomes("standby (master: b, epoch 2)");
    assert_eq!(receive(&b), "answered");
    // Both belong to the one that claimed: it keeps them, and hands both over in order.
    send(&b, "kept");
    assert_eq!(b.stop().code(), Some(0));
    a.becomes("active (epoch 3");
    assert_eq!(receive(&a), "kept");
}

#[test]
fn a_forced_claim_takes_etcd_and_the_store_from_a_holder_that_lives() {
    let Some(server) = Etcd::start_or_skip() else { return };
    forced_claim(&uri(&server));
}

#[test]
fn a_forced_claim_takes_sqlite_and_the_store_from_a_holder_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    forced_claim(&format!("sqlite:{}", folder.path().join("lock.db").display()));
}

#[test]
fn a_forced_claim_takes_postgresql_and_the_store_from_a_holder_that_lives() {
    let Some(server) = Postgres::start_or_skip() else { return };
    forced_claim(&server.url());
}

/// An outage of the service is no reason to claim without it, and an operator is told so.
#[test]
fn a_forced_claim_without_the_lock_s_service_is_refused_with_the_reason() {
    let Some(mut server) = Etcd::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| node(name, folder.path(), &uri(&server), "20s").start().unwrap());
    b.becomes("standby (master: a, epoch 1)");
    server.stop();
    let refused = Command::new(PROGRAM).args(["force-claim", b.url(), "--yes"]).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("nobody takes over") || said.contains("has not answered for"), "{said}");
    server.start();
    send(&a, "of the master that it was all the time");
    assert_eq!((a.roles().len(), b.roles().len()), (1, 1), "{:?} {:?}", a.output().all(), b.output().all());
}

#[test]
fn the_lock_of_a_node_that_runs_is_compared_by_the_check() {
    let lock = tempfile::tempdir().unwrap();
    let own = format!("sqlite:{}", lock.path().join("lock.db").display());
    let folder = tempfile::tempdir().unwrap();
    let a = start("a", folder.path(), &own);
    a.becomes("active (epoch 1");
    let admin = a.output().wait_until(PATIENCE, |lines| {
        lines.iter().find_map(|line| line.strip_prefix("operators on ")).map(str::to_owned)
    });
    let admin = admin.unwrap();
    let check = |lock: &str| {
        let path = folder.path().join("b.toml");
        let text = format!(
            "listen = ['tcp://127.0.0.1:0']\n[broker]\nname = 'b'\ndata_dir = '{}'\n{lock}",
            folder.path().display()
        );
        std::fs::write(&path, text).unwrap();
        let told = Command::new(PROGRAM).arg("check").arg(&path).args(["--peers", &admin]).output().unwrap();
        String::from_utf8(told.stdout).unwrap()
    };
    let told = check(&format!("[lock]\nuri = '{own}'\n"));
    let shown = format!("pass    one lock: SQLite in {}", lock.path().join("lock.db").display());
    assert!(told.contains(&shown), "{told}");
    let other = format!("[lock]\nuri = 'sqlite:{}'\n", lock.path().join("other.db").display());
    for different in [&*other, ""] {
        let told = check(different);
        assert!(told.contains("refuse  one lock:") && told.contains("lock.db"), "{told}");
    }
}
