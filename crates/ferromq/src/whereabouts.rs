//! [`Notice`]: a small file by which the verbs find the nodes of this machine and user.
//!
//! It stands in `$XDG_RUNTIME_DIR/ferromq`, or in a folder of the user's own below the temporary one; never in the
//! broker's data folder, of which a standby changes no byte.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// More notices than any machine has nodes; what is beyond is not looked at.
const MAX_NOTICES: usize = 1_024;

/// A notice is some hundred bytes.
const MAX_NOTICE_BYTES: u64 = 64 * 1024;

/// Where one node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// Its name.
    pub(crate) node: String,
    /// Its folder, if it has one.
    pub(crate) data: Option<PathBuf>,
    /// Where clients find it.
    pub(crate) listeners: Vec<String>,
    /// Where operators find it: `http://127.0.0.1:40123`, or `unix:/run/ferromq.sock`.
    pub(crate) admin: String,
}

/// The file; removed with this.
#[derive(Debug)]
pub(crate) struct Notice {
    path: PathBuf,
}

impl Notice {
    /// Leaves a notice of this process.
    pub(crate) fn leave(at: &Whereabouts) -> io::Result<Self> {
        Self::leave_in(&folder()?, std::process::id(), at)
    }

    fn leave_in(folder: &Path, process: u32, at: &Whereabouts) -> io::Result<Self> {
        let notice = Self { path: folder.join(format!("{process}.json")) };
        let text = json!({
            "node": at.node, "data": at.data, "listeners": at.listeners, "admin": at.admin,
        });
        // Whole or not there, for whoever reads it meanwhile.
        let unfinished = folder.join(format!("{process}.new"));
        fs::write(&unfinished, text.to_string())?;
        fs::rename(&unfinished, &notice.path)?;
        Ok(notice)
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // A notice that stays is recognised by its process being gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where this process has its Unix socket for operators, unless another place was asked for.
pub(crate) fn socket() -> io::Result<PathBuf> {
    Ok(folder()?.join(format!("{}.sock", std::process::id())))
}

/// Every node of this machine and user.
pub(crate) fn all() -> io::Result<Vec<Whereabouts>> {
    all_in(&folder()?, |process| Path::new("/proc").join(process.to_string()).exists())
}

fn all_in(folder: &Path, lives: impl Fn(u32) -> bool) -> io::Result<Vec<Whereabouts>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_NOTICES) {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| {
            let name = name.to_str()?;
            Some((name.split('.').next()?, name.rsplit_once('.')?.1))
        });
        let Some((Ok(process), kind @ ("json" | "sock" | "new"))) =
            name.map(|(name, kind)| (name.parse(), kind))
        else {
            continue;
        };
        if !lives(process) {
            let _ = fs::remove_file(&path);
        } else if kind == "json"
            && let Some(at) = read(&path)
        {
            found.push(at);
        }
    }
    found.sort_by(|a, b| a.node.cmp(&b.node).then_with(|| a.admin.cmp(&b.admin)));
    Ok(found)
}

/// `None` for a file that is no notice.
fn read(path: &Path) -> Option<Whereabouts> {
    if fs::symlink_metadata(path).ok()?.len() > MAX_NOTICE_BYTES {
        return None;
    }
    let notice: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Whereabouts {
        node: text(notice.get("node")?)?,
        data: notice.get("data").and_then(text).map(PathBuf::from),
        listeners: notice.get("listeners")?.as_array()?.iter().filter_map(text).collect(),
        admin: text(notice.get("admin")?)?,
    })
}

/// The folder of notices, made if need be. Somebody else's folder of that name is refused: they could send
/// commands to a node of their own.
fn folder() -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let folder = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if !runtime.is_empty() => PathBuf::from(runtime).join("ferromq"),
        _ => std::env::temp_dir().join(format!("ferromq-{user}")),
    };
    let made = DirBuilder::new().mode(0o700).create(&folder);
    if let Err(error) = made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let own = |folder: &Metadata| folder.is_dir() && folder.uid() == user && folder.mode() & 0o022 == 0;
    if own(&fs::symlink_metadata(&folder)?) {
        return Ok(folder);
    }
    let text = format!("{} is not a folder of this user's own; remove it", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_found_while_their_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let at = |node: &str| Whereabouts {
            node: node.to_owned(),
            data: Some("/shared".into()),
            listeners: vec!["tcp://127.0.0.1:61616".to_owned()],
            admin: "http://127.0.0.1:40123".to_owned(),
        };
        let first = Notice::leave_in(folder.path(), 11, &at("b")).unwrap();
        let second = Notice::leave_in(folder.path(), 12, &at("a")).unwrap();
        fs::write(folder.path().join("13.json"), "[half a not").unwrap();
        assert_eq!(all_in(folder.path(), |_| true).unwrap(), [at("a"), at("b")]);
        drop(second);
        assert_eq!(all_in(folder.path(), |_| true).unwrap(), [at("b")]);
        // The process was killed: its notice goes with the first who looks, and so do its socket and what it had begun.
        for left in ["11.sock", "11.11.new"] {
            fs::write(folder.path().join(left), "").unwrap();
        }
        assert_eq!(all_in(folder.path(), |process| process != 11).unwrap(), []);
        let left = ["11.json", "11.sock", "11.11.new"].map(|name| folder.path().join(name).exists());
        assert_eq!((left, first.path.exists()), ([false; 3], false));
    }
}
