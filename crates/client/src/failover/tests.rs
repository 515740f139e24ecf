//! Every option of `failover:`, on virtual time.

use std::collections::BTreeSet;

use super::*;
use crate::settings::ConnectOptions;

/// Draws zero: no shuffling that surprises, and the longest wait.
struct Zero;

impl Entropy for Zero {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// A generator with a seed.
struct Seeded(u64);

impl Entropy for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }
}

/// A world of brokers that are there or not, seen by one planner.
struct World {
    planner: Planner,
    now: Instant,
    there: BTreeSet<String>,
    /// What happened, with its time in milliseconds.
    log: Vec<String>,
    up: Option<String>,
    files: String,
    spares: Vec<(Attempt, String)>,
}

impl World {
    fn new(uri: &str, there: &[&str], entropy: impl Entropy + 'static) -> Self {
        let policy = ConnectOptions::parse(uri).unwrap().failover.unwrap();
        Self {
            planner: Planner::new(policy, Box::new(entropy)),
            now: Instant(0),
            there: there.iter().map(ToString::to_string).collect(),
            log: Vec::new(),
            up: None,
            files: String::new(),
            spares: Vec::new(),
        }
    }

    fn started(uri: &str, there: &[&str]) -> Self {
        let mut world = Self::new(uri, there, Zero);
        world.planner.start(world.now);
        world.settle();
        world
    }

    fn say(&mut self, what: &str) {
        self.log.push(format!("{} {what}", self.now.0 / 1_000_000));
    }

    /// Does what the planner wants until it wants nothing.
    fn settle(&mut self) {
        while let Some(action) = self.planner.next_action() {
            match action {
                Action::Dial { attempt, address } => {
                    let uri = address.uri.trim_start_matches("tcp://").to_owned();
                    if self.there.contains(&uri) {
                        self.spares.push((attempt, uri));
                        self.planner.reached(attempt, self.now);
                    } else {
                        self.say(&format!("-{uri}"));
                        self.planner.failed(attempt, "refused", self.now);
                    }
                }
                Action::Adopt { attempt, address } => {
                    let uri = address.uri.trim_start_matches("tcp://").to_owned();
                    self.spares.retain(|(other, _)| *other != attempt);
                    self.say(&format!("+{uri}"));
                    self.up = Some(uri);
                    self.planner.established(self.now);
                }
                Action::Drop { attempt } => self.spares.retain(|(other, _)| *other != attempt),
                Action::Leave { .. } => {
                    self.say("leave");
                    self.up = None;
                    self.planner.lost("we left", self.now);
                }
                Action::Read { .. } => {
                    let text = self.files.clone();
                    self.planner.listed(&text);
                }
                Action::Warn { rounds } => self.say(&format!("warn {rounds}")),
                Action::GiveUp { rounds } => self.say(&format!("end {rounds}")),
            }
        }
    }

    /// The connected broker dies.
    fn kill(&mut self) {
        let uri = self.up.take().unwrap();
        self.there.remove(&uri);
        self.planner.lost("reset", self.now);
        self.settle();
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        for _ in 0..10_000 {
            match self.planner.next_deadline().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = at.max(self.now);
                    self.planner.tick(self.now);
                    self.settle();
                }
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("it never rests: {:?}", self.log);
    }

    fn advise(&mut self, connected: &str, reconnect: &str, rebalance: bool) {
        self.planner.advised(&ConnectionControl {
            connected_brokers: Some(connected.into()),
            reconnect_to: Some(reconnect.into()),
            rebalance_connection: rebalance,
            ..ConnectionControl::default()
        });
        self.settle();
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }
}

const PAIR: &str = "failover:(tcp://a:1,tcp://b:2)?randomize=false";

#[test]
fn brokers_are_tried_in_the_order_of_the_list_and_the_first_that_answers_is_taken() {
    let mut world = World::started(PAIR, &["b:2"]);
    assert_eq!(world.told(), "0 -a:1, 0 +b:2");
}

