//! What two peers want, and what they agree on (OpenWire `WireFormatInfo`).

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::structures::WireFormatInfo;
use crate::text::WireStr;
use crate::value::{PrimitiveMap, Value};

/// The eight bytes that begin every greeting.
pub const MAGIC: [u8; 8] = *b"ActiveMQ";

/// The highest version that this crate speaks.
pub const MAX_VERSION: i32 = 12;

/// Cache slots when one side does not say how many it wants.
const DEFAULT_CACHE_SIZE: i32 = 16_383;

/// The options that one side puts into its greeting.
///
/// Both sides send their own without waiting, and both compute the same [`Negotiated`] from the pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFormatOptions {
    /// Highest version spoken.
    pub version: i32,
    /// Lowest version accepted from the peer; not sent.
    pub minimum_version: i32,
    /// `TightEncodingEnabled`: compact encoding.
    pub tight_encoding: bool,
    /// `CacheEnabled`: ids and destinations travel once.
    pub cache: bool,
    /// `CacheSize`: slots of the object cache; 0 means 16383. Less than 101 hangs Java senders.
    pub cache_size: i32,
    /// `StackTraceEnabled`: exceptions carry stacks and causes.
    pub stack_trace: bool,
    /// `TcpNoDelayEnabled`: no delay of small packets.
    pub tcp_no_delay: bool,
    /// `SizePrefixDisabled`: frames without their size; never used on TCP.
    pub size_prefix_disabled: bool,
    /// `MaxFrameSize` in bytes; 0 or less means no limit.
    pub max_frame_size: i64,
    /// `MaxFrameSizeEnabled`: whether the sender checks it; sent, never negotiated.
    pub max_frame_size_enabled: bool,
    /// `MaxInactivityDuration` in ms; 0 or less switches the monitor off.
    pub max_inactivity_ms: i64,
    /// `MaxInactivityDurationInitalDelay` in ms.
    pub max_inactivity_initial_delay_ms: i64,
    /// `Host`: the name that a client dialled.
    pub host: Option<WireStr>,
    /// `ProviderName`, for people.
    pub provider_name: Option<WireStr>,
    /// `ProviderVersion`, for people.
    pub provider_version: Option<WireStr>,
    /// `PlatformDetails`, for people.
    pub platform_details: Option<WireStr>,
}

impl Default for WireFormatOptions {
    /// What a client of the original sends, with this crate's frame limit.
    fn default() -> Self {
        Self {
            version: MAX_VERSION,
            minimum_version: 1,
            tight_encoding: true,
            cache: true,
            cache_size: 1024,
            stack_trace: true,
            tcp_no_delay: true,
            size_prefix_disabled: false,
            max_frame_size: 104_857_600,
            max_frame_size_enabled: true,
            max_inactivity_ms: 30_000,
            max_inactivity_initial_delay_ms: 10_000,
            host: None,
            provider_name: Some(WireStr::from("FerroMQ")),
            provider_version: Some(WireStr::from(env!("CARGO_PKG_VERSION"))),
            platform_details: Some(WireStr::from("Rust")),
        }
    }
}

