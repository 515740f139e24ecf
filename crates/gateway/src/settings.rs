//! What every session of a listener shares: who the broker is, what peers may do, who may come in.

use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Text;

use crate::{Cluster, Login, OpenDoor};

/// How the broker names itself to clients.
#[derive(Clone, Debug)]
pub struct BrokerIdentity {
    /// The broker's name, unique among its peers.
    pub name: Text,
    /// The broker's id (`ID:host-port-millis-0:1`), new at each start.
    pub id: Text,
    /// The address it publishes.
    pub url: Text,
    /// Whether it keeps streams of links, and tells its peers so.
    pub links: bool,
}

impl Default for BrokerIdentity {
    fn default() -> Self {
        Self {
            name: Text::from_static("localhost"),
            id: Text::from_static("ID:ferromq-0-0-0:1"),
            url: Text::from_static("tcp://localhost:61616"),
            links: false,
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
    /// `wireFormat.version`: the highest that is spoken, 1 to 12.
    pub version: u8,
    /// `wireFormat.maxFrameSize`, bytes.
    pub max_frame_size: u64,
    /// `wireFormat.maxFrameSizeEnabled`: whether the peer is told to mind it.
    pub max_frame_size_enabled: bool,
    /// `wireFormat.maxInactivityDuration`, zero for no monitor.
    pub max_inactivity: Duration,
    /// `wireFormat.maxInactivityDurationInitalDelay`.
    pub max_inactivity_initial_delay: Duration,
    /// `useKeepAlive`: whether a quiet broker gives signs of life.
    pub keep_alive: bool,
    /// `wireFormat.tightEncodingEnabled`.
    pub tight_encoding: bool,
    /// `wireFormat.cacheEnabled`.
    pub cache: bool,
    /// `wireFormat.cacheSize`.
    pub cache_size: u32,
    /// `wireFormat.tcpNoDelayEnabled`.
    pub tcp_no_delay: bool,
    /// `wireFormat.stackTraceEnabled`.
    pub stack_trace: bool,
    /// `soWriteTimeout`: how long output may wait for a peer that does not read, zero for ever. The driver minds it.
    pub write_timeout: Duration,
    /// `connectAttemptTimeout`: how long a peer may take to greet.
    pub handshake_timeout: Duration,
    /// How long a frame that was begun may stand still.
    pub stall_after: Duration,
    /// How long a refused connection may linger so that the peer reads the reason.
    pub linger: Duration,
    /// `populateJMSXUserID`: stamp messages with the name of who logged in.
    pub populate_user_id: bool,
    /// `updateClusterClients`: brokers to tell clients of, if they are told.
    pub cluster: Option<Arc<Cluster>>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            broker: BrokerIdentity::default(),
            limits: SessionLimits::default(),
            login: Arc::new(OpenDoor),
            version: 12,
            max_frame_size: 104_857_600,
            max_frame_size_enabled: true,
            max_inactivity: Duration::from_secs(30),
            max_inactivity_initial_delay: Duration::from_secs(10),
            keep_alive: true,
            tight_encoding: true,
            cache: true,
            cache_size: 1_024,
            tcp_no_delay: true,
            stack_trace: true,
            write_timeout: Duration::ZERO,
            handshake_timeout: Duration::from_secs(30),
            stall_after: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            populate_user_id: false,
            cluster: None,
        }
    }
}
