//! Which layer wins, and what is known about it afterwards.

use ferromq_config::{
    DeadLetterStrategy, Input, LogFormat, LogLevel, MAX_FILE_BYTES, NoSpace, PendingLimit, Source, StoreKind,
    SyncPolicy, UserSecret, load,
};

fn source(file: &str, line: usize, column: usize) -> Source {
    Source::File { file: file.into(), line, column }
}

#[test]
fn nothing_at_all_is_a_broker_on_loopback() {
    let loaded = load(&Input::default()).expect("defaults");
    let config = &loaded.config;
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].uri.endpoint.to_string(), "127.0.0.1:61616");
    assert_eq!(config.broker.data_dir, "ferromq-data");
    assert_eq!((config.store.kind, config.store.sync), (StoreKind::Journal, SyncPolicy::Always));
    assert_eq!(config.store.segment_bytes, 32 << 20);
    assert_eq!(config.limits.max_frame_bytes, 100 << 20);
    assert_eq!(config.limits.no_space, NoSpace::Block);
    assert_eq!((config.log.format, config.log.level), (LogFormat::Human, LogLevel::Info));
    assert!(config.users.is_empty() && config.policies.is_empty());
    assert_eq!(loaded.source("store.kind"), Some(&Source::Default));
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file = "listen = ['tcp://127.0.0.1:1', 'tcp://127.0.0.1:2']\n[broker]\nname = 'file'\n[store]\nkind = 'sqlite'\n";
    let layers = Input::default().file("f.toml", file);
    let loaded = load(&layers).expect("file alone");
    assert_eq!(loaded.config.broker.name, "file");
    assert_eq!(loaded.source("broker.name"), Some(&source("f.toml", 3, 8)));
    assert_eq!(loaded.config.listeners[1].source, source("f.toml", 1, 32));

    let layers = layers
        .variable("FERROMQ_BROKER_NAME", "variable")
        .variable("FERROMQ_LISTEN", "tcp://127.0.0.1:3")
        .variable("FERROMQ_LIMITS_MAX_CONNECTIONS", "7")
        .variable("FERROMQ_LIMITS_MEMORY_BYTES", "2 GiB")
        .variable("PATH", "/bin");
    let loaded = load(&layers).expect("file and variables");
    assert_eq!(loaded.config.broker.name, "variable");
    assert_eq!(loaded.source("broker.name"), Some(&Source::Variable("FERROMQ_BROKER_NAME".into())));
    assert_eq!(loaded.config.listeners.len(), 1);
    assert_eq!(loaded.config.store.kind, StoreKind::Sqlite);
    assert_eq!((loaded.config.limits.max_connections, loaded.config.limits.memory_bytes), (7, 2 << 30));

    let layers = layers
        .flag("--name", "broker.name", "flag")
        .flag("--store", "store.kind", "memory")
        .flag("--listen", "listen", "tcp://127.0.0.1:4 tcp://127.0.0.1:0")
        .flag("--name", "broker.name", "last");
    let loaded = load(&layers).expect("all layers");
    assert_eq!(loaded.config.broker.name, "last");
    assert_eq!(loaded.source("broker.name"), Some(&Source::Flag("--name".into())));
    assert_eq!(loaded.config.store.kind, StoreKind::Memory);
    assert_eq!(loaded.config.listeners.len(), 2);
}

#[test]
fn a_flag_says_where_to_listen_whatever_the_file_says() {
    let file = "[[listener]]\nname = 'out'\nuri = 'tcp://0.0.0.0:61616'\n";
    let remote = load(&Input::default().file("f.toml", file)).expect_err("open to others");
    assert_eq!(
        remote.to_string(),
        "f.toml:3:7: error: tcp://0.0.0.0:61616 is open to other machines, and no users are configured; \
         add a [[user]], listen on 127.0.0.1, or set auth.allow_anonymous_remote = true"
    );
    let local = Input::default().file("f.toml", file).flag("--listen", "listen", "tcp://localhost:0");
    assert_eq!(load(&local).expect("loopback").config.listeners.len(), 1);
    let told = Input::default().file("f.toml", file).variable("FERROMQ_AUTH_ALLOW_ANONYMOUS_REMOTE", "true");
    assert_eq!(load(&told).expect("told so").config.listeners[0].name, "out");
    let users = format!("{file}[[user]]\nname = 'ann'\npassword = 'x'\n");
    assert!(load(&Input::default().file("f.toml", users)).is_ok());
}

