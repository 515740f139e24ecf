//! Who may ask: reads are for everybody who reaches the port, commands for this machine or the bearer of the token.

use std::fmt;
use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Over the network, or loopback.
    At(SocketAddr),
    /// By a Unix socket that it was allowed to open.
    OfThisMachine,
}

impl Peer {
    fn is_of_this_machine(&self) -> bool {
        match self {
            Self::At(address) => address.ip().to_canonical().is_loopback(),
            Self::OfThisMachine => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::OfThisMachine => f.write_str("a process of this machine"),
        }
    }
}

/// gRPC is HTTP/2. A page in the operator's browser can send HTTP/1 to loopback without being asked, but not this.
pub(crate) async fn grpc_only(request: Request, next: Next) -> Response {
    let grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/grpc"));
    if request.version() == Version::HTTP_2 && grpc && !request.headers().contains_key(header::ORIGIN) {
        return next.run(request).await;
    }
    let pages = "there is /metrics, /livez and /readyz, and gRPC over HTTP/2\n";
    (StatusCode::NOT_FOUND, pages).into_response()
}

/// Whether a command may be done.
pub(crate) fn may_command(
    token: Option<&str>,
    metadata: &MetadataMap,
    extensions: &Extensions,
) -> Result<(), Status> {
    let shown = metadata.get("authorization").and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) if shown.is_some_and(|shown| same(shown, token)) => Ok(()),
        Some(_) => Err(Status::unauthenticated(
            "commands need the node's admin token: use --token, or FERROMQ_ADMIN_TOKEN in the environment",
        )),
        None if extensions.get::<Peer>().is_some_and(Peer::is_of_this_machine) => Ok(()),
        None => Err(Status::permission_denied(
            "commands are taken from the node's own machine only, until admin.token is set there",
        )),
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(shown: &str, token: &str) -> bool {
    let differing = shown.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    shown.len() == token.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(token: Option<&str>, shown: Option<&str>, peer: &str) -> Option<tonic::Code> {
        let mut metadata = MetadataMap::new();
        if let Some(shown) = shown {
            metadata.insert("authorization", format!("Bearer {shown}").parse().unwrap());
        }
        let mut extensions = Extensions::default();
        extensions.insert(peer.parse().map_or(Peer::OfThisMachine, Peer::At));
        may_command(token, &metadata, &extensions).err().map(|status| status.code())
    }

    #[test]
    fn commands_come_from_this_machine_or_with_the_token() {
        use tonic::Code::{PermissionDenied, Unauthenticated};
        assert_eq!(verdict(None, None, "127.0.0.1:1"), None);
        assert_eq!(verdict(None, None, "[::1]:1"), None);
        assert_eq!(verdict(None, None, "[::ffff:127.0.0.1]:1"), None);
        assert_eq!(verdict(None, None, "a socket"), None);
        assert_eq!(verdict(None, None, "10.0.0.7:1"), Some(PermissionDenied));
        assert_eq!(verdict(None, Some("guess"), "10.0.0.7:1"), Some(PermissionDenied));
        assert_eq!(verdict(Some("s3cret"), None, "127.0.0.1:1"), Some(Unauthenticated));
        assert_eq!(verdict(Some("s3cret"), None, "a socket"), Some(Unauthenticated));
        assert_eq!(verdict(Some("s3cret"), Some("s3cre"), "127.0.0.1:1"), Some(Unauthenticated));
        assert_eq!(verdict(Some("s3cret"), Some("s3creT"), "10.0.0.7:1"), Some(Unauthenticated));
        assert_eq!(verdict(Some("s3cret"), Some("s3cret"), "10.0.0.7:1"), None);
    }
}
