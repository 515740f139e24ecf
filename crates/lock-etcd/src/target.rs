//! [`Target`]: where etcd is, and who asks.

use std::fmt;
use std::io;

use ferromq_lock::LockError;

/// More members than any cluster has.
const MAX_MEMBERS: usize = 16;

/// The members of a cluster, and a login if it wants one.
#[derive(Clone)]
pub struct Target {
    pub(crate) members: Vec<String>,
    pub(crate) login: Option<(String, String)>,
}

/// Without the password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Target {
    /// Reads `http://host:port`, or several with commas between them; any member will do, and the next is asked when one does
    /// not answer. The first may have a login: `http://user:password@host:port`.
    ///
    /// # Errors
    /// [`LockError::Io`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let wrong = |reason: &str| LockError::Io {
            action: "use",
            path: "the address of etcd".to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, reason),
        };
        let (mut members, mut login) = (Vec::new(), None);
        for member in text.split(',').map(str::trim) {
            let Some(rest) = member.strip_prefix("http://") else {
                let reason = "an address is http://host:port; TLS is not built in, put a proxy on this machine before etcd";
                return Err(wrong(reason));
            };
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let address = match rest.rsplit_once('@') {
                Some((user, address)) if members.is_empty() => {
                    let (user, password) =
                        user.split_once(':').ok_or_else(|| wrong("a login is user:password"))?;
                    login = Some((user.to_owned(), password.to_owned()));
                    address
                }
                Some(_) => return Err(wrong("the login stands in the first address alone")),
                None => rest,
            };
            let port = address.rsplit_once(':').and_then(|(host, port)| {
                let plain = !host.is_empty() && !host.contains(['/', '?', '#', ' ']);
                plain.then(|| port.parse::<u16>().ok()).flatten()
            });
            if port.is_none_or(|port| port == 0) {
                return Err(wrong("an address is http://host:port"));
            }
            members.push(format!("http://{address}"));
        }
        if members.len() > MAX_MEMBERS {
            return Err(wrong("more than 16 members"));
        }
        Ok(Self { members, login })
    }

    /// For texts: without the login.
    pub fn shown(&self) -> String {
        self.members.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_several_members_with_a_login_that_is_not_shown() {
        let target = Target::parse("http://me:s3cret@127.0.0.1:2379, http://b:2379/").unwrap();
        assert_eq!(target.members, ["http://127.0.0.1:2379", "http://b:2379"]);
        assert_eq!(target.login, Some(("me".to_owned(), "s3cret".to_owned())));
        assert_eq!(format!("{target:?}"), "http://127.0.0.1:2379,http://b:2379");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in
            ["", "127.0.0.1:2379", "https://a:2379", "http://a", "http://:1", "http://a:0", "http://a/b:1"]
        {
            let error = Target::parse(wrong).unwrap_err();
            assert!(error.to_string().contains("http://host:port"), "{wrong:?}: {error}");
        }
        let twice = Target::parse("http://a:1,http://me:s3cret@b:1").unwrap_err();
        assert!(
            twice.to_string().contains("first address") && !twice.to_string().contains("s3cret"),
            "{twice}"
        );
    }
}
