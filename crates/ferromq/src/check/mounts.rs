//! [`Mount`]: which file system a folder is on, and with which options, out of `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Far more than any machine has.
const MAX_BYTES: usize = 4 << 20;

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mount {
    /// `ext4`, `nfs4`, …
    pub(super) kind: String,
    /// `/dev/sda1`, `nas:/export`, …
    pub(super) source: String,
    /// The folder of the file system that is mounted.
    pub(super) root: String,
    /// Where.
    pub(super) point: PathBuf,
    /// Options of the mount and of the file system.
    pub(super) options: Vec<String>,
}

impl Mount {
    /// Whether an option such as `nolock` is set.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }

    /// The value of an option such as `vers`.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.options.iter().find_map(|set| set.strip_prefix(option)?.strip_prefix('='))
    }

    /// Whether it is some version of NFS.
    pub(super) fn is_nfs(&self) -> bool {
        self.kind == "nfs" || self.kind == "nfs4"
    }
}

/// The mount that a folder is on, out of the text of `mountinfo` (proc(5)). Lines that are not understood are left out.
pub(super) fn mount_of(text: &str, folder: &Path) -> Option<Mount> {
    let text = text.get(..text.len().min(MAX_BYTES)).unwrap_or_default();
    let mut found: Option<Mount> = None;
    for mount in text.lines().filter_map(line) {
        // A later mount on the same point hides the earlier one.
        let depth = |mount: &Mount| mount.point.components().count();
        if folder.starts_with(&mount.point) && found.as_ref().is_none_or(|best| depth(&mount) >= depth(best))
        {
            found = Some(mount);
        }
    }
    found
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue`
fn line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point, options) = (before.next()?, before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, source, more) = (after.next()?, after.next()?, after.next().unwrap_or_default());
    let options = options.split(',').chain(more.split(',')).filter(|option| !option.is_empty());
    Some(Mount {
        kind: kind.to_owned(),
        source: unescaped(source),
        root: unescaped(root),
        point: PathBuf::from(unescaped(point)),
        options: options.map(str::to_owned).collect(),
    })
}

/// Blanks, tabs, line ends and backslashes are written as `\040`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 27 0:50 / /mnt/nas rw,noatime shared:9 - nfs4 nas:/export/mq rw,vers=4.2,rsize=1048576,hard,proto=tcp,timeo=600,local_lock=none,addr=10.0.0.9
41 27 0:51 /sub /mnt/old\\040nas ro,relatime - nfs nas:/old rw,vers=3,soft,nolock,local_lock=all
42 40 0:52 / /mnt/nas/inner rw - tmpfs tmpfs rw,size=1024k
43 27 0:53 / /srv rw - ext4 /dev/sdb1 rw
44 27 0:54 / /srv rw - xfs /dev/sdc1 rw
a line of something else
45 27 0:55 / /cut
";

    fn mount(folder: &str) -> Mount {
        mount_of(SAMPLE, Path::new(folder)).expect("a mount")
    }

    #[test]
    fn the_deepest_and_last_mount_above_a_folder_counts() {
        assert_eq!(mount("/var/lib").source, "/dev/sda1");
        assert_eq!(mount("/mnt/nas/mq").source, "nas:/export/mq");
        assert_eq!(mount("/mnt/nas/inner/x").kind, "tmpfs");
        assert_eq!(mount("/mnt/nasty").kind, "ext4");
        assert_eq!(mount("/srv").kind, "xfs");
        assert_eq!(mount("/cut").source, "/dev/sda1");
    }

    #[test]
    fn options_of_nfs_are_read() {
        let nas = mount("/mnt/nas");
        assert!(nas.is_nfs() && nas.has("hard") && !nas.has("soft"));
        assert_eq!((nas.value("vers"), nas.value("local_lock")), (Some("4.2"), Some("none")));
        let old = mount("/mnt/old nas/queue");
        assert_eq!((old.point.to_str(), old.root.as_str()), (Some("/mnt/old nas"), "/sub"));
        assert!(old.has("ro") && old.has("soft") && old.has("nolock"));
    }

    #[test]
    fn no_text_makes_it_fail() {
        for end in 0..SAMPLE.len() {
            let _ = mount_of(SAMPLE.get(..end).unwrap_or_default(), Path::new("/mnt/nas"));
        }
        assert_eq!(mount_of("\\ \\9 \\777 - - -", Path::new("/")), None);
        assert_eq!(unescaped("a\\040b\\134\\9\\"), "a b\\\\9\\");
    }
}
