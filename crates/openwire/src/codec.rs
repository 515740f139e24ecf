//! Both binary encodings, in both directions. Tight and loose share one code path each way: a constant parameter
//! decides where a truth value goes, so that the compiler makes two straight programs of it.

mod bits;
mod cache;
mod decode;
mod encode;

pub(crate) use bits::BitWriter;
pub(crate) use cache::{DecodeCache, EncodeCache};
pub(crate) use decode::decode_frame;
pub(crate) use encode::{EncodeState, encode_frame};

/// What both directions need to know of the negotiated format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Negotiated version.
    pub(crate) version: u8,
    /// Whether exceptions carry their stacks.
    pub(crate) stack_trace: bool,
    /// Whether the tight encoding is used.
    pub(crate) tight: bool,
    /// Whether frames begin with their size.
    pub(crate) size_prefix: bool,
    /// Largest frame that may be written.
    pub(crate) limit: u64,
}

/// Whether a nested structure has one more bit in the tight encoding: messages and greetings may travel in an
/// encoded form that the sender kept.
fn is_marshal_aware(code: u8) -> bool {
    matches!(code, 1 | 23..=29)
}
