//! How this run of the broker calls itself, and what sessions are told.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferromq_gateway::{BrokerIdentity, Login, SessionSettings};
use ferromq_model::{Now, Text};
use ferromq_net::ListenAddress;

use crate::{Settings, StoreChoice};

/// Brokers started in this process.
static STARTED: AtomicU64 = AtomicU64::new(0);

impl Settings {
    /// A name for this run that no other run ever had: `ID:host-process-millis-n:1`, in the shape of ActiveMQ's.
    /// Others are told the first of the `urls` that it listens on.
    pub(crate) fn identity(&self, now: Now, urls: &[String]) -> BrokerIdentity {
        let host = host_name();
        let started = STARTED.fetch_add(1, Ordering::Relaxed);
        let id = format!("ID:{host}-{}-{}-{started}:1", std::process::id(), now.wall.0);
        BrokerIdentity {
            name: Text::from(self.name.as_str()),
            id: Text::from(id.as_str()),
            url: Text::from(self.published(urls).first().map(String::as_str).unwrap_or_default()),
            links: false,
        }
    }

    /// Lets the broker have the id that its store had before: it stands in the paths of messages, here and at other
    /// brokers. Only a master may call this. A store that is gone with the process has a new one each time; one that
    /// is not in the folder says what it is called.
    pub(crate) fn keep_id(&self, identity: &mut BrokerIdentity, store: Option<&str>) {
        if self.store == StoreChoice::Memory {
            return;
        }
        if let Some(store) = store {
            identity.id = Text::from(format!("ID:ferromq-{store}:1"));
            return;
        }
        match kept_id(&self.data.join("broker-id"), &identity.id.to_str()) {
            Ok(id) => identity.id = Text::from(id.as_str()),
            Err(error) => tracing::warn!(
                %error,
                "the broker's id can't be kept in {}, so messages that other brokers sent may go back to them",
                self.data.display()
            ),
        }
    }

    /// What the sessions of one listener are told.
    pub(crate) fn session(&self, address: &ListenAddress, broker: BrokerIdentity) -> SessionSettings {
        let mut session = SessionSettings::default();
        session.broker = broker;
        let door = &self.door;
        if let Some(users) = &door.users {
            session.login = Arc::clone(users) as Arc<dyn Login>;
        }
        session.max_frame_size = door.max_frame_bytes;
        session.handshake_timeout = door.handshake_timeout;
        session.max_inactivity = door.max_inactivity;
        session.max_inactivity_initial_delay = door.max_inactivity_initial_delay;
        session.populate_user_id = door.populate_user_id;
        address.offer(&mut session);
        session
    }

    /// The addresses as others can use them: as the settings say, or as they are; where a broker listens on all addresses
    /// of its machine, it is named by the machine's name, as in ActiveMQ.
    pub(crate) fn published(&self, urls: &[String]) -> Vec<String> {
        let host = host_name();
        let publish = |(place, url): (usize, &String)| {
            if let Some(Some(published)) = self.published.get(place) {
                return published.clone();
            }
            let behind = |all: &str| url.strip_prefix("tcp://").and_then(|rest| rest.strip_prefix(all));
            let port = behind("0.0.0.0").or(behind("[::]"));
            port.map_or_else(|| url.clone(), |port| format!("tcp://{host}{port}"))
        };
        urls.iter().enumerate().map(publish).collect()
    }

    /// Whether clients have to log in.
    pub(crate) const fn asks_for_login(&self) -> bool {
        self.door.users.is_some()
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The id in this file, which is made with `fresh` in it if there is none.
fn kept_id(path: &Path, fresh: &str) -> io::Result<String> {
    let read = || -> io::Result<Option<String>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A file that a crash left half-written has no end of line.
        Ok(text.strip_suffix('\n').filter(|id| id.starts_with("ID:") && id.len() < 512).map(str::to_owned))
    };
    if let Some(id) = read()? {
        return Ok(id);
    }
    // A store elsewhere, as a database, has made no folder here.
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    writeln!(file, "{fresh}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(fresh.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_named_by_the_name_of_the_machine() {
        let urls =
            ["tcp://0.0.0.0:61616", "tcp://[::]:1", "tcp://10.0.0.1:2", "tcp://[::1]:3"].map(String::from);
        let host = host_name();
        let own =
            Settings { published: vec![None, Some("tcp://public:9".to_owned())], ..Settings::default() };
        let all = format!("tcp://{host}:61616");
        assert_eq!(own.published(&urls), [&*all, "tcp://public:9", "tcp://10.0.0.1:2", "tcp://[::1]:3"]);
        let other = Settings::default().published(&urls);
        assert_eq!(other.get(1), Some(&format!("tcp://{host}:1")));
    }

    #[test]
    fn an_id_is_kept_in_a_folder_that_was_not_there() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let path = data.path().join("new/folder/broker-id");
        assert_eq!(kept_id(&path, "ID:first")?, "ID:first");
        assert_eq!(kept_id(&path, "ID:second")?, "ID:first");
        Ok(())
    }
}
