//! What happens to networks.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Between;
use super::load::Account;
use super::play::{Expected, Play};
use super::site::LinkSpec;
use super::table::Row;
use crate::cluster::stage::StoreKind;

mod clients;
mod demand;
mod pairs;

/// Something that happens to a network under load.
pub(crate) struct NetScenario {
    pub(crate) name: &'static str,
    /// What happens, and what must come of it.
    pub(crate) about: &'static str,
    pub(crate) between: &'static [Between],
    /// Of pairs; single brokers have folders of their own.
    pub(crate) stores: &'static [StoreKind],
    /// Whether `run everyday` plays it.
    pub(crate) everyday: bool,
    pub(super) play: fn(&mut Play<'_>) -> Result<()>,
}

const FILE: &[StoreKind] = &[StoreKind::File];
const POSTGRES: &[StoreKind] = &[StoreKind::Postgres];
const BOTH: &[StoreKind] = &[StoreKind::File, StoreKind::Postgres];
const OURS: &[Between] = &[Between::Ferromq];

const fn net(name: &'static str, about: &'static str, play: fn(&mut Play<'_>) -> Result<()>) -> NetScenario {
    NetScenario { name, about, between: &Between::ALL, stores: FILE, everyday: false, play }
}

/// All of them.
pub(crate) fn all() -> Vec<NetScenario> {
    vec![
        NetScenario {
            everyday: true,
            ..net(
                "net-oneway",
                "two brokers, one link: a queue, a backlog and a topic follow their consumers, and nothing goes back",
                oneway,
            )
        },
        net("net-duplex", "two brokers, one duplex link: both ways at once, over the one connection", duplex),
        net("net-chain", "three brokers in a row: TTL 1 reaches the next one, TTL 2 the last", chain),
        net("net-triangle", "three brokers, each linked to each: no loops, no duplicates", triangle),
        net("net-mesh", "four brokers, each linked to each: no loops, no duplicates", mesh),
        net("net-hub", "a hub and three spokes with TTL 2: everybody reaches everybody through the hub", hub),
        net(
            "net-moving",
            "a consumer moves from one broker to the other while a backlog waits for it",
            moving,
        ),
        net(
            "net-cut",
            "the link is cut under load: reset, silent (half-open), and again and again; it comes back by itself",
            cut,
        ),
        net(
            "net-identity",
            "the peer is killed, loses its store, and comes back as another broker of the same address",
            identity,
        ),
        net(
            "net-request",
            "requests are answered across the link, replies find the temporary queue",
            request,
        ),
        net(
            "net-durable",
            "a durable subscriber moves to the other broker and back: each of its subscriptions has everything once",
            clients::durable,
        ),
        NetScenario {
            between: OURS,
            ..net(
                "net-spread",
                "a hundred clients that know one broker spread over a network that grows and shrinks",
                clients::spread,
            )
        },
        net("net-conduit", "three subscribers over there, one copy over the link", demand::conduit),
        net("net-selectors", "selectors of consumers over there are kept", demand::selectors),
        net(
            "net-preference",
            "local consumers first, and with the defaults before 5.18 all in turn, conduit or not",
            demand::preference,
        ),
        net("net-static", "statically included goes without demand, excluded never", demand::static_lists),
        net(
            "net-wildcards",
            "lists with wildcards: what they name goes, what they do not name stays",
            demand::wildcards,
        ),
        net(
            "net-demand",
            "1,000 queues whose demand changes 1,000 times a second: all arrives, and another queue is not held up",
            demand::changing,
        ),
        NetScenario {
            stores: BOTH,
            ..net(
                "net-pairs",
                "two master-slave pairs joined by masterslave:, the master of either killed under load in both directions",
                pairs::pairs,
            )
        },
        NetScenario {
            stores: BOTH,
            ..net(
                "net-pairs-kills",
                "the same with twenty kills, every fifth time of both masters in one moment",
                pairs::kills,
            )
        },
        NetScenario {
            between: OURS,
            stores: POSTGRES,
            ..net("net-pairs-mixed", "the same with one pair on a folder and one on PostgreSQL", pairs::mixed)
        },
    ]
}

/// Every broker linked to every other one, by connectors of their own.
fn all_to_all(count: usize, attributes: &[&str]) -> Vec<LinkSpec> {
    let links = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    links.filter(|(from, to)| from != to).map(|(from, to)| LinkSpec::new(from, to, attributes)).collect()
}

fn oneway(play: &mut Play<'_>) -> Result<()> {
    play.brokers(2, &[LinkSpec::new(0, 1, &[])])?;
    play.mark("a queue");
    play.consume("c1", "b", "queue://one")?;
    play.burst("p1", "a", "queue://one", 2_000)?;
    play.flow("a queue whose consumer is at b", "p1", "c1", "queue://one", Expected::Whole)?;
    play.mark("a backlog");
    play.burst("p2", "a", "queue://two", 2_000)?;
    play.consume("c2", "b", "queue://two")?;
    play.flow("a backlog that was there before its consumer", "p2", "c2", "queue://two", Expected::Whole)?;
    play.mark("a topic");
    play.consume("sub1", "b", "topic://news")?;
    play.known("a", "topic://news", &["sub1"])?;
    play.burst("p3", "a", "topic://news", 2_000)?;
    play.flow("a topic with a subscriber at b", "p3", "sub1", "", Expected::Whole)?;
    play.mark("back");
    play.consume("c4", "a", "queue://back")?;
    play.burst("p4", "b", "queue://back", 200)?;
    play.flow("nothing goes back over a one-way link", "p4", "c4", "queue://back", Expected::Nothing)
}

fn duplex(play: &mut Play<'_>) -> Result<()> {
    play.brokers(2, &[LinkSpec::new(0, 1, &["duplex=true"])])?;
    play.consume("c1", "b", "queue://east")?;
    play.consume("c2", "a", "queue://west")?;
    play.mark("both ways");
    play.produce("east", "a", "queue://east", 1_000)?;
    play.produce("west", "b", "queue://west", 1_000)?;
    std::thread::sleep(Duration::from_secs(3));
    play.halt("east")?;
    play.halt("west")?;
    play.flow("from a to b", "east", "c1", "queue://east", Expected::Whole)?;
    play.flow("from b to a, over the same connection", "west", "c2", "queue://west", Expected::Whole)?;
    play.consume("sub1", "a", "topic://news")?;
    play.known("b", "topic://news", &["sub1"])?;
    play.burst("news", "b", "topic://news", 1_000)?;
    play.flow("a topic from b to a", "news", "sub1", "", Expected::Whole)
}

fn chain(play: &mut Play<'_>) -> Result<()> {
    for (ttl, expected) in [("1", Expected::Nothing), ("2", Expected::Whole)] {
        let attributes = [format!("networkTTL={ttl}")];
        let attributes: Vec<&str> = attributes.iter().map(String::as_str).collect();
        play.brokers(3, &[LinkSpec::new(0, 1, &attributes), LinkSpec::new(1, 2, &attributes)])?;
        play.mark(format!("TTL {ttl}"));
        let (far, near) = (format!("far{ttl}"), format!("near{ttl}"));
        play.consume(&far, "c", "queue://far")?;
        play.consume(&near, "b", "queue://near")?;
        play.burst(&format!("p-{near}"), "a", "queue://near", 1_000)?;
        play.flow(
            &format!("TTL {ttl}: the next broker"),
            &format!("p-{near}"),
            &near,
            "queue://near",
            Expected::Whole,
        )?;
        play.burst(&format!("p-{far}"), "a", "queue://far", 1_000)?;
        play.flow(
            &format!("TTL {ttl}: the last broker"),
            &format!("p-{far}"),
            &far,
            "queue://far",
            expected,
        )?;
        play.close(&far)?;
        play.close(&near)?;
    }
    Ok(())
}

fn triangle(play: &mut Play<'_>) -> Result<()> {
    everywhere(play, 3, &all_to_all(3, &[]))
}

fn mesh(play: &mut Play<'_>) -> Result<()> {
    everywhere(play, 4, &all_to_all(4, &[]))
}

fn hub(play: &mut Play<'_>) -> Result<()> {
    let links: Vec<LinkSpec> =
        (1..4).map(|spoke| LinkSpec::new(spoke, 0, &["duplex=true", "networkTTL=2"])).collect();
    everywhere(play, 4, &links)
}

/// A subscriber and a queue's consumer at each broker; whatever is sent at any of them comes to each subscriber once, and
/// to its one consumer once.
fn everywhere(play: &mut Play<'_>, count: usize, links: &[LinkSpec]) -> Result<()> {
    play.brokers(count, links)?;
    let names = ["a", "b", "c", "d"];
    let names = names.get(..count).unwrap_or(&names);
    for name in names {
        play.consume(&format!("sub-{name}"), name, "topic://news")?;
        play.consume(&format!("c-{name}"), name, &format!("queue://of.{name}"))?;
    }
    let subscribers: Vec<String> = names.iter().map(|name| format!("sub-{name}")).collect();
    let subscribers: Vec<&str> = subscribers.iter().map(String::as_str).collect();
    for name in names {
        play.known(name, "topic://news", &subscribers)?;
    }
    play.mark("a topic, sent at each");
    for name in names {
        play.burst(&format!("news-{name}"), name, "topic://news", 300)?;
    }
    for from in names {
        for subscriber in &subscribers {
            play.flow(
                &format!("topic, from {from} to {subscriber}"),
                &format!("news-{from}"),
                subscriber,
                "",
                Expected::Whole,
            )?;
        }
    }
    play.mark("queues, each sent at another broker");
    for (index, from) in names.iter().enumerate() {
        let to = names.get((index + 1) % count).copied().context("a name")?;
        let queue = format!("queue://of.{to}");
        play.burst(&format!("q-{from}"), from, &queue, 500)?;
        play.flow(
            &format!("queue, from {from} to {to}"),
            &format!("q-{from}"),
            &format!("c-{to}"),
            &queue,
            Expected::Whole,
        )?;
    }
    Ok(())
}

fn moving(play: &mut Play<'_>) -> Result<()> {
    play.brokers(2, &[LinkSpec::new(0, 1, &["duplex=true"])])?;
    play.consume("c1", "b", "queue://orders")?;
    play.burst("first", "b", "queue://orders", 500)?;
    anyhow::ensure!(
        play.arrived("first", "c1", 500, Duration::from_secs(30)),
        "the local consumer gets nothing"
    );
    play.mark("the consumer leaves b");
    play.close("c1")?;
    play.burst("second", "b", "queue://orders", 2_000)?;
    play.mark("it comes to a");
    play.consume("c2", "a", "queue://orders")?;
    play.flow(
        "the backlog at b follows the consumer to a",
        "second",
        "c2",
        "queue://orders",
        Expected::Whole,
    )?;
    play.mark("and back");
    play.close("c2")?;
    play.burst("third", "a", "queue://orders", 2_000)?;
    play.consume("c3", "b", "queue://orders")?;
    play.flow("the backlog at a follows it back to b", "third", "c3", "queue://orders", Expected::Whole)
}

fn cut(play: &mut Play<'_>) -> Result<()> {
    play.brokers(2, &[LinkSpec::new(0, 1, &["duplex=true"]).cuttable()])?;
    play.consume("c1", "b", "queue://east")?;
    play.consume("c2", "a", "queue://west")?;
    play.produce("east", "a", "queue://east", 400)?;
    play.produce("west", "b", "queue://west", 400)?;
    anyhow::ensure!(play.arrived("east", "c1", 100, Duration::from_secs(30)), "the link does not come up");
    play.mark("reset");
    play.net()?.relay(0)?.reset();
    std::thread::sleep(Duration::from_millis(1_500));
    play.mark("healed");
    play.net()?.relay(0)?.heal();
    goes_on(play, "a reset")?;
    play.mark("silent");
    play.net()?.relay(0)?.silence();
    // Longer than a silent peer is waited for.
    std::thread::sleep(Duration::from_millis(5_000));
    play.mark("healed");
    play.net()?.relay(0)?.heal();
    goes_on(play, "a silent cut")?;
    play.mark("flapping");
    for _ in 0..12 {
        let pause = play.random.millis(20, 300);
        play.net()?.relay(0)?.reset();
        std::thread::sleep(pause / 2);
        play.net()?.relay(0)?.heal();
        std::thread::sleep(pause);
    }
    play.mark("healed");
    goes_on(play, "flapping")?;
    play.halt("east")?;
    play.halt("west")?;
    play.flow("from a to b over all cuts", "east", "c1", "queue://east", Expected::Whole)?;
    play.flow("from b to a over all cuts", "west", "c2", "queue://west", Expected::Whole)
}

/// Both ways carry new messages again.
fn goes_on(play: &mut Play<'_>, what: &str) -> Result<()> {
    for (producer, consumer) in [("east", "c1"), ("west", "c2")] {
        let before = play.load.account(producer, consumer)?;
        let on = play.arrived(producer, consumer, before.sent + 50, Duration::from_secs(30));
        play.state(&format!("after {what} {producer} goes on"), on);
    }
    Ok(())
}

fn identity(play: &mut Play<'_>) -> Result<()> {
    play.brokers(2, &[LinkSpec::new(0, 1, &[])])?;
    play.consume("c1", "b", "queue://orders")?;
    play.burst("first", "a", "queue://orders", 1_000)?;
    play.flow("before", "first", "c1", "queue://orders", Expected::Whole)?;
    play.mark("b is killed and loses its store");
    let folder = play.folder.join("net0").join("b");
    let site = play.net()?.site(1)?;
    site.node(0)?.kill()?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
    play.burst("second", "a", "queue://orders", 1_000)?;
    play.mark("another broker is there");
    let site = play.net()?.site(1)?;
    site.node(0)?.rename("--name", "b2");
    site.start(0)?;
    play.flow(
        "what was sent meanwhile comes to the new one",
        "second",
        "c1",
        "queue://orders",
        Expected::Whole,
    )?;
    play.burst("third", "a", "queue://orders", 1_000)?;
    play.flow("and so does what is sent then", "third", "c1", "queue://orders", Expected::Whole)
}

fn request(play: &mut Play<'_>) -> Result<()> {
    const REQUESTS: u64 = 200;
    play.brokers(2, &[LinkSpec::new(0, 1, &["duplex=true"])])?;
    for (asking, serving) in [("a", "b"), ("b", "a")] {
        let queue = format!("queue://service.{serving}");
        play.mark(format!("asked at {asking}"));
        let answer = play.load.order(&["request", asking, serving, &queue, &REQUESTS.to_string()])?;
        let numbers: Vec<u64> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[received, duplicated, drain_ms] = numbers.as_slice() else {
            anyhow::bail!("not understood: {answer}");
        };
        let what = format!("requests at {asking}, answered at {serving}");
        let account = Account {
            sent: REQUESTS,
            answered: REQUESTS,
            received,
            missing: REQUESTS.saturating_sub(received),
            duplicated,
            // From the first request to the last reply.
            drain_ms,
            ..Account::default()
        };
        let wanted = Expected::Once.words();
        play.rows.push(Row { what: what.clone(), account, stuck: 0, wanted });
        play.state(&format!("{what}, each once"), received == REQUESTS && duplicated == 0);
    }
    Ok(())
}