impl WireFormatOptions {
    /// The greeting with these options.
    pub fn to_info(&self) -> Result<WireFormatInfo> {
        let mut map = PrimitiveMap::new();
        map.insert("TightEncodingEnabled", Value::Bool(self.tight_encoding));
        map.insert("CacheEnabled", Value::Bool(self.cache));
        map.insert("CacheSize", Value::Int(self.cache_size));
        map.insert("StackTraceEnabled", Value::Bool(self.stack_trace));
        map.insert("TcpNoDelayEnabled", Value::Bool(self.tcp_no_delay));
        map.insert("SizePrefixDisabled", Value::Bool(self.size_prefix_disabled));
        map.insert("MaxFrameSize", Value::Long(self.max_frame_size));
        map.insert("MaxFrameSizeEnabled", Value::Bool(self.max_frame_size_enabled));
        map.insert("MaxInactivityDuration", Value::Long(self.max_inactivity_ms));
        map.insert("MaxInactivityDurationInitalDelay", Value::Long(self.max_inactivity_initial_delay_ms));
        let texts = [
            ("Host", &self.host),
            ("ProviderName", &self.provider_name),
            ("ProviderVersion", &self.provider_version),
            ("PlatformDetails", &self.platform_details),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                map.insert(key, Value::String(text.clone()));
            }
        }
        Ok(WireFormatInfo {
            magic: MAGIC,
            version: self.version,
            marshalled_properties: Some(Bytes::from(map.encode()?)),
        })
    }

    /// Reads the options in a peer's greeting. A missing option is false, 0 or absent.
    pub fn from_info(info: &WireFormatInfo, limits: &Limits) -> Result<Self> {
        if info.magic != MAGIC {
            return Err(Error::BadMagic);
        }
        let map = match &info.marshalled_properties {
            Some(bytes) => PrimitiveMap::decode(bytes, limits)?,
            None => PrimitiveMap::new(),
        };
        // Java takes any other type for false here, and fails the connection for numbers and the host.
        let truth = |key| matches!(map.get(key), Some(Value::Bool(true)));
        let number = |key| match map.get(key) {
            None | Some(Value::Null) => Ok(0),
            Some(Value::Int(n)) => Ok(i64::from(*n)),
            Some(Value::Long(n)) => Ok(*n),
            Some(_) => Err(Error::BadOption(key)),
        };
        let text = |key| match map.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        if matches!(map.get("Host"), Some(value) if !matches!(value, Value::String(_) | Value::Null)) {
            return Err(Error::BadOption("Host"));
        }
        Ok(Self {
            version: info.version,
            minimum_version: 1,
            tight_encoding: truth("TightEncodingEnabled"),
            cache: truth("CacheEnabled"),
            cache_size: i32::try_from(number("CacheSize")?).map_err(|_| Error::BadOption("CacheSize"))?,
            stack_trace: truth("StackTraceEnabled"),
            tcp_no_delay: truth("TcpNoDelayEnabled"),
            size_prefix_disabled: truth("SizePrefixDisabled"),
            max_frame_size: number("MaxFrameSize")?,
            max_frame_size_enabled: truth("MaxFrameSizeEnabled"),
            max_inactivity_ms: number("MaxInactivityDuration")?,
            max_inactivity_initial_delay_ms: number("MaxInactivityDurationInitalDelay")?,
            host: text("Host"),
            provider_name: text("ProviderName"),
            provider_version: text("ProviderVersion"),
            platform_details: text("PlatformDetails"),
        })
    }
}

/// What two peers agreed on; holds for every frame after the greetings, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version, 1 to 12.
    pub version: u8,
    /// Whether the tight encoding is used.
    pub tight_encoding: bool,
    /// Whether the object cache is used.
    pub cache: bool,
    /// Slots of the object cache, for each direction.
    pub cache_size: usize,
    /// Whether exceptions carry stacks and causes.
    pub stack_trace: bool,
    /// Whether the socket is to be set to no delay.
    pub tcp_no_delay: bool,
    /// Whether frames go without their size.
    pub size_prefix_disabled: bool,
    /// Largest frame in bytes.
    pub max_frame_size: u64,
    /// When to send and expect signs of life.
    pub keep_alive: KeepAlive,
}

impl Negotiated {
    /// Computes what both sides will use.
    pub fn between(ours: &WireFormatOptions, theirs: &WireFormatOptions) -> Result<Self> {
        let peer = theirs.version;
        if peer < ours.minimum_version {
            return Err(Error::VersionTooLow { peer, minimum: ours.minimum_version });
        }
        let least = |a: i64, b: i64| match (a > 0, b > 0) {
            (true, true) => Some(a.min(b)),
            (true, false) => Some(a),
            (false, true) => Some(b),
            (false, false) => None,
        };
        let version = least(ours.version.into(), peer.into()).unwrap_or(1).clamp(1, MAX_VERSION.into());
        let cache_size = match ours.cache_size.min(theirs.cache_size) {
            // A slot number is 16 bits with a sign; what is more cannot be named.
            n @ 1.. => n.min(i32::from(i16::MAX)),
            _ => DEFAULT_CACHE_SIZE,
        };
        Ok(Self {
            version: version as u8,
            tight_encoding: ours.tight_encoding && theirs.tight_encoding,
            cache: ours.cache && theirs.cache,
            cache_size: cache_size as usize,
            stack_trace: ours.stack_trace && theirs.stack_trace,
            tcp_no_delay: ours.tcp_no_delay && theirs.tcp_no_delay,
            size_prefix_disabled: ours.size_prefix_disabled && theirs.size_prefix_disabled,
            max_frame_size: least(ours.max_frame_size, theirs.max_frame_size)
                .map_or(u64::MAX, i64::unsigned_abs),
            keep_alive: KeepAlive::new(
                ours.max_inactivity_ms.min(theirs.max_inactivity_ms),
                ours.max_inactivity_initial_delay_ms.min(theirs.max_inactivity_initial_delay_ms),
            ),
        })
    }
}

