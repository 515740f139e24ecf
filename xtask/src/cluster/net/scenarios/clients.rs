//! Clients that move from broker to broker.

use anyhow::Result;

use crate::cluster::QUICK;
use crate::cluster::net::load::Account;
use crate::cluster::net::play::{Expected, Play};
use crate::cluster::net::site::LinkSpec;
use crate::cluster::net::table::Row;
use crate::spread;

/// A subscription belongs to the broker at which it was made, and keeps there what its subscriber misses elsewhere.
pub(super) fn durable(play: &mut Play<'_>) -> Result<()> {
    const TOPIC: &str = "topic://news";
    const MESSAGES: u64 = 500;
    play.brokers(2, &[LinkSpec::new(0, 1, &["duplex=true"]).cuttable()])?;
    subscriber(play, "b")?;
    play.known("a", TOPIC, &["sub-b"])?;
    play.burst("first", "a", TOPIC, MESSAGES as usize)?;
    play.flow("sent at a while it is at b", "first", "sub-b", "", Expected::Whole)?;

    play.mark("it leaves b");
    leaves(play, "b")?;
    play.burst("away", "a", TOPIC, MESSAGES as usize)?;
    play.mark("it comes to a");
    subscriber(play, "a")?;
    play.known("b", TOPIC, &["sub-a"])?;
    play.burst("near", "a", TOPIC, MESSAGES as usize)?;
    play.burst("far", "b", TOPIC, MESSAGES as usize)?;
    play.flow("sent at a while it is at a", "near", "sub-a", "", Expected::Whole)?;
    play.flow("sent at b while it is at a", "far", "sub-a", "", Expected::Whole)?;
    play.flow("its subscription at a has nothing of before", "away", "sub-a", "", Expected::Nothing)?;

    play.mark("it goes back to b");
    leaves(play, "a")?;
    subscriber(play, "b")?;
    for producer in ["away", "near", "far"] {
        let what = format!("b kept for it what was sent ({producer})");
        play.flow(&what, producer, "sub-b", "", Expected::Whole)?;
    }
    play.burst("again", "a", TOPIC, MESSAGES as usize)?;
    play.flow("sent at a while it is at b again", "again", "sub-b", "", Expected::Whole)?;

    play.mark("it ends its subscription at b");
    play.close("sub-b")?;
    play.load.order(&["unsubscribe", "mover", "news"])?;
    play.load.order(&["leave", "mover"])?;
    play.quiet()?;
    let before = play.net()?.relay(0)?.forth();
    play.burst("late", "a", TOPIC, MESSAGES as usize)?;
    play.quiet()?;
    let bytes = play.net()?.relay(0)?.forth() - before;
    println!("   {bytes} bytes went over the link for {MESSAGES} messages");
    // One in ten would be more.
    play.state("nothing goes over the link for a subscription that was ended", bytes < MESSAGES * 1_024 / 10);
    subscriber(play, "a")?;
    for producer in ["again", "late"] {
        let what = format!("a kept for it what was sent ({producer})");
        play.flow(&what, producer, "sub-a", "", Expected::Whole)?;
    }
    Ok(())
}

/// The durable subscriber, at a broker; what it gets there is counted by itself.
fn subscriber(play: &mut Play<'_>, at: &str) -> Result<()> {
    let index = usize::from(at == "b");
    let url = play.net()?.site(index)?.url(&format!("{QUICK}&jms.clientID=mover"));
    play.load.order(&["connect", "mover", &url])?;
    play.load.order(&["consume", &format!("sub-{at}"), "mover", "topic://news", "", "news"]).map(drop)
}

fn leaves(play: &mut Play<'_>, at: &str) -> Result<()> {
    play.close(&format!("sub-{at}"))?;
    play.load.order(&["leave", "mover"]).map(drop)
}

/// The program of `cargo xtask interop --only spread`, which starts and ends the brokers itself.
pub(super) fn spread(play: &mut Play<'_>) -> Result<()> {
    let rows = &mut play.rows;
    let tally = spread::run(play.java, play.line, false, |what, sums| {
        let row = |account| Row { what: what.to_owned(), account, stuck: 0, wanted: Expected::Once.words() };
        rows.extend(Account::parse(sums).map(row));
    })?;
    play.tally.add(tally);
    Ok(())
}
