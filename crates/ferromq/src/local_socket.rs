//! [`LocalSocket`]: a Unix socket that only this user may open, and what becomes of one that a process before left.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;

/// The file; removed with this.
#[derive(Debug)]
pub(crate) struct LocalSocket {
    path: PathBuf,
    /// Which file it is: a later process may have put its own there.
    node: u64,
}

impl LocalSocket {
    /// Listens at `path`. A file that nobody listens on any longer is replaced.
    pub(crate) async fn listen(path: &Path) -> io::Result<(UnixListener, Self)> {
        if let Ok(there) = fs::symlink_metadata(path) {
            use std::os::unix::fs::FileTypeExt;
            if !there.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there"));
            }
            if tokio::net::UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
            }
        }
        // Nobody can connect before it listens, nor find it before it has its name.
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&unfinished);
        let listener = Self::bind(&unfinished).and_then(|listener| {
            fs::rename(&unfinished, path)?;
            Ok(listener)
        });
        let listener = listener.inspect_err(|_| {
            // What was begun and came to nothing.
            let _ = fs::remove_file(&unfinished);
        })?;
        let node = fs::symlink_metadata(path)?.ino();
        Ok((listener, Self { path: path.to_owned(), node }))
    }

    fn bind(path: &Path) -> io::Result<UnixListener> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)
    }

    /// As operators name it: `unix:/run/user/0/ferromq/4711.sock`.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.node) {
            // One that stays is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_users_own_and_replaces_only_what_nobody_listens_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, socket) = LocalSocket::listen(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(socket.url(), format!("unix:{}", path.display()));
        let taken = LocalSocket::listen(&path).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);

        // The process was killed: its file stays, and the next one takes its place.
        drop(listener);
        let (_listener, next) = LocalSocket::listen(&path).await.unwrap();
        drop(socket);
        assert!(path.exists(), "not ours any longer");
        drop(next);
        assert!(!path.exists());

        fs::write(&path, "a file").unwrap();
        let other = LocalSocket::listen(&path).await.unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
