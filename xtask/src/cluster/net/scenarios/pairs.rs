//! Master-slave pairs in a network.

use std::time::Duration;

use anyhow::Result;

use super::goes_on;
use crate::cluster::net::Between;
use crate::cluster::net::play::{Expected, Play};
use crate::cluster::net::site::{LinkSpec, SiteSpec};
use crate::cluster::stage::StoreKind;

const BOTH: [usize; 2] = [0, 1];
/// Messages a second, each way: less than the slowest pair stores while it catches up, on a machine with other work.
const RATE: u32 = 100;

/// One pair after the other, twice.
pub(super) fn pairs(play: &mut Play<'_>) -> Result<()> {
    begin(play, [play.store; 2])?;
    for round in 1..=4 {
        std::thread::sleep(play.random.millis(700, 1_500));
        kill(play, round, &[(round + 1) % 2])?;
    }
    end(play)
}

/// Twenty kills, every fifth one of both masters, at moments that a seed decides.
pub(super) fn kills(play: &mut Play<'_>) -> Result<()> {
    begin(play, [play.store; 2])?;
    twenty(play)?;
    end(play)
}

/// The same with each pair on a store of another kind.
pub(super) fn mixed(play: &mut Play<'_>) -> Result<()> {
    begin(play, [StoreKind::File, StoreKind::Postgres])?;
    twenty(play)?;
    end(play)
}

fn twenty(play: &mut Play<'_>) -> Result<()> {
    for round in 1..=20 {
        std::thread::sleep(play.random.millis(100, 1_500));
        let one = [usize::from(play.random.below(2) == 1)];
        kill(play, round, if round % 5 == 0 { &BOTH } else { &one })?;
    }
    Ok(())
}

/// Two pairs with traffic both ways.
fn begin(play: &mut Play<'_>, stores: [StoreKind; 2]) -> Result<()> {
    let between = play.between;
    let [east, west] = stores;
    let sites =
        [SiteSpec::pair("east", between.kind(0), east), SiteSpec::pair("west", between.kind(1), west)];
    let mut links = vec![LinkSpec::new(0, 1, &["duplex=true"])];
    if between == Between::Ferromq {
        // Each has a connector of its own, as two sites that are set up alike have.
        links = vec![LinkSpec::new(0, 1, &[]), LinkSpec::new(1, 0, &[])];
    }
    play.sites(&sites, &links)?;
    play.consume("c1", "west", "queue://westwards")?;
    play.consume("c2", "east", "queue://eastwards")?;
    play.produce("east", "east", "queue://westwards", RATE)?;
    play.produce("west", "west", "queue://eastwards", RATE)?;
    for (producer, consumer) in [("east", "c1"), ("west", "c2")] {
        anyhow::ensure!(
            play.arrived(producer, consumer, 100, Duration::from_secs(60)),
            "the link from {producer} does not come up"
        );
    }
    Ok(())
}

/// kill -9 of the masters of these pairs; when traffic has gone on, they come back as standbys.
fn kill(play: &mut Play<'_>, round: usize, pairs: &[usize]) -> Result<()> {
    let mut killed = Vec::new();
    let mut names = Vec::new();
    for &pair in pairs {
        let site = play.net()?.site(pair)?;
        killed.push((pair, site.master(None)?));
        names.push(site.spec.name.clone());
    }
    let names = names.join(" and ");
    play.mark(format!("kill -9 of the master of {names}"));
    for &(pair, master) in &killed {
        play.net()?.site(pair)?.node(master)?.kill()?;
    }
    for &(pair, master) in &killed {
        play.net()?.site(pair)?.master(Some(master))?;
    }
    goes_on(play, &format!("kill {round} of the master of {names},"))?;
    for &(pair, master) in &killed {
        play.net()?.site(pair)?.start(master)?;
    }
    Ok(())
}

fn end(play: &mut Play<'_>) -> Result<()> {
    play.halt("east")?;
    play.halt("west")?;
    play.flow("from east to west over all kills", "east", "c1", "queue://westwards", Expected::AtLeastOnce)?;
    play.flow("from west to east over all kills", "west", "c2", "queue://eastwards", Expected::AtLeastOnce)
}
