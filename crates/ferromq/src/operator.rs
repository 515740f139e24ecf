//! How the operator's verbs reach nodes: by admin address, client address, folder, or all of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ferromq_proto::admin::admin_client::AdminClient;
use ferromq_proto::admin::{GetStatusRequest, Role};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::exit::{Exit, Failure};
use crate::whereabouts::{self, Whereabouts};

/// How long a node may take to accept and to answer; commands have their own bounds on top.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which node.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// http://HOST:PORT of its admin port, or unix:PATH of its admin socket; or, for nodes of this machine and user,
    /// where clients find it (tcp://HOST:PORT), its folder, or its name
    #[arg(value_name = "NODE")]
    node: Option<String>,
}

/// What lets commands in where a token is configured.
#[derive(Debug, clap::Args)]
pub(crate) struct Credential {
    /// The admin token of the node
    #[arg(long, value_name = "TOKEN", env = "FERROMQ_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Target {
    /// The admin addresses of every node that is meant; at least one.
    pub(crate) fn addresses(&self) -> Result<Vec<String>, Failure> {
        if let Some(node) = &self.node
            && ["http://", "grpc://", "unix:"].iter().any(|scheme| node.starts_with(scheme))
        {
            return Ok(vec![node.replacen("grpc://", "http://", 1)]);
        }
        let all = whereabouts::all().map_err(|error| Failure::new(Exit::Io, error))?;
        let wanted: Vec<String> =
            all.iter().filter(|at| meant(self.node.as_deref(), at)).map(|at| at.admin.clone()).collect();
        if !wanted.is_empty() {
            return Ok(wanted);
        }
        let what = self.node.as_deref().map_or_else(String::new, |node| format!(" at {node}"));
        let remedy = "start one, or name the admin port of a node elsewhere: http://HOST:PORT";
        Err(Failure::new(Exit::Unavailable, format!("no node of this machine and user runs{what}; {remedy}")))
    }

    /// The admin address of the active one among the nodes that are meant.
    pub(crate) async fn active(&self) -> Result<String, Failure> {
        let addresses = self.addresses()?;
        if let [one] = &addresses[..] {
            return Ok(one.clone());
        }
        let mut found = Vec::new();
        for address in addresses {
            let Ok(mut admin) = connect(&address).await else { continue };
            let status = admin.get_status(question(GetStatusRequest {})).await;
            if status.is_ok_and(|status| status.into_inner().role() == Role::Active) {
                found.push(address);
            }
        }
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (None, _) => Err(Failure::new(Exit::NotActive, "none of the nodes that are meant is active")),
            (Some(_), _) => {
                let text = "several active nodes of different stores are meant; name one, `ferromq status` lists them";
                Err(Failure::new(Exit::Usage, text))
            }
        }
    }

    /// The admin address of the one node that is meant.
    pub(crate) fn address(&self) -> Result<String, Failure> {
        let mut addresses = self.addresses()?;
        match (addresses.pop(), addresses.len()) {
            (Some(one), 0) => Ok(one),
            (_, others) => {
                let text =
                    format!("{} nodes are meant; name one of them, `ferromq status` lists them", others + 1);
                Err(Failure::new(Exit::Usage, text))
            }
        }
    }
}

/// Whether a node is the one that was named, if one was.
fn meant(named: Option<&str>, at: &Whereabouts) -> bool {
    let Some(named) = named else { return true };
    let bare = |url: &str| url.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned();
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    at.node == named
        || at
            .listeners
            .iter()
            .any(|listener| bare(listener) == bare(named).replacen("://localhost:", "://127.0.0.1:", 1))
        || at.data.as_deref().is_some_and(|data| real(data) == real(Path::new(named)))
}

/// One thread is enough to wait with.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Unavailable, error))
}

/// Calls a node's admin service.
pub(crate) async fn connect(address: &str) -> Result<AdminClient<Channel>, Failure> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| {
        Failure::new(Exit::Usage, format!("{address} is no address; write http://HOST:PORT, or unix:PATH"))
    })?;
    let channel = endpoint.connect_timeout(PATIENCE).connect().await.map_err(|error| {
        let source = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Failure::new(Exit::Unavailable, format!("{address} can't be reached: {source}; is the node running?"))
    })?;
    Ok(AdminClient::new(channel))
}

/// A question that has to be answered soon.
pub(crate) fn question<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

impl Credential {
    /// A command with its credential; the node bounds how long it takes.
    pub(crate) fn command<T>(&self, message: T) -> Result<Request<T>, Failure> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}")
                .parse()
                .map_err(|_| Failure::new(Exit::Usage, "the token has characters that no token has"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// What a node said to a question or a command that it did not follow.
pub(crate) fn refused(address: &str, status: &Status) -> Failure {
    let exit = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unavailable,
        Code::Aborted => Exit::Io,
        Code::Internal | Code::Unknown => Exit::Software,
        Code::PermissionDenied | Code::Unauthenticated => Exit::NoPermission,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("{address}: {}", status.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_name_client_address_or_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = Whereabouts {
            node: "a".to_owned(),
            data: Some(folder.path().to_owned()),
            listeners: vec!["tcp://127.0.0.1:61616?maximumConnections=10".to_owned()],
            admin: "http://127.0.0.1:40123".to_owned(),
        };
        let same = folder.path().join(".");
        for named in ["a", "tcp://127.0.0.1:61616", "tcp://localhost:61616", same.to_str().unwrap()] {
            assert!(meant(Some(named), &at), "{named}");
        }
        assert!(meant(None, &at));
        for other in ["b", "tcp://127.0.0.1:61617", "/elsewhere"] {
            assert!(!meant(Some(other), &at), "{other}");
        }
    }
}
