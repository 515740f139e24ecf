//! Gathering facts: from a configuration and its folder, from a node that runs, or from what another machine wrote.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ferromq_broker::{Guard, Settings};
use ferromq_config::{Config, Loaded, StoreKind, SyncPolicy};
use ferromq_env::{Clock, SystemClock};
use ferromq_proto::admin::GetStatusRequest;

use super::contest;
use super::facts::{Facts, Folder, Port};
use super::mounts::mount_of;
use super::probe::probe;
use crate::operator;
use crate::whereabouts;

/// Facts are some kilobytes.
pub(super) const MAX_FACTS_BYTES: usize = 1 << 20;

/// Keys whose places are told.
const KEYS: [&str; 11] = [
    "broker.name",
    "broker.data_dir",
    "broker.takeover_after_ms",
    "store.kind",
    "store.url",
    "store.sync",
    "store.reserve_bytes",
    "lock.uri",
    "limits.max_connections",
    "limits.max_frame_bytes",
    "admin.listen",
];

/// A node of this machine that would start with this configuration.
pub(super) fn of_configuration(source: &str, loaded: &Loaded) -> Facts {
    let config = &loaded.config;
    let data = match &config.store.url {
        Some(url) if config.store.kind == StoreKind::Postgres => database(url.expose(), &config.store.schema),
        _ => PathBuf::from(&config.broker.data_dir),
    };
    let mut facts = Facts {
        source: source.to_owned(),
        node: config.broker.node.as_ref().unwrap_or(&config.broker.name).clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
        store: store(config.store.kind).to_owned(),
        sync: sync(config.store.sync).to_owned(),
        listeners: listeners(config),
        admin: admin(loaded),
        admin_token: config.admin.token.is_some(),
        users: config.users.iter().map(|user| user.name.clone()).collect(),
        takeover_after_ms: takeover_after(loaded),
        max_frame_bytes: config.limits.max_frame_bytes,
        max_connections: config.limits.max_connections.into(),
        max_open_files: rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .unwrap_or(u64::MAX),
        reserve_bytes: config.store.reserve_bytes,
        clock_ahead_ms: Some(0),
        data: data.clone(),
        ..Facts::default()
    };
    guard(loaded, &mut facts);
    for key in KEYS {
        if let Some(place) = loaded.source(key) {
            facts.lines.insert(key.to_owned(), format!("{source}: {place}"));
        }
    }
    if !matches!(config.store.kind, StoreKind::Memory | StoreKind::Postgres) {
        let folder = folder(&data);
        if let Some(folder) = &folder {
            facts.probe = Some(probe(&folder.path, contest::challenge));
        }
        facts.claim = claim(&data);
        facts.folder = folder;
    }
    facts
}

/// The lock beside the store is asked once.
fn guard(loaded: &Loaded, facts: &mut Facts) {
    // What the settings make no sense of is told by the start, and was checked with the configuration as far as it goes.
    let Ok(settings) = Settings::from_config(&loaded.config) else { return };
    let Some(guard) = &settings.guard else { return };
    facts.lock = match guard {
        Guard::Sqlite(path) => {
            Guard::Sqlite(std::path::absolute(path).unwrap_or_else(|_| path.clone())).to_string()
        }
        other => other.to_string(),
    };
    facts.lock_is_local = guard.is_local();
    facts.lock_trouble = settings.try_guard().err().map(|error| error.to_string());
}

/// A database and a schema in it, without the login.
fn database(url: &str, schema: &str) -> PathBuf {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = rest.split(['?', '#']).next().unwrap_or_default();
    let address = address.rsplit_once('@').map_or(address, |(_, address)| address);
    PathBuf::from(format!("postgres://{address}, schema {schema}"))
}

/// As the effective configuration tells it.
fn takeover_after(loaded: &Loaded) -> Option<u64> {
    let effective = loaded.effective();
    let value = effective.lines().find_map(|line| line.strip_prefix("takeover_after_ms = "))?;
    value.split_whitespace().next()?.parse().ok()
}

const fn store(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Sqlite => "sqlite",
        StoreKind::Memory => "memory",
        StoreKind::Postgres => "postgres",
        _ => "journal",
    }
}

const fn sync(policy: SyncPolicy) -> &'static str {
    match policy {
        SyncPolicy::Periodic => "periodic",
        SyncPolicy::Never => "never",
        _ => "always",
    }
}

fn listeners(config: &Config) -> Vec<Port> {
    let ports = config.listeners.iter().map(|listener| {
        let endpoint = &listener.uri.endpoint;
        let host = endpoint.host.to_string().trim_matches(['[', ']']).to_owned();
        Port {
            url: listener.text.clone(),
            trouble: trouble(&host, endpoint.port_or_default()),
            host,
            port: endpoint.port_or_default(),
            loopback: endpoint.host.is_loopback(),
            line: format!("{} (listen)", listener.source),
        }
    });
    ports.collect()
}

