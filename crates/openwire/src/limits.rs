//! Bounds that hold before anything is allocated.

/// What a peer may make us hold. Every limit closes the connection when it is exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame in bytes, size prefix not counted. The negotiated `MaxFrameSize` may lower it.
    pub frame_bytes: u64,
    /// Largest first frame, before the peer has said who it is.
    pub greeting_bytes: u64,
    /// Structures, maps and lists inside each other, and causes of causes.
    pub nesting: u32,
    /// Entries of one primitive map or list, and values of one stream.
    pub entries: usize,
    /// Primitive values in one map or stream, all levels together.
    pub values: usize,
    /// Bytes of a body after inflating.
    pub inflated_bytes: usize,
    /// Bytes of names that the object cache of one connection may hold.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 104_857_600,
            greeting_bytes: 65_536,
            nesting: 32,
            entries: 65_536,
            values: 262_144,
            inflated_bytes: 104_857_600,
            cache_bytes: 4 << 20,
        }
    }
}
