//! `[lock]`: a lock beside the store, whose holder alone may become the master.

use std::fmt;
use std::path::PathBuf;

use super::Secret;
use crate::reader::Reader;

/// A lock beside the store, if there is one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lock {
    /// `uri`: where it is; `None` for the claims of the store alone.
    pub uri: Option<LockPlace>,
    /// `schema`: where it is in a PostgreSQL database.
    pub schema: String,
}

/// Where a lock is. Whoever reads it knows every kind, so this is exhaustive.
#[derive(Clone, PartialEq, Eq)]
pub enum LockPlace {
    /// `etcd://user:password@host:port,host:port/prefix`.
    Etcd {
        /// `http://user:password@host:port,http://host:port`.
        members: Secret,
        /// What its keys begin with.
        prefix: String,
    },
    /// `sqlite:PATH`: of the brokers of one machine.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`.
    Postgres(Secret),
}

/// Without passwords.
impl fmt::Debug for LockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd { prefix, .. } => write!(f, "etcd, prefix {prefix}"),
            Self::Sqlite(path) => write!(f, "SQLite in {}", path.display()),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}

const MAX_MEMBERS: usize = 16;
const MAX_PREFIX_BYTES: usize = 256;

impl Lock {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("lock");
        let uri = section.secret_url("uri");
        let schema =
            section.text("schema", "ferromq_guard", super::store::SCHEMA_EXPECTED, super::store::is_schema);
        section.finish();
        let uri = uri.and_then(|uri| match place(&uri) {
            Ok(place) => Some(place),
            Err((problem, remedy)) => {
                let source = reader.source("lock.uri");
                reader.error(&source, problem, remedy);
                None
            }
        });
        Self { uri, schema }
    }
}

/// What a URI names; else what is wrong with it, and what to write. Nothing of it is repeated: a password may stand in it.
fn place(uri: &str) -> Result<LockPlace, (&'static str, &'static str)> {
    if let Some(path) = uri.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path.trim() {
            "" => Err(("lock.uri names no file", "write sqlite:/var/lib/ferromq/lock.db")),
            _ => Ok(LockPlace::Sqlite(PathBuf::from(path))),
        };
    }
    if uri.starts_with("postgres://") || uri.starts_with("postgresql://") {
        return Ok(LockPlace::Postgres(Secret::new(uri.to_owned())));
    }
    let Some(rest) = uri.strip_prefix("etcd://") else {
        return Err((
            "lock.uri begins with none of etcd://, postgres:// and sqlite:",
            "write etcd://host:2379/prefix, postgres://user:password@host/database or sqlite:PATH",
        ));
    };
    let (members, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || prefix.contains(['?', '#', ' ']) {
        return Err((
            "lock.uri names no prefix",
            "give each group of brokers a prefix of its own: etcd://host:2379/prefix",
        ));
    }
    let members: Vec<&str> = members.split(',').collect();
    // The login stands before the first one; a password may have an @.
    let address = |member: &&str| {
        let address = member.rsplit_once('@').map_or(*member, |(_, address)| address);
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    if members.len() > MAX_MEMBERS || !members.iter().all(address) {
        return Err((
            "lock.uri names no members of etcd",
            "write etcd://host:2379/prefix, or up to 16 of them with commas between: etcd://a:2379,b:2379/prefix",
        ));
    }
    let login = |member: &str| member.rsplit_once('@').map(|(login, _)| login.to_owned());
    let later = members.iter().skip(1).any(|member| login(member).is_some());
    let first = members.first().and_then(|member| login(member));
    if later || first.is_some_and(|login| !login.contains(':')) {
        return Err((
            "a login in lock.uri is user:password, and stands before the first member alone",
            "write etcd://user:password@a:2379,b:2379/prefix",
        ));
    }
    let members: Vec<String> = members.iter().map(|member| format!("http://{member}")).collect();
    Ok(LockPlace::Etcd { members: Secret::new(members.join(",")), prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_lock_is_read() {
        let etcd = |members: &str, prefix: &str| LockPlace::Etcd {
            members: Secret::new(members.to_owned()),
            prefix: prefix.to_owned(),
        };
        for (uri, expected) in [
            ("etcd://h:2379/shop", etcd("http://h:2379", "shop")),
            ("etcd://me:p@ss@a:1,b:2/shop/orders/", etcd("http://me:p@ss@a:1,http://b:2", "shop/orders")),
            ("sqlite:/var/lock.db", LockPlace::Sqlite("/var/lock.db".into())),
            ("sqlite:///var/lock.db", LockPlace::Sqlite("/var/lock.db".into())),
            ("sqlite:lock.db", LockPlace::Sqlite("lock.db".into())),
            ("postgres://u:p@h/d", LockPlace::Postgres(Secret::new("postgres://u:p@h/d".to_owned()))),
        ] {
            assert_eq!(place(uri), Ok(expected), "{uri}");
        }
    }

    #[test]
    fn what_is_no_lock_is_refused_with_the_remedy() {
        for (uri, remedy) in [
            ("", "etcd://host:2379/prefix"),
            ("http://h:2379", "etcd://host:2379/prefix"),
            ("etcd://h:2379", "a prefix of its own"),
            ("etcd://h:2379/", "a prefix of its own"),
            ("etcd://h/p", "with commas between"),
            ("etcd://h:0/p", "with commas between"),
            ("etcd:///p", "with commas between"),
            ("etcd://a:1,,b:1/p", "with commas between"),
            ("etcd://me@h:1/p", "user:password@"),
            ("etcd://h:1,me:x@b:1/p", "user:password@"),
            ("sqlite:", "sqlite:/var"),
        ] {
            let (problem, told) = place(uri).unwrap_err();
            assert!(told.contains(remedy), "{uri}: {problem}; {told}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for uri in ["etcd://me:s3cret@h:2379/p", "postgres://me:s3cret@h/d"] {
            let shown = format!("{:?}", place(uri));
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
