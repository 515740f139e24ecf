//! What is wrong with one node.

use super::{LEASE_PARTS, Report, SLOW_SYNC_MICROS, TAKEOVER_AFTER_MS};
use crate::check::facts::{Facts, Folder, Probe};
use crate::counted::counted;

/// Room that a journal needs for a start.
const LEAST_ROOM_BYTES: u64 = 128 << 20;

/// Open files beside connections: segments, checkpoints, claims, logs.
const OTHER_FILES: u64 = 256;

/// What each node has to have by itself; `shared` if others share its store.
pub(super) fn judge(facts: &Facts, shared: bool, report: &mut Report) {
    ports(facts, report);
    open_files(facts, report);
    if let Some(trouble) = &facts.lock_trouble {
        let remedy = "start the service, check the address and the login, or remove lock.uri";
        report.refuse("lock service", trouble.as_str(), facts.line("lock.uri"), remedy);
    }
    if shared {
        sharing(facts, report);
    }
    let Some(folder) = &facts.folder else { return };
    if facts.store == "memory" {
        return;
    }
    rights(facts, folder, report);
    mount(facts, folder, shared, report);
    if let Some(probe) = &facts.probe {
        tried(facts, folder, probe, report);
    }
}

fn ports(facts: &Facts, report: &mut Report) {
    for port in facts.listeners.iter().chain(&facts.admin) {
        if let Some(trouble) = &port.trouble {
            let remedy = "stop what listens there (`ss -ltnp` names it), or choose another port";
            report.refuse(
                "ports",
                format!("{} can't be had: {trouble}", port.url),
                port.line.as_str(),
                remedy,
            );
        }
    }
    if facts.running {
        return;
    }
    for port in facts.listeners.iter().filter(|port| !port.loopback && facts.users.is_empty()) {
        let reason = format!("{} lets everybody on the network in without a login", port.url);
        report.warn("logins", reason, port.line.as_str(), "add [[user]] tables, or listen on 127.0.0.1");
    }
    if let Some(admin) = facts.admin.as_ref().filter(|admin| !admin.loopback && facts.admin_token) {
        let reason = format!("commands at {} carry the admin token in plain text", admin.url);
        let remedy =
            "keep that port in a network that you trust, or listen on 127.0.0.1 and come through SSH";
        report.warn("logins", reason, admin.line.as_str(), remedy);
    }
}

fn open_files(facts: &Facts, report: &mut Report) {
    let needed = facts.max_connections.saturating_add(OTHER_FILES);
    if facts.max_open_files > 0 && facts.max_open_files < needed {
        let reason = format!(
            "{} may be open, {needed} are needed for all connections",
            counted(facts.max_open_files, "file")
        );
        let remedy = format!("set LimitNOFILE={needed} in the unit, `ulimit -n`, or lower max_connections");
        report.warn("open files", reason, facts.line("limits.max_connections"), remedy);
    }
}

fn sharing(facts: &Facts, report: &mut Report) {
    let line = facts.line("store.kind");
    if facts.store == "memory" {
        let remedy = "set store.kind = \"journal\" and the same broker.data_dir everywhere";
        report.refuse(
            "store kind",
            format!("{} keeps nothing that a standby could take over", facts.node),
            line,
            remedy,
        );
    }
    if facts.store == "journal" && facts.sync != "always" && !facts.sync.is_empty() {
        let reason =
            format!("sync is {}: a takeover after a power cut may miss what was acknowledged", facts.sync);
        report.warn("durability", reason, facts.line("store.sync"), "set store.sync = \"always\"");
    }
    if facts.data.is_relative() && !facts.running && !matches!(facts.store.as_str(), "memory" | "postgres") {
        let reason = format!("{} depends on where {} is started", facts.data.display(), facts.node);
        report.warn("folder", reason, facts.line("broker.data_dir"), "write the whole path");
    }
}

fn rights(facts: &Facts, folder: &Folder, report: &mut Report) {
    let line = facts.line("broker.data_dir");
    if let Some(foreign) = &folder.foreign {
        let reason = format!("{} can't be written by this user", foreign.display());
        let remedy = format!("run all nodes as one user, or: chown -R USER {}", folder.path.display());
        report.refuse("rights", reason, line.as_str(), remedy);
    }
    if let Some(denied) = facts.probe.as_ref().and_then(|probe| probe.denied.as_ref()) {
        let reason = format!("nothing can be written in {}: {denied}", folder.path.display());
        let remedy = "give the user of the broker the folder, or run this as that user";
        report.refuse("rights", reason, line.as_str(), remedy);
    }
    if folder.free_bytes < facts.reserve_bytes.saturating_add(LEAST_ROOM_BYTES) {
        let reason = format!("{} has {} MiB free", folder.path.display(), folder.free_bytes >> 20);
        let remedy = "make room; new messages are refused when only the reserve is left";
        report.warn("free space", reason, facts.line("store.reserve_bytes"), remedy);
    }
    if !folder.exists {
        let reason = format!(
            "{} does not exist; it would be made, and {} was tried instead",
            facts.data.display(),
            folder.path.display()
        );
        report.warn("folder", reason, line, "is the shared file system mounted? if so, make the folder once");
    }
}

