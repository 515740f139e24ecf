//! Frames from a stranger: whatever decodes must encode, and decode again to the same.
//!
//! Input: a byte for the version, one for the encoding (bit 0 tight, bit 1 cached), then the stream.

#![no_main]

use ferromq_openwire::{Command, Framer, Limits, Negotiated, WireFormat, WireFormatOptions};
use libfuzzer_sys::fuzz_target;

fn limits() -> Limits {
    Limits { frame_bytes: 1 << 20, ..Limits::default() }
}

fn format(version: u8, encoding: u8) -> WireFormat {
    let options = WireFormatOptions {
        version: i32::from(version % 12) + 1,
        tight_encoding: encoding & 1 != 0,
        cache: encoding & 2 != 0,
        ..WireFormatOptions::default()
    };
    let agreed = Negotiated::between(&options, &options).expect("both sides want the same");
    WireFormat::with(agreed, limits())
}

fuzz_target!(|data: &[u8]| {
    let [version, encoding, stream @ ..] = data else { return };
    let mut peer = format(*version, *encoding);
    // A proxy between the peer and somebody else: what came in goes out, and is read there.
    let (mut sender, mut receiver) = (format(*version, *encoding), format(*version, *encoding));
    let mut framer = Framer::new(limits().frame_bytes);
    framer.feed(stream);
    while let Ok(Some(frame)) = framer.next_frame() {
        let Ok(command) = peer.decode(frame) else { return };
        look_inside(&command);
        let mut bytes = Vec::new();
        if sender.encode(&command, &mut bytes).is_err() {
            continue;
        }
        let mut out = Framer::new(u64::from(u32::MAX));
        out.feed(&bytes);
        let frame = out.next_frame().expect("its own size").expect("a whole frame");
        // What came in may be larger once it is written out (a shared string), so the bounds may bite here.
        let Ok(again) = receiver.decode(frame) else { return };
        // Compared as text: a NaN is equal to itself there.
        assert_eq!(format!("{command:?}"), format!("{again:?}"));
    }
});

fn look_inside(command: &Command) {
    let message = match command {
        Command::MessageDispatch(dispatch) => dispatch.message.as_deref(),
        Command::Message(message) => Some(&**message),
        _ => None,
    };
    let limits = limits();
    if let Some(message) = message {
        let _ = message.body(&limits);
        let _ = message.decode_properties(&limits);
        if let Some(properties) = message.properties(&limits) {
            let _ = properties.get("a");
            let _ = properties.count();
        }
    }
}
