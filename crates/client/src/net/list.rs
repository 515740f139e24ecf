//! The list of brokers behind `updateURIsURL`: a file, or what a web server says.

use std::io::{self, Read};
#[cfg(feature = "http")]
use std::time::Duration;

/// A longer list is cut, as nobody has so many brokers.
const LIST_BYTES: u64 = 64 << 10;
/// A server that is slower is no help for a client without a broker.
#[cfg(feature = "http")]
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the list that a path, a `file:` or an `http:` URL names.
pub(super) async fn read(name: String) -> io::Result<String> {
    if let Some(rest) = name.strip_prefix("http://") {
        return fetch(rest).await;
    }
    let path =
        name.strip_prefix("file://").or_else(|| name.strip_prefix("file:")).unwrap_or(&name).to_owned();
    if path.contains("://") {
        let text = format!("{name}: only files, file: and http: URLs are read");
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::fs::File::open(&path)?.take(LIST_BYTES).read_to_string(&mut text)?;
        Ok(text)
    });
    read.await.map_err(io::Error::other)?
}

#[cfg(not(feature = "http"))]
async fn fetch(_: &str) -> io::Result<String> {
    let text = "http: needs the feature `http` of ferromq-client; name a file";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// One GET, and its body if the answer is 200.
#[cfg(feature = "http")]
async fn fetch(rest: &str) -> io::Result<String> {
    tokio::time::timeout(PATIENCE, get(rest)).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("http://{rest}: no answer within {PATIENCE:?}")))
    })
}

#[cfg(feature = "http")]
async fn get(rest: &str) -> io::Result<String> {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Limited};
    use hyper::{Request, StatusCode, header};
    use hyper_util::rt::TokioIo;

    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let place = if authority.rsplit(']').next().unwrap_or_default().contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let stream = tokio::net::TcpStream::connect(&place).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let talk = tokio::spawn(connection);
    let request = Request::get(if path.is_empty() { "/" } else { path })
        .header(header::HOST, authority)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!("http://{rest}: {}", answer.status())));
    }
    let most = usize::try_from(LIST_BYTES).unwrap_or(usize::MAX);
    let body = Limited::new(answer.into_body(), most).collect().await.map_err(io::Error::other)?;
    talk.abort();
    String::from_utf8(body.to_bytes().to_vec()).map_err(io::Error::other)
}
