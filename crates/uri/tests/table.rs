//! URIs in tables. A row of `uris.txt` reads `text | printed form`, one of `errors.txt` `text | error`, and one of
//! `listeners.txt` `text | all errors of its options, or what they are`.

use std::fmt::Write;

use ferromq_uri::{ConnectUri, FailoverOptions, ListenerUri, Uri};

fn rows(table: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    table.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(
        |(index, line)| {
            let (text, expected) = line.split_once(" | ").expect("two columns");
            (index + 1, text, expected)
        },
    )
}

fn joined<E: ToString>(errors: Vec<E>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" // ")
}

#[test]
fn uris_print_in_one_form() {
    for (line, text, expected) in rows(include_str!("uris.txt")) {
        let uri = Uri::parse(text).expect(text);
        assert_eq!(uri.to_string(), expected, "line {line}");
        assert_eq!(Uri::parse(expected), Ok(uri), "line {line}: the printed form is another URI");
    }
}

#[test]
fn errors_name_the_column_and_the_remedy() {
    for (line, text, expected) in rows(include_str!("errors.txt")) {
        let found = Uri::parse(text).map_or_else(|error| error.to_string(), |uri| format!("parsed as {uri}"));
        assert_eq!(found, expected, "line {line}");
    }
}

#[test]
fn listeners_take_their_options_and_refuse_others() {
    for (line, text, expected) in rows(include_str!("listeners.txt")) {
        let uri = Uri::parse(text).expect(text);
        let found = match ListenerUri::from_uri(&uri) {
            Err(errors) => joined(errors),
            Ok(listener) => {
                let options = &listener.options;
                let mut text = format!("{} {}", listener.scheme, listener.endpoint);
                let mut put = |name: &str, value: Option<String>| {
                    if let Some(value) = value {
                        write!(text, " {name}={value}").expect("a string takes all");
                    }
                };
                put("connections", options.maximum_connections.map(|value| value.to_string()));
                put("backlog", options.backlog.map(|value| value.to_string()));
                put("handshake", options.handshake_timeout_ms.map(|value| value.to_string()));
                put("nodelay", options.socket.tcp_no_delay.map(|value| value.to_string()));
                put("inactivity", options.wire_format.max_inactivity_ms.map(|value| value.to_string()));
                put(
                    "initial",
                    options.wire_format.max_inactivity_initial_delay_ms.map(|value| value.to_string()),
                );
                put("frame", options.wire_format.max_frame_bytes.map(|value| value.to_string()));
                put("ignored", (!options.ignored.is_empty()).then(|| options.ignored.join(",")));
                text
            }
        };
        assert_eq!(found, expected, "line {line}");
    }
}

#[test]
fn a_client_gives_options_of_socket_wire_format_and_connection() {
    let uri = ConnectUri::parse(
        "tcp://broker?socket.keepAlive=true&wireFormat.version=10&jms.useAsyncSend=true&connection.x=1",
    )
    .expect("a client's URI");
    assert_eq!(uri.endpoint.port_or_default(), 61616);
    assert_eq!(uri.options.socket.keep_alive, Some(true));
    assert_eq!(uri.options.wire_format.version, Some(10));
    assert_eq!(uri.options.connection.iter().collect::<Vec<_>>(), [("useAsyncSend", "true"), ("x", "1")]);
    assert!(ConnectUri::parse("failover:(tcp://a:1)").is_err());
}

#[test]
fn failover_options_are_typed() {
    let uri = Uri::parse(
        "failover:(tcp://a:1?wireFormat.version=9,tcp://b:2)?randomize=false&maxReconnectAttempts=-1&timeout=3000\
         &reconnectDelayExponent=1.5&priorityBackup=true&priorityURIs=tcp://a:1,tcp://c:3&nested.tcpNoDelay=true&jms.clientID=x&useLocalHost=true",
    )
    .expect("a failover URI");
    let options = FailoverOptions::from_uri(&uri).expect("known options");
    assert_eq!(options.randomize, Some(false));
    assert_eq!(options.max_reconnect_attempts, Some(-1));
    assert_eq!(options.timeout_ms, Some(3000));
    assert_eq!(options.reconnect_delay_exponent, Some(1.5));
    assert_eq!(options.priority_uris.len(), 2);
    assert_eq!(options.nested.value("tcpNoDelay"), Some("true"));
    assert_eq!(options.connection.value("clientID"), Some("x"));
    assert_eq!(options.backup, None);
    assert_eq!(options.ignored, ["useLocalHost"]);

    let wrong =
        Uri::parse("failover:(tcp://a:1)?randomise=no&backup=maybe&backOffMultiplier=two").expect("a URI");
    let errors = joined(FailoverOptions::from_uri(&wrong).expect_err("three mistakes"));
    assert_eq!(
        errors,
        "URI, column 22: unknown option 'randomise'; did you mean randomize? // \
         URI, column 35: option backup is 'maybe', expected true or false // \
         URI, column 48: option backOffMultiplier is 'two', expected a factor such as 2.0"
    );
}