#[test]
fn waits_start_at_ten_milliseconds_and_double_up_to_thirty_seconds() {
    let mut world = World::started(&format!("{PAIR}&warnAfterReconnectAttempts=0"), &["a:1"]);
    world.told();
    // Given the loss of a working connection: the first attempt comes after the initial delay, the lost one last
    world.kill();
    world.run(1000);
    assert_eq!(
        world.told(),
        "10 -b:2, 10 -a:1, 20 -b:2, 20 -a:1, 40 -b:2, 40 -a:1, 80 -b:2, 80 -a:1, 160 -b:2, 160 -a:1, \
         320 -b:2, 320 -a:1, 640 -b:2, 640 -a:1"
    );
    world.run(600_000);
    world.told();
    // Then the waits are bounded
    world.run(90_000);
    assert_eq!(world.told().matches("-b:2").count(), 3);
    // And a success begins anew
    world.there.insert("b:2".into());
    world.run(30_000);
    assert!(world.told().ends_with("+b:2"));
    let lost_at = world.now.0 / 1_000_000;
    world.kill();
    world.run(15);
    assert!(world.told().starts_with(&format!("{} -a:1", lost_at + 10)));
}

#[test]
fn the_waits_follow_their_options() {
    for (options, expected) in [
        ("useExponentialBackOff=false&initialReconnectDelay=100", "100 200 300 400"),
        ("initialReconnectDelay=0&reconnectDelay=50&reconnectDelayExponent=3", "0 50 200 650"),
        ("backOffMultiplier=1", "10 20 30 40"),
        // A factor below 1, or none at all, never makes a wait shorter; a huge one overflows nothing.
        ("reconnectDelayExponent=0.1", "10 20 30 40"),
        ("reconnectDelayExponent=NaN", "10 20 30 40"),
        ("reconnectDelayExponent=1e308&maxReconnectDelay=1000", "10 20 1020 2020"),
        ("reconnectDelayExponent=inf&maxReconnectDelay=1000", "10 20 1020 2020"),
        ("reconnectDelay=5000&maxReconnectDelay=500", "10 510 1010 1510"),
        (
            "useExponentialBackOff=false&initialReconnectDelay=18446744073709551615&maxReconnectDelay=20&reconnectDelay=1",
            "",
        ),
    ] {
        let uri = format!("failover:(tcp://a:1)?warnAfterReconnectAttempts=0&{options}");
        let mut world = World::started(&uri, &["a:1"]);
        world.told();
        world.kill();
        world.run(60_000);
        let log = world.told();
        let times: Vec<&str> = log.split(", ").filter_map(|line| line.split(' ').next()).take(4).collect();
        assert_eq!(times.join(" "), expected, "{options}");
    }
}

#[test]
fn rounds_are_limited_on_request() {
    for (options, expected) in [
        ("maxReconnectAttempts=3", "0 -a:1, 0 -b:2, 10 -a:1, 10 -b:2, 30 -a:1, 30 -b:2, 30 end 3"),
        ("maxReconnectAttempts=0", "0 -a:1, 0 -b:2, 0 end 1"),
        ("startupMaxReconnectAttempts=1", "0 -a:1, 0 -b:2, 0 end 1"),
        (
            "startupMaxReconnectAttempts=2&maxReconnectAttempts=9",
            "0 -a:1, 0 -b:2, 10 -a:1, 10 -b:2, 10 end 2",
        ),
        ("startupMaxReconnectAttempts=-1&maxReconnectAttempts=1", "0 -a:1, 0 -b:2, 0 end 1"),
    ] {
        let mut world = World::started(&format!("{PAIR}&warnAfterReconnectAttempts=0&{options}"), &[]);
        world.run(60_000);
        // The second round begins with the one that did not fail last.
        assert_eq!(world.told(), expected, "{options}");
    }
}

#[test]
fn without_attempts_a_loss_is_the_end() {
    let mut world = World::started(&format!("{PAIR}&maxReconnectAttempts=0"), &["a:1", "b:2"]);
    world.told();
    world.kill();
    world.run(60_000);
    assert_eq!(world.told(), "0 end 0");
    // The limit of the start says nothing about later losses.
    let mut world = World::started(&format!("{PAIR}&startupMaxReconnectAttempts=1"), &["a:1"]);
    world.kill();
    world.run(60_000);
    assert!(!world.told().contains("end"));
}

