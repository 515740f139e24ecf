//! What is forwarded, and to whom.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::net::Between;
use crate::cluster::net::play::{ARRIVAL, Expected, Play};
use crate::cluster::net::site::LinkSpec;

pub(super) fn conduit(play: &mut Play<'_>) -> Result<()> {
    const MESSAGES: u64 = 500;
    play.brokers(2, &[LinkSpec::new(0, 1, &[]).cuttable()])?;
    for name in ["sub1", "sub2", "sub3"] {
        play.consume(name, "b", "topic://news")?;
    }
    play.known("a", "topic://news", &["sub1", "sub2", "sub3"])?;
    let before = play.net()?.relay(0)?.forth();
    play.burst("news", "a", "topic://news", MESSAGES as usize)?;
    for name in ["sub1", "sub2", "sub3"] {
        play.flow(&format!("to {name}"), "news", name, "", Expected::Whole)?;
    }
    let each = (play.net()?.relay(0)?.forth() - before) / MESSAGES;
    println!("   {each} bytes a message went over the link");
    // A message has a body of 1,024; of two copies it would be more than twice that.
    play.state("one copy goes over the link for three subscribers", (1_024..2_048).contains(&each));
    Ok(())
}

pub(super) fn selectors(play: &mut Play<'_>) -> Result<()> {
    play.brokers(2, &[LinkSpec::new(0, 1, &["conduitSubscriptions=false"])])?;
    play.select("red", "b", "queue://paint", "colour = 'red'")?;
    play.select("blue", "b", "queue://paint", "colour = 'blue'")?;
    play.burst("paint", "a", "queue://paint", 900)?;
    play.part("red ones come to who wants red", "paint", "red", 300)?;
    play.part("blue ones come to who wants blue", "paint", "blue", 300)?;
    let green = play.held("paint", "queue://paint")?;
    play.state("green ones, which nobody wants, wait in a queue", green == 300);
    play.consume("rest", "a", "queue://paint")?;
    play.part("and are for who takes everything", "paint", "rest", 300)
}

