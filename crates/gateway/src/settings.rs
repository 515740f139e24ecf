//! What every session of a listener shares: who the broker is, what peers may do, who may come in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Text;

/// How the broker names itself to clients.
#[derive(Clone, Debug)]
pub struct BrokerIdentity {
    /// The broker's name, unique among its peers.
    pub name: Text,
    /// The broker's id (`ID:host-port-millis-0:1`), new at each start.
    pub id: Text,
    /// The address it publishes.
    pub url: Text,
}

impl Default for BrokerIdentity {
    fn default() -> Self {
        Self {
            name: Text::from_static("localhost"),
            id: Text::from_static("ID:ferromq-0-0-0:1"),
            url: Text::from_static("tcp://localhost:61616"),
        }
    }
}

/// Bounds of one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionLimits {
    /// Sessions at one time.
    pub sessions: usize,
    /// Consumers at one time.
    pub consumers: usize,
    /// Producers at one time.
    pub producers: usize,
    /// Requests whose answers are still to come; at the bound no further frame is read until one has come.
    pub requests_in_flight: usize,
    /// Names of destinations and producers that are remembered to save work; at the bound it starts afresh.
    pub remembered_names: usize,
    /// Bytes that a peer which has begun a frame must deliver within [`SessionSettings::stall_after`].
    pub least_progress_bytes: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions: 16_384,
            consumers: 65_536,
            producers: 65_536,
            requests_in_flight: 65_536,
            remembered_names: 1_024,
            least_progress_bytes: 1_024,
        }
    }
}

/// What a session needs to know; shared by all of a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionSettings {
    /// Who we are.
    pub broker: BrokerIdentity,
    /// Bounds of a connection.
    pub limits: SessionLimits,
    /// Who may come in.
    pub login: Arc<dyn Login>,
    /// `wireFormat.maxFrameSize`, bytes.
    pub max_frame_size: u64,
    /// `wireFormat.maxInactivityDuration`, zero for no monitor.
    pub max_inactivity: Duration,
    /// `wireFormat.maxInactivityDurationInitalDelay`.
    pub max_inactivity_initial_delay: Duration,
    /// `wireFormat.tightEncodingEnabled`.
    pub tight_encoding: bool,
    /// `wireFormat.cacheEnabled`.
    pub cache: bool,
    /// `wireFormat.cacheSize`.
    pub cache_size: u32,
    /// `wireFormat.tcpNoDelayEnabled`.
    pub tcp_no_delay: bool,
    /// `connectAttemptTimeout`: how long a peer may take to greet.
    pub handshake_timeout: Duration,
    /// How long a frame that was begun may stand still.
    pub stall_after: Duration,
    /// How long a refused connection may linger so that the peer reads the reason.
    pub linger: Duration,
    /// `populateJMSXUserID`: stamp messages with the name of who logged in.
    pub populate_user_id: bool,
    /// `rebalanceClusterClients`, `updateClusterClients`: brokers to tell clients about, comma-separated.
    pub connected_brokers: Text,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            broker: BrokerIdentity::default(),
            limits: SessionLimits::default(),
            login: Arc::new(OpenDoor),
            max_frame_size: 104_857_600,
            max_inactivity: Duration::from_secs(30),
            max_inactivity_initial_delay: Duration::from_secs(10),
            tight_encoding: true,
            cache: true,
            cache_size: 1_024,
            tcp_no_delay: true,
            handshake_timeout: Duration::from_secs(30),
            stall_after: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            populate_user_id: false,
            connected_brokers: Text::default(),
        }
    }
}

/// What a peer shows at the door.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The user name, if one was given.
    pub user: Option<&'a str>,
    /// The password, if one was given.
    pub password: Option<&'a str>,
    /// Where the peer comes from.
    pub remote: &'a str,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// A login that failed; the peer learns no more than this text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRefused {
    /// In words, for the peer.
    pub text: String,
}

impl LoginRefused {
    /// The words ActiveMQ has for a wrong name or password.
    pub fn wrong_credentials(user: Option<&str>) -> Self {
        Self { text: format!("User name [{}] or password is invalid.", user.unwrap_or("null")) }
    }
}

/// Decides who may come in.
pub trait Login: fmt::Debug + Send + Sync {
    /// Lets the peer in or not.
    ///
    /// # Errors
    /// [`LoginRefused`] with the text for the peer.
    fn authenticate(&self, credentials: Credentials<'_>) -> Result<(), LoginRefused>;
}

impl Login for ferromq_auth::Authenticator {
    fn authenticate(&self, credentials: Credentials<'_>) -> Result<(), LoginRefused> {
        match Self::authenticate(self, credentials.user, credentials.password) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(LoginRefused { text: refusal.to_string() }),
        }
    }
}

/// Lets everybody in: a broker without logins.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDoor;

impl Login for OpenDoor {
    fn authenticate(&self, _: Credentials<'_>) -> Result<(), LoginRefused> {
        Ok(())
    }
}
