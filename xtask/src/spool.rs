//! The area `spool` of `cargo xtask interop`: a broker that has little memory for messages, and clients that send many
//! that are not persistent, against FerroMQ and the real ActiveMQ.

use std::fs;

use anyhow::{Context, Result};

use crate::interop::{Tally, Target, follow};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, RealBroker, RealOptions, work_dir};

/// What the broker has for all messages together.
const MEMORY_MIB: u64 = 8;

/// The queues whose messages are sorted by priority.
const PRIORITIZED: &str = "IT.*.spool.*.prioritized";

/// Runs the checks with one client line, one after the other: they share the memory.
///
/// # Errors
/// A broker or the Java program could not be started, or ended early.
pub(crate) fn run(java: &Java, target: Target, line: Line, only: Option<&str>, quiet: bool) -> Result<Tally> {
    let mut broker = match target {
        Target::Ferromq => ours()?,
        Target::Activemq => {
            let arguments = vec![format!("--memoryMib={MEMORY_MIB}"), format!("--prioritized={PRIORITIZED}")];
            RealBroker::start(
                java,
                &RealOptions { line: line.broker(), arguments, ..RealOptions::default() },
            )?
        }
    };
    let mut command = java.command(&java.programs(line)?);
    command
        .arg("-Xmx512M")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
        .arg(format!("-Dinterop.data={}", broker.data().display()))
        .arg("interop.Conformance")
        .arg(format!("--url={}", broker.url()))
        .arg(format!("--line={line}"))
        .arg(format!("--against={}", target.name()))
        .arg(format!("--memory={}", MEMORY_MIB << 20))
        .arg("--parallel=1");
    if let Some(only) = only {
        command.arg(format!("--only={only}"));
    }
    let tally = follow(command, quiet)?;
    broker.stop()?;
    Ok(tally)
}

fn ours() -> Result<Broker> {
    let bytes = MEMORY_MIB << 20;
    let text = format!(
        "[limits]\nmemory_bytes = {bytes}\nmax_frame_bytes = {bytes}\n\n\
         [[policy]]\ndestination = \"queue://{PRIORITIZED}\"\nprioritized_messages = true\n"
    );
    let file = work_dir().join("run").join(format!("spool-{}.toml", std::process::id()));
    fs::create_dir_all(work_dir().join("run"))?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let arguments = vec!["--config".to_owned(), file.display().to_string()];
    let broker = FerroBroker::start(&FerroOptions { arguments, ..FerroOptions::default() });
    let _ = fs::remove_file(&file);
    broker
}
