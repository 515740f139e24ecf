//! What is measured: one row, one kind of traffic.

use super::target::Flavour;

/// One kind of traffic.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// Workloads of the load programs, run one after the other on one broker.
    pub workloads: &'static [&'static str],
    /// What bounds the row, whatever the broker does.
    pub bound: Bound,
    /// Persistent rows are measured against ActiveMQ both as it comes and with
    /// `concurrentStoreAndDispatchQueues=false`, since as it comes a message acknowledged in time never reaches
    /// its disk.
    pub both_stores: bool,
    /// Whether the throughput target holds (paced rows have none).
    pub flood: bool,
}

/// The bound of a row, from ceilings measured in the same run.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So many messages share one flush.
    Flush(f64),
    /// Only the client's own cost.
    Client,
}

impl Row {
    const fn new(name: &'static str, workloads: &'static [&'static str], bound: Bound) -> Self {
        Self { name, workloads, bound, both_stores: false, flood: true }
    }

    const fn both_stores(mut self) -> Self {
        self.both_stores = true;
        self
    }

    const fn paced(mut self) -> Self {
        self.flood = false;
        self
    }

    /// FerroMQ first, then what it is compared with, so that noise of the machine meets neighbours alike.
    pub fn flavours(&self, alone: bool) -> Vec<Flavour> {
        let mut flavours = vec![Flavour::FerroMq];
        if !alone {
            flavours.push(Flavour::ActiveMq);
            if self.both_stores {
                flavours.push(Flavour::ActiveMqStoreFirst);
            }
            if self.flood {
                flavours.push(Flavour::Sink);
            }
        }
        flavours
    }
}

pub const ROWS: &[Row] = &[
    Row::new("pq-1x1", &["pq-1x1"], Bound::Flush(1.0)).both_stores(),
    Row::new("pq-16x16-1q", &["pq-16x16-1q"], Bound::Flush(16.0)).both_stores(),
    Row::new("pq-16x16-16q", &["pq-16x16-16q"], Bound::Flush(16.0)).both_stores(),
    Row::new("ptx-100", &["ptx-100"], Bound::Flush(100.0)).both_stores(),
    Row::new("npq-1x1", &["npq-1x1"], Bound::Client),
    Row::new("npq-8x8", &["npq-8x8"], Bound::Client),
    Row::new("topic-1x10", &["topic-1x10"], Bound::Client),
    Row::new("durable-1x4", &["durable-1x4"], Bound::Flush(4.0)),
    Row::new("reqrep-1", &["reqrep-1"], Bound::Client),
    Row::new("reqrep-8", &["reqrep-8"], Bound::Client),
    Row::new("large-1m", &["large-1m"], Bound::Flush(1.0)),
    Row::new("pq-rate200", &["pq-rate200"], Bound::Client).paced(),
    Row::new("npq-rate2000", &["npq-rate2000"], Bound::Client).paced(),
    Row::new("selectors-10", &["selectors-10"], Bound::Client),
    Row::new("backlog", &["backlog-fill", "backlog-drain"], Bound::Client),
    Row::new("spool", &["spool-fill", "backlog-drain"], Bound::Client),
    Row::new("conns", &["conns"], Bound::Client).paced(),
];

pub fn names() -> String {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}
