//! `ferromq status`: who is master, and how a takeover would go.

use std::fmt::Write;
use std::io::Write as _;

use ferromq_proto::admin::{GetStatusRequest, Link, Role, Status, Stream, Takeover, WatchStatusRequest};
use serde_json::{Value, json};

use crate::counted::counted;
use crate::exit::{Exit, Failure, Outcome};
use crate::operator::{self, Target};

/// Whom to ask, and how to tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq status                              every node of this machine and user
  ferromq status http://10.0.0.7:8161 --json  one object a line, for scripts
  ferromq status tcp://127.0.0.1:61616        by the address that clients use
  ferromq status --follow                     again with every change

Exit codes: 0 one of them is active, 3 none is, 69 not reachable.")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Tell it again whenever it changes; one node only
    #[arg(long)]
    follow: bool,
}

/// Asks and tells.
pub(crate) fn run(args: Args) -> Outcome {
    let runtime = operator::runtime()?;
    runtime.block_on(async {
        if args.follow {
            return follow(&args.target.address()?, args.json).await;
        }
        let mut active = false;
        let mut unreachable = None;
        for address in args.target.addresses()? {
            match ask(&address).await {
                Ok(status) => {
                    active |= status.role() == Role::Active;
                    tell(&address, &status, args.json)?;
                }
                Err(failure) => unreachable = Some(failure),
            }
        }
        match unreachable {
            Some(failure) if !active => Err(failure),
            _ if active => Ok(()),
            _ => Err(Failure::new(Exit::NotActive, "")),
        }
    })
}

async fn ask(address: &str) -> Result<Status, Failure> {
    let mut admin = operator::connect(address).await?;
    let answer = admin.get_status(operator::question(GetStatusRequest {})).await;
    answer.map(tonic::Response::into_inner).map_err(|status| operator::refused(address, &status))
}

async fn follow(address: &str, json: bool) -> Outcome {
    let mut admin = operator::connect(address).await?;
    let refused = |status| operator::refused(address, &status);
    let mut changes = admin.watch_status(WatchStatusRequest {}).await.map_err(refused)?.into_inner();
    while let Some(status) = changes.message().await.map_err(refused)? {
        tell(address, &status, json)?;
    }
    Err(Failure::new(Exit::Unavailable, format!("{address}: the node ended")))
}

fn tell(address: &str, status: &Status, json: bool) -> Outcome {
    let text = if json { format!("{}\n", object(address, status)) } else { human(address, status) };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(Exit::Io, error))
}

const fn name(role: Role) -> &'static str {
    match role {
        Role::Standby => "standby",
        Role::Claiming => "claiming",
        Role::Active => "active",
        Role::Stopping => "stopping",
        Role::Unspecified => "unknown",
    }
}

/// For scripts; names are kept.
fn object(address: &str, status: &Status) -> Value {
    json!({
        "node": status.node,
        "role": name(status.role()),
        "master": status.master,
        "epoch": status.epoch,
        "claim": status.claim,
        "suspects": status.suspects,
        "in_role_ms": status.in_role_ms,
        "lag_bytes": status.lag_bytes,
        "expected_takeover_ms": status.expected_takeover_ms,
        "last_takeover": status.last_takeover.as_ref().map(|takeover| json!({
            "epoch": takeover.epoch,
            "claimed_ms": takeover.claimed_ms,
            "recovered_ms": takeover.recovered_ms,
            "listening_ms": takeover.listening_ms,
            "first_connection_ms": takeover.first_connection_ms,
            "first_reply_ms": takeover.first_reply_ms,
        })),
        "takeovers": status.takeovers,
        "step_downs": status.step_downs,
        "fence_failures": status.fence_failures,
        "connections": status.connections,
        "listeners": status.listeners,
        "links": status.links.iter().map(link).collect::<Vec<_>>(),
        "streams": status.streams.as_ref().map(|known| known.streams.iter().map(stream).collect::<Vec<_>>()),
        "store": status.store,
        "lock": status.lock,
        "version": status.version,
        "admin": address,
    })
}

