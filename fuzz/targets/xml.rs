//! Files of ActiveMQ: no panic, mistakes are told, what is converted comes to the same, and a file that asks for a login
//! never makes an open broker.

#![no_main]

use ferromq_config::{Input, examine, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let input = Input::default()
        .file("conf/activemq.xml", text)
        .variable("HOST", "127.0.0.1")
        .property("activemq.data", "/data")
        .related("conf/credentials.properties", text);
    let (report, outcome) = examine(&input);
    let report = report.expect("a file of that name is XML");
    match outcome {
        Ok(loaded) => {
            let config = &loaded.config;
            let asks = report.iter().any(|entry| entry.subject.starts_with("authenticationUser "));
            assert!(!asks || !config.users.is_empty() || config.auth.allow_anonymous, "open: {text}");
            let toml = loaded.to_toml();
            let again = load(&Input::default().file("again.toml", toml.as_str()));
            let again = again.unwrap_or_else(|mistakes| panic!("{toml}\n{mistakes}"));
            let values = |text: &str| -> Vec<String> {
                text.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
            };
            assert_eq!(values(&again.effective()), values(&loaded.effective()));
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty(), "an error without a word"),
    }
});
