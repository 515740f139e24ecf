//! The sections of a configuration, one file each: their values and how they are read.

mod admin;
mod broker;
mod composite;
mod limits;
mod listener;
mod lock;
mod log;
mod network;
mod policy;
mod store;
mod user;

pub use admin::{Admin, AdminSocket};
pub use broker::{Auth, Broker, Compat};
pub use composite::{Composite, VirtualTopic};
pub use limits::{DiskLimit, Limits, NoSpace};
pub use listener::Listener;
pub use lock::{Lock, LockPlace};
pub use log::{Log, LogFormat, LogLevel};
pub(crate) use network::{ATTRIBUTES as NETWORK_ATTRIBUTES, expand as expand_network};
pub use network::{
    Discovery, NetworkConnector, NetworkDestination, NetworkDestinationKind, NetworkFilter, NetworkPeers,
    Reconnect,
};
pub use policy::{
    DeadLetter, DeadLetterStrategy, PendingLimit, Policy, PolicyAdvisories, Prefetch, Recovery, RecoveryKind,
    SlowConsumer, SlowStrategy,
};
pub use store::{Store, StoreKind, SyncPolicy};
pub use user::{Secret, User, UserSecret};

use crate::reader::Reader;

/// A whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `listen` and `[[listener]]`.
    pub listeners: Vec<Listener>,
    /// `[broker]`.
    pub broker: Broker,
    /// `[auth]`.
    pub auth: Auth,
    /// `[admin]`.
    pub admin: Admin,
    /// `[store]`.
    pub store: Store,
    /// `[lock]`.
    pub lock: Lock,
    /// `[limits]`.
    pub limits: Limits,
    /// `[log]`.
    pub log: Log,
    /// `[[policy]]`, in the order of the file.
    pub policies: Vec<Policy>,
    /// `[[network_connector]]` and `--network-connector`, in this order.
    pub network_connectors: Vec<NetworkConnector>,
    /// `[[composite]]`, in the order of the file.
    pub composites: Vec<Composite>,
    /// `[[virtual_topic]]`; `None` for ActiveMQ's, none at all without `broker.use_virtual_topics`.
    pub virtual_topics: Option<Vec<VirtualTopic>>,
    /// `[[user]]`, in the order of the file.
    pub users: Vec<User>,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let listeners = listener::read(reader);
        let broker = Broker::read(reader);
        let network_connectors = network::read(reader, &broker);
        let use_virtual_topics = broker.use_virtual_topics;
        Self {
            listeners,
            broker,
            auth: Auth::read(reader),
            admin: Admin::read(reader),
            store: Store::read(reader),
            lock: Lock::read(reader),
            limits: Limits::read(reader),
            log: Log::read(reader),
            policies: policy::read(reader),
            network_connectors,
            composites: composite::read(reader),
            virtual_topics: composite::read_virtual(reader, use_virtual_topics),
            users: user::read(reader),
        }
    }
}
