//! Kills: one after the other on one pair, each with its moments.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::duo::Duo;
use super::probe::{Probe, Sums};
use super::rows::{Kind, Row};
use crate::bench::target::Tools;
use crate::cluster::{Micros, Random, Role};

/// How long the first answer after a kill may take, whoever is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// How long a backlog may take to be sent.
const FILL_LIMIT: Duration = Duration::from_secs(400);
/// Load before each kill, at least.
const CALM: Duration = Duration::from_millis(500);

/// The client that comes back quickly, for which the targets are.
const QUICK: &str = "quick";
/// The client as it comes.
const USUAL: &str = "usual";
const QUICK_OPTIONS: &str = "useExponentialBackOff=false&initialReconnectDelay=10";

/// How often, how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kills: u32,
    pub(super) backlog: u32,
    /// After which no further kill begins.
    pub(super) limit: Duration,
    pub(super) seed: u64,
}

/// The moments of one takeover, in milliseconds after the kill.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    /// The standby missed the master; only ours says so.
    pub(super) detected: Option<f64>,
    /// The epoch was won; only ours says so.
    pub(super) claimed: Option<f64>,
    /// Ready to serve.
    pub(super) serving: f64,
    /// The quick client had a connection.
    pub(super) connected: Option<f64>,
    /// The quick client had an answer to a send.
    pub(super) answered: f64,
    /// So had the client as it comes.
    pub(super) usual_answered: Option<f64>,
}

/// What the kills of a row came to.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    pub(super) moments: Vec<Moments>,
    /// Messages that lay in the store.
    pub(super) backlog: u32,
    pub(super) sums: Sums,
    /// That reached an application.
    pub(super) exceptions: usize,
    /// What ended the row before its time.
    pub(super) failed: Option<String>,
}

pub(super) fn run(tools: &Tools, row: &Row, plan: &Plan) -> Result<Takeovers> {
    let mut duo = Duo::start(tools, row.kind, row.name)?;
    if plan.backlog > 0 {
        let began = Instant::now();
        fill(tools, &duo, plan.backlog)?;
        println!("   {} messages in {:.0} s", plan.backlog, began.elapsed().as_secs_f64());
        let master = duo.cluster.wait_for_master(None, duo.patience())?;
        duo.standby_ready(1 - master)?;
    }
    let clients = [(QUICK, duo.cluster.failover_url(QUICK_OPTIONS)), (USUAL, duo.cluster.failover_url(""))];
    let probe = Probe::start(tools, &clients)?;
    let mut random = Random(plan.seed);
    let mut takeovers = Takeovers { backlog: plan.backlog, ..Takeovers::default() };
    let began = Instant::now();
    for number in 1..=plan.kills {
        if began.elapsed() > plan.limit {
            println!("   the time of the row is over after {} kills", number - 1);
            break;
        }
        match kill(&mut duo, row.kind, &probe, &mut random).with_context(|| format!("kill {number}")) {
            Ok(moments) => {
                println!("   kill {number}: {}", moments.brief());
                takeovers.moments.push(moments);
            }
            Err(error) => {
                println!("   FAILED: {error:#}");
                takeovers.failed = Some(format!("{error:#}"));
                break;
            }
        }
    }
    takeovers.exceptions = probe.exceptions();
    for (_, sums) in probe.finish()? {
        takeovers.sums.answered += sums.answered;
        takeovers.sums.came += sums.came;
        takeovers.sums.lost += sums.lost;
        takeovers.sums.repeated += sums.repeated;
        takeovers.sums.unflagged += sums.unflagged;
    }
    println!("   {:?}, {} exceptions", takeovers.sums, takeovers.exceptions);
    Ok(takeovers)
}

fn fill(tools: &Tools, duo: &Duo, messages: u32) -> Result<()> {
    let master = duo.cluster.wait_for_master(None, duo.patience())?;
    let url = duo.cluster.nodes.get(master).context("no such node")?.url();
    let mut command: Command = tools.rust_load();
    command.args(["--url", &url, "--workload", "backlog-fill", "--messages", &messages.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("the load program")?;
    let until = Instant::now() + FILL_LIMIT;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("the backlog could not be sent: {status}"),
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                bail!("the backlog was not sent within {FILL_LIMIT:?}");
            }
        }
    }
}

fn kill(duo: &mut Duo, kind: Kind, probe: &Probe, random: &mut Random) -> Result<Moments> {
    let master = duo.cluster.wait_for_master(None, duo.patience())?;
    let spread = u64::try_from(kind.spread().as_millis()).unwrap_or(u64::MAX);
    std::thread::sleep(CALM + random.millis(0, spread));
    let at = duo.node(master)?.kill()?;
    let next = duo.cluster.wait_for_master(Some(master), duo.patience())?;
    let changes = duo.cluster.nodes.get(next).context("no such node")?.changes();
    let active = changes.iter().rev().find(|change| change.role == Role::Active).context("no active node")?;
    let after = |moment: Micros| (moment as f64 - at as f64) / 1e3;
    let serving = after(active.at);
    // The real one answers before it says that it serves.
    let since = if kind.is_ours() { active.at - 10_000 } else { at + 100_000 };
    let gap = |client| probe.gap_over(client, at, since, ANSWER_LIMIT);
    let quick = gap(QUICK).context("the quick client got no answer")?;
    let usual = gap(USUAL).context("the client as it comes got no answer")?;
    let mut moments = Moments {
        serving,
        connected: probe.back_after(QUICK, at).map(after),
        answered: after(quick.first),
        usual_answered: Some(after(usual.first)),
        ..Moments::default()
    };
    if let Some(takeover) = takeover_millis(&active.line) {
        let detected = serving - takeover;
        moments.detected = Some(detected);
        let claimed = duo.status(next).and_then(|status| status["last_takeover"]["claimed_ms"].as_f64());
        moments.claimed = claimed.map(|millis| detected + millis);
    }
    duo.node(master)?.start(false)?;
    duo.standby_ready(master)?;
    Ok(moments)
}

/// Of `role active (epoch 8, takeover 143 ms)`.
fn takeover_millis(line: &str) -> Option<f64> {
    line.split_once("takeover ")?.1.split(' ').next()?.parse().ok()
}

impl Moments {
    fn brief(&self) -> String {
        let optional = |millis: Option<f64>| millis.map_or("–".to_owned(), |millis| format!("{millis:.0}"));
        format!(
            "detected {} claimed {} serving {:.0} connected {} answered {:.0}, as it comes {} ms",
            optional(self.detected),
            optional(self.claimed),
            self.serving,
            optional(self.connected),
            self.answered,
            optional(self.usual_answered)
        )
    }

    /// From the detection to being ready to serve.
    pub(super) fn takeover(&self) -> Option<f64> {
        self.detected.map(|detected| self.serving - detected)
    }
}

#[cfg(test)]
mod tests {
    use super::takeover_millis;

    #[test]
    fn the_line_of_a_role_tells_how_long_it_took() {
        assert_eq!(takeover_millis("role active (epoch 8, takeover 143 ms)"), Some(143.0));
        assert_eq!(takeover_millis("role standby (master: a, epoch 7)"), None);
    }
}
