//! Configuration files: no panic, mistakes are told with a place, and what is printed as effective is read back.

#![no_main]

use ferromq_config::{Input, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match load(&Input::default().file("ferromq.toml", text)) {
        Ok(loaded) => {
            let printed = loaded.effective();
            // Secrets are not printed, so what has some is not read back.
            if loaded.config.users.is_empty() {
                let again = load(&Input::default().file("effective.toml", printed.as_str()));
                assert!(
                    again.is_ok(),
                    "{printed}\n{}",
                    again.err().map_or_else(String::new, |e| e.to_string())
                );
            }
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty(), "an error without a word"),
    }
});
