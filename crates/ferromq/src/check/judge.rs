//! [`judge`]: what is wrong with nodes that are meant to share a store. Looks at facts alone.

use super::facts::Facts;
use super::finding::{Finding, Verdict};

mod node;
mod pair;

/// Every check by name, in the order of the report.
pub(super) const CHECKS: [&str; 26] = [
    "configuration",
    "connection",
    "node names",
    "one store",
    "store kind",
    "one lock",
    "lock service",
    "folder",
    "rights",
    "lock excludes",
    "exclusive creation",
    "rename",
    "sync",
    "sync latency",
    "file system",
    "mount options",
    "free space",
    "timings",
    "durability",
    "ports",
    "logins",
    "same logins",
    "limits",
    "open files",
    "clocks",
    "versions",
];

/// A sync that takes this part of the lease on half of all occasions leaves no room for a slow one.
const LEASE_PARTS: u64 = 8;

/// A sync this slow is worth knowing about.
const SLOW_SYNC_MICROS: u64 = 20_000;

/// Clocks further apart confuse expiry and whoever reads two logs.
const CLOCK_SLACK_MS: u64 = 1_000;

/// The default of `takeover_after`.
const TAKEOVER_AFTER_MS: u64 = 2_000;

/// Collects findings.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(
        &mut self,
        verdict: Verdict,
        check: &'static str,
        reason: impl Into<String>,
        line: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (reason, line, remedy) = (reason.into(), line.into(), remedy.into());
        self.findings.push(Finding { verdict, check, reason, line, remedy });
    }

    fn warn(
        &mut self,
        check: &'static str,
        reason: impl Into<String>,
        line: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Verdict::Warn, check, reason, line, remedy);
    }

    fn refuse(
        &mut self,
        check: &'static str,
        reason: impl Into<String>,
        line: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Verdict::Refuse, check, reason, line, remedy);
    }
}

/// Judges nodes that are meant to share a store, the first one being our own. What has no finding has passed, or could
/// not be looked at: then it says so.
pub(super) fn judge(nodes: &[Facts]) -> Vec<Finding> {
    let mut report = Report::default();
    let mut known = Vec::new();
    for facts in nodes {
        if let Some(why) = &facts.unreachable {
            let remedy = "start the node, check address and firewall, or give its configuration file instead";
            report.refuse("connection", format!("{} can't be asked: {why}", facts.source), "", remedy);
        } else if facts.mistakes.is_empty() {
            node::judge(facts, nodes.len() > 1, &mut report);
            known.push(facts);
        } else {
            for mistake in &facts.mistakes {
                let remedy = "correct it; nothing else of this file was judged";
                report.refuse("configuration", mistake, facts.source.as_str(), remedy);
            }
        }
    }
    pair::judge(&known, &mut report);
    let passed = |check: &&&'static str| !report.findings.iter().any(|finding| finding.check == **check);
    let passed: Vec<&'static str> = CHECKS.iter().filter(passed).copied().collect();
    for check in passed {
        let reason = said(check, &known);
        report.add(Verdict::Pass, check, reason, "", "");
    }
    let place = |finding: &Finding| CHECKS.iter().position(|check| *check == finding.check);
    report.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.verdict), place(finding)));
    report.findings
}

/// A word on what passed.
fn said(check: &str, known: &[&Facts]) -> String {
    let probed: Vec<_> = known.iter().filter_map(|facts| facts.probe.as_ref()).collect();
    match check {
        "sync latency" => {
            match probed.iter().map(|probe| (probe.sync_p50_micros, probe.sync_max_micros)).max() {
                Some((half, most)) => {
                    format!("half of the syncs took at most {half} µs, the longest {most} µs")
                }
                None => "no folder was tried".to_owned(),
            }
        }
        "lock excludes" | "exclusive creation" | "rename" | "sync" if probed.is_empty() => {
            "no folder was tried".to_owned()
        }
        "one lock" | "lock service" => {
            let locks: Vec<&str> = known.iter().map(|facts| facts.lock.as_str()).collect();
            match locks.first().filter(|lock| !lock.is_empty()) {
                Some(lock) => (*lock).to_owned(),
                None => "no lock beside the store".to_owned(),
            }
        }
        "file system" => {
            let mut kinds: Vec<&str> = known
                .iter()
                .filter_map(|facts| facts.folder.as_ref())
                .map(|folder| folder.mount.kind.as_str())
                .collect();
            kinds.dedup();
            kinds.join(", ")
        }
        "clocks" => {
            let known = known.iter().filter(|facts| facts.clock_ahead_ms.is_some()).count();
            format!("{known} compared")
        }
        _ if known.len() > 1 => format!("in order on {} nodes", known.len()),
        _ => "in order".to_owned(),
    }
}
