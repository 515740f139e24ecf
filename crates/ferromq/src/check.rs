//! `ferromq check`: is a configuration right, what does it come to, and will it work beside its peers?

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use ferromq_config::{Entry, Report, examine, load};
use ferromq_env::{Clock, SystemClock};
use serde_json::json;

use crate::counted::counted;
use crate::exit::{Exit, Failure, Outcome, print, warn};
use crate::{layers, operator};

pub(crate) mod contest;
mod facts;
mod finding;
mod gather;
mod judge;
mod mounts;
mod probe;
#[cfg(test)]
mod tests;

use facts::Facts;
#[cfg(test)]
use finding::Finding;
use finding::Verdict;

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq check /etc/ferromq.toml             mistakes as file:line:column with a remedy, exit code 64;
                                              or every value with the place that it comes from
  FERROMQ_STORE_SYNC=never ferromq check      variables count as they do for `ferromq run`
  ferromq check conf/activemq.xml             what becomes of each element and attribute: supported, ignored with
                                              the consequence, rejected with the remedy (exit code 64)
  ferromq check a.toml --peers b.toml         will these two work as master and standby?
  ferromq check a.toml --peers http://10.0.0.7:8161
                                              will this one work beside a node that runs?
  ssh other ferromq check b.toml --facts | ferromq check a.toml --peers -
                                              beside one of another machine that does not run yet

Folders are tried in a folder of the check's own, which it removes. Exit code with --peers: 0 if nothing is refused
(there may be warnings), 64 if something is.")]
pub(crate) struct Args {
    /// The configuration file; without one, defaults and environment are shown
    #[arg(value_name = "FILE", env = "FERROMQ_CONFIG")]
    file: Option<PathBuf>,
    /// Nodes that are to share the store: configuration files of this machine, http://HOST:PORT of the admin ports of
    /// nodes that run, or what --facts wrote (*.json, or - for standard input)
    #[arg(long, value_name = "NODE", num_args = 1..)]
    peers: Vec<String>,
    /// Print what a check on another machine needs to know of this node
    #[arg(long, conflicts_with = "peers")]
    facts: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// A property for the placeholders of an activemq.xml, such as activemq.data=/var/lib/ferromq; may be repeated
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    property: Vec<String>,
}

/// Prints the effective configuration with the source of each value, or all mistakes; or what the doctor finds.
pub(crate) fn run(args: Args) -> Outcome {
    if args.facts {
        return tell_facts(args.file.as_deref());
    }
    if !args.peers.is_empty() {
        return doctor(&args);
    }
    let input = layers::Args::of_file_with(args.file, args.property).input(true)?;
    let (report, outcome) = examine(&input);
    if let Some(report) = &report {
        print(&told(report, args.json))?;
    }
    let (mistakes, effective) = match &outcome {
        Ok(loaded) => (&loaded.warnings, Some(loaded.effective())),
        Err(mistakes) => (mistakes, None),
    };
    let rest: Vec<_> = mistakes
        .iter()
        .filter(|mistake| !report.as_ref().is_some_and(|report| report.tells(mistake)))
        .collect();
    match effective {
        Some(effective) => {
            rest.iter().for_each(warn);
            if args.json && report.is_some() {
                print(&line(json!({ "result": "fine", "effective": effective })))
            } else {
                print(&effective)
            }
        }
        None => {
            let texts: Vec<String> = rest.iter().map(ToString::to_string).collect();
            if args.json && report.is_some() {
                print(&line(json!({ "result": "refused", "mistakes": texts })))?;
            }
            let text = format!("the configuration has mistakes\n{}", texts.join("\n"));
            Err(Failure::new(Exit::Usage, text.trim_end()))
        }
    }
}

/// What becomes of each element and attribute of an activemq.xml: a line each, and how many of each kind.
fn told(report: &Report, json: bool) -> String {
    let mut text = String::new();
    let mut counts = [("supported", 0), ("ignored", 0), ("rejected", 0)];
    for entry in report.iter() {
        let word = entry.verdict.word();
        for (name, count) in &mut counts {
            *count += u32::from(*name == word);
        }
        text += &if json { line(object(entry)) } else { line(entry) };
    }
    let [supported, ignored, rejected] = counts.map(|(_, count)| count);
    if !json {
        text += &format!("{supported} supported, {ignored} ignored, {rejected} rejected\n\n");
    }
    text
}