pub(super) fn static_lists(play: &mut Play<'_>) -> Result<()> {
    let lists = [
        "staticallyIncludedDestinations=queue://always",
        "excludedDestinations=queue://never",
        "dynamicallyIncludedDestinations=queue://asked,queue://never",
    ];
    play.brokers(2, &[LinkSpec::new(0, 1, &lists)])?;
    play.burst("always", "a", "queue://always", 500)?;
    // Nobody asks for it; what goes all the same is found where it was sent to.
    let until = Instant::now() + ARRIVAL;
    let there = loop {
        let there: u64 = play.load.order(&["held", "always", "queue://always", "b"])?.parse().unwrap_or(0);
        if there >= 400 || Instant::now() > until {
            break there;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    play.state("statically included messages go to b without a consumer", there >= 400);
    play.consume("c1", "b", "queue://always")?;
    play.flow("and all are found there", "always", "c1", "queue://always", Expected::Whole)?;
    play.consume("c2", "b", "queue://never")?;
    play.burst("never", "a", "queue://never", 100)?;
    play.consume("c3", "b", "queue://asked")?;
    play.burst("asked", "a", "queue://asked", 500)?;
    play.flow("dynamically included goes on demand", "asked", "c3", "queue://asked", Expected::Whole)?;
    play.flow(
        "excluded never goes, in whatever list it is",
        "never",
        "c2",
        "queue://never",
        Expected::Nothing,
    )?;
    play.consume("c4", "b", "queue://unnamed")?;
    play.burst("unnamed", "a", "queue://unnamed", 100)?;
    play.flow("what no list names stays", "unnamed", "c4", "queue://unnamed", Expected::Nothing)
}

pub(super) fn wildcards(play: &mut Play<'_>) -> Result<()> {
    let lists = [
        "dynamicallyIncludedDestinations=queue://orders.>,topic://news.*.today",
        "excludedDestinations=queue://orders.private.>",
    ];
    play.brokers(2, &[LinkSpec::new(0, 1, &lists)])?;
    for (name, destination, expected) in [
        ("eu", "queue://orders.eu.new", Expected::Whole),
        ("us", "queue://orders.us", Expected::Whole),
        ("private", "queue://orders.private.new", Expected::Nothing),
        ("other", "queue://invoices.eu", Expected::Nothing),
    ] {
        let consumer = format!("c-{name}");
        play.consume(&consumer, "b", destination)?;
        play.burst(name, "a", destination, 300)?;
        play.flow(destination, name, &consumer, destination, expected)?;
    }
    play.consume("sub-today", "b", "topic://news.sport.today")?;
    play.consume("sub-all", "b", "topic://news.>")?;
    play.known("a", "topic://news.sport.today", &["sub-today"])?;
    play.burst("today", "a", "topic://news.sport.today", 300)?;
    play.burst("old", "a", "topic://news.sport.yesterday", 300)?;
    play.flow("topic://news.sport.today", "today", "sub-today", "", Expected::Whole)?;
    play.flow("topic://news.sport.yesterday", "old", "sub-all", "", Expected::Nothing)
}

/// Who is nearer is served first; with `decreaseNetworkConsumerPriority=false`, which was the default before 5.18, all
/// take turns, and a link counts as one consumer or, without conduits, as many.
pub(super) fn preference(play: &mut Play<'_>) -> Result<()> {
    /// Fewer than a consumer's prefetch, so that one that is slow for a moment has still room.
    const MESSAGES: u64 = 900;
    const PREFETCH: u64 = 10;
    play.brokers(2, &[LinkSpec::new(0, 1, &["decreaseNetworkConsumerPriority=true"])])?;
    play.mark("local consumers first");
    play.consume("far", "b", "queue://first")?;
    play.known("a", "queue://first", &["far"])?;
    play.consume("near", "a", "queue://first")?;
    play.burst("first", "a", "queue://first", MESSAGES as usize)?;
    play.part("the local consumer, which keeps up, gets all", "first", "near", MESSAGES)?;
    play.flow("and the one over the link nothing", "first", "far", "", Expected::Nothing)?;

    play.mark("a local consumer that is full");
    play.consume("over", "b", "queue://full")?;
    play.known("a", "queue://full", &["over"])?;
    let few = format!("queue://full?consumer.prefetchSize={PREFETCH}");
    play.load.order(&["sit", "full", "a", &few])?;
    play.burst("full", "a", "queue://full", MESSAGES as usize)?;
    play.part("what does not fit its prefetch goes over the link", "full", "over", MESSAGES - PREFETCH)?;
    play.close("full")?;
    play.flow("and the rest when it has left", "full", "over", "queue://full", Expected::Once)?;

    for (conduit, near, far) in [("true", 150, 150), ("false", 100, 200)] {
        let conduits = format!("conduitSubscriptions={conduit}");
        play.brokers(2, &[LinkSpec::new(0, 1, &["decreaseNetworkConsumerPriority=false", &conduits])])?;
        play.mark(format!("in turn, {conduits}"));
        let name = |what: &str| format!("{what}-conduit-{conduit}");
        let (one, two, local, producer) = (name("far1"), name("far2"), name("near"), name("turns"));
        play.consume(&one, "b", "queue://turns")?;
        play.consume(&two, "b", "queue://turns")?;
        play.known("a", "queue://turns", &[&one, &two])?;
        play.consume(&local, "a", "queue://turns")?;
        play.burst(&producer, "a", "queue://turns", 300)?;
        play.flow(
            &format!("{conduits}: one consumer here, two over there"),
            &producer,
            "*",
            "queue://turns",
            Expected::Whole,
        )?;
        let here = play.load.account(&producer, &local)?.received;
        let there =
            play.load.account(&producer, &one)?.received + play.load.account(&producer, &two)?.received;
        play.state(
            &format!("{conduits}: {near} stay and {far} go, or a tenth more or less ({here} and {there})"),
            here.abs_diff(near) <= 15 && there.abs_diff(far) <= 15,
        );
    }
    Ok(())
}

/// Consumers come to a thousand queues and go at once, while messages are sent to each; then they stay.
pub(super) fn changing(play: &mut Play<'_>) -> Result<()> {
    const QUEUES: &str = "1000";
    /// Each comes and goes: two changes.
    const CONSUMERS_A_SECOND: u64 = 500;
    const SECONDS: u64 = 10;
    /// In which each queue comes into being and the JVMs compile what they run all the time, three rounds.
    const WARMUP_SECONDS: u64 = 6;
    play.brokers(2, &[LinkSpec::new(0, 1, &[])])?;
    let rate = CONSUMERS_A_SECOND.to_string();
    let churn = |play: &mut Play<'_>, seconds: u64| -> Result<u64> {
        let millis = (seconds * 1_000).to_string();
        Ok(play.load.order(&["churn", "b", "queue://of.", QUEUES, &rate, &millis])?.parse()?)
    };
    churn(play, WARMUP_SECONDS)?;
    play.consume("steady", "b", "queue://steady")?;
    play.known("a", "queue://steady", &["steady"])?;
    play.produce("steadily", "a", "queue://steady", 100)?;
    play.load.order(&["scatter", "scattered", "a", "queue://of.", QUEUES, "400"])?;
    play.mark("demand changes");
    let done = churn(play, SECONDS)?;
    let changes = done * 2 / SECONDS;
    play.state(
        &format!("demand changed {changes} times a second"),
        done >= CONSUMERS_A_SECOND * SECONDS * 9 / 10,
    );
    play.mark("they stay");
    play.halt("steadily")?;
    play.halt("scattered")?;
    play.flow(
        "a queue whose demand does not change",
        "steadily",
        "steady",
        "queue://steady",
        Expected::Whole,
    )?;
    play.load.order(&["crowd", "each", "b", "queue://of.", QUEUES])?;
    // JMS promises no order to who comes after consumers that gave messages back; ours keep it all the same.
    let expected = if play.between == Between::Ferromq { Expected::Whole } else { Expected::Once };
    play.flow("a thousand queues whose demand changed", "scattered", "*", "", expected)
}
