//! What can go wrong, by culprit.

use thiserror::Error;

/// Who is to blame, and so what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer broke the protocol or a limit: close its connection.
    Peer,
    /// The caller asked for something that the protocol cannot express: refuse the one command.
    Caller,
}

/// Everything this crate refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end inside a field.
    #[error("the frame ends early: {needed} more bytes wanted, {left} left")]
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A size prefix that no frame can have.
    #[error("a frame of {0} bytes is impossible")]
    BadFrameSize(i32),
    /// A frame above the limit, refused before it was buffered.
    #[error("a frame of {size} bytes exceeds the limit of {limit} (maxFrameSize)")]
    FrameTooLarge {
        /// Size in the prefix.
        size: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A type code without a structure in this version.
    #[error("type code {code} is unknown in OpenWire {version}")]
    UnknownType {
        /// The code.
        code: u8,
        /// The negotiated version.
        version: u8,
    },
    /// A structure where another kind must stand.
    #[error("type code {code} found where {expected} must stand")]
    UnexpectedType {
        /// The code that was found.
        code: u8,
        /// What belongs there.
        expected: &'static str,
    },
    /// A negative or absurd length.
    #[error("length {length} of {what} is out of bounds")]
    BadLength {
        /// What was counted.
        what: &'static str,
        /// The declared length.
        length: i64,
    },
    /// Text that is not modified UTF-8.
    #[error("a string is not modified UTF-8")]
    BadText,
    /// A destination without a name.
    #[error("a destination needs a name that is not empty")]
    NoDestinationName,
    /// A destination without a name cannot be sent.
    #[error("a destination without a name cannot be sent")]
    UnnamedDestination,
    /// A null element where the protocol has none.
    #[error("an array of {0} has a null element")]
    NullElement(&'static str),
    /// A reference outside of the object cache.
    #[error("cache index {index} lies outside of the {size} slots")]
    CacheIndex {
        /// The index that the peer named.
        index: i16,
        /// Slots negotiated.
        size: usize,
    },
    /// A cache that would hold too many bytes of names.
    #[error("the object cache would exceed {0} bytes")]
    CacheTooLarge(usize),
    /// Structures nested too deeply.
    #[error("nesting exceeds {0} levels")]
    TooDeep(u32),
    /// A frame that unfolds to more memory than its size justifies.
    #[error("the frame unfolds to more than {0} bytes of memory")]
    TooExpansive(usize),
    /// A primitive map or list with too many entries.
    #[error("a map, list or stream exceeds {0} entries")]
    TooManyEntries(usize),
    /// An unknown tag in front of a primitive value.
    #[error("primitive tag {0} is unknown")]
    BadTag(u8),
    /// A compressed body that does not inflate.
    #[error("a compressed body does not inflate")]
    BadCompression,
    /// A compressed body that inflates to more than the limit.
    #[error("a compressed body inflates to more than {0} bytes")]
    InflatesTooLarge(usize),
    /// The first frame is not a greeting of an OpenWire peer.
    #[error("the peer does not begin with the OpenWire magic")]
    BadMagic,
    /// A peer that speaks only versions below the minimum.
    #[error("the peer speaks OpenWire {peer}, at least {minimum} is wanted")]
    VersionTooLow {
        /// Version of the peer.
        peer: i32,
        /// Lowest version accepted here.
        minimum: i32,
    },
    /// An option in the greeting with a value of the wrong type.
    #[error("option {0} in the peer's WireFormatInfo has the wrong type")]
    BadOption(&'static str),
    /// A command that the negotiated version does not have.
    #[error("{name} does not exist in OpenWire {version}")]
    NotInVersion {
        /// Name of the structure.
        name: &'static str,
        /// The negotiated version.
        version: u8,
    },
    /// Text too long for the encoding.
    #[error("a string of {length} bytes exceeds the {limit} that the encoding can carry")]
    StringTooLong {
        /// Encoded length.
        length: usize,
        /// Longest possible.
        limit: usize,
    },
    /// Too many elements or bytes for the encoding.
    #[error("{length} elements of {what} exceed what the encoding can carry")]
    TooLong {
        /// What was counted.
        what: &'static str,
        /// How many.
        length: usize,
    },
    /// A command that makes a larger frame than the peer accepts.
    #[error("the command makes a frame of {size} bytes, the peer accepts {limit} (maxFrameSize)")]
    CommandTooLarge {
        /// Size of the frame.
        size: u64,
        /// The negotiated limit.
        limit: u64,
    },
    /// A command nested too deeply to be sent.
    #[error("the command nests more than {0} levels")]
    CommandTooDeep(u32),
    /// Text that is not an id of the wanted form.
    #[error("{text:?} is not {expected}")]
    BadId {
        /// The text.
        text: String,
        /// The form that was expected.
        expected: &'static str,
    },
}

impl Error {
    /// Who is to blame.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::NotInVersion { .. }
            | Error::UnnamedDestination
            | Error::StringTooLong { .. }
            | Error::TooLong { .. }
            | Error::CommandTooLarge { .. }
            | Error::CommandTooDeep(_)
            | Error::BadId { .. } => ErrorKind::Caller,
            _ => ErrorKind::Peer,
        }
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
