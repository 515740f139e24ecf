//! `[limits]`: how much of everything the broker takes.

use crate::reader::{Reader, Section};

/// How much of everything the broker takes. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// `memory_bytes`: messages that exist in memory alone.
    pub memory_bytes: u64,
    /// `store_bytes`: persistent messages; a percentage is one of the disk that holds the store.
    pub store_bytes: DiskLimit,
    /// `temp_bytes`: non-persistent messages of queues in the spool; without one, in memory. A percentage is one of the disk
    /// that holds the spool.
    pub temp_bytes: DiskLimit,
    /// `spool_above_bytes`: non-persistent messages of all queues that stay in memory before further ones are spooled.
    pub spool_above_bytes: u64,
    /// `body_cache_bytes`: bodies of persistent messages kept in memory to spare reading them back.
    pub body_cache_bytes: u64,
    /// `destination_memory_bytes`: messages of one destination in memory; 0 for no limit of its own.
    pub destination_memory_bytes: u64,
    /// `max_connections`: over all listeners.
    pub max_connections: u32,
    /// `max_frame_bytes`: the largest frame that a client may send.
    pub max_frame_bytes: u64,
    /// `handshake_timeout_ms`: a peer that has not said who it is by then is dropped.
    pub handshake_timeout_ms: u64,
    /// `inactivity_timeout_ms`: a peer that is silent so long is dropped; negotiated; 0 for never.
    pub inactivity_timeout_ms: u64,
    /// `inactivity_initial_delay_ms`: grace before the first check.
    pub inactivity_initial_delay_ms: u64,
    /// `send_fail_if_no_space` and `send_fail_if_no_space_after_ms`.
    pub no_space: NoSpace,
    /// `blocked_producer_warning_ms`: how often the log names a producer that is still blocked; 0 for once.
    pub blocked_producer_warning_ms: u64,
}

/// How much of a disk may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskLimit {
    /// So many bytes, whatever the disk.
    Bytes(u64),
    /// So many percent of all that the disk has, used or not, 1 to 100.
    Percent(u8),
}

/// What a producer gets when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSpace {
    /// It waits.
    Block,
    /// It is refused at once.
    Fail,
    /// It waits so many milliseconds, then is refused.
    FailAfter(u64),
}

impl Limits {
    /// `store_bytes` where nothing else is said, or the disk of the store is not known.
    pub const STORE_BYTES: u64 = 100 << 30;
    /// `temp_bytes` where nothing else is said, or the disk of the spool is not known.
    pub const TEMP_BYTES: u64 = 50 << 30;

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        let mut section = reader.section("limits");
        let limits = Self {
            memory_bytes: section.bytes("memory_bytes", GIB, MIB..=u64::MAX),
            store_bytes: section.disk_limit("store_bytes", Self::STORE_BYTES, MIB..=u64::MAX),
            temp_bytes: section.disk_limit("temp_bytes", Self::TEMP_BYTES, MIB..=u64::MAX),
            spool_above_bytes: section.bytes("spool_above_bytes", 64 * MIB, 0..=u64::MAX),
            body_cache_bytes: section.bytes("body_cache_bytes", 64 * MIB, 0..=u64::MAX),
            destination_memory_bytes: section.bytes("destination_memory_bytes", 0, 0..=u64::MAX),
            max_connections: bounded(section.number("max_connections", 10_000, 1..=1_000_000)),
            max_frame_bytes: section.bytes("max_frame_bytes", 100 * MIB, 1024..=GIB),
            handshake_timeout_ms: section.millis("handshake_timeout_ms", 30_000, 100..=600_000),
            inactivity_timeout_ms: section.millis("inactivity_timeout_ms", 30_000, 0..=86_400_000),
            inactivity_initial_delay_ms: section.millis(
                "inactivity_initial_delay_ms",
                10_000,
                0..=86_400_000,
            ),
            no_space: NoSpace::read(&mut section).unwrap_or(NoSpace::Block),
            blocked_producer_warning_ms: section.millis(
                "blocked_producer_warning_ms",
                30_000,
                0..=86_400_000,
            ),
        };
        section.finish();
        limits
    }
}

impl NoSpace {
    /// A time that is set wins over the mere refusal.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let fail = section.bool_or_none("send_fail_if_no_space", None);
        let after = section.millis_or_none("send_fail_if_no_space_after_ms", None, 1..=86_400_000);
        match (fail, after) {
            (Some(false), Some(_)) => {
                let source = section.source("send_fail_if_no_space_after_ms");
                let problem = "send_fail_if_no_space_after_ms is set, but send_fail_if_no_space is false";
                section.reader.error(&source, problem, "remove one of them");
                None
            }
            (_, Some(after)) => Some(NoSpace::FailAfter(after)),
            (Some(true), None) => Some(NoSpace::Fail),
            (Some(false), None) => Some(NoSpace::Block),
            (None, None) => None,
        }
    }
}

/// A number that was read within bounds that fit.
pub(super) fn bounded(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
