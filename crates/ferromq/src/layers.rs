//! The layers of a configuration: file, environment, flags; shared by `run` and `check`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use ferromq_config::{Input, MAX_FILE_BYTES, related_files};

use crate::exit::{Exit, Failure};
use crate::logs;

/// What the command line may say; it wins over environment and file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The configuration file, TOML or an activemq.xml (also as xbean:file:…); every key may be overridden by a variable such as FERROMQ_STORE_KIND
    #[arg(long, value_name = "FILE", env = "FERROMQ_CONFIG")]
    config: Option<PathBuf>,
    /// A property for the placeholders of an activemq.xml, such as activemq.data=/var/lib/ferromq; may be repeated
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    property: Vec<String>,
    /// The broker's name, which clients and logs show [default: localhost]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What this node is called among those that share its store [default: the broker's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The folder for messages; made if it does not exist [default: ferromq-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where to listen; may be repeated, port 0 picks a free one [default: tcp://127.0.0.1:61616]
    #[arg(long, value_name = "URI")]
    listen: Vec<String>,
    /// How messages are kept: journal, sqlite, memory, or postgres://USER@HOST/DATABASE, which several brokers may share; a
    /// password is better in FERROMQ_STORE_URL [default: journal]
    #[arg(long, value_name = "KIND", value_parser = store)]
    store: Option<Store>,
    /// A lock beside the store, whose holder alone may become the master: etcd://HOST:PORT/PREFIX,
    /// postgres://USER@HOST/DATABASE or sqlite:PATH; a password is better in FERROMQ_LOCK_URI [default: none]
    #[arg(long, value_name = "URI")]
    lock: Option<LockUri>,
    /// How long a silent master keeps its role, as 500ms or 2s [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = millis)]
    takeover_after: Option<u64>,
    /// A link to other brokers, with the connector's attributes as options; may be repeated:
    /// 'static:(tcp://b:61616)?duplex=true', 'masterslave:(tcp://m:61616,tcp://s:61616)'
    #[arg(long, value_name = "URI")]
    network_connector: Vec<String>,
    /// Listen beyond this machine although nobody has to log in
    #[arg(long)]
    open_to_network: bool,
    /// End in order when standard input closes, as when the program that started it ends
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
    /// The shape of log lines [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Clone)]
struct Store {
    kind: &'static str,
    url: Option<String>,
}

/// Without the URL, in which a password may stand.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind)
    }
}

/// As it was typed; a password may stand in it.
#[derive(Clone)]
struct LockUri(String);

impl From<String> for LockUri {
    fn from(uri: String) -> Self {
        Self(uri)
    }
}

/// By its kind alone.
impl std::fmt::Debug for LockUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.split(':').next().unwrap_or_default())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Text, coloured on a terminal
    Human,
    /// One JSON object a line
    Json,
}

impl Args {
    /// Flags that stand for a configuration file alone.
    pub(crate) fn of_file(config: Option<PathBuf>) -> Self {
        Self { config, ..Self::default() }
    }

    /// The same, with properties for placeholders.
    pub(crate) fn of_file_with(config: Option<PathBuf>, property: Vec<String>) -> Self {
        Self { config, property, ..Self::default() }
    }

    /// All layers; the environment only if it is to count.
    pub(crate) fn input(&self, environment: bool) -> Result<Input, Failure> {
        let mut input = Input::default();
        input = input.property("host.name", rustix::system::uname().nodename().to_string_lossy());
        for property in &self.property {
            let (name, value) = property.split_once('=').unwrap_or((property, ""));
            input = input.property(name, value);
        }
        if environment {
            let names_text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            };
            for (name, value) in
                std::env::vars_os().filter_map(names_text).filter(|(name, _)| name != logs::VARIABLE)
            {
                input = input.variable(name, value);
            }
        }
        if let Some(file) = &self.config {
            let file = plain(file);
            input = input.file(file.display().to_string(), text(&file)?);
            // Files may name files, such as login.config those of the users; no further than that.
            for _ in 0..2 {
                for related in related_files(&input) {
                    // One that can't be read is told about with the place that names it.
                    if let Ok(text) = text(Path::new(&related)) {
                        input = input.related(related, text);
                    }
                }
            }
        }
        let flag = |input: Input, flag: &str, path: &str, value: Option<&str>| match value {
            Some(value) => input.flag(flag, path, value),
            None => input,
        };
        input = flag(input, "--name", "broker.name", self.name.as_deref());
        input = flag(input, "--node", "broker.node", self.node.as_deref());
        input = flag(input, "--data", "broker.data_dir", self.data.as_deref());
        let listen = self.listen.join(" ");
        input = flag(input, "--listen", "listen", (!listen.is_empty()).then_some(&listen));
        input = flag(input, "--store", "store.kind", self.store.as_ref().map(|store| store.kind));
        input =
            flag(input, "--store", "store.url", self.store.as_ref().and_then(|store| store.url.as_deref()));
        for uri in &self.network_connector {
            input = input.flag("--network-connector", "network_connector", uri);
        }
        input = flag(input, "--lock", "lock.uri", self.lock.as_ref().map(|lock| lock.0.as_str()));
        let takeover = self.takeover_after.map(|millis| millis.to_string());
        input = flag(input, "--takeover-after", "broker.takeover_after_ms", takeover.as_deref());
        let open = self.open_to_network.then_some("true");
        input = flag(input, "--open-to-network", "auth.allow_anonymous_remote", open);
        let format = self.log_format.map(|format| match format {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        });
        Ok(flag(input, "--log-format", "log.format", format))
    }
}

/// Reads a kind of store, or where one is.
fn store(text: &str) -> Result<Store, String> {
    const KINDS: [&str; 4] = ["journal", "sqlite", "memory", "postgres"];
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Store { kind: "postgres", url: Some(text.to_owned()) });
    }
    let kind = KINDS.into_iter().find(|kind| *kind == text);
    kind.map(|kind| Store { kind, url: None })
        .ok_or_else(|| "there are journal, sqlite, memory, and postgres://USER@HOST/DATABASE".to_owned())
}

/// Reads `500ms`, `2s` or a plain number of milliseconds.
fn millis(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => text.strip_suffix('s').map_or((text, 1), |number| (number, 1_000)),
    };
    let number: u64 = number.trim().parse().map_err(|_| format!("{text:?} is no time; say 500ms or 2s"))?;
    Ok(number.saturating_mul(unit))
}

/// A path as ActiveMQ's scripts write it: `xbean:file:conf/activemq.xml`, `xbean:conf/activemq.xml`.
fn plain(file: &Path) -> PathBuf {
    let Some(text) = file.to_str() else { return file.to_owned() };
    let path = text.strip_prefix("xbean:").unwrap_or(text);
    let path = path.strip_prefix("file:").unwrap_or(path);
    PathBuf::from(path.strip_prefix("//").unwrap_or(path))
}

fn text(file: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::InvalidData => "save it in UTF-8, whatever its first line says",
            _ => "name an existing file with --config",
        };
        Failure::new(Exit::Usage, format!("{} can't be read: {error}; {remedy}", file.display()))
    };
    // One byte more, so that a file beyond the limit is told from one that just fits.
    let most = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    File::open(file).map_err(unreadable)?.take(most).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}