fn mount(facts: &Facts, folder: &Folder, shared: bool, report: &mut Report) {
    let (mount, line) = (&folder.mount, facts.line("broker.data_dir"));
    let at = format!("{} ({} on {})", mount.point.display(), mount.kind, mount.source);
    if mount.has("ro") {
        report.refuse("mount options", format!("{at} is read only"), line.as_str(), "mount it rw");
    }
    if matches!(mount.kind.as_str(), "tmpfs" | "ramfs") && facts.store != "memory" {
        let reason = format!("{at} is memory: all messages are gone when the machine ends");
        report.warn("file system", reason, line.as_str(), "put broker.data_dir on a disk");
    }
    let network = mount.is_nfs()
        || matches!(mount.kind.as_str(), "cifs" | "smb3" | "9p")
        || mount.kind.starts_with("fuse");
    if facts.store == "sqlite" && network {
        let reason = format!("{at}: SQLite's locks are not safe on a network file system");
        report.refuse("file system", reason, line.as_str(), "use store.kind = \"journal\"");
    }
    if shared && network && !mount.is_nfs() {
        let reason =
            format!("{at}: nobody has shown that its locks, creations and syncs hold between machines");
        report.warn(
            "file system",
            reason,
            line.as_str(),
            "use NFS 4.1 or 4.2, or run this check on each machine",
        );
    }
    if mount.is_nfs() {
        nfs(facts, folder, &at, &line, report);
    }
}

fn nfs(facts: &Facts, folder: &Folder, at: &str, line: &str, report: &mut Report) {
    let mount = &folder.mount;
    let version = mount.value("vers").or_else(|| mount.value("nfsvers")).unwrap_or("3");
    if version.starts_with('2') {
        let reason = format!("{at} is NFS {version}, which knows no exclusive creation");
        report.refuse("file system", reason, line, "mount it with vers=4.2");
    } else if version.starts_with('3') {
        let reason = format!("{at} is NFS 3: locks need a daemon, and outlive a machine that died");
        report.warn("file system", reason, line, "mount it with vers=4.2");
    }
    let local = mount.value("local_lock").is_some_and(|local| matches!(local, "all" | "flock"));
    if mount.has("nolock") || local {
        let reason = format!("{at} keeps locks within one machine (nolock or local_lock)");
        report.refuse("mount options", reason, line, "mount it with local_lock=none, without nolock");
    }
    if mount.has("nocto") {
        let reason = format!("{at} does not look again when a file is opened (nocto)");
        report.refuse("mount options", reason, line, "mount it without nocto");
    }
    if mount.has("soft") {
        let reason = format!("{at} gives up on a slow server (soft); the broker then steps down");
        report.warn("mount options", reason, line, "mount it hard; the lease bounds how long a node waits");
    }
    let timeout = mount.value("timeo").and_then(|tenths| tenths.parse::<u64>().ok());
    let lease = facts.takeover_after_ms.unwrap_or(TAKEOVER_AFTER_MS) * 7 / 10;
    if mount.value("proto") == Some("udp") && timeout.is_some_and(|tenths| tenths * 100 > lease) {
        let reason =
            format!("{at} repeats a lost packet later than the lease of {lease} ms ends (timeo over UDP)");
        report.warn("mount options", reason, line, "mount it with proto=tcp");
    }
}

fn tried(facts: &Facts, folder: &Folder, probe: &Probe, report: &mut Report) {
    let (line, at) = (facts.line("broker.data_dir"), folder.path.display().to_string());
    if probe.shares_lock {
        let reason = format!("two processes had the same lock in {at} at once");
        let remedy = "use a file system with working locks: a local one, or NFS 4 with local_lock=none";
        report.refuse("lock excludes", reason, line.as_str(), remedy);
    }
    if let Some(why) = &probe.broken_lock {
        let remedy = "use a file system with working locks; on NFS 3 start rpc.statd and lockd";
        report.refuse("lock excludes", format!("locks don't work in {at}: {why}"), line.as_str(), remedy);
    }
    if probe.shares_creation {
        let reason = format!("two processes made the same file in {at}, each as the first");
        let remedy = "no epoch can be claimed on such a file system; use another one";
        report.refuse("exclusive creation", reason, line.as_str(), remedy);
    }
    if let Some(why) = &probe.rename {
        let remedy = "use a file system with POSIX rename";
        report.refuse("rename", format!("renaming does not work in {at}: {why}"), line.as_str(), remedy);
    }
    if let Some(why) = probe.sync.as_ref().or(probe.read.as_ref()) {
        let remedy = "look at the disk and the kernel's log; nothing may be acknowledged on it";
        report.refuse("sync", format!("syncing does not work in {at}: {why}"), line.as_str(), remedy);
    }
    if let Some(path) = &probe.left_behind {
        report.warn("folder", format!("the folder of this check stays in {at}: {path}"), "", "remove it");
    }
    let lease_micros = facts.takeover_after_ms.unwrap_or(TAKEOVER_AFTER_MS).saturating_mul(700);
    let (half, most) = (probe.sync_p50_micros, probe.sync_max_micros);
    let least_ms = half.saturating_mul(LEASE_PARTS).div_ceil(700);
    if half.saturating_mul(LEASE_PARTS) > lease_micros {
        let reason = format!(
            "half of the syncs in {at} take {half} µs or more; a lease of {} ms can't be kept",
            lease_micros / 1_000
        );
        let remedy = format!("set broker.takeover_after_ms to {least_ms} or more, or use a faster disk");
        report.refuse("sync latency", reason, facts.line("broker.takeover_after_ms"), remedy);
    } else if half > SLOW_SYNC_MICROS || most > lease_micros / 2 {
        let reason =
            format!("syncs in {at} are slow: half take {half} µs or more, the longest took {most} µs");
        report.warn("sync latency", reason, line, "expect few persistent messages a second for each producer; a disk with a protected write cache helps");
    }
}
