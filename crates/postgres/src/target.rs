//! [`Target`]: a `postgres://` URL, taken apart.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::PgError;

/// How the server's certificate is looked at, as libpq's `sslmode` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// `prefer`, `require`: encrypted, whoever it is.
    Anybody,
    /// `verify-ca`: signed by somebody we know.
    Signed,
    /// `verify-full`: signed, and for this host.
    Host,
}

/// Where a database is, and how the way to it is protected.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) root: Option<PathBuf>,
    shown: String,
}

impl Target {
    /// Takes `postgres://user:password@host:port/database?options` apart; `sslmode` (`disable`, `prefer`, `require`,
    /// `verify-ca`, `verify-full`) and `sslrootcert` mean what they mean to `psql`.
    ///
    /// # Errors
    /// [`PgError::Url`].
    pub fn parse(url: &str) -> Result<Self, PgError> {
        let scheme = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if !scheme {
            return Err(PgError::Url("it does not begin with postgres://".to_owned()));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root, mut others) = ("prefer", None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => root = Some(PathBuf::from(value)),
                _ => others.push(pair),
            }
        }
        let (ssl, trust) = match mode {
            "disable" => (SslMode::Disable, Trust::Anybody),
            "prefer" => (SslMode::Prefer, Trust::Anybody),
            // As libpq: who names a root wants it to be used.
            "require" if root.is_some() => (SslMode::Require, Trust::Signed),
            "require" => (SslMode::Require, Trust::Anybody),
            "verify-ca" => (SslMode::Require, Trust::Signed),
            "verify-full" => (SslMode::Require, Trust::Host),
            other => {
                return Err(PgError::Url(format!(
                    "sslmode={other} is not one of disable, prefer, require, verify-ca, verify-full"
                )));
            }
        };
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        // The library's text may repeat the URL with its password, so only the cause behind it is told.
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            use std::error::Error;
            PgError::Url(error.source().map_or_else(|| "it can't be read".to_owned(), ToString::to_string))
        })?;
        if config.get_hosts().is_empty() {
            return Err(PgError::Url("it names no host".to_owned()));
        }
        config.ssl_mode(ssl);
        let named = |option: &str| others.iter().any(|pair| pair.starts_with(option));
        if !named("keepalives") {
            config.keepalives_idle(Duration::from_secs(5)).keepalives_interval(Duration::from_secs(2));
            config.keepalives_retries(3);
        }
        if !named("tcp_user_timeout") {
            config.tcp_user_timeout(Duration::from_secs(10));
        }
        let shown = shown(&config);
        Ok(Self { config, trust, root, shown })
    }

    /// `host:port/database`, for texts.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(place, host)| {
        let ports = config.get_ports();
        let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{}/{database}", hosts.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let target = Target::parse("postgres://me:secret@db.example:5433/mq?sslmode=verify-full").unwrap();
        assert_eq!(target.shown(), "postgres://db.example:5433/mq");
        assert_eq!(target.trust, Trust::Host);
        assert!(!format!("{:?}", target.config).contains("secret"));
    }

    #[test]
    fn what_can_not_be_used_is_told_without_the_password() {
        for (url, part) in [
            ("mysql://me:secret@db/mq", "postgres://"),
            ("postgres://me:secret@db/mq?sslmode=maybe", "sslmode=maybe"),
            ("postgres://me:secret@db/mq?colour=red", "colour"),
            ("postgres://me:secret@db:port/mq", "port"),
            ("postgres:///mq", "no host"),
        ] {
            let text = Target::parse(url).unwrap_err().to_string();
            assert!(text.contains(part) && !text.contains("secret"), "{url}: {text}");
        }
    }
}