fn link(link: &Link) -> Value {
    json!({
        "connector": link.connector,
        "remote": link.remote,
        "remote_broker": link.remote_broker,
        "mirror": link.mirror,
        "state": link.state,
        "up": link.up,
        "reason": link.reason,
        "in_state_ms": link.in_state_ms,
        "ends_in_ms": link.ends_in_ms,
        "failures": link.failures,
        "forwarded": link.forwarded,
        "refused": link.refused,
        "received": link.received,
        "in_flight": link.in_flight,
        "longest_wait_ms": link.longest_wait_ms,
        "forward_rate": link.forward_rate,
        "receive_rate": link.receive_rate,
        "consumers": link.consumers,
        "subscriptions": link.subscriptions,
        "suppressed": link.suppressed,
    })
}

fn stream(stream: &Stream) -> Value {
    json!({
        "name": stream.name,
        "linked": stream.linked,
        "under_way": stream.under_way,
        "held": stream.held,
        "without_room": stream.without_room,
    })
}

/// A link in a line: where to, how far it is and why, and what it does.
fn link_line(link: &Link) -> String {
    let broker = link.remote_broker.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let mirror = if link.mirror { ", back over its own link" } else { "" };
    let mut text = format!("{} to {}{broker}{mirror}: ", link.connector, link.remote);
    if link.up {
        let _ = write!(
            text,
            "up for {}, {} forwarded ({:.1}/s), {} received ({:.1}/s), {} in flight, {} there",
            lasted(link.in_state_ms),
            link.forwarded,
            link.forward_rate,
            link.received,
            link.receive_rate,
            link.in_flight,
            counted(link.consumers, "consumer"),
        );
        if link.longest_wait_ms >= 1_000 {
            let _ = write!(text, ", unanswered for {}", lasted(link.longest_wait_ms));
        }
        if link.refused > 0 {
            let _ = write!(text, ", {} refused", link.refused);
        }
    } else {
        let _ = write!(text, "NOT UP, {} for {}", link.state, lasted(link.in_state_ms));
        if link.failures > 0 {
            let _ = write!(text, ", {} failed", counted(link.failures, "attempt"));
        }
        if let Some(ms) = link.ends_in_ms.filter(|_| link.state == "waiting") {
            let _ = write!(text, ", again in {}", lasted(ms));
        }
        if let Some(reason) = &link.reason {
            let _ = write!(text, ": {reason}");
        }
    }
    text
}

/// For people. Writing into a string does not fail.
fn human(address: &str, status: &Status) -> String {
    let mut text = format!("{}: {} for {}", status.node, name(status.role()), lasted(status.in_role_ms));
    match (status.role(), &status.master) {
        (Role::Active, _) => {
            let _ = write!(text, ", epoch {}", status.epoch);
        }
        (_, Some(master)) => {
            let doubt = if status.suspects { ", which looks dead or stalled" } else { "" };
            let _ = write!(text, ", the master is {master} (epoch {}){doubt}", status.epoch);
        }
        (_, None) => text.push_str(", nobody is master"),
    }
    text.push('\n');
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<20}{value}");
        }
    };
    line("clients", status.listeners.join(" "));
    line("operators", address.to_owned());
    line("store", status.store.clone());
    line("lock", status.lock.clone().unwrap_or_default());
    line("connections", status.connections.to_string());
    line("lag", status.lag_bytes.map(|bytes| counted(bytes, "byte")).unwrap_or_default());
    line("expected takeover", status.expected_takeover_ms.map(|ms| format!("{ms} ms")).unwrap_or_default());
    line("last takeover", status.last_takeover.as_ref().map(moments).unwrap_or_default());
    let events = [
        counted(status.takeovers, "takeover"),
        counted(status.step_downs, "step-down"),
        counted(status.fence_failures, "fence failure"),
    ];
    line("since the start", events.join(", "));
    for link in &status.links {
        line("link", link_line(link));
    }
    for stream in status.streams.iter().flat_map(|known| &known.streams) {
        if !stream.without_room.is_empty() {
            let full = stream.without_room.join(", ");
            line(
                "full",
                format!("{full}: no room at the other end of {}, so their messages wait here", stream.name),
            );
        }
    }
    for stream in status.streams.iter().flat_map(|known| &known.streams).filter(|stream| stream.held > 0) {
        let (held, name) = (stream.held, &stream.name);
        line("held", format!("{held} messages that may be at the other end of {name}, until a link says so"));
    }
    line("version", status.version.clone());
    text
}