fn line(told: impl std::fmt::Display) -> String {
    format!("{told}\n")
}

fn object(entry: &Entry) -> serde_json::Value {
    let (means, consequence, reason, remedy) = match &entry.verdict {
        ferromq_config::Verdict::Supported { means } => (Some(means), None, None, None),
        ferromq_config::Verdict::Ignored { consequence } => (None, Some(consequence), None, None),
        ferromq_config::Verdict::Rejected { reason, remedy } => (None, None, Some(reason), Some(remedy)),
        _ => (None, None, None, None),
    };
    let mut object = json!({
        "source": entry.source.to_string(),
        "subject": entry.subject,
        "verdict": entry.verdict.word(),
    });
    let texts = [("means", means), ("consequence", consequence), ("reason", reason), ("remedy", remedy)];
    if let Some(map) = object.as_object_mut() {
        for (name, text) in texts {
            map.extend(text.map(|text| (name.to_owned(), json!(text))));
        }
    }
    object
}

/// Variables are our own node's; those of a peer are not known here.
fn of_file(file: Option<&Path>, environment: bool) -> Result<Facts, Failure> {
    let source = file.map_or_else(|| "this node".to_owned(), |file| file.display().to_string());
    let input = layers::Args::of_file(file.map(Path::to_owned)).input(environment)?;
    Ok(match load(&input) {
        Ok(loaded) => gather::of_configuration(&source, &loaded),
        Err(mistakes) => {
            Facts { mistakes: mistakes.iter().map(ToString::to_string).collect(), source, ..Facts::default() }
        }
    })
}

fn tell_facts(file: Option<&Path>) -> Outcome {
    let mut facts = of_file(file, true)?;
    // Read against the reader's clock; see `gather::of_text`.
    facts.clock_ahead_ms = Some(SystemClock.now().wall.0);
    let text = serde_json::to_string(&facts).map_err(|error| Failure::new(Exit::Software, error))?;
    print(&line(text))
}

fn doctor(args: &Args) -> Outcome {
    let mut nodes = vec![of_file(args.file.as_deref(), true)?];
    for peer in &args.peers {
        nodes.push(of_peer(peer)?);
    }
    let findings = judge::judge(&nodes);
    let told = |finding: &finding::Finding| if args.json { line(finding.object()) } else { line(finding) };
    let mut text: String = findings.iter().map(told).collect();
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (passed, warned, refused) = (count(Verdict::Pass), count(Verdict::Warn), count(Verdict::Refuse));
    text += &if args.json {
        line(json!({ "pass": passed, "warn": warned, "refuse": refused }))
    } else {
        line(format_args!("{passed} passed, {}, {refused} refused", counted(warned, "warning")))
    };
    print(&text)?;
    if refused == 0 { Ok(()) } else { Err(Failure::new(Exit::Usage, "")) }
}

fn of_peer(peer: &str) -> Result<Facts, Failure> {
    if peer.starts_with("http://") {
        return Ok(operator::runtime()?.block_on(gather::of_running(peer)));
    }
    if peer.starts_with("tcp://") {
        let text = format!(
            "{peer} is where clients go; give http://HOST:PORT of the node's admin port (admin.listen)"
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    let path = Path::new(peer);
    let pipe = fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo());
    if peer != "-" && !pipe && path.extension().is_none_or(|extension| extension != "json") {
        return of_file(Some(path), false);
    }
    let unreadable =
        |error: std::io::Error| Failure::new(Exit::Usage, format!("{peer} can't be read: {error}"));
    let most = u64::try_from(gather::MAX_FACTS_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = String::new();
    if peer == "-" {
        std::io::stdin().take(most).read_to_string(&mut text).map_err(unreadable)?;
    } else {
        fs::File::open(path).map_err(unreadable)?.take(most).read_to_string(&mut text).map_err(unreadable)?;
    }
    gather::of_text(peer, &text, peer == "-" || pipe).map_err(|why| Failure::new(Exit::Usage, why))
}

/// The findings that say something is wrong, for tests.
#[cfg(test)]
fn wrong(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.verdict != Verdict::Pass).collect()
}
