//! The brokers under test and the programs that load them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::peers::{self, Broker, FerroBroker, FerroOptions, Java, Line, Programs, RealBroker, RealOptions};
use crate::workspace::{cargo, run};

use super::process;

/// Which broker, set up how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// FerroMQ on its journal, `sync = "always"`.
    FerroMq,
    /// ActiveMQ on KahaDB with `journalDiskSyncStrategy=always`, otherwise as it comes.
    ActiveMq,
    /// The same with `concurrentStoreAndDispatchQueues=false`.
    ActiveMqStoreFirst,
    /// The peer that does nothing: the client's own bound.
    Sink,
}

impl Flavour {
    pub const fn name(self) -> &'static str {
        match self {
            Self::FerroMq => "FerroMQ",
            Self::ActiveMq => "ActiveMQ",
            Self::ActiveMqStoreFirst => "ActiveMQ (store first)",
            Self::Sink => "sink",
        }
    }
}

/// What the bench needs: a JDK, the compiled load program, our own release build.
pub struct Tools {
    java: Java,
    programs: Programs,
    scratch: PathBuf,
}

impl Tools {
    pub fn prepare(with_activemq: bool) -> anyhow::Result<Self> {
        // The sink is a part of this program; in a debug build it would be the bound itself.
        run(cargo().args(["build", "--release", "--package", "ferromq", "--package", "xtask"]))?;
        let java = Java::find()?;
        let programs = java.programs(Line::V5_19)?;
        if with_activemq {
            java.broker_programs(RealOptions::default().line)?;
        }
        let scratch = peers::work_dir().join("bench");
        std::fs::create_dir_all(&scratch)?;
        Ok(Self { java, programs, scratch })
    }

    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Which programs were compared, and how they were started.
    pub fn versions(&self) -> anyhow::Result<String> {
        let jvm = Command::new(&self.java.java).arg("-version").output()?;
        let jvm = String::from_utf8_lossy(&jvm.stderr);
        let rustc = crate::workspace::output(Command::new("rustc").arg("--version"))?;
        Ok(format!(
            "FerroMQ {} ({}), release build, journal with `fsync = \"always\"`. ActiveMQ Classic {} on {}, `-Xms64M -Xmx1G` \
             and the JVM's own choice of a collector, KahaDB with `journalDiskSyncStrategy=always`, JMX as its shipped \
             configuration has it; \"store first\" is `concurrentStoreAndDispatchQueues=false`: as it comes, a message that is acknowledged in time never reaches \
             its disk. Java client: `activemq-client` {} as it comes. Rust client: `ferromq bench`, one thread.",
            env!("CARGO_PKG_VERSION"),
            rustc.trim(),
            self.java.version_of(RealOptions::default().line.name(), "activemq-broker"),
            jvm.lines().next().unwrap_or("a JVM").replace('"', ""),
            self.java.version_of(Line::V5_19.name(), "activemq-client"),
        ))
    }

    pub fn java(&self) -> &Java {
        &self.java
    }

    /// A program of the client's tree.
    pub fn java_program(&self, name: &str, level: &str) -> Command {
        let mut command = self.java.command(&self.programs);
        command.args([&format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={level}"), name]);
        command
    }

    pub fn java_load(&self) -> Command {
        self.java_program("interop.Load", "warn")
    }

    pub fn rust_load(&self) -> Command {
        let mut command = Command::new(FerroBroker::binary());
        command.args(["bench", "--json"]);
        command
    }
}

/// A running broker on an empty folder of its own.
pub struct Target {
    flavour: Flavour,
    broker: Broker,
    /// The process before a restart: stopped, but it owns the folder and removes it in the end.
    first: Option<Broker>,
}

/// How long a broker is left alone before its memory counts as "at rest".
const SETTLE: Duration = Duration::from_secs(1);

impl Target {
    pub fn start(tools: &Tools, flavour: Flavour) -> anyhow::Result<Self> {
        Ok(Self { flavour, broker: launch(tools, flavour, None, 0)?, first: None })
    }

    pub fn url(&self) -> String {
        match self.flavour {
            // Its reports of temporary destinations would be missed: a client that waits for them sends no reply.
            Flavour::Sink => format!("{}?jms.watchTopicAdvisories=false", self.broker.url()),
            _ => self.broker.url().to_owned(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.broker.pid()
    }

    pub fn start_ms(&self) -> f64 {
        self.broker.started_in().as_secs_f64() * 1e3
    }

    pub fn rest_rss_kib(&self) -> anyhow::Result<u64> {
        std::thread::sleep(SETTLE);
        process::memory_kib(self.pid(), "VmRSS")
    }

    pub fn peak_rss_kib(&self) -> anyhow::Result<u64> {
        process::memory_kib(self.pid(), "VmHWM")
    }

    pub fn disk_bytes(&self) -> anyhow::Result<u64> {
        process::disk_bytes(self.broker.data())
    }

    /// Stops and starts again on the same folder; milliseconds until the port was open.
    pub fn restart(&mut self, tools: &Tools) -> anyhow::Result<f64> {
        if let Err(error) = self.broker.stop() {
            println!("    {}: {error}", self.flavour.name());
        }
        let again = launch(tools, self.flavour, Some(self.broker.data().to_path_buf()), self.broker.port())?;
        self.first = Some(std::mem::replace(&mut self.broker, again));
        Ok(self.start_ms())
    }

    /// An orderly stop; one that takes too long ends by force and is none of the row's business.
    pub fn stop(mut self) {
        if self.flavour == Flavour::Sink {
            // It has nothing to put in order, and ends with this.
            return;
        }
        if let Err(error) = self.broker.stop() {
            println!("    {}: {error}", self.flavour.name());
        }
    }
}

fn launch(tools: &Tools, flavour: Flavour, data: Option<PathBuf>, port: u16) -> anyhow::Result<Broker> {
    match flavour {
        Flavour::FerroMq => FerroBroker::start(&FerroOptions { data, port, ..FerroOptions::default() }),
        Flavour::ActiveMq | Flavour::ActiveMqStoreFirst => RealBroker::start(
            &tools.java,
            &RealOptions {
                data,
                port,
                concurrent_store_and_dispatch: flavour == Flavour::ActiveMq,
                arguments: vec!["--jmx=true".to_owned()],
                ..RealOptions::default()
            },
        ),
        Flavour::Sink => {
            let mut command = Command::new(FerroBroker::binary().with_file_name("xtask"));
            command.arg("bench-sink");
            peers::start_program("the sink", command)
        }
    }
}
