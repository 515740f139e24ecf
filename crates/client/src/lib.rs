//! An OpenWire client for FerroMQ and any ActiveMQ.
//!
//! The core does no IO: commands of the application and bytes of the broker go in, bytes to send and events come
//! out. The feature `net` adds an asynchronous client on tokio.