#[test]
fn warnings_come_for_the_first_round_and_each_so_many() {
    let mut world =
        World::started("failover:(tcp://a:1)?useExponentialBackOff=false&warnAfterReconnectAttempts=4", &[]);
    world.run(85);
    let log = world.told();
    let warnings: Vec<&str> = log.split(", ").filter(|line| line.contains("warn")).collect();
    assert_eq!(warnings, ["0 warn 1", "30 warn 4", "70 warn 8"]);
}

#[test]
fn each_round_is_shuffled_and_the_last_that_failed_comes_last() {
    let mut firsts = BTreeSet::new();
    for seed in 0..50 {
        let uri = "failover:(tcp://a:1,tcp://b:2,tcp://c:3,tcp://d:4)";
        let mut world = World::new(uri, &["a:1", "b:2", "c:3", "d:4"], Seeded(seed));
        world.planner.start(world.now);
        world.settle();
        let lost = world.up.clone().unwrap();
        firsts.insert(lost.clone());
        world.there.clear();
        world.told();
        world.kill();
        world.run(10);
        let log = world.told();
        let round: Vec<&str> = log.split(", ").take(4).collect();
        assert!(round.last().unwrap().contains(&lost), "{log}");
    }
    assert_eq!(firsts.len(), 4, "every broker comes first sometimes");
}

#[test]
fn waits_are_spread_between_half_and_whole() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut world = World::new("failover:(tcp://a:1)?initialReconnectDelay=1000", &["a:1"], Seeded(seed));
        world.planner.start(world.now);
        world.settle();
        world.kill();
        let at = world.planner.next_deadline().unwrap().0 / 1_000_000;
        assert!((500..=1000).contains(&at), "{at}");
        seen.insert(at);
    }
    assert!(seen.len() > 100, "{} different waits", seen.len());
}

#[test]
fn a_spare_takes_over_at_once() {
    let mut world = World::started(
        "failover:(tcp://a:1,tcp://b:2,tcp://c:3)?randomize=false&backup=true&backupPoolSize=2",
        &["a:1", "b:2", "c:3"],
    );
    assert_eq!(world.spares.len(), 2);
    world.told();
    world.kill();
    // The pool is looked after at once as well.
    assert_eq!(world.told(), "0 +b:2, 0 -a:1");
    // And the pool is filled again when the broker is back.
    world.there.insert("a:1".into());
    world.run(10_000);
    assert_eq!(world.spares.len(), 2);
    // A spare that is lost is replaced as well.
    let (attempt, _) = world.spares.remove(0);
    world.planner.failed(attempt, "reset", world.now);
    world.settle();
    world.run(10_000);
    assert_eq!(world.spares.len(), 2);
}

#[test]
fn a_spare_that_is_greeted_after_the_loss_ends_the_wait() {
    let uri = "failover:(tcp://a:1,tcp://b:2)?randomize=false&backup=true&initialReconnectDelay=60000";
    let mut planner = World::new(uri, &[], Zero).planner;
    let now = Instant(0);
    planner.start(now);
    let Some(Action::Dial { attempt, .. }) = planner.next_action() else { panic!("no attempt") };
    planner.reached(attempt, now);
    assert!(matches!(planner.next_action(), Some(Action::Adopt { .. })));
    planner.established(now);
    let Some(Action::Dial { attempt: spare, .. }) = planner.next_action() else { panic!("no spare") };
    planner.lost("killed", now);
    assert_eq!(planner.next_deadline(), Some(now + Duration::from_secs(60)));
    planner.reached(spare, now);
    let Some(Action::Adopt { attempt, .. }) = planner.next_action() else { panic!("it waits on") };
    assert_eq!(attempt, spare);
}

#[test]
fn one_spare_is_kept_unless_told_otherwise_and_none_without_backup() {
    for (options, spares) in
        [("backup=true", 1), ("backup=true&backupPoolSize=9", 2), ("backupPoolSize=2", 0)]
    {
        let uri = format!("failover:(tcp://a:1,tcp://b:2,tcp://c:3)?randomize=false&{options}");
        let mut world = World::started(&uri, &["a:1", "b:2", "c:3"]);
        world.run(1000);
        assert_eq!(world.spares.len(), spares, "{options}");
    }
}

