//! A world in which the real engine, gateway sessions and journal run on virtual time, a simulated disk and a
//! simulated network; one seed decides everything, so a failing run happens again whenever it is asked for.
//!
//! It is no test of sockets, threads or the kernel: those have tests with real processes. No normal crate depends on
//! it.
//!
//! * [`run`]: one seed, one [`Report`].
//! * [`oracle`]: what may and must happen, seen from outside: acknowledged, refused, unknown.
//! * [`nodes::run`]: the same for several nodes on one shared folder.
//! * [`mesh::run`]: the same for brokers with links between them, each with a disk of its own.
//! * [`Planted`], [`nodes::NodeBug`], [`mesh::LinkBug`]: bugs that a run must find.
//!
//! Invariant: the same seed gives the same run, to the byte.
//!
//! ```
//! let report = ferromq_sim::run(7, None);
//! assert_eq!(report.violations, []);
//! ```

mod agenda;
mod client;
mod front;
pub mod mesh;
mod node;
pub mod nodes;
pub mod oracle;
mod plan;
mod saboteur;
mod wire;
mod world;

pub use oracle::Violation;
pub use saboteur::Planted;

use ferromq_env::simulated::SeededEntropy;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed that makes it happen again.
    pub seed: u64,
    /// Messages that clients sent.
    pub sent: u64,
    /// Deliveries that clients received.
    pub delivered: u64,
    /// Times that the broker, or its machine, died.
    pub crashes: u64,
    /// Broken promises.
    pub violations: Vec<Violation>,
}

/// Runs a world from a seed, with a bug planted or none.
pub fn run(seed: u64, planted: Option<Planted>) -> Report {
    let mut dice = SeededEntropy::new(seed);
    let plan = plan::Plan::draw(&mut dice, planted);
    let mut world = world::World::new(&plan, dice);
    world.run(plan.duration);
    let (sent, delivered) = world.oracle.counts();
    Report { seed, sent, delivered, crashes: world.crashes, violations: world.oracle.verdict() }
}
