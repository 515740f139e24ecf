//! What a shared database costs beside a shared folder, and what the fence costs beside a sync.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bench::load::{self, Client, Job, Outcome, Subject};
use crate::bench::process;
use crate::bench::target::Tools;
use crate::cluster::{Cluster, PATIENCE, Plan, Shared, StoreKind};

/// Messages a second that PostgreSQL has to reach where the folder does.
pub(super) const WANTED: f64 = 10_000.0;
/// The fence's median at most so much of the sync's.
pub(super) const FENCE_TARGET: f64 = 0.02;
/// Seconds of load before a measurement.
const WARMUP: u32 = 2;

/// Workloads that are run on a store.
#[derive(Debug)]
pub(super) struct StoreRow {
    pub(super) name: &'static str,
    store: StoreKind,
    workloads: &'static [(&'static str, bool)],
}

pub(super) const ROWS: &[StoreRow] = &[
    StoreRow {
        name: "stores-fence-file",
        store: StoreKind::File,
        workloads: &[("pq-16x16-1q", true), ("pq-16x16-16q", true), ("pq-1x1", false)],
    },
    StoreRow {
        name: "stores-postgres",
        store: StoreKind::Postgres,
        workloads: &[("pq-16x16-1q", true), ("pq-16x16-16q", true), ("pq-1x1", false)],
    },
];

/// One workload on one store with one client.
#[derive(Debug)]
pub(super) struct Throughput {
    pub(super) store: StoreKind,
    pub(super) workload: &'static str,
    pub(super) client: Client,
    /// Whether the target is for it.
    pub(super) flood: bool,
    pub(super) outcome: Outcome,
    pub(super) database: Option<Database>,
    pub(super) sync: Option<Histogram>,
    pub(super) fence: Option<Histogram>,
}

/// What the server did meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Database {
    pub(super) cpu_us: f64,
    pub(super) seconds: f64,
    pub(super) commits_per_second: f64,
}

pub(super) fn run(tools: &Tools, row: &StoreRow, seconds: u32) -> Result<Vec<Throughput>> {
    let mut all = Vec::new();
    for client in [Client::Java, Client::Rust] {
        for &(workload, flood) in row.workloads {
            // A fresh broker on a fresh store, so that its histograms are this workload's.
            let (outcome, database, page) = measure(tools, row.store, client, workload, seconds)?;
            println!("  {workload:<13} {:<5} {}", client.name(), outcome.brief());
            let histogram = |name| Histogram::read(&page, name).filter(|histogram| histogram.count > 0);
            all.push(Throughput {
                store: row.store,
                workload,
                client,
                flood,
                outcome,
                database,
                sync: histogram("ferromq_sync_seconds"),
                fence: histogram("ferromq_fence_seconds"),
            });
        }
    }
    Ok(all)
}

fn measure(
    tools: &Tools,
    store: StoreKind,
    client: Client,
    workload: &str,
    seconds: u32,
) -> Result<(Outcome, Option<Database>, String)> {
    let folder = tools.scratch().join("ha-stores");
    let mut cluster = Cluster::prepare(&Plan {
        nodes: 1,
        store,
        lock: None,
        takeover_after: "2s".to_owned(),
        folder: folder.clone(),
        environment: Vec::new(),
        arguments: Vec::new(),
        data: None,
        relayed: false,
        direct: true,
    })?;
    let Cluster { nodes, shared, .. } = &mut cluster;
    let node = nodes.first_mut().context("no node")?;
    node.start(false)?;
    let operators = node.waits_for("operators on http://", PATIENCE)?;
    let mut looks = Vec::new();
    let mut outcome = Outcome::default();
    {
        let mut meter = || looks.extend(look(shared));
        let subject = Subject {
            url: node.url(),
            consume: None,
            pid: node.pid().context("it does not run")?,
            meter: &mut meter,
        };
        let job = Job { client, workload, seconds, warmup: WARMUP, messages: 0, connections: 0 };
        load::run(tools, subject, job, &mut outcome)?;
    }
    let page = page(operators.trim())?;
    node.kill()?;
    let database = match looks.as_slice() {
        [before, after] => Some(after.since(before)),
        _ => None,
    };
    drop(cluster);
    let _ = std::fs::remove_dir_all(folder);
    Ok((outcome, database, page))
}

