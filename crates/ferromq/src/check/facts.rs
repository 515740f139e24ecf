//! [`Facts`]: what is known of one node before it starts; what the judge judges.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::mounts::Mount;

/// A node as it would start, or as it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    /// Where they come from: a file, or the admin port of a node that runs.
    pub(super) source: String,
    /// Why nothing else is known.
    pub(super) unreachable: Option<String>,
    /// Mistakes in its configuration, each a line.
    pub(super) mistakes: Vec<String>,
    /// Whether it runs, and was asked; its folder and rights are not known then.
    pub(super) running: bool,
    /// Its name.
    pub(super) node: String,
    /// The version of its program.
    pub(super) version: String,
    /// The boot id of its machine; empty if not known.
    pub(super) machine: String,
    /// `journal`, `sqlite` or `memory`.
    pub(super) store: String,
    /// `always`, `periodic` or `never`.
    pub(super) sync: String,
    /// Its folder, as written.
    pub(super) data: PathBuf,
    /// The folder itself.
    pub(super) folder: Option<Folder>,
    /// What was tried in it.
    pub(super) probe: Option<Probe>,
    /// The lock beside its store, without a login; empty if there is none.
    pub(super) lock: String,
    /// Why that can't be used.
    pub(super) lock_trouble: Option<String>,
    /// Whether nodes of other machines can't have the same one.
    pub(super) lock_is_local: bool,
    /// Where it listens.
    pub(super) listeners: Vec<Port>,
    /// Where operators find it, if anywhere.
    pub(super) admin: Option<Port>,
    /// Whether its commands need a token.
    pub(super) admin_token: bool,
    /// Who may log in; nobody has to if it is empty.
    pub(super) users: Vec<String>,
    /// `takeover_after`.
    pub(super) takeover_after_ms: Option<u64>,
    /// The largest frame.
    pub(super) max_frame_bytes: u64,
    /// Connections at most.
    pub(super) max_connections: u64,
    /// Files that its process may have open; 0 if not known.
    pub(super) max_open_files: u64,
    /// What the store keeps in reserve on a full disk.
    pub(super) reserve_bytes: u64,
    /// How far its clock is ahead of ours, in milliseconds.
    pub(super) clock_ahead_ms: Option<i64>,
    /// How wrong that may be.
    pub(super) clock_error_ms: u64,
    /// The highest epoch that it knows and its claim id.
    pub(super) claim: Option<(u64, String)>,
    /// Where keys were set: `broker.name` → `a.toml:3:8`.
    pub(super) lines: BTreeMap<String, String>,
}

/// A folder of a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Folder {
    /// Where it really is, or where it would be made.
    pub(super) path: PathBuf,
    /// Whether it exists; else what follows is of the nearest one above.
    pub(super) exists: bool,
    /// The number of the device.
    pub(super) device: u64,
    /// The number in the device.
    pub(super) inode: u64,
    /// What it is on.
    pub(super) mount: Mount,
    /// Room for what an unprivileged process writes.
    pub(super) free_bytes: u64,
    /// A part of the store that this user may not write.
    pub(super) foreign: Option<PathBuf>,
}

/// What was tried in a folder of the check's own; `None` and empty errors are good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Probe {
    /// Nothing could be tried.
    pub(super) denied: Option<String>,
    /// A second process got a lock that was held.
    pub(super) shares_lock: bool,
    /// Nobody gets a lock that was released, or there are no locks.
    pub(super) broken_lock: Option<String>,
    /// A second process made a file that existed, though it asked to be the first.
    pub(super) shares_creation: bool,
    /// A file can't be renamed over another, or is not found afterwards.
    pub(super) rename: Option<String>,
    /// Written data can't be synced.
    pub(super) sync: Option<String>,
    /// What was written is not what is read.
    pub(super) read: Option<String>,
    /// Half of the syncs took no longer.
    pub(super) sync_p50_micros: u64,
    /// The longest sync.
    pub(super) sync_max_micros: u64,
    /// The folder of the check stays.
    pub(super) left_behind: Option<String>,
}

/// A port to listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Port {
    /// As written.
    pub(super) url: String,
    /// Host, without brackets.
    pub(super) host: String,
    /// 0 for a free one.
    pub(super) port: u16,
    /// Whether only this machine reaches it.
    pub(super) loopback: bool,
    /// Why it can't be had.
    pub(super) trouble: Option<String>,
    /// Where it was set.
    pub(super) line: String,
}

impl Facts {
    /// Where a key was set.
    pub(super) fn line(&self, key: &str) -> String {
        match self.lines.get(key) {
            Some(place) => format!("{place} ({key})"),
            None => format!("{}: {key}", self.source),
        }
    }
}
