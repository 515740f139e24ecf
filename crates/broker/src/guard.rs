//! [`Guard`]: a lock beside the store, whose holder alone may claim it.

use std::fmt;
use std::path::PathBuf;

use ferromq_lock::{LockError, LockProvider, Timings};
use ferromq_lock_etcd::{EtcdLock, Target};
use ferromq_lock_postgres::PostgresLock;
use ferromq_lock_sqlite::SqliteLock;

use crate::{Database, Settings, StartError};

/// Where it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Guard {
    /// In etcd, which brokers on several hosts may share.
    Etcd {
        /// `http://user:password@host:port,http://host:port`.
        members: String,
        /// What its keys begin with.
        prefix: String,
    },
    /// In a SQLite database, for the brokers of one machine.
    Sqlite(PathBuf),
    /// In a PostgreSQL database, in a schema of its own.
    Postgres(Database),
}

/// As operators see it, without a login.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd { members, prefix } => {
                let plain =
                    members.split(',').map(|member| member.trim_start_matches("http://")).map(without_login);
                write!(f, "etcd on {}, prefix {prefix}", plain.collect::<Vec<_>>().join(","))
            }
            Self::Sqlite(path) => write!(f, "SQLite in {}", path.display()),
            Self::Postgres(Database { url, schema }) => {
                let address = url.split_once("://").map_or("", |(_, rest)| rest);
                let address = address.split('?').next().unwrap_or_default();
                write!(f, "PostgreSQL on {}, schema {schema}", without_login(address))
            }
        }
    }
}

fn without_login(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, address)| address)
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Guard {
    /// Whether only the brokers of this machine can have it: a file, or a service that is named as this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let loopback = |address: &str| {
            let host = address.split('/').next().unwrap_or_default();
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            host == "localhost" || host.starts_with("127.") || host == "[::1]"
        };
        match self {
            Self::Etcd { members, .. } => {
                members.split(',').all(|member| loopback(without_login(member.trim_start_matches("http://"))))
            }
            Self::Sqlite(_) => true,
            Self::Postgres(Database { url, .. }) => {
                let address = url.split_once("://").map_or("", |(_, rest)| rest);
                loopback(without_login(address.split('?').next().unwrap_or_default()))
            }
        }
    }

    /// For the node of that name, signed by `owner`. Nothing is connected yet.
    ///
    /// # Errors
    /// The address can't be used.
    pub(crate) fn provider(
        &self,
        node: &str,
        owner: String,
        timings: Timings,
    ) -> Result<Box<dyn LockProvider>, LockError> {
        Ok(match self {
            Self::Etcd { members, prefix } => {
                let target = Target::parse(members)?;
                Box::new(EtcdLock::new(target, prefix, node, timings)?.signed(owner))
            }
            Self::Sqlite(path) => Box::new(SqliteLock::new(path, node, timings)?.signed(owner)),
            Self::Postgres(Database { url, schema }) => {
                Box::new(PostgresLock::new(url, schema, node, timings)?.signed(owner))
            }
        })
    }
}

impl Settings {
    /// Asks the lock beside the store once who holds it, and changes nothing: it is there, and may be used. `None` if there
    /// is no such lock. Blocks, and not to be called within a runtime.
    ///
    /// # Errors
    /// [`StartError::Lock`], [`StartError::Timings`].
    pub fn try_guard(&self) -> Result<Option<&Guard>, StartError> {
        let Some(guard) = &self.guard else { return Ok(None) };
        let unusable = |error: LockError| StartError::Lock(error.to_string());
        let timings = crate::storage::timings(self)?;
        // Under a name that no node has: the check of a node is no second node of its name.
        let name = format!("{} (check {})", self.node_name(), std::process::id());
        let mut provider = guard.provider(&name, name.clone(), timings).map_err(unusable)?;
        provider.look().map_err(unusable)?;
        Ok(Some(guard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_shown_without_its_login() {
        let members = "http://me:s3c@ret@a:2379,http://b:2379".to_owned();
        let guard = Guard::Etcd { members, prefix: "shop".to_owned() };
        assert_eq!(guard.to_string(), "etcd on a:2379,b:2379, prefix shop");
        assert!(!guard.is_local());
        let url = "postgres://me:s3c@ret@db:5433/locks?sslmode=require".to_owned();
        let guard = Guard::Postgres(Database { url, schema: "shop".to_owned() });
        assert_eq!(format!("{guard:?}"), "PostgreSQL on db:5433/locks, schema shop");
        assert!(!guard.is_local());
        let url = "postgres://me:s3#cret@db/locks".to_owned();
        let guard = Guard::Postgres(Database { url, schema: "shop".to_owned() });
        assert_eq!(guard.to_string(), "PostgreSQL on db/locks, schema shop");
    }

    #[test]
    fn a_lock_of_this_machine_is_known_as_one() {
        let etcd = |members: &str| Guard::Etcd { members: members.to_owned(), prefix: "p".to_owned() };
        let postgres = |url: &str| Guard::Postgres(Database { url: url.to_owned(), schema: "p".to_owned() });
        for (guard, local) in [
            (etcd("http://me:x@127.0.0.1:2379"), true),
            (etcd("http://localhost:2379,http://[::1]:2379"), true),
            (etcd("http://127.0.0.1:2379,http://b:2379"), false),
            (postgres("postgres://me:127.0.0.1@db/locks"), false),
            (postgres("postgres://me@localhost:5432/locks?sslmode=disable"), true),
            (Guard::Sqlite("/lock.db".into()), true),
        ] {
            assert_eq!(guard.is_local(), local, "{guard}");
        }
    }
}