/// The server's counters at a moment.
struct ServerLook {
    at: Instant,
    cpu_us: u64,
    commits: f64,
}

impl ServerLook {
    fn since(&self, before: &Self) -> Database {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        Database {
            cpu_us: (self.cpu_us.saturating_sub(before.cpu_us)) as f64,
            seconds,
            commits_per_second: (self.commits - before.commits) / seconds,
        }
    }
}

fn look(shared: &Shared) -> Option<ServerLook> {
    let Shared::Database { server, .. } = shared else { return None };
    // Sessions report what they did about once a second, which is little of a measurement.
    let commits = server.sql("SELECT sum(xact_commit) FROM pg_stat_database");
    Some(ServerLook {
        at: Instant::now(),
        cpu_us: process::cpu_us_below(server.folder()),
        commits: commits.trim().parse().ok()?,
    })
}

/// `/metrics` of a node.
fn page(operators: &str) -> Result<String> {
    let mut stream = TcpStream::connect(operators).context("the admin port")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {operators}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("the admin port")?;
    Ok(text)
}

/// A histogram of Prometheus' format.
#[derive(Debug, PartialEq)]
pub(super) struct Histogram {
    /// Upper bounds in seconds, and how many are no longer than that.
    buckets: Vec<(f64, u64)>,
    sum: f64,
    pub(super) count: u64,
}

impl Histogram {
    fn read(page: &str, name: &str) -> Option<Self> {
        let value = |line: &str| line.rsplit_once(' ')?.1.parse::<f64>().ok();
        let of = |suffix: &str| {
            let start = format!("{name}_{suffix}");
            page.lines().find(|line| line.strip_prefix(&start).is_some_and(|rest| rest.starts_with(' ')))
        };
        let start = format!("{name}_bucket{{le=\"");
        let buckets = page.lines().filter_map(|line| {
            let (bound, _) = line.strip_prefix(&start)?.split_once('"')?;
            Some((bound.parse::<f64>().ok()?, value(line)? as u64))
        });
        Some(Self { buckets: buckets.collect(), sum: value(of("sum")?)?, count: value(of("count")?)? as u64 })
    }

    /// Interpolated within its bucket, in microseconds.
    pub(super) fn median_us(&self) -> Option<f64> {
        let half = self.count as f64 / 2.0;
        let place = self.buckets.iter().position(|(_, below)| *below as f64 >= half)?;
        let (bound, below) = *self.buckets.get(place)?;
        let (from, before) = match place.checked_sub(1) {
            Some(before) => *self.buckets.get(before)?,
            None => (0.0, 0),
        };
        let share = (half - before as f64) / (below - before) as f64;
        Some((from + (bound - from) * share) * 1e6)
    }

    pub(super) fn mean_us(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64 * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn a_histogram_is_read_from_the_page() {
        let page = "# TYPE x_seconds histogram\nx_seconds_bucket{le=\"0.001\"} 1\nx_seconds_bucket{le=\"0.002\"} 3\n\
                    x_seconds_bucket{le=\"+Inf\"} 4\nx_seconds_sum 0.008\nx_seconds_count 4\n";
        let histogram = Histogram::read(page, "x_seconds").unwrap();
        assert_eq!(histogram.count, 4);
        assert!((histogram.median_us().unwrap() - 1_500.0).abs() < 1e-6, "{histogram:?}");
        assert!((histogram.mean_us().unwrap() - 2_000.0).abs() < 1e-6);
        assert_eq!(Histogram::read(page, "y_seconds"), None);
    }
}
