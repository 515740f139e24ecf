//! How this run of the broker calls itself, and what sessions are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferromq_gateway::{BrokerIdentity, Login, SessionSettings};
use ferromq_model::{Now, Text};
use ferromq_net::ListenAddress;

use crate::Settings;

/// Brokers started in this process.
static STARTED: AtomicU64 = AtomicU64::new(0);

impl Settings {
    /// A name for this run that no other run ever had: `ID:host-process-millis-n:1`, in the shape of ActiveMQ's.
    pub(crate) fn identity(&self, now: Now, url: Option<String>) -> BrokerIdentity {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let started = STARTED.fetch_add(1, Ordering::Relaxed);
        let id = format!("ID:{host}-{}-{}-{started}:1", std::process::id(), now.wall.0);
        BrokerIdentity {
            name: Text::from(self.name.as_str()),
            id: Text::from(id.as_str()),
            url: Text::from(url.unwrap_or_default().as_str()),
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

    /// Whether clients have to log in.
    pub(crate) const fn asks_for_login(&self) -> bool {
        self.door.users.is_some()
    }
}