#[test]
fn the_preferred_broker_is_returned_to() {
    for (options, preferred) in
        [("priorityBackup=true", "a:1"), ("priorityBackup=true&priorityURIs=tcp://b:2", "b:2")]
    {
        let other = if preferred == "a:1" { "b:2" } else { "a:1" };
        let mut world = World::started(&format!("{PAIR}&{options}"), &["a:1", "b:2"]);
        assert_eq!(world.told(), format!("0 +{preferred}"), "{options}");
        world.kill();
        world.run(60_000);
        assert!(world.told().contains(&format!("+{other}")));
        // When it is back, we are within seconds
        world.there.insert(preferred.into());
        world.run(6000);
        let log = world.told();
        assert!(log.contains("leave"), "{log}");
        assert_eq!(world.up.as_deref(), Some(preferred));
        // And nothing pulls us away from it.
        world.advise("tcp://b:2,tcp://a:1", "", true);
        world.run(60_000);
        assert_eq!(world.up.as_deref(), Some(preferred));
    }
}

#[test]
fn brokers_name_further_brokers() {
    for (options, found) in [("", true), ("&updateURIsSupported=false", false)] {
        let mut world =
            World::started(&format!("failover:(tcp://a:1)?randomize=false{options}"), &["a:1", "c:3"]);
        world.advise("tcp://a:1,tcp://c:3?wireFormat.version=9,nonsense,,tpc://d:4", "", false);
        world.told();
        world.kill();
        world.run(5000);
        assert_eq!(world.up.as_deref() == Some("c:3"), found, "{options}");
    }
}

#[test]
fn brokers_send_their_clients_elsewhere() {
    let all = ["a:1", "b:2", "c:3"];
    // Rebalancing: to the first of the list, without a wait
    let mut world = World::started(PAIR, &all);
    world.advise("tcp://b:2,tcp://a:1", "", true);
    assert_eq!(world.told(), "0 +a:1, 0 leave, 0 +b:2");
    world.advise("tcp://b:2,tcp://a:1", "", true);
    assert_eq!(world.told(), "");
    // An order to go somewhere, even where nobody heard of before
    world.advise("", "tcp://c:3", false);
    assert_eq!(world.told(), "0 leave, 0 +c:3");
    // Who may not be ordered stays
    let mut world = World::started(&format!("{PAIR}&reconnectSupported=false"), &all);
    world.advise("", "tcp://c:3", false);
    assert_eq!(world.up.as_deref(), Some("a:1"));
    // If the place is not there, another is found
    let mut world = World::started(PAIR, &["a:1", "b:2"]);
    world.advise("", "tcp://c:3", false);
    assert!(world.told().starts_with("0 +a:1, 0 leave, 0 -c:3, 0 +"));
}

#[test]
fn a_file_names_further_brokers() {
    let mut world = World::new(&format!("{PAIR}&updateURIsURL=file:/etc/brokers"), &["c:3"], Zero);
    world.files = "tcp://c:3,\ntcp://d:4".into();
    world.planner.start(world.now);
    world.settle();
    world.run(5000);
    assert_eq!(world.up.as_deref(), Some("c:3"));
    for (options, moves) in [("", true), ("&rebalanceUpdateURIs=false", false)] {
        let mut world = World::started(&format!("{PAIR}{options}"), &["a:1", "d:4"]);
        world.planner.listed("tcp://d:4");
        world.settle();
        assert_eq!(world.up.as_deref() == Some("d:4"), moves, "{options}");
    }
}

#[test]
fn nested_options_win_and_reach_every_broker() {
    let uri = "failover:(tcp://a:1?connectionTimeout=9,tcp://b:2)?nested.connectionTimeout=77&nested.wireFormat.version=9";
    let policy = ConnectOptions::parse(uri).unwrap().failover.unwrap();
    for broker in &policy.brokers {
        assert_eq!(broker.connect_timeout, Duration::from_millis(77), "{}", broker.uri);
        assert_eq!(broker.wire_format.version, 9);
    }
    assert_eq!(policy.list("tcp://c:3")[0].wire_format.version, 9);
}

#[test]
fn waiting_is_bounded_unless_told_otherwise() {
    for (options, expected) in [
        ("", Some(30_000)),
        ("timeout=3000", Some(3000)),
        ("timeout=-1", None),
        ("timeout=0", None),
        ("timeout=3000&useLocalHost=true&trackTransactionProducers=false", Some(3000)),
    ] {
        let policy =
            ConnectOptions::parse(&format!("failover:(tcp://a:1)?{options}")).unwrap().failover.unwrap();
        assert_eq!(policy.timeout, expected.map(Duration::from_millis), "{options}");
    }
}

