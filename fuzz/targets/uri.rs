//! URIs from a configuration: no panic, and the printed form is an equal URI.

#![no_main]

use ferromq_uri::{ConnectUri, FailoverOptions, ListenerUri, MulticastOptions, Uri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = ListenerUri::parse(text);
    let _ = ConnectUri::parse(text);
    let Ok(uri) = Uri::parse(text) else { return };
    let _ = FailoverOptions::from_uri(&uri);
    let _ = MulticastOptions::from_uri(&uri);
    let printed = uri.to_string();
    match Uri::parse(&printed) {
        Ok(again) => assert_eq!(again, uri, "{printed}"),
        // Escapes make it longer.
        Err(error) => assert!(printed.len() > ferromq_uri::MAX_URI_BYTES, "{printed}: {error}"),
    }
});
