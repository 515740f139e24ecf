//! What is wrong between nodes that are meant to share a store.

use std::collections::BTreeMap;

use super::{CLOCK_SLACK_MS, Report};
use crate::check::facts::{Facts, Folder};

/// What nodes have to have in common, and what not. The first one is compared with each of the others.
pub(super) fn judge(nodes: &[&Facts], report: &mut Report) {
    names(nodes, report);
    same_port(nodes, report);
    let Some((own, peers)) = nodes.split_first() else { return };
    for peer in peers {
        store(own, peer, report);
        lock(own, peer, report);
        timings(own, peer, report);
        logins(own, peer, report);
        clock(peer, report);
        if !own.version.is_empty() && !peer.version.is_empty() && own.version != peer.version {
            let reason =
                format!("{} is version {}, {} is {}", own.node, own.version, peer.node, peer.version);
            let remedy = "fine while you upgrade one after the other; bring both to one version then";
            report.warn("versions", reason, "", remedy);
        }
    }
    reachable(nodes, report);
}

fn names(nodes: &[&Facts], report: &mut Report) {
    let mut seen: BTreeMap<&str, &Facts> = BTreeMap::new();
    for facts in nodes {
        if let Some(other) = seen.insert(&facts.node, facts) {
            let reason = format!("'{}' is the name of {} and of {}", facts.node, other.source, facts.source);
            let remedy = "give each node a broker.name (--name) of its own";
            report.refuse("node names", reason, facts.line("broker.name"), remedy);
        }
    }
}

fn same_machine(one: &Facts, other: &Facts) -> Option<bool> {
    (!one.machine.is_empty() && !other.machine.is_empty()).then(|| one.machine == other.machine)
}

fn same_port(nodes: &[&Facts], report: &mut Report) {
    for (index, one) in nodes.iter().enumerate() {
        for other in nodes.iter().skip(index + 1) {
            if same_machine(one, other) != Some(true) {
                continue;
            }
            let ports =
                |facts: &Facts| facts.listeners.iter().chain(&facts.admin).cloned().collect::<Vec<_>>();
            for port in ports(one) {
                let twin = ports(other).into_iter().find(|twin| twin.port == port.port && port.port != 0);
                if let Some(twin) = twin.filter(|twin| overlap(&twin.host, &port.host)) {
                    let reason = format!("{} and {} both want {}", one.node, other.node, twin.url);
                    report.refuse("ports", reason, twin.line, "give each node of a machine ports of its own");
                }
            }
        }
    }
}

fn overlap(one: &str, other: &str) -> bool {
    let any = |host: &str| matches!(host, "0.0.0.0" | "::" | "");
    let local = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    one == other || any(one) || any(other) || (local(one) && local(other))
}

fn store(own: &Facts, peer: &Facts, report: &mut Report) {
    if !own.store.is_empty() && !peer.store.is_empty() && own.store != peer.store {
        let reason =
            format!("{} keeps messages in a {}, {} in a {}", own.node, own.store, peer.node, peer.store);
        report.refuse(
            "store kind",
            reason,
            peer.line("store.kind"),
            "write the same store.kind for each node",
        );
        return;
    }
    // What the URLs say; whether two names are one server, nobody knows who does not ask it.
    let known = !own.data.as_os_str().is_empty() && !peer.data.as_os_str().is_empty();
    if own.store == "postgres" && known && own.data != peer.data {
        let (ours, theirs) = (own.data.display(), peer.data.display());
        let reason = format!("{} and {} use different databases: {ours} and {theirs}", own.node, peer.node);
        report.refuse("one store", reason, peer.line("store.url"), "write the same store.url for each node");
        return;
    }
    if let (Some(one), Some(other)) = (&own.folder, &peer.folder) {
        let remedy = "write the same broker.data_dir, on a file system that all machines mount";
        if let Some(reason) = apart(own, one, peer, other) {
            report.refuse("one store", reason, peer.line("broker.data_dir"), remedy);
        }
        return;
    }
    // One of them runs and tells its claim: that is a store's identity as good as any.
    match (&own.claim, &peer.claim) {
        (Some((one, ours)), Some((other, theirs))) if one == other && ours != theirs => {
            let reason =
                format!("epoch {one} of {} and of {} are different claims: two stores", own.node, peer.node);
            let remedy = "write the same broker.data_dir (or database) for both";
            report.refuse("one store", reason, own.line("broker.data_dir"), remedy);
        }
        (Some((one, _)), Some((other, _))) if one.abs_diff(*other) > 1 => {
            let reason = format!("{} knows epoch {one}, {} knows epoch {other}", own.node, peer.node);
            let remedy =
                "compare broker.data_dir of both: these are different stores, or one of them is an old copy";
            report.refuse("one store", reason, own.line("broker.data_dir"), remedy);
        }
        (None, Some((other, _))) if *other > 0 => {
            let reason = format!(
                "{} serves epoch {other}, and the folder of {} was never claimed",
                peer.node, own.node
            );
            let remedy = "write the folder of the running node as broker.data_dir";
            report.refuse("one store", reason, own.line("broker.data_dir"), remedy);
        }
        _ => {}
    }
}