/// The periods of the inactivity monitor, all in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// R: fail the peer when nothing, not one byte, came between two checks this far apart; 0 means never.
    pub read_check_ms: u64,
    /// W: send a `KeepAliveInfo` when nothing was sent between two checks this far apart; 0 means never.
    pub write_check_ms: u64,
    /// D: the first check of either kind.
    pub initial_delay_ms: u64,
}

impl KeepAlive {
    /// The periods that follow from the agreed duration and initial delay.
    pub fn new(max_inactivity_ms: i64, initial_delay_ms: i64) -> Self {
        let read = u64::try_from(max_inactivity_ms).unwrap_or(0);
        Self {
            read_check_ms: read,
            write_check_ms: if read > 3 { read / 3 } else { read },
            initial_delay_ms: u64::try_from(initial_delay_ms).unwrap_or(0),
        }
    }

    /// Whether there is anything to monitor.
    pub fn is_enabled(&self) -> bool {
        self.read_check_ms > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_carries_every_option() {
        let options = WireFormatOptions {
            host: Some(WireStr::from("broker.example")),
            max_inactivity_ms: 1500,
            ..WireFormatOptions::default()
        };
        let info = options.to_info().unwrap();
        assert_eq!(WireFormatOptions::from_info(&info, &Limits::default()).unwrap(), options);
    }

    #[test]
    fn the_weaker_wish_wins_on_both_sides() {
        let ours = WireFormatOptions::default();
        let theirs = WireFormatOptions {
            version: 9,
            tight_encoding: false,
            cache_size: 0,
            max_frame_size: 0,
            max_inactivity_ms: 10,
            ..WireFormatOptions::default()
        };
        let agreed = Negotiated::between(&ours, &theirs).unwrap();
        assert_eq!(agreed.version, 9);
        assert!(!agreed.tight_encoding && agreed.cache);
        assert_eq!(agreed.cache_size, 16_383);
        assert_eq!(agreed.max_frame_size, 104_857_600);
        assert_eq!(
            agreed.keep_alive,
            KeepAlive { read_check_ms: 10, write_check_ms: 3, initial_delay_ms: 10_000 }
        );
        assert_eq!(Negotiated::between(&theirs, &ours).unwrap(), agreed);
    }

    #[test]
    fn a_greeting_without_options_is_plain() {
        let info = WireFormatInfo { magic: MAGIC, version: 300, marshalled_properties: None };
        let theirs = WireFormatOptions::from_info(&info, &Limits::default()).unwrap();
        let agreed = Negotiated::between(&WireFormatOptions::default(), &theirs).unwrap();
        assert_eq!((agreed.version, agreed.tight_encoding, agreed.cache), (12, false, false));
        assert!(!agreed.keep_alive.is_enabled());
    }

    #[test]
    fn strangers_and_relics_are_refused() {
        let mut info = WireFormatOptions::default().to_info().unwrap();
        let minimum = WireFormatOptions { minimum_version: 6, ..WireFormatOptions::default() };
        let old = WireFormatOptions { version: 5, ..WireFormatOptions::default() };
        assert!(matches!(Negotiated::between(&minimum, &old), Err(Error::VersionTooLow { .. })));
        info.magic = *b"GET / HT";
        assert_eq!(WireFormatOptions::from_info(&info, &Limits::default()), Err(Error::BadMagic));
    }

    #[test]
    fn wrong_types_fail_numbers_but_not_truths() {
        let greet = |key: &str, value| {
            let mut map = PrimitiveMap::new();
            map.insert(key, value);
            let properties = Some(Bytes::from(map.encode().unwrap()));
            let info = WireFormatInfo { magic: MAGIC, version: 12, marshalled_properties: properties };
            WireFormatOptions::from_info(&info, &Limits::default())
        };
        assert!(!greet("CacheEnabled", Value::Int(1)).unwrap().cache);
        assert_eq!(greet("CacheSize", Value::Bool(true)), Err(Error::BadOption("CacheSize")));
        assert_eq!(greet("Host", Value::Int(1)), Err(Error::BadOption("Host")));
    }

    #[test]
    fn short_periods_are_not_divided() {
        assert_eq!(KeepAlive::new(3, 0).write_check_ms, 3);
        assert_eq!(KeepAlive::new(30_000, 0).write_check_ms, 10_000);
        assert_eq!(KeepAlive::new(-1, -1), KeepAlive::new(0, 0));
    }
}