#[test]
fn policies_and_users_are_typed() {
    let file = r#"
        [[policy]]
        destination = "queue://orders.>"
        memory_limit = "64 mb"
        send_fail_if_no_space_after_ms = 3000
        dead_letter = { strategy = "individual", queue_prefix = "DLQ.", expiration_ms = 60000 }
        advisories = ["slow_consumer", "full"]
        prefetch.queue = 1
        [[policy]]
        destination = "news.*"
        pending_message_limit_per_prefetch = 2
        [[user]]
        name = "ann"
        password_hash = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$x"
        groups = ["ops", "dev"]
    "#;
    let config = load(&Input::default().file("f.toml", file)).expect("a right file").config;
    let orders = &config.policies[0];
    assert_eq!((orders.pattern.as_str(), orders.queues, orders.topics), ("orders.>", true, false));
    assert_eq!(orders.memory_limit_bytes, Some(64 << 20));
    assert_eq!(orders.no_space, Some(NoSpace::FailAfter(3000)));
    assert_eq!(orders.dead_letter.strategy, DeadLetterStrategy::Individual);
    assert_eq!(
        (orders.dead_letter.queue_prefix.as_str(), orders.dead_letter.expiration_ms),
        ("DLQ.", 60_000)
    );
    assert!(orders.advisories.slow_consumer && orders.advisories.full && !orders.advisories.consumed);
    assert_eq!((orders.prefetch.queue, orders.prefetch.topic), (Some(1), None));
    let news = &config.policies[1];
    assert_eq!((news.queues, news.topics, news.pending_limit), (true, true, PendingLimit::PerPrefetch(2.0)));
    assert!(
        matches!(&config.users[0].secret, UserSecret::Hash(hash) if hash.expose().starts_with("$argon2id"))
    );
    assert_eq!(config.users[0].groups, ["ops", "dev"]);
}

#[test]
fn passwords_are_nowhere_to_be_read() {
    let file = "[[user]]\nname = 'ann'\npassword = 'hunter2-s3cret'\n";
    let loaded = load(&Input::default().file("f.toml", file)).expect("a right file");
    let wrong = load(
        &Input::default()
            .file("f.toml", format!("{file}[[user]]\nname = 'ann'\npassword_hash = 'hunter2-s3cret'\n")),
    )
    .expect_err("a wrong file");
    for text in [loaded.effective(), format!("{:?}", loaded.config), wrong.to_string(), format!("{wrong:?}")]
    {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn strange_variables_are_warned_about_and_strange_flags_refused() {
    let platform =
        Input::default().variable("FERROMQ_SERVICE_HOST", "10.0.0.1").variable("FERROMQ_STORE_KIN", "sqlite");
    let loaded = load(&platform).expect("warnings only");
    assert_eq!(
        loaded.warnings.to_string(),
        "env FERROMQ_SERVICE_HOST: warning: this variable sets nothing\n\
         env FERROMQ_STORE_KIN: warning: this variable sets nothing; did you mean FERROMQ_STORE_KIND?"
    );
    for read in ["FERROMQ_CONFIG", "FERROMQ_LOG", "FERROMQ_STATE_DIR", "FERROMQ_CLIENT_PASSWORD"] {
        let loaded = load(&Input::default().variable(read, "x")).expect("read by the program");
        assert_eq!(loaded.warnings.iter().count(), 0, "{read}");
    }
    let flag = load(&Input::default().flag("--set", "store.knid", "x")).expect_err("a strange flag");
    assert_eq!(flag.to_string(), "--set: error: unknown key 'store.knid'; did you mean store.kind?");
    let value =
        load(&Input::default().flag("--store", "store.kind", "oracle").variable("FERROMQ_LOG_LEVEL", "loud"))
            .expect_err("strange values");
    assert_eq!(
        value.to_string(),
        "env FERROMQ_LOG_LEVEL: error: 'level' is 'loud', expected one of error, warn, info, debug, trace\n\
         --store: error: 'kind' is 'oracle', expected one of journal, sqlite, postgres, memory"
    );
}

#[test]
fn a_filter_that_is_too_long_is_refused_and_not_left_out() {
    let listening = |bytes: usize| {
        let filter = "x".repeat(bytes);
        let text = format!("listen = [\"tcp://127.0.0.1:1?updateClusterFilter={filter}\"]");
        load(&Input::default().file("listen.toml", text))
    };
    let config = listening(1_024).unwrap().config;
    assert_eq!(config.listeners.first().unwrap().update_cluster_filter.as_ref().unwrap().len(), 1_024);
    let refused = listening(1_025).unwrap_err().to_string();
    assert!(refused.contains("updateClusterFilter has more than 1024 bytes"), "{refused}");
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let huge = load(&Input::default().file("f.toml", "#".repeat(MAX_FILE_BYTES + 1))).expect_err("too large");
    assert!(huge.to_string().starts_with("f.toml:1:1: error: the file has 4194305 bytes"));
}