/// Whoever wins the lock of the one is kept from the store by whoever holds the lock of the other, for ever.
fn lock(own: &Facts, peer: &Facts, report: &mut Report) {
    let named = |facts: &Facts| if facts.lock.is_empty() { "none".to_owned() } else { facts.lock.clone() };
    let remedy = "write the same lock.uri for each node of a store, and for no other store";
    if !is_one_lock(&own.lock, &peer.lock) {
        let reason = format!(
            "the lock beside the store is {} for {}, and {} for {}",
            named(own),
            own.node,
            named(peer),
            peer.node
        );
        report.refuse("one lock", reason, peer.line("lock.uri"), remedy);
    } else if same_machine(own, peer) == Some(false) && own.lock_is_local {
        let reason = format!(
            "{} and {} are on two machines, and each would use a lock of its own: {}",
            own.node, peer.node, own.lock
        );
        let remedy = "name a service that both machines reach, by an address that is the same for both";
        report.refuse("one lock", reason, peer.line("lock.uri"), remedy);
    }
}

/// The members of one etcd may be written in any order, and not all of them.
fn is_one_lock(one: &str, other: &str) -> bool {
    let etcd = |lock: &str| {
        let (members, prefix) = lock.strip_prefix("etcd on ")?.split_once(", prefix ")?;
        Some((members.split(',').map(str::to_owned).collect::<Vec<_>>(), prefix.to_owned()))
    };
    match (etcd(one), etcd(other)) {
        (Some((some, prefix)), Some((others, same))) => {
            prefix == same && some.iter().any(|member| others.contains(member))
        }
        _ => one == other,
    }
}

/// Why two folders are not one.
fn apart(own: &Facts, one: &Folder, peer: &Facts, other: &Folder) -> Option<String> {
    let names = format!("{} and {}", own.node, peer.node);
    let (ours, theirs) = (one.path.display(), other.path.display());
    if same_machine(own, peer) == Some(true) {
        let same = if one.exists && other.exists {
            (one.device, one.inode) == (other.device, other.inode)
        } else {
            own.data == peer.data && one.path == other.path
        };
        return (!same).then(|| {
            format!("{names} use different folders: {} and {}", own.data.display(), peer.data.display())
        });
    }
    same_machine(own, peer)?;
    let local = |folder: &Folder| {
        folder.mount.source.starts_with("/dev/") || matches!(folder.mount.kind.as_str(), "tmpfs" | "overlay")
    };
    let cluster = |folder: &Folder| matches!(folder.mount.kind.as_str(), "gfs2" | "ocfs2");
    if local(one) && local(other) && !(cluster(one) && cluster(other)) {
        return Some(format!(
            "{names} are on two machines, and {ours} ({}) and {theirs} ({}) are disks of their own",
            one.mount.kind, other.mount.kind
        ));
    }
    let place = |folder: &Folder| {
        let inside = folder.path.strip_prefix(&folder.mount.point).unwrap_or(&folder.path).to_owned();
        (folder.mount.source.clone(), folder.mount.root.clone(), inside)
    };
    if place(one) != place(other) {
        return Some(format!(
            "{names} use different folders: {} at {ours} and {} at {theirs}",
            one.mount.source, other.mount.source
        ));
    }
    None
}

fn timings(own: &Facts, peer: &Facts, report: &mut Report) {
    if let (Some(one), Some(other)) = (own.takeover_after_ms, peer.takeover_after_ms)
        && one != other
    {
        let reason = format!("takeover_after_ms is {one} on {} and {other} on {}", own.node, peer.node);
        let remedy = "write the same for each node: a standby must wait longer than the master's lease lasts";
        report.refuse("timings", reason, peer.line("broker.takeover_after_ms"), remedy);
    }
    if own.max_frame_bytes != peer.max_frame_bytes && own.max_frame_bytes > 0 && peer.max_frame_bytes > 0 {
        let reason = format!(
            "max_frame_bytes is {} on {} and {} on {}: a message that one takes the other refuses",
            own.max_frame_bytes, own.node, peer.max_frame_bytes, peer.node
        );
        report.warn("limits", reason, peer.line("limits.max_frame_bytes"), "write the same for each node");
    }
}

fn logins(own: &Facts, peer: &Facts, report: &mut Report) {
    if own.running || peer.running {
        return;
    }
    let missing = |here: &Facts, there: &Facts| {
        there.users.iter().filter(|user| !here.users.contains(user)).cloned().collect::<Vec<_>>()
    };
    for (here, there) in [(own, peer), (peer, own)] {
        let missing = missing(here, there);
        if !missing.is_empty() {
            let reason = format!(
                "{} knows {}, {} does not: those clients are refused after a takeover",
                there.node,
                missing.join(", "),
                here.node
            );
            report.refuse(
                "same logins",
                reason,
                here.line("user"),
                "write the same [[user]] tables for each node",
            );
        }
    }
}

fn clock(peer: &Facts, report: &mut Report) {
    let Some(ahead) = peer.clock_ahead_ms else { return };
    if ahead.unsigned_abs() > CLOCK_SLACK_MS.saturating_add(peer.clock_error_ms) {
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let reason = format!(
            "the clock of {} is {} ms {side} ours; who is master does not depend on it, but messages expire by it",
            peer.node,
            ahead.unsigned_abs()
        );
        report.warn(
            "clocks",
            reason,
            "",
            "synchronise the clocks of all machines (chrony, systemd-timesyncd)",
        );
    }
}

/// Nodes on several machines have to be reachable for clients of all of them.
fn reachable(nodes: &[&Facts], report: &mut Report) {
    let several =
        nodes.windows(2).any(|two| matches!(two, [one, other] if same_machine(one, other) == Some(false)));
    for facts in nodes.iter().filter(|_| several) {
        if !facts.listeners.is_empty() && facts.listeners.iter().all(|port| port.loopback) {
            let reason = format!(
                "{} listens on loopback only; clients of other machines can't follow a takeover to it",
                facts.node
            );
            let line = facts.listeners.first().map(|port| port.line.clone()).unwrap_or_default();
            report.warn("ports", reason, line, "listen on an address of the network");
        }
    }
}