#[test]
fn messages_are_tracked_up_to_a_size() {
    for (options, bytes) in [
        ("", 0),
        ("trackMessages=true", 131_072),
        ("trackMessages=true&maxCacheSize=9", 9),
        ("maxCacheSize=9", 0),
    ] {
        let policy =
            ConnectOptions::parse(&format!("failover:(tcp://a:1)?{options}")).unwrap().failover.unwrap();
        assert_eq!(policy.track_bytes, bytes, "{options}");
    }
}

#[test]
fn the_same_broker_is_listed_once_and_failures_are_remembered_by_uri() {
    let mut world =
        World::started("failover:(tcp://a:1,tcp://a:1?wireFormat.version=5,tcp://b:2)?randomize=false", &[]);
    assert!(world.told().starts_with("0 -a:1, 0 -b:2, 0 warn"));
    assert_eq!(world.planner.tried(), "tcp://a:1: refused; tcp://b:2: refused");
}

#[test]
fn a_late_word_of_an_old_attempt_changes_nothing() {
    let mut world = World::started(PAIR, &["a:1"]);
    let up = world.up.clone();
    world.planner.failed(Attempt(1), "late", world.now);
    world.planner.reached(Attempt(1), world.now);
    assert!(matches!(world.planner.next_action(), Some(Action::Drop { attempt: Attempt(1) })));
    world.planner.failed(Attempt(99), "never heard of", world.now);
    world.settle();
    assert_eq!(world.up, up);
    assert!(matches!(world.planner.phase, Phase::Up(_)));
}

#[test]
fn a_broker_that_refuses_the_login_is_one_that_failed() {
    let mut planner = Planner::new(ConnectOptions::parse(PAIR).unwrap().failover.unwrap(), Box::new(Zero));
    let now = Instant(0);
    planner.start(now);
    let Some(Action::Dial { attempt, .. }) = planner.next_action() else { panic!() };
    planner.reached(attempt, now);
    assert!(matches!(planner.next_action(), Some(Action::Adopt { .. })));
    planner.lost("standby", now);
    let Some(Action::Dial { address, .. }) = planner.next_action() else { panic!() };
    assert_eq!(&*address.uri, "tcp://b:2");
    assert_eq!(planner.tried(), "tcp://a:1: standby");
}

fn found(world: &mut World, brokers: &[&str]) {
    let brokers: Vec<Uri> = brokers.iter().map(|text| format!("tcp://{text}").parse().unwrap()).collect();
    world.planner.discovered(&brokers, world.now);
    world.settle();
}

#[test]
fn brokers_that_are_found_are_tried_at_once_and_nobody_is_tried_before() {
    let uri = "discovery:(multicast://default?discovered.tcpNoDelay=false)?warnAfterReconnectAttempts=0&maxReconnectAttempts=3";
    let mut world = World::started(uri, &["b:2"]);
    world.run(120_000);
    assert_eq!(world.told(), "", "waiting for news counts as no attempt");
    found(&mut world, &["a:1"]);
    assert_eq!(world.told(), "120000 -a:1");
    // Given a wait between two rounds, news are a reason to end it
    found(&mut world, &["a:1", "b:2"]);
    let log = world.told();
    assert!(log.ends_with("120000 +b:2"), "{log}");
    // Who is gone is not tried any more
    world.there.insert("c:3".into());
    found(&mut world, &["c:3"]);
    assert_eq!(world.told(), "", "a connection that works is left alone");
    world.kill();
    world.run(100);
    assert_eq!(world.told(), "120010 +c:3");
}

#[test]
fn a_list_from_a_server_or_a_file_is_read_before_each_round() {
    let uri = "failover:(tcp://a:1)?updateURIsURL=http://lists/brokers&randomize=false";
    let mut world = World::new(uri, &["b:2"], Zero);
    world.planner.start(world.now);
    let Some(Action::Read { url }) = world.planner.next_action() else { panic!("it reads first") };
    assert_eq!(url, "http://lists/brokers");
    world.files = "tcp://b:2".into();
    world.settle();
    world.run(1_000);
    assert!(world.told().ends_with("+b:2"));
}
