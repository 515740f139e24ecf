//! Scenarios of networks: brokers of ours and real ones, linked, with clients at each of them; what is sent at one
//! arrives at another, is counted, and nothing is lost, doubled or stuck while links and brokers come and go.

mod load;
mod play;
mod scenarios;
mod site;
mod table;

use std::fs;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use load::NetLoad;
use play::Play;
pub(crate) use scenarios::{NetScenario, all};
pub(crate) use site::{Kind, LinkSpec, Net, SiteSpec};

use super::SHOWN_EVENTS;
use super::report::{self, Timeline};
use super::stage::{StoreKind, home, shown};
use crate::interop::Tally;
use crate::peers::{Java, Line};

/// Who is linked to whom; the first has the connector, of more than two every second one is of the first kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Between {
    /// Only ours.
    Ferromq,
    /// Ours has the connector, the real ActiveMQ is at the other end.
    FerromqActivemq,
    /// The real ActiveMQ has the connector.
    ActivemqFerromq,
}

impl Between {
    pub(crate) const ALL: [Between; 3] =
        [Between::Ferromq, Between::FerromqActivemq, Between::ActivemqFerromq];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Between::Ferromq => "ferromq",
            Between::FerromqActivemq => "ferromq-activemq",
            Between::ActivemqFerromq => "activemq-ferromq",
        }
    }

    fn kind(self, index: usize) -> Kind {
        let first = index.is_multiple_of(2);
        match self {
            Between::Ferromq => Kind::Ours,
            Between::FerromqActivemq if first => Kind::Ours,
            Between::ActivemqFerromq if !first => Kind::Ours,
            _ => Kind::Theirs,
        }
    }
}

/// Plays a scenario.
///
/// # Errors
/// A broker or the clients could not be started, or the scenario could not go on.
pub(crate) fn play(
    java: &Java,
    scenario: &NetScenario,
    between: Between,
    store: StoreKind,
    line: Line,
    seed: u64,
) -> Result<Tally> {
    let name = format!("{}-{}-{}-{line}", scenario.name, between.name(), store.name());
    let folder = home().join("run").join(&name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let mut play = Play::begin(java, (between, store, line), folder.clone(), seed)?;
    let played = (scenario.play)(&mut play);
    play.end_net();
    println!("\n{}", table::text(&play.rows));
    let (ticks, events) = play.load.history();
    let title = format!("{} between {}, client {line}, seed {seed}", scenario.name, between.name());
    let timeline = Timeline {
        title: &title,
        about: scenario.about,
        ticks: &ticks,
        nodes: play.past.iter().collect(),
        marks: &play.marks,
        events: &events,
    };
    let picture = report::timeline(&timeline, &home().join("report"), &format!("{name}-{seed}"))?;
    println!("timeline: {}", shown(&picture));
    if played.is_err() || play.tally.failed > 0 {
        for (at, what) in events.iter().take(SHOWN_EVENTS) {
            println!("{} ms: {what}", at / 1000);
        }
        println!("outputs and logs are kept in {}", shown(&folder));
    } else {
        // Stores take room, and tell nothing more.
        let _ = fs::remove_dir_all(&folder);
    }
    let tally = play.tally;
    played.map(|()| tally)
}