fn admin(loaded: &Loaded) -> Option<Port> {
    let address = loaded.config.admin.listen?;
    let host = address.ip().to_string();
    Some(Port {
        url: format!("http://{address}"),
        trouble: trouble(&host, address.port()),
        host,
        port: address.port(),
        loopback: address.ip().is_loopback(),
        line: loaded
            .source("admin.listen")
            .map(|place| format!("{place} (admin.listen)"))
            .unwrap_or_default(),
    })
}

/// Why a port can't be had. One that a node of ours listens on already is no trouble.
fn trouble(host: &str, port: u16) -> Option<String> {
    if port == 0 {
        return None;
    }
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return Some(error.to_string()),
    };
    let error = addresses.into_iter().find_map(|address| TcpListener::bind(address).err())?;
    let suffix = format!(":{port}");
    let ours = |url: &String| url.split('?').next().is_some_and(|bare| bare.ends_with(&suffix));
    let running = whereabouts::all().unwrap_or_default();
    let known = running.iter().any(|at| at.listeners.iter().chain([&at.admin]).any(ours));
    (!known).then(|| error.to_string())
}

/// The folder, or the nearest one above it that exists.
fn folder(data: &Path) -> Option<Folder> {
    let whole = std::path::absolute(data).ok()?;
    let mut path = whole.as_path();
    while !path.is_dir() {
        path = path.parent()?;
    }
    let exists = path == whole;
    let path = path.canonicalize().ok()?;
    let about = fs::metadata(&path).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let room = rustix::fs::statvfs(&path).ok();
    Some(Folder {
        exists,
        device: about.dev(),
        inode: about.ino(),
        mount: mount_of(&mounts, &path).unwrap_or_default(),
        free_bytes: room.map_or(u64::MAX, |room| room.f_bavail.saturating_mul(room.f_frsize)),
        foreign: if exists { foreign(&path) } else { None },
        path,
    })
}

/// The first part of a store that this user may not write. Nothing is written to find out.
fn foreign(data: &Path) -> Option<PathBuf> {
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    if !writable(data) {
        return Some(data.to_owned());
    }
    let parts = fs::read_dir(data).ok()?.take(1_000).flatten().map(|entry| entry.path());
    parts
        .filter(|path| {
            !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".ferromq-check-"))
        })
        .find(|path| path.symlink_metadata().is_ok_and(|about| !about.is_symlink()) && !writable(path))
}

/// The highest claim in a folder: its number and id.
fn claim(data: &Path) -> Option<(u64, String)> {
    let claims = data.join("claims");
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u64>().ok();
    let highest = fs::read_dir(&claims).ok()?.filter_map(number).max()?;
    let mut file = OpenOptions::new().read(true).open(claims.join(format!("{highest:010}"))).ok()?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(&mut file, 4_096), &mut text).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("claim "))?;
    Some((highest, id.to_owned()))
}

/// A node that runs, by its admin port.
pub(super) async fn of_running(address: &str) -> Facts {
    let mut facts = Facts { source: address.to_owned(), running: true, ..Facts::default() };
    let wall = || SystemClock.now().wall.0;
    let asked = async {
        let mut admin = operator::connect(address).await.map_err(|failure| failure.text)?;
        let (begun, before) = (Instant::now(), wall());
        let status = admin.get_status(operator::question(GetStatusRequest {})).await;
        let status = status.map_err(|status| status.message().to_owned())?.into_inner();
        let took = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        Ok::<_, String>((status, before + took / 2, took))
    };
    let (status, middle, took) = match asked.await {
        Ok(answer) => answer,
        Err(why) => {
            facts.unreachable = Some(why);
            return facts;
        }
    };
    facts.node = status.node;
    facts.version = status.version;
    facts.lock = status.lock.unwrap_or_default();
    facts.claim = (status.epoch > 0).then_some((status.epoch, status.claim));
    if status.wall_ms > 0 {
        facts.clock_ahead_ms = Some(status.wall_ms.saturating_sub(middle));
        facts.clock_error_ms = took.unsigned_abs();
    }
    facts
}

/// What the check wrote on another machine. Its clock is known only if it was written just now, through a pipe.
pub(super) fn of_text(source: &str, text: &str, live: bool) -> Result<Facts, String> {
    if text.len() > MAX_FACTS_BYTES {
        return Err(format!("{source} has {} bytes, more than {MAX_FACTS_BYTES}", text.len()));
    }
    let mut facts: Facts = serde_json::from_str(text).map_err(|error| format!("{source}: {error}"))?;
    facts.source =
        if facts.source.is_empty() { source.to_owned() } else { format!("{source}: {}", facts.source) };
    let then = facts.clock_ahead_ms.take();
    if live {
        facts.clock_ahead_ms = then.map(|then| then.saturating_sub(SystemClock.now().wall.0));
        // What a pipe through ssh takes.
        facts.clock_error_ms = 2_000;
    }
    Ok(facts)
}