fn moments(takeover: &Takeover) -> String {
    let moments = [
        ("claimed", takeover.claimed_ms),
        ("recovered", takeover.recovered_ms),
        ("listening", takeover.listening_ms),
        ("first connection", takeover.first_connection_ms),
        ("first reply", takeover.first_reply_ms),
    ];
    let known: Vec<String> =
        moments.iter().filter_map(|(name, at)| at.map(|at| format!("{name} {at} ms"))).collect();
    format!("epoch {}: {}", takeover.epoch, known.join(", "))
}

fn lasted(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use ferromq_proto::admin::Streams;

    use super::*;

    fn status(role: Role) -> Status {
        Status {
            node: "b".to_owned(),
            role: role.into(),
            master: Some("a".to_owned()),
            epoch: 7,
            in_role_ms: 61_000,
            expected_takeover_ms: Some(380),
            ..Status::default()
        }
    }

    #[test]
    fn people_read_who_is_master_first() {
        let text = human("http://127.0.0.1:1", &status(Role::Standby));
        assert!(text.starts_with("b: standby for 61 s, the master is a (epoch 7)\n"), "{text}");
        assert!(text.contains("\n  expected takeover   380 ms\n"), "{text}");
        let mut active = status(Role::Active);
        active.last_takeover =
            Some(Takeover { epoch: 7, claimed_ms: Some(90), listening_ms: Some(143), ..Takeover::default() });
        let text = human("http://127.0.0.1:1", &active);
        assert!(text.starts_with("b: active for 61 s, epoch 7\n"), "{text}");
        assert!(text.contains("epoch 7: claimed 90 ms, listening 143 ms\n"), "{text}");
    }

    #[test]
    fn a_link_that_is_not_up_says_why() {
        let mut active = status(Role::Active);
        let (connector, remote) = ("east".to_owned(), "tcp://b:61616".to_owned());
        let down = Link {
            connector: connector.clone(),
            remote: remote.clone(),
            state: "waiting".to_owned(),
            reason: Some("connection refused".to_owned()),
            in_state_ms: 900,
            ends_in_ms: Some(4_000),
            failures: 3,
            ..Link::default()
        };
        let up = Link { connector, remote, up: true, forwarded: 7, in_flight: 2, ..Link::default() };
        active.links = vec![down, up];
        let text = human("http://127.0.0.1:1", &active);
        let told = "east to tcp://b:61616: NOT UP, waiting for 900 ms, 3 attempts failed, again in 4 s: connection refused";
        assert!(text.contains(told), "{text}");
        assert!(text.contains("up for 0 ms, 7 forwarded (0.0/s), 0 received (0.0/s), 2 in flight"), "{text}");
        let links = &object("http://127.0.0.1:1", &active)["links"];
        assert_eq!((&links[0]["up"], &links[1]["forwarded"]), (&json!(false), &json!(7)));
    }

    #[test]
    fn messages_that_nobody_gets_for_now_are_told_of() {
        let stream = |name: &str, linked, held| Stream {
            name: name.to_owned(),
            linked,
            under_way: 9,
            held,
            without_room: if linked {
                vec!["queue://a".to_owned(), "queue://b".to_owned()]
            } else {
                Vec::new()
            },
        };
        let mut active = status(Role::Active);
        let streams = vec![stream("a>b/east", true, 0), stream("a>c/west", false, 9)];
        active.streams = Some(Streams { streams });
        let text = human("http://127.0.0.1:1", &active);
        let told = "  held                9 messages that may be at the other end of a>c/west, until a link says so\n";
        assert!(text.contains(told), "{text}");
        let told = "  full                queue://a, queue://b: no room at the other end of a>b/east, so their messages wait here\n";
        assert!(text.contains(told), "{text}");
        let streams = &object("http://127.0.0.1:1", &active)["streams"];
        assert_eq!((&streams[0]["under_way"], &streams[1]["held"]), (&json!(9), &json!(9)));
        active.streams = None;
        assert_eq!(object("http://127.0.0.1:1", &active)["streams"], Value::Null);
    }

    #[test]
    fn scripts_read_the_same() {
        let object = object("http://127.0.0.1:1", &status(Role::Standby));
        assert_eq!((&object["role"], &object["epoch"]), (&json!("standby"), &json!(7)));
        assert_eq!((&object["last_takeover"], &object["lag_bytes"]), (&Value::Null, &Value::Null));
    }
}
