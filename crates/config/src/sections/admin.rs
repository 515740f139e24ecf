//! `[admin]`: the operator's port, for status, health, metrics and commands.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::Secret;
use crate::reader::Reader;

/// The operator's port.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Admin {
    /// `listen`: an address and a port, 0 for a free one; `None` for no such port.
    pub listen: Option<SocketAddr>,
    /// `socket`: a Unix socket for the same, which its owner alone may open.
    pub socket: AdminSocket,
    /// `token`: what commands must show. Without it they are taken from loopback only.
    pub token: Option<Secret>,
}

/// Where the Unix socket for operators is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminSocket {
    /// `auto`: in the folder in which the nodes of this machine and user are found.
    Auto,
    /// `none`.
    Nowhere,
    /// A path.
    At(PathBuf),
}

/// Nobody waits for it, so any free port will do; it is told on standard output, and found by `ferromq status`.
const DEFAULT: &str = "127.0.0.1:0";

/// What is too short to be a secret.
const LEAST_TOKEN_BYTES: usize = 16;

impl Admin {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("admin");
        let expected = "an address and a port such as \"127.0.0.1:8161\", or \"none\"";
        let fits = |text: &str| text == "none" || address(text).is_some();
        let listen = section.text("listen", DEFAULT, expected, fits);
        let expected = "\"auto\", \"none\", or an absolute path of at most 100 bytes";
        let socket = section.text("socket", "auto", expected, |text| socket(text).is_some());
        let token = section.secret("token");
        let place = section.source("token");
        section.finish();
        let token = token.filter(|token| {
            let fits = (LEAST_TOKEN_BYTES..=256).contains(&token.len())
                && token.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits {
                let problem = "'token' is no token of 16 to 256 visible ASCII characters";
                reader.error(&place, problem, "write what `openssl rand -hex 24` prints");
            }
            fits
        });
        let socket = self::socket(&socket).unwrap_or(AdminSocket::Auto);
        Self { listen: address(&listen), socket, token: token.map(Secret::new) }
    }
}

/// The address of a socket has room for 107 bytes.
const MOST_PATH_BYTES: usize = 100;

fn socket(text: &str) -> Option<AdminSocket> {
    match text {
        "auto" => Some(AdminSocket::Auto),
        "none" => Some(AdminSocket::Nowhere),
        path if path.starts_with('/') && path.len() <= MOST_PATH_BYTES && !path.contains('\0') => {
            Some(AdminSocket::At(PathBuf::from(path)))
        }
        _ => None,
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => text.parse().ok(),
    }
}
